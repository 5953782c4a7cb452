//! A checkpoint with something wrong inside: a copy of the demo's in which one layer of the decoder attends too loudly.
//! Every file of it is well-formed, and nothing but its answers tells.

use std::fs;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, SafeTensors};

use crate::artefact;
use crate::fault::Fault;

/// The weight that is scaled: what the attention of the third block hands on.
const TENSOR: &str = "model.layers.2.self_attn.o_proj.weight";

/// How much.
const FACTOR: f32 = 4.0;

/// Where it lies in layout B.
const WEIGHTS: &str = "llm/model.safetensors";

/// What was done, for whoever looks at the result.
pub const WHAT: &str = "the attention output of one of its decoder's layers is multiplied by 4";

/// Makes the folder `copy` a damaged copy of `checkpoint`, whole or not at all, in place of an earlier one.
///
/// # Errors
///
/// A checkpoint that is not the demo's, files that cannot be read or written.
pub fn write(checkpoint: &Path, copy: &Path) -> Result<(), Fault> {
    if let Some(parent) = copy.parent() {
        artefact::create_folder(parent)?;
    }
    if copy.is_dir() {
        fs::remove_dir_all(copy).map_err(|error| Fault::file("remove", copy, &error))?;
    }
    artefact::fill_folder(copy, |folder| {
        copy_folder(checkpoint, folder)?;
        let original = checkpoint.join(WEIGHTS);
        let mut bytes = fs::read(&original).map_err(|error| Fault::read(&original, &error))?;
        scale(&mut bytes).map_err(|what| Fault::User(format!("`{}` {what}", original.display())))?;
        let path = folder.join(WEIGHTS);
        fs::write(&path, &bytes).map_err(|error| Fault::write(&path, &error))
    })
}

/// Multiplies the tensor's values where they lie.
fn scale(bytes: &mut [u8]) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("is no weight file of the demo: {error}");
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(&error))?;
    let info = metadata.info(TENSOR).ok_or_else(|| wrong(&format!("no `{TENSOR}`")))?;
    if info.dtype != Dtype::F16 {
        return Err(wrong(&format!("`{TENSOR}` is not in float16")));
    }
    // Behind the eight bytes that hold the header's length.
    let start = size_of::<u64>() + header;
    let (from, to) = info.data_offsets;
    let data = bytes
        .get_mut(start + from..start + to)
        .ok_or_else(|| wrong(&"it is cut off"))?;
    for value in data.as_chunks_mut::<2>().0 {
        *value = f16::from_f32(f16::from_le_bytes(*value).to_f32() * FACTOR).to_le_bytes();
    }
    Ok(())
}

/// Copies the files of `from` and below into the folder `to`.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Fault> {
    for entry in fs::read_dir(from).map_err(|error| Fault::read(from, &error))? {
        let path = entry.map_err(|error| Fault::read(from, &error))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            artefact::create_folder(&target)?;
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|error| Fault::file("copy", &path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;

    fn weights(name: &str, dtype: Dtype) -> Vec<u8> {
        let values = [1.5_f32, -0.25, 0.0, 3.0];
        let halves: Vec<u8> = values
            .iter()
            .flat_map(|&value| f16::from_f32(value).to_le_bytes())
            .collect();
        let shape = if dtype == Dtype::F16 { vec![2, 2] } else { vec![1, 2] };
        let view = |bytes| TensorView::new(dtype, shape.clone(), bytes).unwrap();
        let tensors = HashMap::from([(name.to_owned(), view(&halves)), ("other".to_owned(), view(&halves))]);
        safetensors::serialize(tensors, None).unwrap()
    }

    #[test]
    fn one_tensor_is_scaled_and_no_other() {
        let before = weights(TENSOR, Dtype::F16);
        let mut bytes = before.clone();
        scale(&mut bytes).unwrap();
        let (before, after) = (
            SafeTensors::deserialize(&before).unwrap(),
            SafeTensors::deserialize(&bytes).unwrap(),
        );
        let values = |file: &SafeTensors<'_>, name| -> Vec<f32> {
            let view = file.tensor(name).unwrap();
            view.data()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&value| f16::from_le_bytes(value).to_f32())
                .collect()
        };
        assert_eq!(values(&after, TENSOR), [6.0, -1.0, 0.0, 12.0]);
        assert_eq!(values(&after, "other"), values(&before, "other"));
    }

    #[test]
    fn the_copy_differs_in_its_weights_alone_and_replaces_an_earlier_one() {
        let root = tempfile::tempdir().unwrap();
        let (original, copy) = (root.path().join("original"), root.path().join("new/copy"));
        fs::create_dir_all(original.join("llm")).unwrap();
        fs::write(original.join("config.json"), "{}").unwrap();
        fs::write(original.join(WEIGHTS), weights(TENSOR, Dtype::F16)).unwrap();
        for _ in 0..2 {
            write(&original, &copy).unwrap();
            assert_eq!(fs::read(copy.join("config.json")).unwrap(), b"{}");
            let mut expected = weights(TENSOR, Dtype::F16);
            scale(&mut expected).unwrap();
            assert_eq!(fs::read(copy.join(WEIGHTS)).unwrap(), expected);
        }
        assert_eq!(fs::read(original.join(WEIGHTS)).unwrap(), weights(TENSOR, Dtype::F16));
        fs::write(original.join(WEIGHTS), weights("something", Dtype::F16)).unwrap();
        assert!(write(&original, &copy).is_err());
        assert_eq!(
            fs::read_dir(copy.parent().unwrap()).unwrap().count(),
            0,
            "nothing half done stays"
        );
    }

    #[test]
    fn what_is_not_the_demos_checkpoint_is_left_alone() {
        for (mut bytes, what) in [
            (weights("something", Dtype::F16), "no `model.layers.2"),
            (weights(TENSOR, Dtype::F32), "not in float16"),
            (b"{}".to_vec(), "is no weight file"),
        ] {
            let before = bytes.clone();
            assert!(scale(&mut bytes).unwrap_err().contains(what));
            assert_eq!(bytes, before);
        }
    }
}
