//! The choice among ways, on a made-up machine: each kernel says and takes what a test wants.

use super::*;
use crate::bias_activation::Activation;
use crate::cuda::program::{ConvLayer, Input, Map, Slot};

/// What a kernel does where it is tried.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    /// All of its outputs are this number.
    Says(f32),
    /// One of its outputs is infinite, the others are right.
    Overflows,
    /// It leaves outputs as they were.
    WritesNothing,
    /// The launch is an error.
    Fails,
    /// Its output is right, and the clock is an error.
    CannotBeTimed,
}

const RIGHT: Kernel = Kernel::Says(1.0);

/// A machine on which a kernel of a name does what `kernel` says, within the microseconds that `micros` says.
struct Made<K, M> {
    kernel: K,
    micros: M,
    /// Launches whose output was looked at.
    tried: Vec<String>,
    timed: usize,
}

fn failed() -> MachineError {
    MachineError::Driver { doing: "trying a kernel", source: "out of order".into() }
}

impl<K: Fn(&str) -> Kernel, M: Fn(&str) -> f32> Bench for Made<K, M> {
    fn output(&mut self, launch: &Launch) -> Result<Vec<f32>, MachineError> {
        self.tried.push(launch.kernel.clone());
        match (self.kernel)(&launch.kernel) {
            Kernel::Says(value) => Ok(vec![value; 16]),
            Kernel::CannotBeTimed => Ok(vec![1.0; 16]),
            Kernel::Overflows => Ok([vec![1.0; 15], vec![f32::INFINITY]].concat()),
            Kernel::WritesNothing => Ok([vec![1.0; 8], vec![f32::from_bits(u32::MAX); 8]].concat()),
            Kernel::Fails => Err(failed()),
        }
    }

    fn micros(&mut self, launch: &Launch) -> Result<f32, MachineError> {
        self.timed += 1;
        match (self.kernel)(&launch.kernel) {
            Kernel::CannotBeTimed => Err(failed()),
            _ => Ok((self.micros)(&launch.kernel)),
        }
    }
}

fn made<K: Fn(&str) -> Kernel, M: Fn(&str) -> f32>(kernel: K, micros: M) -> Made<K, M> {
    Made { kernel, micros, tried: Vec::new(), timed: 0 }
}

const SCALE: Scale = Scale { pictures: 2, multiprocessors: 4 };

fn conv(program: &mut Program, from: Map, is_depthwise: bool, to: Slot) -> Map {
    let (kernel, padding, count) = if is_depthwise { (3, 1, 8 * 9) } else { (1, 0, 8 * 8) };
    let (weight, bias) = (vec![0.5; count], [0.0; 8]);
    let (stride, activation) = (1, Activation::None);
    let layer = ConvLayer { weight: &weight, bias: &bias, kernel, stride, padding, is_depthwise, activation };
    program.conv(&layer, Input { map: from, fold: None }, None, to)
}

/// So many products of one shape: each has a kernel a tile, since eight channels are not split.
fn products(count: usize) -> Program {
    let mut program = Program::new(Element::F32, 8, 1);
    let mut map = Map { slot: Slot::Even, height: 4, width: 4, channels: 8 };
    for _ in 0..count {
        map = conv(&mut program, map, false, if map.slot == Slot::Even { Slot::Odd } else { Slot::Even });
    }
    program
}

/// A depthwise convolution and its product.
fn pair() -> Program {
    let mut program = Program::new(Element::F32, 8, 1);
    let map = Map { slot: Slot::Even, height: 4, width: 4, channels: 8 };
    let hidden = conv(&mut program, map, true, Slot::Hidden);
    conv(&mut program, hidden, false, Slot::Odd);
    program
}

/// The kernels of the ways of `work`, the likeliest first.
fn kernels(program: &Program, work: Work) -> Vec<String> {
    let ways = program.ways(work, SCALE).into_iter();
    let launches = ways.map(|way| program.launch(Stage { work, way }, SCALE, &Addresses::default()));
    launches.map(|launch| launch.kernel).collect()
}

/// The kernels of the plan, and what was refused.
fn tuned<B: Bench>(
    program: &Program,
    bench: &mut B,
    known: &mut Known,
) -> Result<[Vec<String>; 2], MachineError> {
    let Tuned { stages, refused } = tune(program, SCALE, &Addresses::default(), bench, known)?;
    let launches = stages.into_iter().map(|stage| program.launch(stage, SCALE, &Addresses::default()));
    Ok([launches.map(|launch| launch.kernel).collect(), refused])
}

