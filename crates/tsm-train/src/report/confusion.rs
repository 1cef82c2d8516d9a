//! The confusion matrix as a picture: which class is taken for which.
//!
//! ```text
//!   true class | name  [][][#][][]  bar 86 %  12/14
//!              | name  [][#][][][]  bar …
//!                       n  n  n (names turned, reading upwards)
//! ```
//!
//! Blue is right, orange is wrong, depth is the share of the true class's clips. Names are always written; counts
//! only where a cell has room for them.

use plotters::prelude::*;

use super::ReportError;
use super::ink::{self, Anchor, Paper};
use crate::metrics::{ClassMetrics, Metrics};

/// Names are cut after so many letters.
const NAME_LETTERS: usize = 48;
/// Space above the matrix.
const HEAD_PX: i32 = 92;
/// Space at the other edges.
const EDGE_PX: i32 = 24;
/// Space for the name of an axis.
const AXIS_PX: i32 = 30;
/// What the columns are.
const ACROSS: &str = "class it was taken for";

const AXIS_LETTERS_PX: f64 = 14.0;

/// Between a class's bar and its accuracy.
const PERCENT_GAP_PX: i32 = 12;

/// The length of a class's bar at 100 %.
const BAR_PX: i32 = 80;
/// The length of a legend's colour strip, and its steps.
const STRIP_PX: i32 = 140;
/// What the legends say after 'right' and 'wrong'.
const LEGEND: &str = ": 0 to 100 % of the class's clips";
/// The height of their letters.
const LEGEND_LETTERS_PX: f64 = 11.0;
/// The least width that holds the heading.
const LEAST_WIDTH_PX: i32 = 660;
/// With more classes than this the names stand above the matrix, too.
const NAMES_TWICE_ABOVE: usize = 60;
/// Counts are written in cells of at least this size.
const COUNTS_FROM_PX: i32 = 18;
/// Even one clip of many is to be seen: what is not zero begins with this depth of colour.
const LEAST_DEPTH: f64 = 0.14;

/// Depths of blue, as in `ColorBrewer`'s single-hue scales.
const RIGHT: [RGBColor; 5] = [
    RGBColor(255, 255, 255),
    RGBColor(198, 219, 239),
    RGBColor(107, 174, 214),
    RGBColor(33, 113, 181),
    RGBColor(8, 48, 107),
];
/// Depths of orange.
const WRONG: [RGBColor; 5] = [
    RGBColor(255, 255, 255),
    RGBColor(253, 208, 162),
    RGBColor(253, 141, 60),
    RGBColor(217, 72, 1),
    RGBColor(127, 39, 4),
];

/// Where things are, in pixels.
struct Layout {
    cell: i32,
    letters: f64,
    /// The matrix's upper left corner and its side.
    left: i32,
    top: i32,
    side: i32,
    names: i32,
    /// Every so many cells there is a line.
    lines: usize,
}

/// Draws the confusion matrix of metrics, with a column of the classes' accuracies.
///
/// # Errors
/// [`ReportError::Draw`] where the plotting library refuses.
pub fn confusion_svg(title: &str, metrics: &Metrics) -> Result<String, ReportError> {
    let layout = Layout::of(&metrics.classes);
    ink::svg(layout.size_px(), |paper| {
        ink::write(paper, title, (EDGE_PX, 28), &ink::bold(20.0, ink::DARK, Anchor::Left))?;
        let muted = ink::letters(13.0, ink::MUTED, Anchor::Left);
        ink::write(paper, &subtitle(metrics), (EDGE_PX, 52), &muted)?;
        draw_grid(paper, &layout, metrics.classes.len())?;
        for (row, class) in metrics.classes.iter().enumerate() {
            draw_row(paper, &layout, row, class, &metrics.confusion[row])?;
            draw_names(paper, &layout, row, &class.name)?;
            draw_accuracy(paper, &layout, row, class)?;
        }
        draw_axes(paper, &layout)?;
        let (x, y) = (layout.accuracy_px(), layout.top + layout.side + 26);
        draw_legend(paper, (x, y), "right", &RIGHT)?;
        draw_legend(paper, (x, y + 38), "wrong", &WRONG)
    })
}

