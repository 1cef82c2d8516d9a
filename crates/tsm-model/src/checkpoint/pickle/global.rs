//! The only names that a pickle may ask for, and what each of them makes out of plain values.
//!
//! `collections.OrderedDict`, `torch._utils._rebuild_*`, `torch.*Storage`, `torch.Size`: the whole
//! list. Anything else ends the reading at the opcode that names it.

use super::machine::Arena;
use super::{Node, StorageRef, TensorRef, Value};
use crate::checkpoint::error::{Fault, shown};
use crate::checkpoint::raw::ElementKind;

/// An allowed global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checkpoint) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(ElementKind),
}

impl Global {
    /// The global of this module and name.
    pub(super) fn find(module: &str, name: &str) -> Result<Self, Fault> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.storage" | "torch.cuda", storage) => {
                Self::Storage(element_kind(storage).ok_or_else(|| forbidden(module, name))?)
            }
            _ => return Err(forbidden(module, name)),
        })
    }

    /// What calling it with `args` makes; only data, whatever the arguments are.
    pub(super) fn call<'a>(self, args: &[Value<'a>], arena: &Arena<'a>) -> Result<Called<'a>, Fault> {
        match (self, args) {
            (Self::OrderedDict, []) => Ok(Called::New(Node::Dict(Vec::new()))),
            (Self::OrderedDict, [pairs]) => ordered_dict(*pairs, arena).map(Called::New),
            (Self::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                tensor(*storage, *offset, *shape, *strides, arena).map(|t| Called::New(Node::Tensor(t)))
            }
            (Self::RebuildParameter, [data, ..]) => Ok(Called::Same(*data)),
            (Self::Size, [items]) => Ok(Called::Same(*items)),
            _ => Err(Fault::Damaged(format!("its pickle calls {self:?} with {} arguments", args.len()))),
        }
    }
}

/// The result of a call.
pub(super) enum Called<'a> {
    New(Node<'a>),
    Same(Value<'a>),
}

/// Reads `('storage', type, key, location, count[, view])`; the location (`cuda:0`) says nothing to us.
pub(super) fn persistent<'a>(id: Value<'a>, arena: &Arena<'a>) -> Result<StorageRef<'a>, Fault> {
    let items = arena.items(id).unwrap_or_default();
    let &[
        Value::Text("storage"),
        Value::Global(Global::Storage(kind)),
        Value::Text(key),
        _,
        Value::Int(count),
        ref rest @ ..,
    ] = items
    else {
        return Err(Fault::Damaged("its pickle refers to something that is no storage".to_owned()));
    };
    if !matches!(rest, [] | [Value::None]) {
        let text =
            "a storage that is a view of another (torch before 0.4); load and save it with a newer torch";
        return Err(Fault::Unsupported(text.to_owned()));
    }
    Ok(StorageRef { key, kind, count: size(Value::Int(count))? })
}

fn tensor<'a>(
    storage: Value<'a>,
    offset: Value<'a>,
    shape: Value<'a>,
    strides: Value<'a>,
    arena: &Arena<'a>,
) -> Result<TensorRef<'a>, Fault> {
    let storage =
        arena.storage(storage).ok_or_else(|| Fault::Damaged("a tensor has no storage".to_owned()))?;
    let sizes = |value| -> Result<Vec<usize>, Fault> {
        let items = arena.items(value).ok_or_else(|| Fault::Damaged("a tensor has no shape".to_owned()))?;
        // A shape is copied for every tensor: without a limit a shared long one would multiply.
        if items.len() > 16 {
            return Err(Fault::Damaged(format!("a tensor has {} dimensions", items.len())));
        }
        items.iter().map(|item| size(*item)).collect()
    };
    Ok(TensorRef { storage, offset: size(offset)?, shape: sizes(shape)?, strides: sizes(strides)? })
}

fn ordered_dict<'a>(pairs: Value<'a>, arena: &Arena<'a>) -> Result<Node<'a>, Fault> {
    let wrong = || Fault::Damaged("an OrderedDict is not made of pairs".to_owned());
    let pair = |item: &Value<'a>| match arena.items(*item) {
        Some(&[key, value]) => Ok((key, value)),
        _ => Err(wrong()),
    };
    arena.items(pairs).ok_or_else(wrong)?.iter().map(pair).collect::<Result<_, _>>().map(Node::Dict)
}

fn size(value: Value<'_>) -> Result<usize, Fault> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
    .ok_or_else(|| Fault::Damaged(format!("{value:?} stands where a size belongs")))
}

fn element_kind(storage: &str) -> Option<ElementKind> {
    Some(match storage {
        "FloatStorage" => ElementKind::F32,
        "HalfStorage" => ElementKind::F16,
        "BFloat16Storage" => ElementKind::Bf16,
        "DoubleStorage" => ElementKind::F64,
        "LongStorage" => ElementKind::Whole(8),
        "IntStorage" => ElementKind::Whole(4),
        "ShortStorage" => ElementKind::Whole(2),
        "CharStorage" | "ByteStorage" | "BoolStorage" => ElementKind::Whole(1),
        _ => return None,
    })
}

fn forbidden(module: &str, name: &str) -> Fault {
    Fault::Forbidden(shown(&format!("{module}.{name}")))
}
