//! A training between two steps, on disk: one safetensors file, replaced as a whole.
//!
//! `weight.*`, `first.*`, `second.*` and `average.*` hold each parameter, AdamW's two moments and the running average,
//! under the parameter's module and name; the metadata's `progress` holds [`Progress`] as JSON.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::optimiser::Moments;
use crate::parameters::{Parameter, Parameters, Part};
use crate::sampler::Drawn;

/// Its file in the folder of a training.
pub const FILE: &str = "state.safetensors";

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Seconds they took, all sittings together.
    pub seconds: f64,
    /// Samples drawn from each file.
    pub drawn: Drawn,
    /// Steps that each parameter has taken, in order.
    pub steps: Vec<u32>,
}

/// The bytes of a contiguous tensor with its shape.
pub struct Bytes {
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Bytes {
    /// Copies a tensor out, in float16 or float32.
    pub fn of(value: &Tensor, kind: Kind) -> Result<Self, Box<dyn Error>> {
        let value = value.f_detach()?.f_to_kind(kind)?.f_contiguous()?;
        let mut bytes = vec![0; value.numel() * kind.elt_size_in_bytes()];
        value.f_copy_data_u8(&mut bytes, value.numel())?;
        Ok(Self {
            shape: value.size().iter().map(|&side| side as usize).collect(),
            dtype: if kind == Kind::Half { Dtype::F16 } else { Dtype::F32 },
            bytes,
        })
    }

    /// As safetensors writes it.
    pub fn view(&self) -> Result<TensorView<'_>, Box<dyn Error>> {
        Ok(TensorView::new(self.dtype, self.shape.clone(), &self.bytes)?)
    }
}

/// Writes tensors to a file that is whole or not there.
pub fn write(
    path: &Path,
    tensors: &[(String, Bytes)],
    metadata: HashMap<String, String>,
) -> Result<(), Box<dyn Error>> {
    let partial = path.with_extension("partial");
    let views = tensors.iter().map(|(name, bytes)| Ok((name.as_str(), bytes.view()?)));
    let views: Vec<_> = views.collect::<Result<_, Box<dyn Error>>>()?;
    safetensors::serialize_to_file(views, Some(metadata), &partial)?;
    fs::rename(&partial, path)?;
    Ok(())
}

/// Saves a training.
pub fn save(
    path: &Path,
    parameters: &Parameters,
    moments: &[Moments],
    progress: &Progress,
) -> Result<(), Box<dyn Error>> {
    let mut tensors = Vec::with_capacity(4 * moments.len());
    for (parameter, moments) in parameters.list.iter().zip(moments) {
        let kept = [&parameter.value, &moments.first, &moments.second, &moments.average];
        for (kind, value) in KINDS.into_iter().zip(kept) {
            tensors.push((key(kind, parameter), Bytes::of(value, Kind::Float)?));
        }
    }
    let progress = Progress {
        steps: moments.iter().map(|moments| moments.steps).collect(),
        ..progress.clone()
    };
    let metadata = HashMap::from([("progress".to_owned(), serde_json::to_string(&progress)?)]);
    write(path, &tensors, metadata)
}

/// What [`save`] writes of each parameter.
const KINDS: [&str; 4] = ["weight", "first", "second", "average"];

fn key(kind: &str, parameter: &Parameter) -> String {
    let part = match parameter.part {
        Part::Tower => "tower",
        Part::Projector => "projector",
        Part::Decoder => "decoder",
        Part::Words => "words",
    };
    format!("{kind}.{part}.{}", parameter.name)
}

/// Puts a saved training into a model of the same sizes.
pub fn load(path: &Path, parameters: &Parameters, moments: &mut [Moments]) -> Result<Progress, Box<dyn Error>> {
    let _guard = tch::no_grad_guard();
    let bytes = fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let progress = header.metadata().as_ref().and_then(|metadata| metadata.get("progress"));
    let progress: Progress = serde_json::from_str(progress.ok_or("the state says nothing of its progress")?)?;
    for ((parameter, moments), &steps) in parameters.list.iter().zip(moments).zip(&progress.steps) {
        let Moments {
            first, second, average, ..
        } = moments;
        let mut value = parameter.value.f_detach()?;
        for (kind, to) in KINDS.into_iter().zip([&mut value, first, second, average]) {
            to.f_copy_(&tensor(&tensors, &key(kind, parameter), &to.size())?)?;
        }
        moments.steps = steps;
    }
    Ok(progress)
}

/// Starts the modules `parts` from the averaged ones of another training; rows of the vocabulary that it lacks stay as
/// drawn.
pub fn borrow(path: &Path, parameters: &Parameters, parts: &[Part]) -> Result<(), Box<dyn Error>> {
    let _guard = tch::no_grad_guard();
    let bytes = fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    for parameter in parameters
        .list
        .iter()
        .filter(|parameter| parts.contains(&parameter.part))
    {
        let name = key("average", parameter);
        let mut shape = parameter.value.size();
        let stored = tensors.tensor(&name)?.shape().first().copied().unwrap_or_default() as i64;
        if let Some(rows) = shape.first_mut() {
            *rows = stored.min(*rows);
        }
        let rows = shape.first().copied().unwrap_or_default();
        parameter
            .value
            .f_detach()?
            .f_narrow(0, 0, rows)?
            .f_copy_(&tensor(&tensors, &name, &shape)?)?;
    }
    Ok(())
}

fn tensor(tensors: &SafeTensors<'_>, name: &str, shape: &[i64]) -> Result<Tensor, Box<dyn Error>> {
    let view = tensors.tensor(name)?;
    let stored: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
    if stored != shape || view.dtype() != Dtype::F32 {
        return Err(format!(
            "`{name}` is {:?} {stored:?} in the state, not float32 {shape:?}",
            view.dtype()
        )
        .into());
    }
    Ok(Tensor::f_from_data_size(view.data(), shape, Kind::Float)?)
}
