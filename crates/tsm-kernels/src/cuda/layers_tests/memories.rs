//! The memories of one program under test: as long as they have to be, none longer, and watched.
//!
//! ```text
//! [ what belongs to it │ 1024 bytes of ones ]     read behind the end: NaN; written there: told
//! ```

use super::oracle::Tensor;
use crate::cuda::args::StreamFolds;
use crate::cuda::buffers::{Addresses, PARTIAL_BLOCKS_AN_SM, TILE_FLOATS};
use crate::cuda::program::{Element, Fold, Map, Program, SLOTS, Slot};
use crate::cuda::twins::{HostMemory, floats, run};
use crate::cuda::ways::{Scale, Stage, Way};

/// Bytes behind each memory: more than the largest pixel has.
const BEHIND: usize = 1024;
/// What nobody wrote: a NaN in f32 and in f16.
const BLANK: u8 = 0xFF;

/// A memory that is watched.
#[derive(Debug)]
struct Watched {
    memory: HostMemory,
    bytes: usize,
}

impl Watched {
    fn of(mut contents: Vec<u8>) -> Self {
        let bytes = contents.len();
        contents.resize(bytes.next_multiple_of(8) + BEHIND, BLANK);
        Self { memory: HostMemory::of_bytes(&contents), bytes }
    }

    fn of_values(values: &[f32], element: Element) -> Self {
        let contents = HostMemory::of_floats(values, element).bytes();
        Self::of(contents[..values.len() * element.bytes()].to_vec())
    }

    fn blank(bytes: usize) -> Self {
        Self::of(vec![BLANK; bytes])
    }

    fn blank_again(&self) {
        self.memory.write(0, &vec![BLANK; self.bytes.next_multiple_of(8)]);
    }

    /// What it holds.
    fn contents(&self, what: &str) -> Vec<u8> {
        let mut contents = self.memory.bytes();
        assert!(contents[self.bytes..].iter().all(|byte| *byte == BLANK), "written behind the end: {what}");
        contents.truncate(self.bytes);
        contents
    }
}

/// How far an output may be from the oracle's: parts of its own size, and of the size of all that was added up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    pub(super) of_value: f64,
    pub(super) of_terms: f64,
}

impl Tolerance {
    /// Half of the last of eleven bits.
    const HALF: f64 = 1.0 / 2048.0;
    /// The smallest half but one: below there are fewer bits.
    const SMALLEST: f64 = 1.0 / 16_777_216.0;

    /// Of outputs in `output`, of sums in f32 whose terms were rounded to `between` before.
    pub(super) fn of(output: Element, between: Element) -> Self {
        let half = |element| if element == Element::F16 { Self::HALF } else { 0.0 };
        Self { of_value: half(output), of_terms: 1e-6 + half(between) }
    }

    #[track_caller]
    fn check(self, found: f32, value: f64, size: f64, what: &str) {
        let allowed = self.of_value * value.abs() * 1.01 + self.of_terms * size + Self::SMALLEST;
        let difference = (f64::from(found) - value).abs();
        assert!(difference <= allowed, "{found} instead of {value} ± {allowed}: {what}");
    }
}

/// All that the launches of a program may read or write.
#[derive(Debug)]
pub(super) struct Memories {
    weights: Watched,
    biases: Watched,
    slots: Vec<Watched>,
    /// Of each stream: what the last step left, and where this one leaves its own.
    streams: Vec<[Watched; 2]>,
    element: Element,
}

impl Memories {
    /// With `given` in its slots, laid out as they are, and blank room for `made`.
    pub(super) fn new(
        program: &Program,
        given: &[(Slot, &[f32])],
        made: &[Map],
        remembered: &[Vec<f32>],
    ) -> Self {
        let element = program.element();
        let [weights, biases] = program.weights();
        let mut slots: Vec<Watched> = (0..SLOTS).map(|_| Watched::blank(0)).collect();
        for (slot, values) in given {
            slots[*slot as usize] = Watched::of_values(values, element);
        }
        for map in made {
            let values = remembered.len() * map.height * map.width * map.channels;
            let bytes = program.slot_element(map.slot as usize).bytes();
            slots[map.slot as usize] = Watched::blank(values * bytes);
        }
        let streams = remembered.iter().map(|values| {
            [Watched::of_values(values, element), Watched::blank(values.len() * element.bytes())]
        });
        Self {
            weights: Watched::of_values(weights, element),
            biases: Watched::of_values(biases, Element::F32),
            slots,
            streams: streams.collect(),
            element,
        }
    }

