//! What training changes about a clip: mirrored or not, and its colours, the same for all of its frames.
//!
//! ```text
//! crop [h, w, 3] u8 ─ mirror ─ one affine map of RGB (brightness, contrast, saturation, hue) ─► [h, w, 3] u8
//! ```
//!
//! A mirrored clip of "swipe left" shows "swipe right": [`FlipTable`] gives it that label, or leaves it as it is. All
//! draws come from the clip's own [`Draws`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset::{class_index, class_number};
use crate::draws::Draws;

/// Whether clips are mirrored in training, half of them each epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Never.
    Off,
    /// Whatever the class; labels stay.
    On,
    /// Classes that differ only in `left` and `right` (or `clockwise` and `counterclockwise`) change their labels with
    /// the picture; a class with such a word but no partner is left as it is; all others are mirrored.
    #[default]
    Auto,
    /// These pairs of classes, by name, change their labels.
    Swap {
        /// The pairs.
        pairs: Vec<(String, String)>,
        /// What becomes of all others.
        others: Others,
    },
}

/// What mirroring does to classes of which nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// As [`Flip::On`].
    On,
    /// As [`Flip::Auto`].
    Auto,
}

/// Labels that cannot be swapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlipError {
    /// One of them is none.
    #[error("'{0}' is to be swapped when mirrored, but is no class; check its spelling")]
    UnknownClass(String),
    /// What its mirror image is called is not clear.
    #[error("'{0}' is in two pairs that are swapped when mirrored; name it in one")]
    Twice(String),
}

/// What mirroring does to each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipTable {
    mirrored: Vec<Option<u32>>,
}

impl Flip {
    /// The table for these classes.
    ///
    /// # Errors
    /// [`FlipError`] if a pair names a class that is not there, or one that is in another pair.
    pub fn table(&self, classes: &[String]) -> Result<FlipTable, FlipError> {
        let own = |index| Some(class_number(index));
        let mut mirrored: Vec<_> = (0..classes.len()).map(own).collect();
        match self {
            Self::Off => mirrored.fill(None),
            Self::On => {}
            Self::Auto => by_names(classes, &mut mirrored),
            Self::Swap { pairs, others } => {
                if *others == Others::Auto {
                    by_names(classes, &mut mirrored);
                }
                let find = |name: &String| {
                    let found = classes.iter().position(|class| class == name);
                    found.ok_or_else(|| FlipError::UnknownClass(name.clone()))
                };
                let mut partners = BTreeMap::new();
                for (one, other) in pairs {
                    for (name, partner) in [(one, other), (other, one)] {
                        if partners.insert(name, partner).is_some_and(|before| before != partner) {
                            return Err(FlipError::Twice(name.clone()));
                        }
                    }
                    let (one, other) = (find(one)?, find(other)?);
                    (mirrored[one], mirrored[other]) = (own(other), own(one));
                }
            }
        }
        Ok(FlipTable { mirrored })
    }
}

/// The label of each class's mirror image, as far as the names tell it.
fn by_names(classes: &[String], mirrored: &mut [Option<u32>]) {
    for (class, entry) in classes.iter().zip(mirrored) {
        if let Some(name) = mirrored_name(class) {
            let partner = |other: &String| normal_name(other) == name;
            *entry = classes.iter().position(partner).map(class_number);
        }
    }
}

impl FlipTable {
    /// The label of a mirrored clip of `class`; `None` where it must not be mirrored.
    pub fn mirrored(&self, class: u32) -> Option<u32> {
        self.mirrored.get(class_index(class)).copied().flatten()
    }
}

/// The words that mirroring swaps.
const MIRROR_WORDS: [(&str, &str); 5] = [
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("clockwise", "counterclockwise"),
    ("clockwise", "anticlockwise"),
];

/// The words of a class name: lower case, split at anything but letters and digits.
fn words(class: &str) -> Vec<String> {
    let parts = class.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    parts.map(str::to_lowercase).collect()
}

fn normal_name(class: &str) -> String {
    words(class)
        .join(" ")
        .replace("counter clockwise", "counterclockwise")
        .replace("anti clockwise", "anticlockwise")
}

