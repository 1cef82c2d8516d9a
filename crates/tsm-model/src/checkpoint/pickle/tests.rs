//! Pickles good and bad, written by hand as Python's `pickle` would.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn root(bytes: &[u8]) -> Result<String, Fault> {
    Pickle::read(bytes).map(|pickle| format!("{:?} {:?}", pickle.root, pickle.nodes))
}

fn refusal(bytes: &[u8]) -> String {
    match Pickle::read(bytes) {
        Err(fault) => fault.at(std::path::Path::new("m.pth")).to_string(),
        Ok(pickle) => panic!("{bytes:?} gave {pickle:?}"),
    }
}

#[test]
fn numbers_of_every_opcode_are_read() {
    for (bytes, expected) in [
        (&b"K\x07."[..], Value::Int(7)),
        (b"M\x01\x02.", Value::Int(513)),
        (b"J\xff\xff\xff\xff.", Value::Int(-1)),
        (b"\x8a\x02\x00\x80.", Value::Int(-32768)),
        (b"\x8a\x00.", Value::Int(0)),
        (b"\x8b\x01\0\0\0\x05.", Value::Int(5)),
        (b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Value::Int(0x1950_a86a_20f9_469c_fc6c)),
        (b"I-12\n.", Value::Int(-12)),
        (b"I01\n.", Value::Bool(true)),
        (b"L99L\n.", Value::Int(99)),
        (b"F1.5\n.", Value::Float(1.5)),
        (b"G?\xf8\0\0\0\0\0\0.", Value::Float(1.5)),
        (b"\x88.", Value::Bool(true)),
        (b"N.", Value::None),
        (b"X\x02\0\0\0ab.", Value::Text("ab")),
        (b"\x8c\x02ab.", Value::Text("ab")),
        (b"U\x02ab.", Value::Text("ab")),
        (b"U\x01\xff.", Value::Bytes(b"\xff")),
        (b"S'ab'\n.", Value::Text("ab")),
        (b"Vab\n.", Value::Text("ab")),
        (b"C\x01z.", Value::Bytes(b"z")),
    ] {
        assert_eq!(Pickle::read(bytes).unwrap().root(), expected, "{bytes:?}");
    }
}

#[test]
fn containers_of_protocols_0_2_and_4_are_the_same() {
    // {'a': (1, [2, 3])}, the list memoised, by pickle.dumps(…, protocol).
    let zero = b"(dp0\nVa\np1\n(I1\n(lp2\nI2\naI3\natp3\ns.";
    let two = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01]q\x02(K\x02K\x03e\x86q\x03s.";
    let four = b"\x80\x04\x95\x12\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01]\x94(K\x02K\x03e\x86\x94s.";
    for bytes in [&zero[..], two, four] {
        let pickle = Pickle::read(bytes).unwrap();
        let tuple = pickle.lookup(pickle.root(), "a").unwrap();
        let items = pickle.items(tuple).unwrap();
        assert_eq!(items[0], Value::Int(1));
        assert_eq!(pickle.items(items[1]).unwrap(), [Value::Int(2), Value::Int(3)]);
        assert_eq!(pickle.len(), bytes.len());
    }
}

/// `OrderedDict` with one float tensor `w` of the given storage and view, as torch writes it.
fn state_dict(count: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\0\0\0w".to_vec();
    bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x06\0\0\0cuda:0");
    bytes.extend([count, b"tQ", offset, shape, strides, b"\x89ccollections\nOrderedDict\n)RtRs."].concat());
    bytes
}

#[test]
fn a_tensor_is_a_view_of_a_storage() {
    let bytes = state_dict(b"K\x06", b"K\x01", b"K\x02K\x02\x86", b"K\x02K\x01\x86");
    let pickle = Pickle::read(&bytes).unwrap();
    let storage = StorageRef { key: "0", kind: ElementKind::F32, count: 6 };
    let expected = TensorRef { storage, offset: 1, shape: vec![2, 2], strides: vec![2, 1] };
    assert_eq!(pickle.state_dict().unwrap(), [("w", &expected)]);
    assert_eq!(pickle.storages().collect::<Vec<_>>(), [storage]);
}

#[test]
fn python_2_ordered_dicts_and_parameters_are_read() {
    let inner = b"ctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_tensor\n\
        ((U\x07storagectorch\nHalfStorage\nU\x010U\x03cpuK\x01NtQK\x00))tR\x88ccollections\nOrderedDict\n)RtR";
    let bytes = [&b"\x80\x02ccollections\nOrderedDict\n(](]q\x01(U\x01w"[..], inner, b"eetR."].concat();
    let pickle = Pickle::read(&bytes).unwrap();
    let named = pickle.state_dict().unwrap();
    assert_eq!((named[0].0, named[0].1.storage.kind), ("w", ElementKind::F16));
}

