//! A weight file, memory-mapped, and where a tensor lies in it. Both containers (safetensors, PyTorch archives) come
//! down to this.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
#[cfg(feature = "libtorch")]
use memmap2::UncheckedAdvice;
use safetensors::Dtype;

use crate::checkpoint::error::CheckpointError;

/// A mapped file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

/// A tensor as its container describes it, of whatever element type.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// The file.
    pub file: Arc<MappedFile>,
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Bytes of the file from its first element to its last.
    pub range: Range<usize>,
    /// Steps from element to element of each dimension, in elements, where the tensor is not row-major; every element
    /// they reach lies in `range`.
    pub strides: Option<Vec<usize>>,
}

impl MappedFile {
    /// Maps `path`.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let unreadable = |error| CheckpointError::unreadable(path, &error);
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: the map is read-only and private to this process. A checkpoint that another process shortens
        // while it is being read kills this one with SIGBUS; no way of reading it would give right numbers.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// A range that one of the containers has checked.
    pub fn data(&self, range: &Range<usize>) -> &[u8] {
        self.map.get(range.clone()).unwrap_or_default()
    }

    /// Takes `range` out of this process's memory; it stays in the system's cache of the file and comes back when it is
    /// looked at again.
    #[cfg(feature = "libtorch")]
    pub fn forget(&self, range: Range<usize>) {
        if range.start < range.end {
            // SAFETY: the map is of a file and read-only, so that no change can be lost with its pages.
            let _ = unsafe {
                self.map
                    .unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
    }
}

impl Stored {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements times element size: what `total_size` of an index counts.
    pub fn size(&self) -> usize {
        self.elements() * element_size(self.dtype)
    }

    /// The elements in row-major order, copied one by one out of a tensor with strides.
    pub fn gathered(&self, strides: &[usize]) -> Vec<u8> {
        let (data, size) = (self.file.data(&self.range), element_size(self.dtype));
        let mut bytes = Vec::with_capacity(self.size());
        let mut place = vec![0; self.shape.len()];
        for _ in 0..self.elements() {
            let at: usize = place.iter().zip(strides).map(|(index, stride)| index * stride).sum();
            bytes.extend_from_slice(data.get(at * size..(at + 1) * size).unwrap_or_default());
            for (index, side) in place.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < *side {
                    break;
                }
                *index = 0;
            }
        }
        bytes
    }
}

/// Bytes of one element; the types narrower than a byte occur in no checkpoint and count as one.
pub(super) fn element_size(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}