/// The name of the mirrored class, normalised; `None` where mirroring changes nothing about the name.
fn mirrored_name(class: &str) -> Option<String> {
    let normal = normal_name(class);
    let counter = if normal.contains("anticlockwise") { "anticlockwise" } else { "counterclockwise" };
    let swapped = normal.split(' ').map(|word| {
        let pair = MIRROR_WORDS.iter().find(|(one, other)| *one == word || *other == word);
        match pair {
            Some(("clockwise", _)) if word == "clockwise" => counter,
            Some((one, other)) if *one == word => other,
            Some((one, _)) => one,
            None => word,
        }
    });
    let swapped = swapped.collect::<Vec<_>>().join(" ");
    (swapped != normal).then_some(swapped)
}

/// How far colours may move; all zero changes nothing. The ranges are torchvision's `ColorJitter`'s.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ColourJitter {
    /// Factor on every level: `1 - this .. 1 + this`.
    pub brightness: f32,
    /// Factor on the distance from the clip's mean grey, likewise.
    pub contrast: f32,
    /// Factor on the distance from the pixel's own grey, likewise.
    pub saturation: f32,
    /// Turn of the hue, as a part of the colour circle: `-this .. this`; at most 0.5.
    pub hue: f32,
}

/// One affine map of red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourMap {
    rows: [[f32; 3]; 3],
    /// How much of the clip's mean grey is added.
    of_mean_grey: f32,
}

/// ITU-R BT.601's luma.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

impl ColourJitter {
    /// Whether it changes nothing.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// A draw of each.
    pub fn draw(&self, draws: &mut Draws) -> ColourMap {
        let mut factor = |range: f32| draws.between((1.0 - range).max(0.0), 1.0 + range);
        let (brightness, contrast) = (factor(self.brightness), factor(self.contrast));
        let saturation = factor(self.saturation);
        let hue = draws.between(-self.hue, self.hue) * std::f32::consts::TAU;
        let mut rows = product(&hue_rotation(hue), &saturated(saturation));
        for value in rows.iter_mut().flatten() {
            *value *= brightness * contrast;
        }
        ColourMap { rows, of_mean_grey: brightness * (1.0 - contrast) }
    }
}

impl ColourMap {
    /// Changes `rgb` `[.., 3]`, all frames of a clip, around their common mean.
    pub fn apply(&self, rgb: &mut [u8]) {
        let offset = self.of_mean_grey * mean_grey(rgb);
        for pixel in rgb.as_chunks_mut::<3>().0 {
            let from = pixel.map(f32::from);
            for (level, row) in pixel.iter_mut().zip(&self.rows) {
                let value = row[0] * from[0] + row[1] * from[1] + row[2] * from[2] + offset;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped to a byte"
                )]
                let rounded = (value + 0.5).clamp(0.0, 255.0) as u8;
                *level = rounded;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean of levels needs no more than an f32 has")]
fn mean_grey(rgb: &[u8]) -> f32 {
    let mut sums = [0_u64; 3];
    for pixel in rgb.as_chunks::<3>().0 {
        for (sum, level) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*level);
        }
    }
    let pixels = (rgb.len() / 3).max(1) as f32;
    sums.iter().zip(GREY).map(|(sum, weight)| *sum as f32 / pixels * weight).sum()
}

fn saturated(factor: f32) -> [[f32; 3]; 3] {
    let mut rows = [GREY.map(|weight| weight * (1.0 - factor)); 3];
    for (i, row) in rows.iter_mut().enumerate() {
        row[i] += factor;
    }
    rows
}

/// Turns colours around the grey axis, so that greys stay and red goes through green to blue (Rodrigues' rotation).
fn hue_rotation(angle: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = angle.sin_cos();
    let (third, root) = ((1.0 - cos) / 3.0, sin / 3.0_f32.sqrt());
    let (near, before, after) = (cos + third, third - root, third + root);
    [[near, before, after], [after, near, before], [before, after, near]]
}

fn product(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let mut out = [[0.0; 3]; 3];
    for (i, row) in out.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = (0..3).map(|k| a[i][k] * b[k][j]).sum();
        }
    }
    out
}

