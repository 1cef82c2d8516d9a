//! Every kernel of a step in every way it may be launched, as the twins do it, against plain loops (`oracle.rs`).
//!
//! ```text
//! case ─► program of one layer, or two ─► every tile, many splits, wide and narrow, fused and not ─► outputs, folds
//!    └──► tensors ─► oracle ─────────────────────────────────────────────────────────────────────────► the same
//! ```
//!
//! Pictures have any two sides, folds end anywhere, and no memory is longer than it must be
//! (`memories.rs`). Whole networks are compared in tsm-model, which knows some.

use half::f16;
use proptest::prelude::*;

use super::args::Launch;
use super::buffers::Addresses;
use super::machine::MachineError;
use super::program::{Element, Input, Map, Program, Slot};
use super::twins::run;
use super::ways::{Scale, Stage, Way, Work};
use crate::bias_activation::Activation;
use crate::normalise::planar_from_rgb;
use case::{Built, Case, OwnedLayer, What, cases};
use memories::{Memories, Tolerance};
use oracle::{Numbers, Tensor};

mod case;
mod memories;
mod oracle;

/// Numbers of splits that are tried of each tile, beside those that a GPU measures.
const SPLITS: [usize; 5] = [1, 2, 3, 7, 32];

/// All ways of `work`: every tile, cut into many numbers of splits.
fn all_ways(program: &Program, work: Work, scale: Scale) -> Vec<Way> {
    let ways = program.ways(work, scale);
    let of_tile = |way: &Way| match *way {
        Way::Product { tile, .. } => SPLITS.map(|splits| Way::Product { tile, splits }).to_vec(),
        _ => Vec::new(),
    };
    let more: Vec<Way> = ways.iter().flat_map(of_tile).collect();
    let mut seen = Vec::new();
    let is_new = |way: &Way| {
        let launch = launch(program, work, *way, scale);
        let cut = (launch.kernel, launch.grid, launch.args.split_depth);
        let is_new = !seen.contains(&cut);
        seen.push(cut);
        is_new
    };
    ways.into_iter().chain(more).filter(is_new).collect()
}

/// Every way of the layer or the pair that begins at `first`; of a pair the two launches as well.
fn plans(what: What, program: &Program, first: usize, scale: Scale) -> Vec<Vec<Stage>> {
    let work = if what == What::Pair { Work::Pair(first) } else { Work::Layer(first) };
    let ways = all_ways(program, work, scale).into_iter();
    let mut plans: Vec<Vec<Stage>> = ways.map(|way| vec![Stage { work, way }]).collect();
    if what == What::Pair {
        assert!(program.is_pair(first));
        let two = [first, first + 1].map(Work::Layer).into_iter();
        plans.push(two.map(|work| Stage { work, way: program.ways(work, scale)[0] }).collect());
    }
    plans
}

/// Numbers of some size, so that `Relu6` has something to cut off.
fn tensor(numbers: &mut Numbers, pictures: usize, map: Map) -> Tensor {
    let shape = [pictures, map.height, map.width, map.channels];
    let values = numbers.take(shape.iter().product());
    Tensor::given(shape, values.iter().map(|value| value * 4.0).collect())
}

/// What the last of `layers` has to say of the input and of what is around.
fn expected(
    built: &Built,
    layers: &[OwnedLayer],
    x: &Tensor,
    other: &Tensor,
    remembered: &[Vec<f32>],
) -> Tensor {
    let shifted = |input: Input, tensor: &Tensor| match input.fold {
        Some(fold) => tensor.shifted(fold, remembered),
        None => tensor.clone(),
    };
    let residual = built
        .residual
        .map(|residual| shifted(residual, if residual.map == built.input.map { x } else { other }));
    let (last, before) = layers.split_last().expect("a case has a layer");
    let input =
        before.iter().fold(shifted(built.input, x), |x, layer| oracle::conv(&x, &layer.layer(), None));
    oracle::conv(&input, &last.layer(), residual.as_ref())
}

