//! The bytes of a pickle, taken from the front; no length goes beyond what is left.
//!
//! ```text
//! ‥taken‥│ opcode │ length │ that many bytes │ ‥left‥     text and bytes are borrowed, never copied
//! ```

use super::Value;
use super::opcode as op;
use crate::checkpoint::error::{Fault, shown};

/// The bytes of the pickle from the front; every length is checked against what is left.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken so far.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The value that an opcode holds in itself; `None` for all others.
    pub(super) fn literal(&mut self, opcode: u8) -> Result<Option<Value<'a>>, Fault> {
        Ok(Some(match opcode {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            op::BININT1 => Value::Int(self.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            op::LONG1 => {
                let len = self.byte()?;
                self.long(len.into())?
            }
            op::LONG4 => {
                let len = self.u32()?;
                self.long(len.into())?
            }
            op::INT | op::LONG => self.decimal_value()?,
            op::FLOAT => {
                let text = self.line()?;
                Value::Float(text.parse().ok().ok_or_else(|| damaged(format!("has the number `{text}`")))?)
            }
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.array()?)),
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE | op::SHORT_BINBYTES => {
                let len = self.byte()?;
                self.string(opcode, len.into())?
            }
            op::BINSTRING | op::BINUNICODE | op::BINBYTES => {
                let len = self.u32()?;
                self.string(opcode, len.into())?
            }
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => {
                let len = self.u64()?;
                self.string(opcode, len)?
            }
            op::STRING | op::UNICODE => self.quoted(opcode)?,
            _ => return Ok(None),
        }))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.at..];
        let taken = usize::try_from(count).ok().and_then(|count| left.get(..count));
        let taken = taken
            .ok_or_else(|| damaged(format!("ends early: {count} bytes announced, {} left", left.len())))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N as u64)?;
        taken.try_into().ok().ok_or_else(underflow)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// The text up to the next line feed, which is taken, too.
    pub(super) fn line(&mut self) -> Result<&'a str, Fault> {
        let left = &self.bytes[self.at..];
        let end = left
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| damaged("has a line without an end"))?;
        self.at += end + 1;
        std::str::from_utf8(&left[..end]).ok().ok_or_else(|| damaged("has a line that is no text"))
    }

    pub(super) fn decimal(&mut self) -> Result<u64, Fault> {
        let text = self.line()?;
        text.parse().ok().ok_or_else(|| damaged(format!("has the number `{text}`")))
    }

    /// `I01` and `I00` are truth values, `L12L` ends on its letter.
    fn decimal_value(&mut self) -> Result<Value<'a>, Fault> {
        let text = self.line()?;
        match text {
            "00" => return Ok(Value::Bool(false)),
            "01" => return Ok(Value::Bool(true)),
            _ => {}
        }
        let number = text.strip_suffix('L').unwrap_or(text).parse().ok();
        number.map(Value::Int).ok_or_else(|| damaged(format!("has the number `{text}`")))
    }

    /// A little-endian two's complement number of `len` bytes.
    fn long(&mut self, len: u64) -> Result<Value<'a>, Fault> {
        let bytes = self.take(len)?;
        if bytes.len() > 16 {
            return Err(damaged(format!("has a number of {} bytes", bytes.len())));
        }
        let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = if is_negative { [0xff; 16] } else { [0; 16] };
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i128::from_le_bytes(wide)))
    }

    fn string(&mut self, opcode: u8, len: u64) -> Result<Value<'a>, Fault> {
        let bytes = self.take(len)?;
        match opcode {
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => Ok(Value::Bytes(bytes)),
            // Python 2 writes names as byte strings.
            op::SHORT_BINSTRING | op::BINSTRING => {
                Ok(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text))
            }
            _ => std::str::from_utf8(bytes)
                .ok()
                .map(Value::Text)
                .ok_or_else(|| damaged("has text that is not UTF-8")),
        }
    }

    /// Protocol 0's text; escapes occur in no name of a tensor.
    fn quoted(&mut self, opcode: u8) -> Result<Value<'a>, Fault> {
        let line = self.line()?;
        let text = if opcode == op::STRING {
            let stripped = ['\'', '"'].iter().find_map(|q| line.strip_prefix(*q)?.strip_suffix(*q));
            stripped.ok_or_else(|| damaged("has a string without quotes"))?
        } else {
            line
        };
        if text.contains('\\') {
            return Err(damaged("has a string with escapes"));
        }
        Ok(Value::Text(text))
    }
}

pub(super) fn underflow() -> Fault {
    damaged("takes a value from an empty stack")
}

pub(super) fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(format!("its pickle {}", shown(&what.into())))
}
