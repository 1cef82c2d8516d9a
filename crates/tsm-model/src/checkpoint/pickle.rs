//! Pickles as data: an interpreter of its own that builds plain values and runs nothing.
//!
//! ```text
//! opcodes ─ stack, memo ─► Value ─┬─ tuples, lists, dicts   in one flat arena
//!                                 ├─ text, bytes            borrowed from the file
//!                                 └─ storages, tensors      from the few globals that are allowed
//! ```
//!
//! Every step of the machine reads at least one byte and makes at most one small value, steps are
//! limited, and lengths are checked against what is left of the file; so memory is bounded by the
//! file and nesting costs no stack. It does not know where storages lie.

mod global;
mod input;
mod machine;
mod opcode;

use super::error::Fault;
use super::raw::ElementKind;

/// A value. Containers are indices into the [`Pickle`]'s arena: values may share and even contain
/// each other, so they are walked to fixed depths only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Global(global::Global),
    Node(usize),
}

/// A container or one of torch's objects.
#[derive(Debug)]
enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Set,
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(StorageRef<'a>),
    Tensor(TensorRef<'a>),
}

/// A storage that the pickle points to: `count` elements under `key` elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StorageRef<'a> {
    pub(super) key: &'a str,
    pub(super) kind: ElementKind,
    pub(super) count: usize,
}

/// A tensor as a view of a storage, all in elements. Nothing is checked against the storage yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Value<'a>,
    len: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the beginning of `bytes`; what follows it is not looked at.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        machine::run(bytes)
    }

    /// Bytes of the pickle.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The value that was pickled.
    pub(super) const fn root(&self) -> Value<'a> {
        self.root
    }

    /// The pairs of a dict.
    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value)? {
            Node::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The last value under a text key of a dict.
    pub(super) fn lookup(&self, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
        self.dict(dict)?.iter().rev().find(|(k, _)| *k == Value::Text(key)).map(|(_, value)| *value)
    }

    /// The elements of a list or tuple.
    pub(super) fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// A tensor.
    pub(super) fn tensor(&self, value: Value<'a>) -> Option<&TensorRef<'a>> {
        match self.node(value)? {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Every storage that is mentioned, in order, with repetitions.
    pub(super) fn storages(&self) -> impl Iterator<Item = StorageRef<'a>> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(*storage),
            _ => None,
        })
    }

    /// The named tensors of a checkpoint: the dict itself, or the one under `state_dict`.
    pub(super) fn state_dict(&self) -> Result<Vec<(&'a str, &TensorRef<'a>)>, Fault> {
        let nested = ["state_dict", "model"].iter().find_map(|key| self.lookup(self.root, key));
        let dict = nested.unwrap_or(self.root);
        let Some(pairs) = self.dict(dict) else {
            let text = "its pickle holds no dict of tensors; save `model.state_dict()`".to_owned();
            return Err(Fault::NotAModel(text));
        };
        let named = pairs.iter().filter_map(|&(key, value)| match key {
            Value::Text(name) => self.tensor(value).map(|tensor| (name, tensor)),
            _ => None,
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            let text = "its pickle holds no tensors by name; save `model.state_dict()`".to_owned();
            return Err(Fault::NotAModel(text));
        }
        Ok(named)
    }

    fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