    /// Runs `plan`, which makes `made`, the last of them `expected`, and `fold` of it; nothing else may have changed.
    pub(super) fn check(
        &self,
        program: &Program,
        plan: &[Stage],
        scale: Scale,
        made: &[Map],
        (expected, tolerance): (&Tensor, Tolerance),
        fold: Option<Fold>,
    ) {
        let slots = made.iter().map(|map| &self.slots[map.slot as usize]);
        slots.chain(self.streams.iter().map(|[_, write]| write)).for_each(Watched::blank_again);
        let before = self.contents("before");
        let launched: Vec<String> = plan.iter().map(|stage| self.launch(program, *stage, scale)).collect();
        let what = launched.join(", then ");
        let after = self.contents(&what);
        let is_written = |slot: usize| made.iter().any(|map| map.slot as usize == slot);
        for (slot, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!(is_written(slot) || before == after, "memory {slot} is written: {what}");
        }
        let output = made.last().expect("a plan makes something").slot as usize;
        let found = floats(&after[output], program.slot_element(output));
        let expected_at = expected.values.iter().zip(&expected.sizes);
        assert_eq!(found.len(), expected.values.len(), "{what}");
        for (at, (found, (value, size))) in found.iter().zip(expected_at).enumerate() {
            tolerance.check(*found, *value, *size, &format!("value {at} by {what}"));
        }
        self.check_folds(expected, tolerance, fold, &what);
    }

    /// What one launch leaves in `slot`.
    pub(super) fn made(&self, program: &Program, stage: Stage, scale: Scale, slot: Slot) -> Vec<f32> {
        let what = self.launch(program, stage, scale);
        let slot = slot as usize;
        floats(&self.slots[slot].contents(&what), program.slot_element(slot))
    }

    /// What the launch ahead of all others makes of `pictures` frames of bytes: planes in the slot of the frames, and
    /// nothing else.
    pub(super) fn planes_of(&self, program: &Program, pictures: usize, bytes: &[u8]) -> Vec<f32> {
        let (given, planes) = (Watched::of(bytes.to_vec()), Slot::Frames as usize);
        let addresses = Addresses {
            weights: self.weights.memory.address(),
            bytes: given.memory.address(),
            slots: std::array::from_fn(|slot| self.slots[slot].memory.address()),
            ..Addresses::default()
        };
        let before = self.contents("before");
        let launch = program.normalising(pictures, &addresses).expect("the program takes bytes");
        run(&launch).unwrap();
        let after = self.contents(&launch.kernel);
        for (slot, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!(slot == planes || before == after, "memory {slot} is written: {}", launch.kernel);
        }
        assert_eq!(given.contents(&launch.kernel), bytes, "bytes are written: {}", launch.kernel);
        floats(&after[planes], program.slot_element(planes))
    }

    /// What the streams remember: the first channels of each pixel in the place of the fold, and nothing beside it.
    fn check_folds(&self, expected: &Tensor, tolerance: Tolerance, fold: Option<Fold>, what: &str) {
        let [_, height, width, channels] = expected.shape;
        let Fold { channels: folded, at } = fold.unwrap_or(Fold { channels: 0, at: 0 });
        for (picture, [_, write]) in self.streams.iter().enumerate() {
            let written = floats(&write.contents(what), self.element);
            for (place, found) in written.into_iter().enumerate() {
                let inside = place.checked_sub(at).filter(|inside| *inside < height * width * folded);
                let Some(inside) = inside else {
                    assert!(found.is_nan(), "memory beside the fold is written: {what}");
                    continue;
                };
                let (pixel, channel) = (inside / folded, inside % folded);
                let from = (picture * height * width + pixel) * channels + channel;
                let what = &format!("the fold's {inside} of stream {picture} by {what}");
                tolerance.check(found, expected.values[from], expected.sizes[from], what);
            }
        }
    }

    /// All but what the streams are to remember, slots first.
    fn contents(&self, what: &str) -> Vec<Vec<u8>> {
        let read = self.streams.iter().map(|[read, _]| read);
        let all = self.slots.iter().chain([&self.weights, &self.biases]).chain(read);
        all.map(|memory| memory.contents(what)).collect()
    }

    /// Runs one launch, with as much room for sums as it says it needs; its name.
    fn launch(&self, program: &Program, stage: Stage, scale: Scale) -> String {
        let table: Vec<StreamFolds> =
            self.streams.iter().map(|[read, write]| folds_of(read, write)).collect();
        let addresses = Addresses {
            weights: self.weights.memory.address(),
            biases: self.biases.memory.address(),
            slots: std::array::from_fn(|slot| self.slots[slot].memory.address()),
            streams: table.as_ptr() as u64,
            ..Addresses::default()
        };
        let mut launch = program.launch(stage, scale, &addresses);
        let name = format!("{} in {:?} blocks", launch.kernel, launch.grid);
        let [columns, rows, splits] = launch.grid.map(|size| usize::try_from(size).unwrap());
        let (tiles, floats) = match stage.way {
            Way::Product { tile, .. } if splits > 1 => (columns * rows, tile.rows * tile.columns),
            _ => (0, 0),
        };
        let room = PARTIAL_BLOCKS_AN_SM * scale.multiprocessors;
        assert!(tiles * splits <= room && floats <= TILE_FLOATS, "more sums than there is room for: {name}");
        let partial = Watched::blank(tiles * splits * floats * size_of::<f32>());
        let counters = Watched::of(vec![0; tiles * size_of::<u32>()]);
        launch.args.partial = partial.memory.address();
        launch.args.counters = counters.memory.address();
        run(&launch).unwrap();
        partial.contents(&name);
        assert!(counters.contents(&name).iter().all(|byte| *byte == 0), "counters are left: {name}");
        name
    }
}

fn folds_of(read: &Watched, write: &Watched) -> StreamFolds {
    StreamFolds { read: read.memory.address(), write: write.memory.address() }
}
