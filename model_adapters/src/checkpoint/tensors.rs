//! The tensors of a module, memory-mapped: names, shapes and bytes, nothing copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
#[cfg(feature = "libtorch")]
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::checkpoint::awq::{QuantisedView, StoredQuantised};
use crate::checkpoint::error::{CheckpointError, quoted};
#[cfg(feature = "libtorch")]
use crate::checkpoint::mapped::MappedFile;
use crate::checkpoint::mapped::Stored;

/// The element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE single precision.
    F32,
    /// 16-bit words that pack four weights; only in a [`QuantisedView`].
    I16,
    /// 32-bit words that pack eight weights or zero points; only in a [`QuantisedView`].
    I32,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
        }
    }

    /// Those of a container's types that some tensor of a model has.
    pub(super) const fn of(stored: safetensors::Dtype) -> Option<Self> {
        match stored {
            safetensors::Dtype::F16 => Some(Self::F16),
            safetensors::Dtype::BF16 => Some(Self::Bf16),
            safetensors::Dtype::F32 => Some(Self::F32),
            safetensors::Dtype::I16 => Some(Self::I16),
            safetensors::Dtype::I32 => Some(Self::I32),
            _ => None,
        }
    }

    /// Whether a weight may be stored in it as it is.
    pub(super) const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::I16 => "int4 in int16",
            Self::I32 => "int4 in int32",
        })
    }
}

/// One stored tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// The file that it lies in.
    pub file: &'a Path,
    /// Its name in the file, prefix included.
    pub name: &'a str,
    /// Element type.
    pub dtype: Dtype,
    /// Shape, `[out, in]` for linears.
    pub shape: &'a [usize],
    /// Elements, little-endian, row-major, contiguous; not necessarily aligned.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// Elements.
    pub fn elements(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }
}

/// One tensor of a module.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    name: String,
    dtype: Dtype,
    stored: Stored,
    /// The forward pass needs it.
    used: bool,
    /// The elements in row-major order, for a tensor that is stored in another (`lm_head` saved as a transposed view);
    /// made when it is first looked at.
    gathered: Arc<OnceLock<Vec<u8>>>,
}

/// A stored tensor with the mapped file that it lies in, which stays mapped for as long as this lives.
#[derive(Debug, Clone)]
pub struct StoredTensor(Entry);

impl StoredTensor {
    /// The tensor.
    pub fn view(&self) -> TensorView<'_> {
        self.0.view()
    }

    /// The file that it lies in.
    #[cfg(feature = "libtorch")]
    pub(crate) const fn file(&self) -> &Arc<MappedFile> {
        &self.0.stored.file
    }

    /// Its bytes in that file, from the first element to the last.
    #[cfg(feature = "libtorch")]
    pub(crate) const fn range(&self) -> &Range<usize> {
        &self.0.stored.range
    }
}

impl Entry {
    /// `stored`, which the files call `name`.
    pub fn new(name: String, dtype: Dtype, stored: Stored, used: bool) -> Self {
        Self {
            name,
            dtype,
            stored,
            used,
            gathered: Arc::default(),
        }
    }

    /// The tensor.
    pub fn view(&self) -> TensorView<'_> {
        let bytes = match &self.stored.strides {
            None => self.stored.file.data(&self.stored.range),
            Some(strides) => self.gathered.get_or_init(|| self.stored.gathered(strides)),
        };
        TensorView {
            file: self.stored.file.path(),
            name: &self.name,
            dtype: self.dtype,
            shape: &self.stored.shape,
            bytes,
        }
    }

    fn elements(&self) -> u64 {
        self.stored.elements() as u64
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.stored.size() as u64
    }
}

/// The tensors of one part of the model under names that no layout changes: the decoder's as in
/// `checkpoints.md` section 4 (`model.embed_tokens.weight`, `lm_head.weight`), the tower's without
/// `vision_model.` (`encoder.layers.0.mlp.fc1.weight`), the projector's `norm.weight`, `norm.bias`,
/// `linear.{i}.weight`, `linear.{i}.bias` with i counting linears from 0.
///
/// Holds those that the tables of `checkpoints.md` mark as not used too, where the files have them. A linear of four
/// bits is no tensor but found by [`Module::quantised`] under the same name.
#[derive(Debug)]
pub struct Module {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
    quantised: BTreeMap<String, StoredQuantised>,
}