impl Layout {
    fn of(classes: &[ClassMetrics]) -> Self {
        let (cell, lines) = match classes.len() {
            0..=6 => (64, 1),
            7..=12 => (44, 1),
            13..=32 => (28, 1),
            33..=60 => (18, 5),
            61..=120 => (13, 5),
            _ => (10, 10),
        };
        let letters = (f64::from(cell) * 0.8).min(13.0);
        let width = |class: &ClassMetrics| ink::width_px(&ink::shortened(&class.name, NAME_LETTERS), letters);
        let names = classes.iter().map(width).max().unwrap_or(0) + 10;
        let side = cell * pixels(classes.len());
        let above = if classes.len() > NAMES_TWICE_ABOVE { names } else { 0 };
        Self { cell, letters, left: EDGE_PX + AXIS_PX + names, top: HEAD_PX + above, side, names, lines }
    }

    /// Where the column of accuracies begins.
    fn accuracy_px(&self) -> i32 {
        // The name of the axis is wider than a matrix of two classes, and the legend stands beside it.
        let half = (self.side / 2).max(ink::width_px(ACROSS, AXIS_LETTERS_PX) / 2);
        self.left + self.side / 2 + half + 16
    }

    fn size_px(&self) -> (u32, u32) {
        let width =
            self.accuracy_px() + BAR_PX + PERCENT_GAP_PX + ink::width_px("100 %  9999/9999", self.letters);
        let width = width.max(
            self.accuracy_px()
                + ink::width_px("wrong", LEGEND_LETTERS_PX)
                + ink::width_px(LEGEND, LEGEND_LETTERS_PX),
        ) + EDGE_PX;
        let height = self.top + self.side + (self.names + AXIS_PX).max(110) + EDGE_PX;
        (width.max(LEAST_WIDTH_PX).unsigned_abs(), height.unsigned_abs())
    }

    /// The corners of a cell, without the line to its right and below.
    fn cell_px(&self, row: usize, column: usize) -> [(i32, i32); 2] {
        let (x, y) = (self.left + self.cell * pixels(column), self.top + self.cell * pixels(row));
        let gap = i32::from(self.lines == 1);
        [(x + gap, y + gap), (x + self.cell, y + self.cell)]
    }

    fn middle_px(&self, index: usize) -> i32 {
        self.cell * pixels(index) + self.cell / 2
    }
}

/// Class counts in pixels; beyond a hundred million classes nobody draws.
fn pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX / 64).min(i32::MAX / 64)
}

