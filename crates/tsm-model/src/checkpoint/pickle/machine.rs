//! The pickle machine: a stack, a memo, and one small value a step.
//!
//! ```text
//! bytes ─ Input ─ opcode ─► stack [.. ( v v v]   arena [tuple, dict, …]   memo {0: v, 1: v, …}
//! ```
//!
//! Calls go through the allow-list in `global.rs`; `BUILD` is dropped but for its value.

use std::collections::HashMap;

use super::global::{self, Called, Global};
use super::input::{Input, damaged, underflow};
use super::opcode as op;
use super::{Node, Pickle, StorageRef, Value};
use crate::checkpoint::error::Fault;

/// Steps of one pickle: a hundred times those of ResNet-152's, and still little memory.
const MAX_STEPS: usize = 1 << 20;

/// Values that calls may copy into new containers, over the whole pickle.
const MAX_COPIED: usize = 1 << 20;

/// Runs the pickle at the beginning of `bytes`.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>, Fault> {
    let mut machine = Machine {
        input: Input::new(bytes),
        arena: Arena::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..MAX_STEPS {
        let opcode = machine.input.byte()?;
        if opcode == op::STOP {
            let root = machine.pop()?;
            return Ok(Pickle { nodes: machine.arena.nodes, root, len: machine.input.position() });
        }
        machine.step(opcode)?;
    }
    Err(Fault::Damaged(format!("its pickle has more than {MAX_STEPS} steps")))
}

/// All containers that were made, in order. They are never freed singly, so depth costs nothing.
#[derive(Debug, Default)]
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
    copied: usize,
}