/// As [`tuned`], with nothing known before.
fn freshly_tuned<B: Bench>(program: &Program, mut bench: B) -> [Vec<String>; 2] {
    tuned(program, &mut bench, &mut Known::new()).unwrap()
}

/// The later in `names`, the faster.
fn last_is_fastest(names: &[String]) -> impl Fn(&str) -> f32 {
    let places: HashMap<String, u8> = names.iter().cloned().zip(1..).collect();
    move |kernel| 100.0 / f32::from(places.get(kernel).copied().unwrap_or(1))
}

#[test]
fn the_fastest_way_of_those_that_agree_is_taken() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    assert_eq!(names.len(), 8, "one a tile: {names:?}");
    for fastest in &names {
        let micros = |kernel: &str| if kernel == fastest { 1.0 } else { 2.0 };
        let [stages, refused] = freshly_tuned(&program, made(|_| RIGHT, micros));
        assert_eq!((stages, refused), (vec![fastest.clone()], vec![]));
    }
}

#[test]
fn a_way_that_says_something_else_is_refused_however_fast_or_likely() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    for (wrong, says) in names.iter().flat_map(|name| [(name, Kernel::Says(1.1)), (name, Kernel::Overflows)])
    {
        let kernel = |kernel: &str| if kernel == wrong { says } else { RIGHT };
        let micros = |kernel: &str| if kernel == wrong { 1.0 } else { 2.0 };
        let [stages, refused] = freshly_tuned(&program, made(kernel, micros));
        assert_ne!(stages[0], *wrong);
        assert_eq!(refused, std::slice::from_ref(wrong));
    }
}

#[test]
fn where_as_many_say_the_one_as_the_other_the_likeliest_is_believed() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    let kernel = |kernel: &str| match names.iter().position(|name| name == kernel) {
        Some(0 | 3) => RIGHT,
        Some(1 | 2) => Kernel::Says(2.0),
        // Each for itself.
        other => Kernel::Says(3.0 + f32::from(u8::try_from(other.unwrap_or(0)).unwrap())),
    };
    let [stages, refused] = freshly_tuned(&program, made(kernel, last_is_fastest(&names)));
    assert_eq!(stages, [names[3].clone()]);
    let others = names.iter().enumerate().filter(|(index, _name)| ![0, 3].contains(index));
    assert_eq!(refused, others.map(|(_index, name)| name.clone()).collect::<Vec<_>>());
}

#[test]
fn a_way_that_fails_is_refused_and_the_others_go_on() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    for broken in [Kernel::Fails, Kernel::CannotBeTimed] {
        for wrong in &names {
            let kernel = |kernel: &str| if kernel == wrong { broken } else { RIGHT };
            let [stages, refused] = freshly_tuned(&program, made(kernel, last_is_fastest(&names)));
            let expected = names.iter().rfind(|name| *name != wrong).unwrap();
            assert_eq!(stages, std::slice::from_ref(expected));
            assert_eq!(refused, [format!("{wrong} ({})", failed())]);
        }
    }
}