fn subtitle(metrics: &Metrics) -> String {
    let percent =
        |share: Option<f64>| share.map_or("unknown".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let mut text = format!(
        "top-1 {}, mean class accuracy {}, {} clips of {} classes",
        percent(metrics.top1),
        percent(metrics.mean_class_accuracy),
        metrics.clips,
        metrics.classes.len()
    );
    if metrics.clips_without_prediction > 0 {
        let without = format!("{} without a prediction, in no column", metrics.clips_without_prediction);
        text = [text, without].join("; ");
    }
    text
}

fn draw_grid(paper: &Paper<'_>, layout: &Layout, classes: usize) -> Result<(), ReportError> {
    let Layout { left, top, side, cell, .. } = *layout;
    for at in (0..=classes).step_by(layout.lines) {
        let along = cell * pixels(at);
        for ends in [
            [(left + along, top), (left + along, top + side)],
            [(left, top + along), (left + side, top + along)],
        ] {
            paper.draw(&PathElement::new(ends, ink::GRID)).map_err(ink::failed)?;
        }
    }
    let frame = Rectangle::new([(left, top), (left + side, top + side)], ink::LINE);
    paper.draw(&frame).map_err(ink::failed)
}

/// The cells of one true class that hold clips, and the empty cell where they should be.
#[expect(clippy::cast_precision_loss, reason = "counts of clips are far below 2^53")]
fn draw_row(
    paper: &Paper<'_>,
    layout: &Layout,
    row: usize,
    class: &ClassMetrics,
    counts: &[usize],
) -> Result<(), ReportError> {
    for (column, count) in counts.iter().enumerate() {
        let corners = layout.cell_px(row, column);
        if *count == 0 {
            if row == column {
                paper.draw(&Rectangle::new(corners, ink::LINE)).map_err(ink::failed)?;
            }
            continue;
        }
        let scale = if row == column { &RIGHT } else { &WRONG };
        let colour = depth(scale, shown_depth(*count as f64 / class.clips.max(1) as f64));
        paper.draw(&Rectangle::new(corners, colour.filled())).map_err(ink::failed)?;
        let text = count.to_string();
        let size_px = (f64::from(layout.cell) * 0.5).clamp(9.0, 16.0);
        if layout.cell >= COUNTS_FROM_PX && ink::width_px(&text, size_px) <= layout.cell {
            let ink_colour = if is_dark(colour) { WHITE } else { ink::DARK };
            let middle = (layout.left + layout.middle_px(column), layout.top + layout.middle_px(row));
            ink::write(paper, &text, middle, &ink::letters(size_px, ink_colour, Anchor::Centre))?;
        }
    }
    Ok(())
}

fn draw_names(paper: &Paper<'_>, layout: &Layout, index: usize, name: &str) -> Result<(), ReportError> {
    let name = ink::shortened(name, NAME_LETTERS);
    let middle = layout.middle_px(index);
    let beside = (layout.left - 7, layout.top + middle);
    ink::write(paper, &name, beside, &ink::letters(layout.letters, ink::DARK, Anchor::Right))?;
    let below = (layout.left + middle, layout.top + layout.side + 7);
    ink::write(paper, &name, below, &ink::letters(layout.letters, ink::DARK, Anchor::TopUpwards))?;
    if layout.top == HEAD_PX {
        return Ok(());
    }
    let above = (layout.left + middle, layout.top - 7);
    ink::write(paper, &name, above, &ink::letters(layout.letters, ink::DARK, Anchor::BottomUpwards))
}

#[expect(clippy::cast_possible_truncation, reason = "at most the bar's length")]
fn draw_accuracy(
    paper: &Paper<'_>,
    layout: &Layout,
    row: usize,
    class: &ClassMetrics,
) -> Result<(), ReportError> {
    let (x, middle) = (layout.accuracy_px(), layout.top + layout.middle_px(row));
    let half = (layout.cell * 3 / 10).clamp(2, 9);
    let style = ink::letters(layout.letters, ink::DARK, Anchor::Left);
    let Some(top1) = class.top1 else {
        return ink::write(paper, "no clips", (x + BAR_PX + 8, middle), &style);
    };
    let whole = Rectangle::new([(x, middle - half), (x + BAR_PX, middle + half)], ink::GRID.filled());
    paper.draw(&whole).map_err(ink::failed)?;
    let length = (f64::from(BAR_PX) * top1).round() as i32;
    let bar = Rectangle::new([(x, middle - half), (x + length, middle + half)], RIGHT[3].filled());
    paper.draw(&bar).map_err(ink::failed)?;

    let percent_end = x + BAR_PX + PERCENT_GAP_PX + ink::width_px("100 %", layout.letters);
    let percent = ink::letters(layout.letters, ink::DARK, Anchor::Right);
    ink::write(paper, &format!("{:.0} %", top1 * 100.0), (percent_end, middle), &percent)?;
    let counts = ink::letters(layout.letters, ink::MUTED, Anchor::Left);
    let gap = ink::width_px(" ", layout.letters);
    ink::write(paper, &format!("{}/{}", class.right, class.clips), (percent_end + gap, middle), &counts)
}

fn draw_axes(paper: &Paper<'_>, layout: &Layout) -> Result<(), ReportError> {
    let (across, down) = (layout.left + layout.side / 2, layout.top + layout.side / 2);
    let upwards = ink::bold(AXIS_LETTERS_PX, ink::DARK, Anchor::CentreUpwards);
    ink::write(paper, "true class", (EDGE_PX + 6, down), &upwards)?;
    let below = layout.top + layout.side + layout.names + 20;
    ink::write(paper, ACROSS, (across, below), &ink::bold(AXIS_LETTERS_PX, ink::DARK, Anchor::Centre))?;
    let heading = (layout.accuracy_px(), layout.top - 14);
    ink::write(paper, "class accuracy", heading, &ink::bold(13.0, ink::DARK, Anchor::Left))
}

/// A strip of the colours from one clip to all of a class's.
fn draw_legend(
    paper: &Paper<'_>,
    (x, y): (i32, i32),
    what: &str,
    scale: &[RGBColor; 5],
) -> Result<(), ReportError> {
    let small = ink::letters(LEGEND_LETTERS_PX, ink::MUTED, Anchor::Left);
    ink::write(paper, &format!("{what}{LEGEND}"), (x, y), &small)?;
    for at in 0..STRIP_PX {
        let colour = depth(scale, shown_depth(f64::from(at) / f64::from(STRIP_PX)));
        let slice = Rectangle::new([(x + at, y + 9), (x + at + 1, y + 19)], colour.filled());
        paper.draw(&slice).map_err(ink::failed)?;
    }
    Ok(())
}

fn shown_depth(share: f64) -> f64 {
    LEAST_DEPTH + (1.0 - LEAST_DEPTH) * share.clamp(0.0, 1.0)
}

/// The colour at a depth in 0..=1, between the scale's own in proportion.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a colour's byte, an index below 5"
)]
fn depth(scale: &[RGBColor; 5], depth: f64) -> RGBColor {
    let place = depth.clamp(0.0, 1.0) * 4.0;
    let (lower, upper) = (scale[place.floor() as usize], scale[place.ceil() as usize]);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * place.fract()).round() as u8;
    RGBColor(mix(lower.0, upper.0), mix(lower.1, upper.1), mix(lower.2, upper.2))
}

