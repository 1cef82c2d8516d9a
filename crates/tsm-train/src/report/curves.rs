//! Loss, accuracy and learning rate over the epochs, as one SVG.
//!
//! Values that are no finite number leave a gap in their curve; epochs that were not validated are bridged.

use plotters::prelude::*;

use super::ink::{self, Anchor, Paper};
use super::{EpochRecord, History, ReportError};
use crate::run_state::Best;

/// Width and height of the picture in pixels.
const SIZE_PX: (u32, u32) = (960, 940);
/// Space for the title.
const TITLE_PX: u32 = 58;
/// The heights of the loss and accuracy panels; the learning rate has the rest.
const PANEL_PX: u32 = 340;
/// Space for a panel's heading and legend.
const HEADING_PX: u32 = 34;
/// Space for the numbers beside an axis.
const AXIS_PX: u32 = 58;
/// Up to so many values each is marked with a dot.
const DOTS_UP_TO: usize = 60;

/// One curve of a panel.
struct Series {
    name: &'static str,
    colour: RGBColor,
    value: fn(&EpochRecord) -> Option<f64>,
}

impl Series {
    fn points<'a>(&'a self, history: &'a History) -> impl Iterator<Item = (f64, f64)> + 'a {
        let point = |record: &EpochRecord| Some((f64::from(record.epoch), (self.value)(record)?));
        history.records().iter().filter_map(point)
    }
}

/// One pair of axes.
struct Panel {
    name: &'static str,
    label: fn(&f64) -> String,
    /// What the upright axis shows.
    axis: &'static str,
    /// The axis goes at least so far, and never further than the second.
    top: (f64, f64),
    series: Vec<Series>,
}

/// Draws the curves of a run whose model is the `best` so far; a history without records gives empty axes.
///
/// # Errors
/// [`ReportError::Draw`] where the plotting library refuses.
pub fn curves_svg(title: &str, history: &History, best: Option<&Best>) -> Result<String, ReportError> {
    ink::svg(SIZE_PX, |paper| {
        let (head, body) = paper.split_vertically(TITLE_PX);
        ink::write(&head, title, (24, 26), &ink::bold(20.0, ink::DARK, Anchor::Left))?;
        let muted = ink::letters(13.0, ink::MUTED, Anchor::Left);
        ink::write(&head, &subtitle(history, best), (24, 49), &muted)?;
        let (losses, rest) = body.split_vertically(PANEL_PX);
        let (accuracies, rates) = rest.split_vertically(PANEL_PX);
        draw_panel(&losses, &loss_panel(), history)?;
        draw_panel(&accuracies, &accuracy_panel(), history)?;
        draw_panel(&rates, &rate_panel(), history)
    })
}

/// How far it ran, and which validation its model is of.
fn subtitle(history: &History, best: Option<&Best>) -> String {
    let last = history.records().last();
    let ran = last.map_or("no epoch finished yet".to_owned(), |last| {
        format!("epoch {}, step {}", last.epoch, last.step)
    });
    let found = best.and_then(|best| {
        if best.is_start {
            return Some((best.top1, "before the first step".to_owned()));
        }
        let record = history.records().iter().find(|record| record.epoch as usize == best.epoch + 1)?;
        Some((record.valid_top1?, format!("in epoch {}", record.epoch)))
    });
    match found {
        Some((top1, when)) => format!("{ran}; best validation top-1 {:.1} % {when}", top1 * 100.0),
        None if last.is_none() => ran,
        None => format!("{ran}; not validated"),
    }
}

fn loss_panel() -> Panel {
    let series = |name, colour, value| Series { name, colour, value };
    Panel {
        name: "Loss",
        axis: "cross entropy, nats",
        label: |value| format!("{value:.2}"),
        top: (0.1, f64::INFINITY),
        series: vec![
            series("training", ink::BLUE, |record| Some(record.train_loss)),
            series("validation", ink::VERMILION, |record| record.valid_loss),
        ],
    }
}

fn accuracy_panel() -> Panel {
    let series = |name, colour, value| Series { name, colour, value };
    Panel {
        name: "Accuracy",
        axis: "share of clips right",
        label: |value| format!("{:.0} %", value * 100.0),
        top: (0.1, 1.0),
        series: vec![
            series("training top-1", ink::BLUE, |record| Some(record.train_top1)),
            // The last lies on top: where classes are of one size both are the same.
            series("validation mean class", ink::GREEN, |record| record.valid_mean_class),
            series("validation top-1", ink::VERMILION, |record| record.valid_top1),
        ],
    }
}

fn rate_panel() -> Panel {
    Panel {
        name: "Learning rate",
        axis: "",
        label: |value| if *value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") },
        top: (1e-9, f64::INFINITY),
        series: vec![Series { name: "", colour: ink::MUTED, value: |record| Some(record.lr) }],
    }
}

