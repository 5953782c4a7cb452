//! The machine that runs a pickle's opcodes: the forty or so that state dicts are made of.

use std::collections::HashMap;

use safetensors::Dtype;

use crate::checkpoint::error::quoted;
use crate::checkpoint::pickle::{GLOBALS, Global, PickledTensor};

/// One value on the pickle machine's stack; numbers are places in the arena.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a str),
    Global(Global),
    /// A list or a tuple.
    Sequence(usize),
    Dict(usize),
    /// A persistent id that names a storage.
    Storage(Storage<'a>),
    Tensor(usize),
}

/// A storage by the key that its bytes lie under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    dtype: Dtype,
    key: &'a str,
    elements: usize,
}

/// The pickle machine.
#[derive(Default)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    sequences: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    tensors: Vec<PickledTensor<'a>>,
}

impl<'a> Machine<'a> {
    /// One at the beginning of `pickle`.
    pub fn of(pickle: &'a [u8]) -> Self {
        Self {
            bytes: pickle,
            ..Self::default()
        }
    }

    /// The items of a dict, by its place in the arena.
    pub fn dict(&self, at: usize) -> &[(Value<'a>, Value<'a>)] {
        self.dicts.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    /// A tensor likewise.
    pub fn tensor(&self, at: usize) -> Option<&PickledTensor<'a>> {
        self.tensors.get(at)
    }

    /// Runs to the end and gives what is on top of the stack then.
    pub fn run(&mut self) -> Result<Value<'a>, String> {
        loop {
            let [opcode] = self.take()?;
            match opcode {
                b'.' => return self.pop(),
                // PROTO, FRAME: nothing depends on them.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'J' => self.push_int(|bytes: [u8; 4]| i32::from_le_bytes(bytes).into())?,
                b'K' => self.push_int(|bytes: [u8; 1]| i64::from(bytes[0]))?,
                b'M' => self.push_int(|bytes: [u8; 2]| u16::from_le_bytes(bytes).into())?,
                0x8a => self.long()?,
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.text(length as usize)?;
                }
                0x8c => {
                    let [length] = self.take()?;
                    self.text(length.into())?;
                }
                b'}' => self.new_dict(),
                b']' | b')' => self.sequence(Vec::new()),
                b't' | b'l' => {
                    let items = self.pop_to_mark()?;
                    self.sequence(items);
                }
                0x85..=0x87 => {
                    let items = self.pop_last(usize::from(opcode - 0x84))?;
                    self.sequence(items);
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.extend_list(items)?;
                }
                b's' => {
                    let items = self.pop_last(2)?;
                    self.extend_dict(&items)?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.extend_dict(&items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => match self.pop_last(2)?.as_slice() {
                    [Value::Text(module), Value::Text(name)] => self.global(module, name)?,
                    _ => return Err("its pickle names a global by something else than two strings".to_owned()),
                },
                b'R' => self.call()?,
                // Attributes such as `_metadata`: nothing reads them.
                b'b' => drop(self.pop()?),
                b'Q' => self.persistent_id()?,
                b'q' => {
                    let [index] = self.take()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.remember(index)?;
                }
                0x94 => self.remember(u32::try_from(self.memo.len()).unwrap_or(u32::MAX))?,
                b'h' => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index)?;
                }
                other => {
                    return Err(format!(
                        "its pickle has opcode {other:#04x} at byte {}, which no state dict needs",
                        self.at - 1
                    ));
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        found.copied().ok_or_else(|| "its pickle ends early".to_owned())
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        let floor = self.marks.last().copied().unwrap_or_default();
        if self.stack.len() <= floor {
            return Err("its pickle takes more from the stack than is there".to_owned());
        }
        self.stack.pop().ok_or_else(|| "its pickle's stack is empty".to_owned())
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Value<'a>>, String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.marks.pop().ok_or("its pickle closes what it never opened")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push_int<const N: usize>(&mut self, read: impl Fn([u8; N]) -> i64) -> Result<(), String> {
        let bytes = self.take()?;
        self.stack.push(Value::Int(read(bytes)));
        Ok(())
    }

    /// LONG1: a little-endian two's complement number of up to 255 bytes, of which 8 are of use.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.take()?;
        let found = self.bytes.get(self.at..self.at + usize::from(length));
        let digits = found
            .filter(|digits| digits.len() <= 8)
            .ok_or("its pickle has a number of more than 8 bytes")?;
        self.at += digits.len();
        let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes.iter_mut().zip(digits).for_each(|(byte, digit)| *byte = *digit);
        self.stack.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let text = std::str::from_utf8(found.ok_or("its pickle ends inside a string")?);
        self.stack.push(Value::Text(
            text.map_err(|_| "its pickle has a string that is not UTF-8")?,
        ));
        self.at += length;
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("its pickle ends inside a name")?;
        self.at += end + 1;
        let line = std::str::from_utf8(rest.get(..end).unwrap_or_default());
        line.map_err(|_| "its pickle has a name that is not UTF-8".to_owned())
    }

