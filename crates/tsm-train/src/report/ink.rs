//! What our pictures have in common: colours, letters and the paper.
//!
//! Series colours are those of Okabe and Ito ('Color Universal Design', 2008), told apart with every kind of colour
//! blindness. The pictures name no font but the viewer's own sans-serif.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ReportError;

/// The colour of training series.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
/// The colour of validation series.
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
/// The colour of the mean over classes.
pub(super) const GREEN: RGBColor = RGBColor(0, 128, 96);
/// Letters that carry the message.
pub(super) const DARK: RGBColor = RGBColor(34, 34, 34);
/// Letters that explain it.
pub(super) const MUTED: RGBColor = RGBColor(95, 95, 95);
/// Frames and axes.
pub(super) const LINE: RGBColor = RGBColor(150, 150, 150);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(228, 228, 228);

/// A sheet of paper drawn on, in pixels from its upper left corner.
pub(super) type Paper<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The mean width of a letter in a sans-serif font, in its height: on the wide side, so that nothing is cut.
const LETTER_WIDTH: f64 = 0.58;

/// Draws a picture of `size_px` (width, height) on white and gives its SVG text.
pub(super) fn svg(
    size_px: (u32, u32),
    draw: impl FnOnce(&Paper<'_>) -> Result<(), ReportError>,
) -> Result<String, ReportError> {
    let mut text = String::new();
    {
        let paper = SVGBackend::with_string(&mut text, size_px).into_drawing_area();
        paper.fill(&WHITE).map_err(failed)?;
        draw(&paper)?;
        paper.present().map_err(failed)?;
    }
    Ok(text)
}

/// Takes any of the plotting library's errors, which are generic over the backend.
pub(super) fn failed(error: impl Display) -> ReportError {
    ReportError::Draw { what: error.to_string() }
}

/// Where a text stands to the point it is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// It begins there, centred on its height.
    Left,
    /// It is centred there.
    Centre,
    /// It ends there.
    Right,
    /// It is turned to read upwards and ends there.
    TopUpwards,
    /// It is turned to read upwards and begins there.
    BottomUpwards,
    /// It is turned to read upwards and centred there.
    CentreUpwards,
}

/// Letters of a height in pixels.
pub(super) fn letters(size_px: f64, colour: RGBColor, anchor: Anchor) -> TextStyle<'static> {
    let (horizontal, turn) = match anchor {
        Anchor::Left => (HPos::Left, FontTransform::None),
        Anchor::Centre => (HPos::Center, FontTransform::None),
        Anchor::Right => (HPos::Right, FontTransform::None),
        Anchor::TopUpwards => (HPos::Right, FontTransform::Rotate270),
        Anchor::BottomUpwards => (HPos::Left, FontTransform::Rotate270),
        Anchor::CentreUpwards => (HPos::Center, FontTransform::Rotate270),
    };
    // The SVG backend divides sizes by 1.24.
    let font = ("sans-serif", size_px * 1.24).into_font().transform(turn);
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(horizontal, VPos::Center) }
}

/// The same letters, heavier.
pub(super) fn bold(size_px: f64, colour: RGBColor, anchor: Anchor) -> TextStyle<'static> {
    let style = letters(size_px, colour, anchor);
    TextStyle { font: style.font.style(FontStyle::Bold), ..style }
}

/// Writes a line of text.
pub(super) fn write(
    paper: &Paper<'_>,
    text: &str,
    at_px: (i32, i32),
    style: &TextStyle<'_>,
) -> Result<(), ReportError> {
    // Control characters are not allowed in XML at all, escaped or not.
    let shown: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    paper.draw(&Text::new(shown, at_px, style.clone())).map_err(failed)
}

/// How wide a text will be, as far as that can be known without its font.
#[expect(clippy::cast_possible_truncation, reason = "a few thousand pixels")]
pub(super) fn width_px(text: &str, size_px: f64) -> i32 {
    // Letters from Hangul on are about as wide as high.
    let letter = |c: char| if c >= '\u{1100}' { 1.0 } else { LETTER_WIDTH };
    (text.chars().map(letter).sum::<f64>() * size_px).ceil() as i32
}

/// A text of at most so many letters, its end replaced by an ellipsis where it is longer.
pub(super) fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_letters() {
        assert_eq!(shortened("größer", 6), "größer");
        assert_eq!(shortened("größer als", 8), "größer…");
    }

    #[test]
    fn texts_are_escaped_and_control_characters_replaced() {
        let text =
            svg((100, 20), |paper| write(paper, "a<b & \u{1}c", (0, 10), &letters(10.0, DARK, Anchor::Left)))
                .unwrap();
        assert!(text.contains("a&lt;b &amp; \u{fffd}c"), "{text}");
    }
}