fn draw_panel(paper: &Paper<'_>, panel: &Panel, history: &History) -> Result<(), ReportError> {
    let (heading, body) = paper.split_vertically(HEADING_PX);
    draw_heading(&heading, panel)?;
    let records = history.records();
    let epochs = records.last().map_or(1.0, |last| f64::from(last.epoch).max(2.0));
    let values = panel.series.iter().flat_map(|series| series.points(history));
    let highest = values.map(|(_, value)| value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let top = (highest * 1.06).clamp(panel.top.0, panel.top.1);
    let mut chart = ChartBuilder::on(&body)
        .margin_left(14)
        .margin_right(28)
        .margin_bottom(6)
        .x_label_area_size(38)
        .y_label_area_size(AXIS_PX)
        .build_cartesian_2d(0.0..epochs, 0.0..top)
        .map_err(ink::failed)?;
    let small = ink::letters(12.0, ink::MUTED, Anchor::Centre);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(ink::GRID)
        .axis_style(ink::LINE)
        .x_labels(if epochs < 12.0 { records.len().max(2) + 1 } else { 12 })
        .y_labels(6)
        .x_label_formatter(&|epoch| whole(*epoch))
        .y_label_formatter(&panel.label)
        .label_style(("sans-serif", 12.0 * 1.24, &ink::MUTED))
        .axis_desc_style(small)
        .x_desc("epoch")
        .y_desc(panel.axis)
        .draw()
        .map_err(ink::failed)?;
    for series in &panel.series {
        let points: Vec<(f64, f64)> = series.points(history).collect();
        for run in points.split(|(_, value)| !value.is_finite()) {
            let line = LineSeries::new(run.iter().copied(), series.colour.stroke_width(2));
            chart.draw_series(line).map_err(ink::failed)?;
        }
        if points.len() <= DOTS_UP_TO {
            let finite = points.iter().filter(|(_, value)| value.is_finite());
            let dots = finite.map(|point| Circle::new(*point, 3, series.colour.filled()));
            chart.draw_series(dots).map_err(ink::failed)?;
        }
    }
    Ok(())
}

/// Epochs between the whole ones have no label.
fn whole(epoch: f64) -> String {
    if epoch.fract() == 0.0 { format!("{epoch:.0}") } else { String::new() }
}

/// The panel's name and, on the same line, what its colours mean.
fn draw_heading(paper: &Paper<'_>, panel: &Panel) -> Result<(), ReportError> {
    let middle = 18;
    let mut x = 24;
    ink::write(paper, panel.name, (x, middle), &ink::bold(15.0, ink::DARK, Anchor::Left))?;
    x += ink::width_px(panel.name, 15.0) + 28;
    for series in panel.series.iter().filter(|series| !series.name.is_empty()) {
        let sample = PathElement::new([(x, middle), (x + 26, middle)], series.colour.stroke_width(3));
        paper.draw(&sample).map_err(ink::failed)?;
        let dot = Circle::new((x + 13, middle), 3, series.colour.filled());
        paper.draw(&dot).map_err(ink::failed)?;
        ink::write(paper, series.name, (x + 33, middle), &ink::letters(13.0, ink::DARK, Anchor::Left))?;
        x += 33 + ink::width_px(series.name, 13.0) + 22;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::record;
    use super::*;

    fn history(epochs: u32) -> History {
        let mut history = History::default();
        for epoch in 1..=epochs {
            history.push(record(epoch)).unwrap();
        }
        history
    }

    fn best(epoch: usize) -> Best {
        Best { epoch, is_start: false, top1: 0.62, loss: 1.0 }
    }

    fn count(text: &str, what: &str) -> usize {
        text.matches(what).count()
    }

    #[test]
    fn each_measured_value_has_its_dot_and_the_best_epoch_is_named() {
        let text = curves_svg("fold 0 <causal>", &history(30), Some(&best(29))).unwrap();
        assert!(text.contains("fold 0 &lt;causal&gt;") && text.contains("in epoch 30"));
        // Training loss, accuracy and rate of 30 epochs, three validation values of 15, five in the legends.
        assert_eq!(count(&text, "<circle"), 3 * 30 + 3 * 15 + 5);
    }

    #[test]
    fn no_record_and_one_record_are_drawn_too() {
        assert!(curves_svg("empty", &History::default(), None).unwrap().contains("no epoch finished yet"));
        assert!(curves_svg("one", &history(1), None).unwrap().contains("not validated"));
        let start = Best { is_start: true, ..best(0) };
        let text = curves_svg("head alone", &History::default(), Some(&start)).unwrap();
        assert!(text.contains("no epoch finished yet; best validation top-1 62.0 % before the first step"));
    }

    #[test]
    fn what_is_not_finite_leaves_a_gap() {
        let mut broken = history(4);
        broken.push(EpochRecord { train_loss: f64::NAN, ..record(5) }).unwrap();
        broken.push(EpochRecord { train_loss: f64::INFINITY, ..record(6) }).unwrap();
        let text = curves_svg("broken", &broken, None).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert_eq!(count(&text, "<circle"), 4 + 6 + 6 + 3 * 3 + 5);
    }
}
