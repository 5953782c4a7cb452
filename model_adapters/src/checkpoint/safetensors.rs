//! One safetensors file, memory-mapped (`checkpoints.md` section 3.2): its header is read and checked by the
//! `safetensors` crate, its data stays on disk until it is looked at.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{SafeTensorError, SafeTensors};

use crate::checkpoint::error::{CheckpointError, quoted};

/// Bytes of the header length that a file starts with.
const LENGTH_BYTES: usize = 8;

/// A mapped file.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    map: Mmap,
    /// Where the data region starts.
    data_start: usize,
}

/// A tensor as its header describes it, of whatever element type.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// The file.
    pub file: Arc<WeightFile>,
    /// Element type.
    pub dtype: safetensors::Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Its bytes within the data region.
    pub range: Range<usize>,
}

impl WeightFile {
    /// Maps `path` and reads its header: every tensor's name and place, ordered by place.
    pub fn open(path: &Path) -> Result<Vec<(String, Stored)>, CheckpointError> {
        let unreadable = |error| CheckpointError::unreadable(path, &error);
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: the map is read-only and private to this process. A checkpoint that another process shortens
        // while it is being read kills this one with SIGBUS; no way of reading it would give right numbers.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        let (header, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|error| CheckpointError::file(path, header_fault(&error, map.len())))?;
        let data_start = LENGTH_BYTES + header;
        let names = metadata.offset_keys();
        let file = Arc::new(Self {
            path: path.to_owned(),
            map,
            data_start,
        });
        let mut tensors = Vec::with_capacity(names.len());
        for name in names {
            let Some(info) = metadata.info(&name) else { continue };
            let (begin, end) = info.data_offsets;
            let stored = Stored {
                file: Arc::clone(&file),
                dtype: info.dtype,
                shape: info.shape.clone(),
                range: begin..end,
            };
            tensors.push((name, stored));
        }
        Ok(tensors)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A range of the data region that [`WeightFile::open`] has handed out.
    pub fn data(&self, range: &Range<usize>) -> &[u8] {
        self.map
            .get(self.data_start..)
            .and_then(|data| data.get(range.clone()))
            .unwrap_or_default()
    }
}

/// The crate's complaint in the user's words.
fn header_fault(error: &SafeTensorError, length: usize) -> String {
    let what = match error {
        SafeTensorError::HeaderTooSmall | SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            format!("its {length} bytes do not hold the header that they announce")
        }
        SafeTensorError::InvalidHeader(_) => "its header is not UTF-8".to_owned(),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            format!("its header does not describe tensors: {}", quoted(&error.to_string()))
        }
        SafeTensorError::InvalidOffset(name) => {
            format!(
                "the offsets of {} overlap, leave a gap or lie outside the file",
                quoted(name)
            )
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("its {length} bytes are not as many as its tensors need")
        }
        SafeTensorError::TensorInvalidInfo => "a tensor's offsets do not fit its shape and type".to_owned(),
        SafeTensorError::ValidationOverflow => "a tensor's shape has more elements than can be counted".to_owned(),
        other => other.to_string(),
    };
    format!("{what}: truncated, damaged or not safetensors, fetch the file again")
}
