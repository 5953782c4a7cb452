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

/// Writes a damaged copy of `checkpoint` into `copy`.
pub fn write(checkpoint: &Path, copy: &Path) -> Result<(), Fault> {
    copy_folder(checkpoint, copy)?;
    let path = copy.join(WEIGHTS);
    let mut bytes = fs::read(&path).map_err(|error| Fault::read(&path, &error))?;
    scale(&mut bytes).map_err(|what| Fault::User(format!("`{}` {what}", path.display())))?;
    artefact::write(&path, |out| out.write_all(&bytes))
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

fn copy_folder(from: &Path, to: &Path) -> Result<(), Fault> {
    artefact::create_folder(to)?;
    for entry in fs::read_dir(from).map_err(|error| Fault::read(from, &error))? {
        let path = entry.map_err(|error| Fault::read(from, &error))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
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