/// Whether white letters are read better on it (ITU-R BT.601 luma below the middle).
fn is_dark(colour: RGBColor) -> bool {
    0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2) < 140.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Predictions, ScoreKind};

    fn metrics(names: &[&str], clips: &[(usize, usize)]) -> Metrics {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut predictions = Predictions::new(ScoreKind::Logits, names.clone()).unwrap();
        for (truth, predicted) in clips {
            let mut scores = vec![0.0; names.len()];
            scores[*predicted] = 1.0;
            predictions.push(&scores, *truth).unwrap();
        }
        Metrics::of(&predictions)
    }

    #[test]
    fn a_small_matrix_has_its_names_counts_and_accuracies() {
        let text =
            confusion_svg("two", &metrics(&["sit & wait", "stand"], &[(0, 0), (0, 0), (0, 1), (1, 1)]))
                .unwrap();
        assert_eq!(text.matches("sit &amp; wait").count(), 2, "beside and below");
        for expected in ["67 %", "2/3", "100 %", "1/1", "top-1 75.0 %", "mean class accuracy 83.3 %"] {
            assert!(text.contains(expected), "{expected} is missing");
        }
        let wrong = depth(&WRONG, shown_depth(1.0 / 3.0));
        assert!(text.contains(&format!("#{:02X}{:02X}{:02X}", wrong.0, wrong.1, wrong.2)));
    }

    #[test]
    fn a_class_without_clips_says_so() {
        assert!(confusion_svg("x", &metrics(&["a", "b"], &[(0, 0)])).unwrap().contains("no clips"));
    }

    #[test]
    fn every_name_of_four_hundred_classes_is_written_and_counts_are_left_out() {
        let names: Vec<String> = (0..400).map(|class| format!("name of class {class}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = confusion_svg("k", &metrics(&names, &[(3, 3), (3, 4)])).unwrap();
        assert_eq!(text.matches("name of class").count(), 1200, "beside, below and above");
        assert_eq!(
            text.matches("<text").count(),
            1200 + 400 + 1 + 2 + 3 + 2,
            "one class has two texts of accuracy"
        );
    }

    #[test]
    fn names_have_room_between_the_edge_and_the_matrix() {
        for (classes, letters) in [(5, 60), (21, 14), (174, 80), (400, 3)] {
            let names = vec!["w".repeat(letters); classes];
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let layout = Layout::of(&metrics(&names, &[]).classes);
            assert!(layout.letters <= f64::from(layout.cell), "names of neighbours would overlap");
            assert!(layout.letters >= 8.0, "names could not be read");
            let (width, height) = layout.size_px();
            assert!(
                width.cast_signed() > layout.left + layout.side
                    && height.cast_signed() > layout.top + layout.side
            );
        }
    }

    #[test]
    fn depth_of_colour_rises_with_the_share() {
        let lumas: Vec<u32> = (0..=10)
            .map(|tenth| {
                let colour = depth(&RIGHT, shown_depth(f64::from(tenth) / 10.0));
                u32::from(colour.0) + u32::from(colour.1) + u32::from(colour.2)
            })
            .collect();
        assert!(lumas.is_sorted_by(|a, b| a > b), "{lumas:?}");
        assert!(lumas[0] < 3 * 255, "even the least share is no white");
    }
}