#[test]
fn nothing_but_the_few_globals_is_allowed() {
    for (bytes, global) in [
        (&b"cos\nsystem\n(S'echo hi'\ntR."[..], "os.system"),
        (b"cposix\nsystem\n.", "posix.system"),
        (b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval"),
        (b"cbuiltins\nexec\n.", "builtins.exec"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
        (b"(S'x'\nios\nsystem\n.", "os.system"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes"),
        (b"ctorch.hub\nload\n.", "torch.hub.load"),
        (b"cnumpy.core.multiarray\n_reconstruct\n.", "numpy.core.multiarray._reconstruct"),
        (b"ccollections\nOrderedDict.fromkeys\n.", "collections.OrderedDict.fromkeys"),
        (b"cos\x1b[31m\nsystem\n.", "os\\u{1b}[31m.system"),
        (b"\x80\x04\x8c\x05a\nb\nc\x8c\x01d\x93.", "a\\nb\\nc.d"),
    ] {
        let line = refusal(bytes);
        assert!(line.contains(&format!("asks for `{global}`")), "{line}");
        assert!(line.contains("nothing of it was executed") && !line.contains(['\n', '\x1b']), "{line:?}");
    }
}

#[test]
fn broken_pickles_are_refused_with_the_reason() {
    for (bytes, says) in [
        (&b""[..], "ends early"),
        (b"K", "ends early"),
        (b"X\xff\xff\xff\xffab", "ends early: 4294967295 bytes announced, 2 left"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab", "ends early"),
        (b"\x8b\xff\xff\xff\x7f\x01.", "ends early: 2147483647 bytes announced"),
        (b"\x8a\x11aaaaaaaaaaaaaaaaa.", "a number of 17 bytes"),
        (b".", "takes a value from an empty stack"),
        (b"(.", "takes a value from an empty stack"),
        (b"K\x01\x86.", "takes a value from an empty stack"),
        (b"K\x01(\x85.", "takes a value from an empty stack"),
        (b"t.", "lacks a mark"),
        (b"h\x05.", "recalls slot 5"),
        (b"j\xff\xff\xff\xff.", "recalls slot 4294967295"),
        (b"g-1\n.", "the number `-1`"),
        (b"gx", "a line without an end"),
        (b"K\x01K\x02a.", "fills what is no container"),
        (b"]K\x01K\x02s.", "sets items of what is no dict"),
        (b"}K\x01a.", "appends to what is no list"),
        (b"(K\x01d.", "a dict key without a value"),
        (b"K\x01)R.", "calls what is no function"),
        (b"ccollections\nOrderedDict\nK\x01R.", "calls without arguments"),
        (b"ccollections\nOrderedDict\n(K\x01K\x02tR.", "OrderedDict with 2 arguments"),
        (b"K\x01Q.", "no storage"),
        (b"]}b.", "sets attributes"),
        (b"\x80\x07N.", "protocol 7"),
        (b"P0\n.", "opcode 0x50"),
        (b"\x82\x01.", "opcode 0x82"),
        (b"\x97.", "opcode 0x97"),
        (b"S'a\\x41'\n.", "escapes"),
        (b"X\x01\0\0\0\xff.", "not UTF-8"),
    ] {
        let line = refusal(bytes);
        assert!(line.contains(says), "{bytes:?}: {line}");
    }
}

#[test]
fn absurd_sizes_are_refused_or_kept_as_numbers_only() {
    let huge = b"\x8a\x08\0\0\0\0\0\0\0\x10"; // 2^60
    let pickle = state_dict(huge, b"K\x00", b"K\x01\x85", b"K\x01\x85");
    assert_eq!(Pickle::read(&pickle).unwrap().storages().next().unwrap().count, 1 << 60);
    let negative = state_dict(b"J\xff\xff\xff\xff", b"K\x00", b"K\x01\x85", b"K\x01\x85");
    assert!(refusal(&negative).contains("where a size belongs"));
    let negative = state_dict(b"K\x01", b"K\x00", b"J\xff\xff\xff\xff\x85", b"K\x01\x85");
    assert!(refusal(&negative).contains("where a size belongs"));
    let long = [b"(".to_vec(), b"K\x01".repeat(17), b"t".to_vec()].concat();
    assert!(refusal(&state_dict(b"K\x01", b"K\x00", &long, b"K\x01\x85")).contains("17 dimensions"));
}

#[test]
fn deep_nesting_and_cycles_cost_no_stack() {
    let deep = [&b"]"[..], &b"\x85".repeat(1_000_000), b"."].concat();
    assert!(Pickle::read(&deep).is_ok());
    // A list that contains itself, and a dict.
    assert!(root(b"]q\0h\0a.").is_ok());
    let cyclic = Pickle::read(b"}q\0X\x0a\0\0\0state_dicth\0s.").unwrap();
    assert!(matches!(cyclic.state_dict(), Err(Fault::NotAModel(_))));
}

#[test]
fn endless_pickles_and_multiplied_dicts_are_refused() {
    let long = b"N0".repeat(1 << 20);
    assert!(refusal(&long).contains("more than 1048576 steps"));
    // A list of 10,000 pairs, made into a dict again and again.
    let list = [&b"K\x01K\x02\x86q\x01]q\x02("[..], &b"h\x01".repeat(10_000), b"e0"].concat();
    let dicts = b"ccollections\nOrderedDict\nh\x02\x85R0".repeat(1000);
    assert!(refusal(&[list, dicts].concat()).contains("copies more than"));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        drop(root(&bytes));
    }

    #[test]
    fn random_opcodes_never_panic(opcodes in vec(prop::sample::select(&b"(.012FIJKLMNQRSTUVXabcdeghiljpqrstuG)]}\x80\x81\x85\x86\x87\x88\x8a\x8c\x8f\x90\x91\x93\x94\x95\x00\x01\x02\n"[..]), 0..200)) {
        drop(root(&opcodes));
    }

    #[test]
    fn a_changed_state_dict_never_panics(at in 0usize..230, byte in any::<u8>(), cut in 0usize..230) {
        let mut bytes = state_dict(b"K\x06", b"K\x01", b"K\x02K\x02\x86", b"K\x02K\x01\x86");
        let (at, cut) = (at % bytes.len(), cut % bytes.len());
        bytes[at] = byte;
        drop(root(&bytes));
        drop(root(&bytes[..cut]));
    }
}
