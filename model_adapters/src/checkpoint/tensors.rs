//! Tensors in safetensors files, memory-mapped: names, shapes and bytes, nothing copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::safetensors::WeightFile;

/// The element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE single precision.
    F32,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        })
    }
}

/// One stored tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
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

/// Where one tensor of a module lies.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Its bytes within the data region of `file`.
    pub range: Range<usize>,
    /// The file.
    pub file: Arc<WeightFile>,
    /// The forward pass needs it.
    pub used: bool,
}

/// A stored tensor with the mapped file that it lies in, which stays mapped for as long as this lives.
#[derive(Debug, Clone)]
pub struct StoredTensor(Entry);

impl StoredTensor {
    /// The tensor.
    pub fn view(&self) -> TensorView<'_> {
        self.0.view()
    }
}

impl Entry {
    fn view(&self) -> TensorView<'_> {
        let bytes = self.file.data(&self.range);
        TensorView {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            bytes,
        }
    }
}

/// The tensors of one part of the model under names that no layout changes: the decoder's as in
/// `checkpoints.md` section 4 (`model.embed_tokens.weight`, `lm_head.weight`), the tower's without
/// `vision_model.` (`encoder.layers.0.mlp.fc1.weight`), the projector's `norm.weight`, `norm.bias`,
/// `linear.{i}.weight`, `linear.{i}.bias` with i counting linears from 0.
///
/// Holds those that the tables of `checkpoints.md` mark as not used too, where the files have them.
#[derive(Debug)]
pub struct Module {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Module {
    /// The entries of a module by canonical name; `folder` is for messages.
    pub(super) fn new(folder: &Path, entries: BTreeMap<String, Entry>) -> Self {
        Self {
            folder: folder.to_owned(),
            entries,
        }
    }

    /// The tensor of that canonical name. Every required one is there once [`super::Checkpoint::open`] has
    /// returned.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        self.entry(name).map(Entry::view)
    }

    /// The same, to be kept longer than this module.
    pub fn stored(&self, name: &str) -> Result<StoredTensor, CheckpointError> {
        self.entry(name).cloned().map(StoredTensor)
    }

    fn entry(&self, name: &str) -> Result<&Entry, CheckpointError> {
        self.entries
            .get(name)
            .ok_or_else(|| CheckpointError::file(&self.folder, format!("holds no tensor {}", quoted(name))))
    }

    /// All tensors with their canonical names, in the order of those.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TensorView<'_>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.view()))
    }

    /// Number of tensors.
    pub fn tensors(&self) -> usize {
        self.entries.len()
    }

    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.iter().map(|(_, tensor)| tensor.elements() as u64).sum()
    }

    /// Elements of the tensors that the forward pass needs.
    pub fn used_parameters(&self) -> u64 {
        self.entries
            .values()
            .filter(|entry| entry.used)
            .map(|entry| entry.view().elements() as u64)
            .sum()
    }

    /// Bytes of all tensors on disk.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(_, tensor)| tensor.bytes.len() as u64).sum()
    }

    /// The element types that occur.
    pub fn dtypes(&self) -> BTreeSet<Dtype> {
        self.entries.values().map(|entry| entry.dtype).collect()
    }
}
