//! The pickle of a PyTorch weight file, read as data (`checkpoints.md` section 3.3; opcodes: CPython `pickletools.py`).
//!
//! Nothing is executed: a global is a name on a list of thirteen, and a call is one of the three that state dicts are
//! made of. Values are small and copied; lists, dicts and tuples live in one arena and name each other by number, so
//! that no nesting can exhaust the stack and no pickle takes more memory than a fixed multiple of its own size.

mod machine;
#[cfg(test)]
mod tests;

use safetensors::Dtype;

use crate::checkpoint::error::quoted;
use crate::checkpoint::pickle::machine::{Machine, Value};

/// Pickles above this are refused; the largest published checkpoint's has about a tenth.
pub(super) const LARGEST: usize = 4 << 20;

/// A tensor that the pickle describes, over a storage that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PickledTensor<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Which storage.
    pub storage: &'a str,
    /// Elements of the whole storage.
    pub storage_elements: usize,
    /// The first element, counted from the storage's start.
    pub offset: usize,
    /// Shape.
    pub shape: Vec<usize>,
    /// Steps in elements.
    pub strides: Vec<usize>,
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// Every global that is read; any other is refused by name.
const GLOBALS: [(&str, &str, Global); 13] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch", "FloatStorage", Global::Storage(Dtype::F32)),
    ("torch", "HalfStorage", Global::Storage(Dtype::F16)),
    ("torch", "BFloat16Storage", Global::Storage(Dtype::BF16)),
    ("torch", "DoubleStorage", Global::Storage(Dtype::F64)),
    ("torch", "LongStorage", Global::Storage(Dtype::I64)),
    ("torch", "IntStorage", Global::Storage(Dtype::I32)),
    ("torch", "ShortStorage", Global::Storage(Dtype::I16)),
    ("torch", "CharStorage", Global::Storage(Dtype::I8)),
    ("torch", "ByteStorage", Global::Storage(Dtype::U8)),
    ("torch", "BoolStorage", Global::Storage(Dtype::BOOL)),
];

/// The state dict of `pickle`, in its order; an error is a clause about the pickle.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Vec<(String, PickledTensor<'_>)>, String> {
    if pickle.len() > LARGEST {
        return Err(format!(
            "its pickle has {} bytes, more than any state dict",
            pickle.len()
        ));
    }
    let mut machine = Machine::of(pickle);
    let Value::Dict(dict) = machine.run()? else {
        return Err("its pickle holds no dict of tensors".to_owned());
    };
    let mut tensors = Vec::new();
    for (key, value) in machine.dict(dict) {
        let Value::Text(name) = key else {
            return Err("its pickle has a key that is no string".to_owned());
        };
        let tensor = match value {
            Value::Tensor(tensor) => machine.tensor(*tensor),
            _ => None,
        };
        let tensor = tensor.ok_or_else(|| format!("{} is no tensor", quoted(name)))?;
        tensors.push(((*name).to_owned(), tensor.clone()));
    }
    Ok(tensors)
}