impl<'a> Arena<'a> {
    /// The elements of a list or tuple.
    pub(super) fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// A storage.
    pub(super) fn storage(&self, value: Value<'a>) -> Option<StorageRef<'a>> {
        match self.node(value)? {
            Node::Storage(storage) => Some(*storage),
            _ => None,
        }
    }

    fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    fn add(&mut self, node: Node<'a>) -> Value<'a> {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }
}

struct Machine<'a> {
    input: Input<'a>,
    arena: Arena<'a>,
    stack: Vec<Value<'a>>,
    /// Lengths of `stack` where a `MARK` stands.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), Fault> {
        if let Some(value) = self.input.literal(opcode)? {
            self.stack.push(value);
            return Ok(());
        }
        match opcode {
            op::PROTO => self.protocol(),
            op::FRAME => self.input.u64().map(drop),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.discard(),
            op::POP_MARK => self.pop_to_mark().map(drop),
            op::DUP => self.top().map(|value| self.stack.push(value)),
            op::EMPTY_TUPLE | op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.tuple(opcode),
            op::EMPTY_LIST | op::LIST | op::APPEND | op::APPENDS => self.list(opcode),
            op::EMPTY_DICT | op::DICT | op::SETITEM | op::SETITEMS => self.dict(opcode),
            op::EMPTY_SET | op::ADDITEMS | op::FROZENSET => self.set(opcode),
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode),
            op::GET | op::BINGET | op::LONG_BINGET => self.recall(opcode),
            op::GLOBAL | op::INST | op::STACK_GLOBAL => self.global(opcode),
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = global::persistent(id, &self.arena)?;
                self.push_node(Node::Storage(storage));
                Ok(())
            }
            op::REDUCE | op::NEWOBJ => self.call(),
            op::BUILD => self.build(),
            other => Err(damaged(format!("uses opcode 0x{other:02x}, which no checkpoint needs"))),
        }
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            newer => Err(damaged(format!("has protocol {newer}, read are 0 to 5"))),
        }
    }

    /// `POP` takes a value, or a mark that stands above it.
    fn discard(&mut self) -> Result<(), Fault> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), Fault> {
        let items = match opcode {
            op::EMPTY_TUPLE => Vec::new(),
            op::TUPLE => self.pop_to_mark()?,
            fixed => self.pop_many(usize::from(fixed - op::TUPLE1) + 1)?,
        };
        self.push_node(Node::Tuple(items));
        Ok(())
    }

    fn list(&mut self, opcode: u8) -> Result<(), Fault> {
        let added = match opcode {
            op::EMPTY_LIST => Vec::new(),
            op::APPEND => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        if matches!(opcode, op::EMPTY_LIST | op::LIST) {
            self.push_node(Node::List(added));
            return Ok(());
        }
        match self.top_node()? {
            Node::List(items) => items.extend(added),
            _ => return Err(damaged("appends to what is no list")),
        }
        Ok(())
    }

    fn dict(&mut self, opcode: u8) -> Result<(), Fault> {
        let flat = match opcode {
            op::EMPTY_DICT => Vec::new(),
            op::SETITEM => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let (pairs, rest) = flat.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged("has a dict key without a value"));
        }
        let pairs = pairs.iter().map(|&[key, value]| (key, value));
        if matches!(opcode, op::EMPTY_DICT | op::DICT) {
            let pairs = pairs.collect();
            self.push_node(Node::Dict(pairs));
            return Ok(());
        }
        match self.top_node()? {
            Node::Dict(held) => held.extend(pairs),
            _ => return Err(damaged("sets items of what is no dict")),
        }
        Ok(())
    }

    /// Sets occur in optimiser states at most; their elements are dropped.
    fn set(&mut self, opcode: u8) -> Result<(), Fault> {
        if opcode != op::EMPTY_SET {
            self.pop_to_mark()?;
        }
        if opcode == op::ADDITEMS {
            return match self.top_node()? {
                Node::Set => Ok(()),
                _ => Err(damaged("adds to what is no set")),
            };
        }
        self.push_node(Node::Set);
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = match opcode {
            op::PUT => self.input.decimal()?,
            op::BINPUT => u64::from(self.input.byte()?),
            op::LONG_BINPUT => u64::from(self.input.u32()?),
            _ => self.memo.len() as u64,
        };
        let value = self.top()?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = match opcode {
            op::GET => self.input.decimal()?,
            op::BINGET => u64::from(self.input.byte()?),
            _ => u64::from(self.input.u32()?),
        };
        let value = self.memo.get(&slot).copied();
        self.stack
            .push(value.ok_or_else(|| damaged(format!("recalls slot {slot}, which was never filled")))?);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), Fault> {
        let (module, name) = if opcode == op::STACK_GLOBAL {
            let pair = self.pop_many(2)?;
            let &[Value::Text(module), Value::Text(name)] = pair.as_slice() else {
                return Err(damaged("names a global by what is no text"));
            };
            (module, name)
        } else {
            (self.input.line()?, self.input.line()?)
        };
        let global = Global::find(module, name)?;
        if opcode == op::INST {
            return Err(damaged(format!("makes an instance of {module}.{name}")));
        }
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        let args = self.pop()?;
        let callee = self.pop()?;
        let Value::Global(global) = callee else {
            return Err(damaged("calls what is no function"));
        };
        let args = self.arena.items(args).ok_or_else(|| damaged("calls without arguments"))?;
        match global.call(args, &self.arena)? {
            Called::New(node) => {
                if let Node::Dict(pairs) = &node {
                    self.arena.copied += pairs.len();
                }
                if self.arena.copied > MAX_COPIED {
                    return Err(damaged(format!("copies more than {MAX_COPIED} values")));
                }
                self.push_node(node);
            }
            Called::Same(value) => self.stack.push(value),
        }
        Ok(())
    }

    /// Attributes (`_metadata` of a state dict) are dropped; only a dict may have some.
    fn build(&mut self) -> Result<(), Fault> {
        self.pop()?;
        match self.top_node()? {
            Node::Dict(_) => Ok(()),
            _ => Err(damaged("sets attributes of what has none")),
        }
    }

    fn push_node(&mut self, node: Node<'a>) {
        let value = self.arena.add(node);
        self.stack.push(value);
    }

    /// The highest index of `stack` that may be taken without crossing a mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, Fault> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, Fault> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        Ok(self.stack.split_off(start.ok_or_else(underflow)?))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| damaged("lacks a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Value<'a>, Fault> {
        let value = self.stack.last().filter(|_| self.stack.len() > self.floor());
        value.copied().ok_or_else(underflow)
    }

    fn top_node(&mut self) -> Result<&mut Node<'a>, Fault> {
        let Value::Node(index) = self.top()? else {
            return Err(damaged("fills what is no container"));
        };
        self.arena.nodes.get_mut(index).ok_or_else(underflow)
    }
}