#[test]
fn ways_that_write_nothing_do_not_outvote_the_one_that_does() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    for right in &names {
        let kernel = |kernel: &str| if kernel == right { RIGHT } else { Kernel::WritesNothing };
        let [stages, refused] = freshly_tuned(&program, made(kernel, |_| 1.0));
        assert_eq!(stages, std::slice::from_ref(right));
        assert_eq!(refused.len(), names.len() - 1);
        assert!(
            refused.iter().all(|why| why.ends_with("(not all of its outputs are numbers)")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_pair_is_one_launch_where_that_takes_less_than_two() {
    let program = pair();
    let fused = kernels(&program, Work::Pair(0));
    let two = [Work::Layer(0), Work::Layer(1)].map(|work| kernels(&program, work)[0].clone());
    for (of_the_pair, is_fused) in [(3.9, true), (4.1, false)] {
        let micros = |kernel: &str| if fused.iter().any(|name| name == kernel) { of_the_pair } else { 2.0 };
        let [stages, refused] = freshly_tuned(&program, made(|_| RIGHT, micros));
        let expected = if is_fused { &fused[..1] } else { &two[..] };
        assert_eq!((stages.as_slice(), refused), (expected, vec![]));
    }
}

#[test]
fn a_pair_says_what_its_two_launches_say_or_is_refused_altogether() {
    let program = pair();
    let fused = kernels(&program, Work::Pair(0));
    let is_fused = |kernel: &str| fused.iter().any(|name| name == kernel);
    // All of them agree with each other: nothing but the two launches tells that they are wrong.
    for wrong in [Kernel::Says(2.0), Kernel::WritesNothing, Kernel::Fails, Kernel::CannotBeTimed] {
        let kernel = |kernel: &str| if is_fused(kernel) { wrong } else { RIGHT };
        let micros = |kernel: &str| if is_fused(kernel) { 1.0 } else { 2.0 };
        let mut bench = made(kernel, micros);
        let [stages, refused] = tuned(&program, &mut bench, &mut Known::new()).unwrap();
        assert_eq!(stages.len(), 2, "{wrong:?}: {stages:?}");
        assert!(stages.iter().all(|kernel| !is_fused(kernel)));
        assert_eq!(refused.len(), fused.len());
        // The next layer is to read what the two launches left.
        assert_eq!(bench.tried.last(), stages.last());
    }
}

#[test]
fn a_layer_that_no_way_can_do_is_an_error_that_names_them_and_is_not_remembered() {
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    let mut known = Known::new();
    for broken in [Kernel::Fails, Kernel::CannotBeTimed] {
        let error = tuned(&program, &mut made(|_| broken, |_| 1.0), &mut known).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, MachineError::AllRefused(_)), "{said}");
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
    }
    let [stages, refused] = tuned(&program, &mut made(|_| RIGHT, |_| 1.0), &mut known).unwrap();
    assert_eq!((stages.len(), refused.len()), (1, 0));
}

#[test]
fn a_known_shape_is_not_asked_again_wherever_its_memory_lies() {
    let program = pair();
    let fused = kernels(&program, Work::Pair(0));
    let wrong = &fused[1];
    let kernel = |kernel: &str| if kernel == wrong { Kernel::Says(2.0) } else { RIGHT };
    let mut known = Known::new();
    let first = tune(&program, SCALE, &Addresses::default(), &mut made(kernel, |_| 1.0), &mut known).unwrap();
    let elsewhere = Addresses {
        bytes: 8 << 20,
        weights: 1 << 10,
        biases: 1 << 11,
        slots: std::array::from_fn(|slot| (slot as u64 + 1) << 20),
        streams: 1 << 12,
        partial: 1 << 13,
        counters: 1 << 14,
    };
    let mut bench = made(kernel, |_| 1.0);
    let second = tune(&pair(), SCALE, &elsewhere, &mut bench, &mut known).unwrap();
    assert_eq!(second.stages, first.stages);
    // One look at each layer and at the pair leaves their outputs for what follows.
    assert_eq!((bench.tried.len(), bench.timed), (3, 0), "{:?}", bench.tried);
    assert_eq!((&second.refused, &first.refused), (&vec![wrong.clone()], &vec![wrong.clone()]));
}

#[test]
fn layers_of_one_shape_are_asked_once_and_name_a_refused_kernel_once() {
    let [one, three] = [products(1), products(3)];
    let names = kernels(&one, Work::Layer(0));
    let kernel = |kernel: &str| if kernel == names[0] { Kernel::Fails } else { RIGHT };
    let mut bench = made(kernel, |_| 1.0);
    let [stages, refused] = tuned(&three, &mut bench, &mut Known::new()).unwrap();
    assert_eq!((stages.len(), refused.len()), (3, 1));
    assert_eq!(bench.tried.len(), names.len() + 3);
}

#[test]
fn a_model_without_numbers_is_no_fault_of_the_kernels_and_teaches_nothing() {
    for program in [products(1), pair()] {
        let mut known = Known::new();
        let mut bench = made(|_| Kernel::WritesNothing, |_| 1.0);
        let [plan, refused] = tuned(&program, &mut bench, &mut known).unwrap();
        let likeliest: Vec<_> = (0..program.launch_count())
            .map(|index| kernels(&program, Work::Layer(index)).remove(0))
            .collect();
        assert_eq!((plan, refused), (likeliest, Vec::new()));
        assert!(known.is_empty() && bench.timed == 0);
    }
    let program = products(1);
    let names = kernels(&program, Work::Layer(0));
    let kernel = |kernel: &str| if kernel == names[0] { Kernel::Fails } else { Kernel::WritesNothing };
    let [plan, refused] = freshly_tuned(&program, made(kernel, |_| 1.0));
    assert_eq!(plan, names[1..2], "the likeliest cannot run");
    assert!(refused.len() == 1 && refused[0].starts_with(&names[0]), "{refused:?}");
}