    fn new_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    fn sequence(&mut self, items: Vec<Value<'a>>) {
        self.sequences.push(items);
        self.stack.push(Value::Sequence(self.sequences.len() - 1));
    }

    fn extend_list(&mut self, items: Vec<Value<'a>>) -> Result<(), String> {
        match self.stack.last() {
            Some(Value::Sequence(list)) => {
                if let Some(list) = self.sequences.get_mut(*list) {
                    list.extend(items);
                }
                Ok(())
            }
            _ => Err("its pickle appends to what is no list".to_owned()),
        }
    }

    fn extend_dict(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last() else {
            return Err("its pickle sets items of what is no dict".to_owned());
        };
        if !items.len().is_multiple_of(2) {
            return Err("its pickle sets a key without a value".to_owned());
        }
        if let Some(dict) = self.dicts.get_mut(*dict) {
            dict.extend(
                items
                    .chunks_exact(2)
                    .filter_map(|pair| Some((*pair.first()?, *pair.last()?))),
            );
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let found = GLOBALS.iter().find(|(m, n, _)| (*m, *n) == (module, name));
        let Some((_, _, global)) = found else {
            let global = quoted(&format!("{module}.{name}"));
            return Err(format!(
                "its pickle names {global}: only tensors are read and nothing is executed; do not load this file \
                 elsewhere unless you know who made it"
            ));
        };
        self.stack.push(Value::Global(*global));
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), String> {
        let top = self.stack.last().ok_or("its pickle remembers nothing")?;
        self.memo.insert(index, *top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), String> {
        let value = self
            .memo
            .get(&index)
            .ok_or_else(|| format!("its pickle recalls {index}, which it never stored"))?;
        self.stack.push(*value);
        Ok(())
    }

    fn items(&self, value: Value<'a>) -> &[Value<'a>] {
        match value {
            Value::Sequence(at) => self.sequences.get(at).map(Vec::as_slice).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The tuple (`"storage"`, storage class, key, device, element count).
    fn persistent_id(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let storage = match self.items(id) {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ] => Storage {
                dtype: *dtype,
                key,
                elements: usize::try_from(*elements).map_err(|_| "its pickle has a storage of negative size")?,
            },
            _ => return Err("its pickle refers to something else than a storage".to_owned()),
        };
        self.stack.push(Value::Storage(storage));
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let arguments = self.items(arguments);
        match (callee, arguments) {
            (Value::Global(Global::OrderedDict), []) => self.new_dict(),
            (
                Value::Global(Global::RebuildTensor),
                &[Value::Storage(storage), Value::Int(offset), shape, strides, ..],
            ) => {
                let tensor = PickledTensor {
                    dtype: storage.dtype,
                    storage: storage.key,
                    storage_elements: storage.elements,
                    offset: usize::try_from(offset).map_err(|_| "its pickle has a negative storage offset")?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                self.tensors.push(tensor);
                self.stack.push(Value::Tensor(self.tensors.len() - 1));
            }
            (Value::Global(Global::RebuildParameter), &[Value::Tensor(tensor), ..]) => {
                self.stack.push(Value::Tensor(tensor));
            }
            _ => return Err("its pickle calls something that rebuilds no tensor".to_owned()),
        }
        Ok(())
    }

    /// A tuple of sizes or strides. A pickle repeats a tuple by its memo, so that one of many sizes would be copied for
    /// each tensor: no model has a tensor of more than eight dimensions.
    fn sizes(&self, value: Value<'a>) -> Result<Vec<usize>, String> {
        let (Value::Sequence(_), items) = (value, self.items(value)) else {
            return Err("its pickle has a shape that is no tuple".to_owned());
        };
        if items.len() > 8 {
            return Err(format!("its pickle has a tensor of {} dimensions", items.len()));
        }
        let size = |item: &Value<'a>| match item {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let sizes = items.iter().map(size).collect::<Option<_>>();
        sizes.ok_or_else(|| "its pickle has a size or stride that is no positive number".to_owned())
    }
}