impl Module {
    /// The entries of a module by canonical name; `folder` is for messages.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            entries: BTreeMap::new(),
            quantised: BTreeMap::new(),
        }
    }

    /// Adds a tensor.
    pub(super) fn insert(&mut self, canonical: String, entry: Entry) {
        self.entries.insert(canonical, entry);
    }

    /// Adds a weight of four bits.
    pub(super) fn insert_quantised(&mut self, canonical: String, weight: StoredQuantised) {
        self.quantised.insert(canonical, weight);
    }

    /// The tensor of that canonical name. Every required one is there once [`super::Checkpoint::open`] has
    /// returned, here or in [`Module::quantised`].
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        self.entry(name).map(Entry::view)
    }

    /// The same, to be kept longer than this module.
    pub fn stored(&self, name: &str) -> Result<StoredTensor, CheckpointError> {
        self.entry(name).cloned().map(StoredTensor)
    }

    /// Those that the forward pass needs, with their canonical names; the weights of four bits are not among them.
    #[cfg(feature = "libtorch")]
    pub(crate) fn used(&self) -> impl Iterator<Item = (&str, StoredTensor)> {
        let used = self.entries.iter().filter(|(_, entry)| entry.used);
        used.map(|(name, entry)| (name.as_str(), StoredTensor(entry.clone())))
    }

    fn entry(&self, name: &str) -> Result<&Entry, CheckpointError> {
        self.entries
            .get(name)
            .ok_or_else(|| CheckpointError::file(&self.folder, format!("holds no tensor {}", quoted(name))))
    }

    /// The weight of that canonical name (`model.layers.0.mlp.up_proj.weight`), where it is stored in four bits.
    pub fn quantised(&self, name: &str) -> Option<QuantisedView<'_>> {
        self.quantised.get(name).map(StoredQuantised::view)
    }

    /// The same, to be kept longer than this module.
    pub fn stored_quantised(&self, name: &str) -> Option<StoredQuantised> {
        self.quantised.get(name).cloned()
    }

    /// All tensors with their canonical names, in the order of those; the weights of four bits are not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.view()))
    }

    /// All weights of four bits likewise.
    pub fn iter_quantised(&self) -> impl Iterator<Item = (&str, QuantisedView<'_>)> {
        self.quantised
            .iter()
            .map(|(name, weight)| (name.as_str(), weight.view()))
    }

    /// Number of tensors; a weight of four bits counts as one.
    pub fn tensors(&self) -> usize {
        self.entries.len() + self.quantised.len()
    }

    /// Elements of all tensors; a weight of four bits has as many as it unpacks to.
    pub fn parameters(&self) -> u64 {
        self.entries.values().map(Entry::elements).sum::<u64>() + self.quantised_parameters()
    }

    /// Elements of the tensors that the forward pass needs.
    pub fn used_parameters(&self) -> u64 {
        let used = self.entries.values().filter(|entry| entry.used);
        used.map(Entry::elements).sum::<u64>() + self.quantised_parameters()
    }

    /// Elements of the weights of four bits, all of which the forward pass needs.
    pub fn quantised_parameters(&self) -> u64 {
        self.quantised.values().map(StoredQuantised::parameters).sum()
    }

    /// Bytes of all tensors on disk.
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(Entry::bytes).sum::<u64>() + self.quantised_bytes()
    }

    /// Bytes of the weights of four bits, scales and zero points included.
    pub fn quantised_bytes(&self) -> u64 {
        self.quantised.values().map(StoredQuantised::bytes).sum()
    }

    /// The element types that occur.
    pub fn dtypes(&self) -> BTreeSet<Dtype> {
        let packed = self.quantised.values().map(|weight| weight.view().qweight.dtype);
        self.entries.values().map(|entry| entry.dtype).chain(packed).collect()
    }
}