/// Every way of the case's layers says what the oracle says.
fn check(case: &Case) {
    let mut numbers = Numbers::new(case.seed, case.element);
    let layers = case.layers(&mut numbers);
    let built = case.built(&layers);
    let Built { program, first, input, made, fold_out, .. } = &built;
    let remembered: Vec<_> = (0..case.pictures).map(|_| numbers.take(program.fold_len())).collect();
    let x = tensor(&mut numbers, case.pictures, input.map);
    let other = tensor(&mut numbers, case.pictures, Map { slot: Slot::Shortcut, ..made[layers.len() - 1] });
    let expected = expected(&built, &layers, &x, &other, &remembered);
    let laid_out = if case.what == What::Frames { x.planar() } else { x.as_given().to_vec() };
    let given = [(input.map.slot, &laid_out[..]), (Slot::Shortcut, other.as_given())];
    let memories = Memories::new(program, &given, made, &remembered);
    let scale = Scale { pictures: case.pictures, multiprocessors: case.multiprocessors };
    // In halves what is between a pair is rounded, on its way through memory or into the tensor cores.
    let between = if case.what == What::Pair { case.element } else { Element::F32 };
    let within = Tolerance::of(case.element, between);
    for plan in plans(case.what, program, *first, scale) {
        // A single launch makes nothing but the last map.
        let made = &made[made.len() - plan.len()..];
        memories.check(program, &plan, scale, made, (&expected, within), *fold_out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_stem_is_the_oracles_in_every_way(case in cases(What::Frames)) {
        check(&case);
    }

    #[test]
    fn a_product_of_pixels_is_the_oracles_in_every_way(case in cases(What::Pointwise)) {
        check(&case);
    }

    #[test]
    fn a_product_of_patches_is_the_oracles_in_every_way(case in cases(What::Patches)) {
        check(&case);
    }

    #[test]
    fn a_pair_is_the_oracles_by_two_launches_and_by_one(case in cases(What::Pair)) {
        check(&case);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_depthwise_convolution_is_the_oracles_in_every_way(case in cases(What::Depthwise)) {
        check(&case);
    }

    #[test]
    fn the_largest_of_pixels_is_the_oracles(
        element in prop::sample::select(vec![Element::F32, Element::F16]),
        pictures in 1usize..=4,
        [height, width] in [1usize..=17, 1usize..=17],
        eights in 1usize..=10,
        fold in 0usize..=80,
        seed: u64,
    ) {
        let mut numbers = Numbers::new(seed, element);
        let mut program = Program::new(element, 1, 1);
        let map = Map { slot: Slot::Hidden, height, width, channels: eights * 8 };
        let made = program.max_pool(map, Slot::Even);
        let fold = program.fold(made, fold % (map.channels + 1));
        // Zeros stand for the padding, as a ReLU comes before.
        let x = tensor(&mut numbers, pictures, map).without_negatives();
        let memories = Memories::new(
            &program,
            &[(map.slot, x.as_given())],
            &[made],
            &vec![vec![0.0; program.fold_len()]; pictures],
        );
        let plan = [Stage { work: Work::Layer(0), way: Way::Only }];
        let within = Tolerance::of(element, Element::F32);
        let scale = Scale { pictures, multiprocessors: 1 };
        memories.check(&program, &plan, scale, &[made], (&oracle::max_pool(&x), within), Some(fold));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn logits_are_the_oracles_in_every_way_whatever_their_number(
        element in prop::sample::select(vec![Element::F32, Element::F16]),
        pictures in 1usize..=4,
        [height, width] in [1usize..=17, 1usize..=17],
        eights in 1usize..=12,
        classes in 1usize..=150,
        multiprocessors in prop::sample::select(vec![1usize, 5, 40]),
        seed: u64,
    ) {
        let mut numbers = Numbers::new(seed, element);
        let mut program = Program::new(element, 1, classes);
        let map = Map { slot: Slot::Even, height, width, channels: eights * 8 };
        let (weight, bias) = (numbers.take(classes * map.channels), numbers.take(classes));
        program.classify(map, &weight, &bias);
        let x = tensor(&mut numbers, pictures, map);
        let linear = OwnedLayer { weight, bias, window: [1, 1, 0], is_depthwise: false, activation: Activation::None };
        let expected = oracle::conv(&oracle::mean(&x), &linear.layer(), None);
        let made: Vec<Map> = program.layers().iter().map(|layer| layer.to).collect();
        let memories = Memories::new(&program, &[(map.slot, x.as_given())], &made, &vec![vec![]; pictures]);
        let scale = Scale { pictures, multiprocessors };
        // The means are rounded, the logits are not.
        let within = Tolerance::of(Element::F32, element);
        for way in all_ways(&program, Work::Layer(1), scale) {
            let plan = [Stage { work: Work::Layer(0), way: Way::Only }, Stage { work: Work::Layer(1), way }];
            memories.check(&program, &plan, scale, &made, (&expected, within), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn frames_of_bytes_become_what_the_cpu_makes_of_them(
        element in prop::sample::select(vec![Element::F32, Element::F16]),
        pictures in 1usize..=5,
        half in 1usize..=24,
        mean in prop::array::uniform3(0.0f32..1.0),
        std in prop::array::uniform3(0.1f32..1.0),
        seed: u64,
    ) {
        let mut program = Program::new(element, 2 * half, 1);
        program.take_bytes(mean, std);
        let mut numbers = Numbers::new(seed, Element::F32);
        let values = pictures * program.frame_values();
        let bytes: Vec<u8> = numbers.take(values).iter().map(|value| value.to_bits().to_le_bytes()[2]).collect();
        let mut expected = vec![0.0; values];
        let frames = bytes.chunks_exact(program.frame_values());
        for (rgb, planes) in frames.zip(expected.chunks_exact_mut(program.frame_values())) {
            planar_from_rgb(rgb, mean, std, planes);
        }
        if element == Element::F16 {
            for value in &mut expected {
                *value = f16::from_f32(*value).to_f32();
            }
        }
        let memories = Memories::new(&program, &[], &[program.frames()], &vec![vec![]; pictures]);
        let found = memories.planes_of(&program, pictures, &bytes);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&expected));
    }
}

/// What `ways` leaves out is not tried here, and on no GPU.
#[test]
fn every_kernel_is_among_the_ways_of_the_layers_it_is_compiled_for() {
    for (what, element, compiled) in [
        (What::Frames, Element::F32, 5),
        (What::Pointwise, Element::F32, 8),
        (What::Patches, Element::F32, 8),
        (What::Pair, Element::F32, 5),
        (What::Depthwise, Element::F32, 3),
        (What::Frames, Element::F16, 7),
        (What::Pointwise, Element::F16, 12),
        (What::Patches, Element::F16, 12),
        (What::Pair, Element::F16, 7),
        (What::Depthwise, Element::F16, 3),
    ] {
        let case = Case::of_one_pixel(what, element).fitted();
        let Built { program, first, .. } = case.built(&case.layers(&mut Numbers::new(1, element)));
        let work = if what == What::Pair { Work::Pair(first) } else { Work::Layer(first) };
        let scale = Scale { pictures: 1, multiprocessors: 1 };
        let ways = program.ways(work, scale);
        let mut kernels: Vec<String> =
            ways.into_iter().map(|way| launch(&program, work, way, scale).kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        assert_eq!(kernels.len(), compiled, "{what:?}: {kernels:?}");
    }
}

/// What is no number shall be seen in the logits, not pooled away.
#[test]
fn what_is_no_number_stays_none() {
    for element in [Element::F32, Element::F16] {
        let mut program = Program::new(element, 1, 1);
        let map = Map { slot: Slot::Even, height: 4, width: 4, channels: 8 };
        let made = vec![program.max_pool(map, Slot::Odd)];
        let mut values = vec![1.0; map.height * map.width * map.channels];
        values[8 * 5] = f32::NAN; // of the pixel that all four windows share
        let memories = Memories::new(&program, &[(map.slot, &values)], &made, &[vec![]]);
        let (stage, scale) =
            (Stage { work: Work::Layer(0), way: Way::Only }, Scale { pictures: 1, multiprocessors: 1 });
        let output = memories.made(&program, stage, scale, Slot::Odd);
        for (index, value) in output.iter().enumerate() {
            assert_eq!(value.is_nan(), index % 8 == 0, "{element:?}: {index} is {value}");
        }
    }
}

#[test]
fn a_launch_of_other_blocks_than_the_kernel_has_is_refused() {
    let mut program = Program::new(Element::F32, 1, 1);
    program.max_pool(Map { slot: Slot::Even, height: 2, width: 2, channels: 8 }, Slot::Odd);
    let scale = Scale { pictures: 1, multiprocessors: 1 };
    // It would be run on no memory at all.
    let wrong = Launch { threads: 64, ..launch(&program, Work::Layer(0), Way::Only, scale) };
    let refused = run(&wrong).unwrap_err();
    assert!(matches!(refused, MachineError::Threads { found: 64, needed: 128, .. }), "{refused}");
}

fn launch(program: &Program, work: Work, way: Way, scale: Scale) -> Launch {
    program.launch(Stage { work, way }, scale, &Addresses::default())
}