/// Mirrors an RGB picture `[height, width_px, 3]` left to right, in place.
///
/// # Panics
/// If `rgb` does not hold whole rows.
pub fn mirror(rgb: &mut [u8], width_px: usize) {
    assert!(rgb.len().is_multiple_of((width_px * 3).max(1)), "mirror: not whole rows of {width_px} pixels");
    for row in rgb.chunks_exact_mut(width_px * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: &[&str]) -> Vec<String> {
        classes.iter().map(|class| (*class).to_owned()).collect()
    }

    fn mirrored(flip: &Flip, classes: &[&str]) -> Vec<Option<u32>> {
        flip.table(&names(classes)).unwrap().mirrored
    }

    #[test]
    fn classes_that_differ_in_left_and_right_are_swapped() {
        let classes = ["Swiping Left", "Swiping Right", "Stop Sign", "turn_left", "leftover"];
        assert_eq!(mirrored(&Flip::Auto, &classes), [Some(1), Some(0), Some(2), None, Some(4)]);
        assert_eq!(mirrored(&Flip::On, &classes[..2]), [Some(0), Some(1)]);
        assert_eq!(mirrored(&Flip::Off, &classes[..2]), [None, None]);
    }

    #[test]
    fn turns_of_a_hand_are_swapped_however_they_are_written() {
        let classes = ["Turning Hand Clockwise", "Turning Hand Counterclockwise"];
        assert_eq!(mirrored(&Flip::Auto, &classes), [Some(1), Some(0)]);
        assert_eq!(mirrored(&Flip::Auto, &["clockwise", "counter-clockwise"]), [Some(1), Some(0)]);
    }

    #[test]
    fn named_pairs_are_swapped_and_unknown_names_refused() {
        let swap =
            |a: &str, b: &str| Flip::Swap { pairs: vec![(a.to_owned(), b.to_owned())], others: Others::Auto };
        assert_eq!(mirrored(&swap("in", "out"), &["in", "hold", "out"]), [Some(2), Some(1), Some(0)]);
        let classes = ["in", "turn left", "out", "turn right"];
        assert_eq!(mirrored(&swap("in", "out"), &classes), [Some(2), Some(3), Some(0), Some(1)]);
        let on = Flip::Swap { pairs: vec![("in".to_owned(), "out".to_owned())], others: Others::On };
        assert_eq!(mirrored(&on, &classes), [Some(2), Some(1), Some(0), Some(3)]);
        let error = swap("in", "away").table(&names(&["in", "out"])).unwrap_err();
        assert_eq!(error, FlipError::UnknownClass("away".to_owned()));
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Flip::Swap { pairs, others: Others::On }.table(&names(&["in", "hold", "out"]))
        };
        assert_eq!(pairs(&[("in", "out"), ("out", "hold")]).unwrap_err(), FlipError::Twice("out".to_owned()));
        assert!(pairs(&[("in", "out"), ("out", "in")]).is_ok(), "the same pair twice is one");
    }

    #[test]
    fn a_mirrored_row_is_reversed_by_pixels() {
        let mut rgb = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        mirror(&mut rgb, 2);
        assert_eq!(rgb, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn no_jitter_changes_nothing() {
        let mut rgb: Vec<u8> = (0..=254).collect();
        let before = rgb.clone();
        ColourJitter::default().draw(&mut Draws::for_clip(1, 2, 3)).apply(&mut rgb);
        assert_eq!(rgb, before);
    }

    #[test]
    fn greys_stay_grey_under_saturation_and_hue() {
        let jitter = ColourJitter { saturation: 0.8, hue: 0.5, ..ColourJitter::default() };
        let mut rgb: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
        let before = rgb.clone();
        jitter.draw(&mut Draws::for_clip(1, 2, 3)).apply(&mut rgb);
        assert!(rgb.iter().zip(&before).all(|(a, b)| a.abs_diff(*b) <= 1), "{rgb:?}");
    }

    #[test]
    fn a_third_of_the_circle_turns_red_into_green() {
        let map = ColourMap { rows: hue_rotation(std::f32::consts::TAU / 3.0), of_mean_grey: 0.0 };
        let mut rgb = [200, 0, 0];
        map.apply(&mut rgb);
        assert_eq!(rgb, [0, 200, 0]);
    }

    #[test]
    fn brightness_and_contrast_do_what_they_say() {
        let map = ColourMap { rows: saturated(1.0).map(|row| row.map(|v| v * 0.5)), of_mean_grey: 0.5 };
        let mut rgb = [0, 0, 0, 200, 200, 200];
        map.apply(&mut rgb);
        assert_eq!(rgb, [50, 50, 50, 150, 150, 150]);
    }
}
