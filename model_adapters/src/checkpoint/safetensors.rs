//! One safetensors file (`checkpoints.md` section 3.2): its header is read and checked by the `safetensors` crate, its
//! data stays on disk until it is looked at.

use std::path::Path;
use std::sync::Arc;

use safetensors::{SafeTensorError, SafeTensors};

use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::mapped::{MappedFile, Stored};

/// Bytes of the header length that a file starts with.
const LENGTH_BYTES: usize = 8;

/// Every tensor's name and place, ordered by place.
pub(super) fn open(path: &Path) -> Result<Vec<(String, Stored)>, CheckpointError> {
    let file = Arc::new(MappedFile::open(path)?);
    let (header, metadata) = SafeTensors::read_metadata(file.bytes())
        .map_err(|error| CheckpointError::file(path, header_fault(&error, file.bytes().len())))?;
    let data_start = LENGTH_BYTES + header;
    let names = metadata.offset_keys();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let Some(info) = metadata.info(&name) else { continue };
        let (begin, end) = info.data_offsets;
        let stored = Stored {
            file: Arc::clone(&file),
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: data_start + begin..data_start + end,
            strides: None,
        };
        tensors.push((name, stored));
    }
    Ok(tensors)
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
