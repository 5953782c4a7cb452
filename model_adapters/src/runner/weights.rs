//! From the memory-mapped bytes of a stored tensor to a libtorch tensor of the working dtype on its device, or to a
//! matrix that stays where it is. Either way every value is looked at once, and none may be NaN or infinite.

use std::cell::RefCell;
use std::collections::HashMap;

use tch::Tensor;

use crate::checkpoint::{self, Module, StoredQuantised, TensorView};
use crate::runner::device::Device;
use crate::runner::error::LoadError;
use crate::runner::finite::all_finite;
use crate::runner::loading::Keep;
use crate::runner::matrix::{Mapped, Matrix, WideBuffer, dequantise, stored_kind};
use crate::runner::torch::{Dtype, Placement, threads};

/// The tensors of one part of the model, as the layers ask for them: by canonical name, in a known shape.
pub struct Weights<'a> {
    source: Source<'a>,
    placement: Placement,
    keep: Keep,
    wide: WideBuffer,
    /// What the walk over the files has made; each is taken once.
    prepared: RefCell<HashMap<String, Prepared>>,
}

/// A tensor that has been read.
#[derive(Debug)]
pub enum Prepared {
    /// In the working dtype.
    Converted(Tensor),
    /// A matrix that stays in its file: all its values are finite.
    Finite,
}

enum Source<'a> {
    Module(&'a Module),
    #[cfg(test)]
    Random(Box<Make<'a>>),
}

/// Makes the tensor of a canonical name.
#[cfg(test)]
type Make<'a> = dyn Fn(&str) -> Result<Tensor, LoadError> + 'a;

impl<'a> Weights<'a> {
    /// Those of a checkpoint, converted to `placement` as they are asked for; matrices are kept as `keep` says.
    pub fn of(module: &'a Module, placement: Placement, keep: Keep, prepared: HashMap<String, Prepared>) -> Self {
        Self {
            source: Source::Module(module),
            placement,
            keep,
            wide: WideBuffer::new(placement),
            prepared: RefCell::new(prepared),
        }
    }

    /// The tensor `name` in the working dtype; it must have `shape`.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let tensor = match &self.source {
            Source::Module(module) => match self.take(name) {
                Some(Prepared::Converted(tensor)) => tensor,
                Some(Prepared::Finite) | None => convert(&module.tensor(name)?, self.placement)?,
            },
            #[cfg(test)]
            Source::Random(make) => make(name)?,
        };
        require(name, shape, &tensor.size())?;
        Ok(tensor)
    }

    /// The matrix `name`, `[outputs, inputs]`, converted or kept as it is.
    pub fn matrix(&self, name: &str, outputs: usize, inputs: usize) -> Result<Matrix, LoadError> {
        let shape = [outputs, inputs];
        match &self.source {
            Source::Module(module) => match (module.stored_quantised(name), self.keep) {
                (Some(packed), keep) => self.packed(name, packed, &shape, keep),
                (None, keep) if stays(module.stored(name)?.view().dtype, self.placement, keep) => {
                    self.mapped(module, name, &shape)
                }
                (None, _) => Ok(Matrix::ready(self.tensor(name, &shape)?)),
            },
            #[cfg(test)]
            Source::Random(_) => Ok(Matrix::ready(self.tensor(name, &shape)?)),
        }
    }

    /// The matrix in four bits, or what it stands for, rounded to float16 and from there to the working dtype.
    fn packed(&self, name: &str, packed: StoredQuantised, shape: &[usize], keep: Keep) -> Result<Matrix, LoadError> {
        let view = packed.view();
        require(name, shape, &[view.outputs as i64, view.inputs as i64])?;
        let floats = [&view.scales, &view.zeros]
            .into_iter()
            .filter(|part| part.dtype == checkpoint::Dtype::F16);
        for part in floats {
            if !all_finite(part.bytes, part.dtype, 1) {
                return Err(not_finite(part, self.placement.dtype));
            }
        }
        if keep != Keep::Converted {
            return Ok(Matrix::four_bits(packed, &self.wide));
        }
        let mut halves = Vec::new();
        dequantise(&view, view.outputs, &mut halves);
        let (kind, device) = self.placement.options();
        let tensor = Tensor::f_from_slice(&halves)?.f_view([view.outputs as i64, view.inputs as i64])?;
        let tensor = tensor.f_to_device(device)?.f_to_kind(kind)?;
        if !is_finite(&tensor)? {
            return Err(not_finite(&view.scales, self.placement.dtype));
        }
        Ok(Matrix::ready(tensor))
    }

    fn take(&self, name: &str) -> Option<Prepared> {
        self.prepared.borrow_mut().remove(name)
    }

    /// The matrix where it lies in its file.
    fn mapped(&self, module: &Module, name: &str, shape: &[usize]) -> Result<Matrix, LoadError> {
        let file = module.stored(name)?;
        let view = file.view();
        let tensor = stored(&view)?;
        require(name, shape, &tensor.size())?;
        let is_known = matches!(self.take(name), Some(Prepared::Finite));
        if !is_known && !all_finite(view.bytes, view.dtype, threads()) {
            return Err(not_finite(&view, self.placement.dtype));
        }
        Ok(Matrix::stored(Mapped::new(tensor, file), &self.wide))
    }
}

/// Makes of a stored tensor what the model will ask for: matrices stay in their files where `keep` says so.
pub(super) fn prepare(view: &TensorView<'_>, placement: Placement, keep: Keep) -> Result<Prepared, LoadError> {
    if view.shape.len() != 2 || !stays(view.dtype, placement, keep) {
        return Ok(Prepared::Converted(convert(view, placement)?));
    }
    if !all_finite(view.bytes, view.dtype, threads()) {
        return Err(not_finite(view, placement.dtype));
    }
    Ok(Prepared::Finite)
}

/// Whether a matrix stays in its file: where that is wanted, and on a CPU where there is nothing to convert.
fn stays(stored: checkpoint::Dtype, placement: Placement, keep: Keep) -> bool {
    keep == Keep::AsStored || placement.device == Device::Cpu && stored_kind(stored) == placement.options().0
}

fn require(name: &str, shape: &[usize], found: &[i64]) -> Result<(), LoadError> {
    let expected: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
    if found == expected {
        return Ok(());
    }
    Err(LoadError::Shape {
        tensor: name.to_owned(),
        expected,
        found: found.to_vec(),
    })
}

/// Whose fault it is: the file's, or that of a dtype that is too narrow.
fn not_finite(view: &TensorView<'_>, dtype: Dtype) -> LoadError {
    let (tensor, file) = (view.name.to_owned(), view.file.to_owned());
    if all_finite(view.bytes, view.dtype, threads()) {
        let dtype = dtype.id();
        LoadError::NotFinite { tensor, file, dtype }
    } else {
        LoadError::Damaged { tensor, file }
    }
}

/// Copies `view` once and converts it: 16-bit formats round to nearest even, overflow gives infinity, which is
/// refused. A GPU converts faster than the CPU and takes fewer bytes over the bus, so there the copy comes first.
fn convert(view: &TensorView<'_>, placement: Placement) -> Result<Tensor, LoadError> {
    let (kind, device) = placement.options();
    let stored = stored(view)?;
    let tensor = match placement.device {
        Device::Cpu => stored.f_to_dtype(kind, false, true)?,
        Device::Cuda(_) => stored.f_to_device(device)?.f_to_kind(kind)?,
    };
    let finite = if may_overflow(view.dtype, placement.dtype) {
        is_finite(&tensor)?
    } else {
        all_finite(view.bytes, view.dtype, threads())
    };
    if finite {
        Ok(tensor)
    } else {
        Err(not_finite(view, placement.dtype))
    }
}

/// A finite value of the first format may be none of the second.
const fn may_overflow(stored: checkpoint::Dtype, working: Dtype) -> bool {
    match (stored, working) {
        (_, Dtype::Float32) | (checkpoint::Dtype::F16, _) | (checkpoint::Dtype::Bf16, Dtype::BFloat16) => false,
        (checkpoint::Dtype::Bf16, Dtype::Float16)
        | (checkpoint::Dtype::F32 | checkpoint::Dtype::I16 | checkpoint::Dtype::I32, _) => true,
    }
}

/// The bytes as a tensor of the stored dtype on the CPU, which may borrow them: they must outlive it.
fn stored(view: &TensorView<'_>) -> Result<Tensor, LoadError> {
    let kind = stored_kind(view.dtype);
    let shape: Vec<i64> = view.shape.iter().map(|&side| side as i64).collect();
    let size = view.shape.iter().product::<usize>() * kind.elt_size_in_bytes();
    if size != view.bytes.len() {
        return Err(LoadError::Mismatch(format!(
            "tensor `{}` has {} bytes, but its shape {:?} needs {size}",
            view.name,
            view.bytes.len(),
            view.shape
        )));
    }
    if view.bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) != 0 {
        return Ok(Tensor::f_from_data_size(view.bytes, &shape, kind)?);
    }
    // SAFETY: pointer and length were checked above; the callers copy before the bytes go or keep the map beside the
    // tensor, and none writes.
    Ok(unsafe { Tensor::f_from_blob(view.bytes.as_ptr(), &shape, &[], kind, tch::Device::Cpu)? })
}

/// One pass and no temporary: both extremes are finite exactly when all values are, since NaN wins either.
fn is_finite(tensor: &Tensor) -> Result<bool, LoadError> {
    if tensor.numel() == 0 {
        return Ok(true);
    }
    let (least, greatest) = tensor.f_aminmax(None, false)?;
    Ok(least.f_double_value(&[])?.is_finite() && greatest.f_double_value(&[])?.is_finite())
}

#[cfg(test)]
impl<'a> Weights<'a> {
    /// Reproducible random tensors: whatever is asked for, small values that depend on the name only, in the
    /// shape that `shape_of` gives.
    pub fn random(placement: Placement, shape_of: impl Fn(&str) -> Vec<i64> + 'a) -> Self {
        Self {
            placement,
            keep: Keep::Converted,
            wide: WideBuffer::new(placement),
            prepared: RefCell::default(),
            source: Source::Random(Box::new(move |name| {
                let mut state = name
                    .bytes()
                    .fold(0x9e37_79b9_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(byte));
                let shape = shape_of(name);
                let centre = if name.contains("norm") && name.ends_with("weight") {
                    1.0
                } else {
                    0.0
                };
                let values: Vec<f32> = (0..shape.iter().product())
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        centre + (f64::from(state >> 8) / f64::from(1 << 24) - 0.5) as f32
                    })
                    .collect();
                let (kind, device) = placement.options();
                Ok(Tensor::f_from_slice(&values)?
                    .f_reshape(shape.as_slice())?
                    .f_to_device(device)?
                    .f_to_kind(kind)?)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use half::{bf16, f16};

    fn cpu(dtype: Dtype) -> Placement {
        Placement {
            device: Device::Cpu,
            dtype,
        }
    }

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.flatten(0, -1)).unwrap()
    }

    #[test]
    fn bytes_become_values_whatever_the_formats() {
        let values = [1.0_f32, -2.5, 0.15625, 3.0, 0.0, -1.0];
        let f16s: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let bf16s: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
        let f32s: Vec<u8> = values.iter().flat_map(|&v| v.to_le_bytes()).collect();
        let stored = [
            (checkpoint::Dtype::F16, f16s),
            (checkpoint::Dtype::Bf16, bf16s),
            (checkpoint::Dtype::F32, f32s),
        ];
        for (dtype, bytes) in &stored {
            for working in [Dtype::Float32, Dtype::Float16, Dtype::BFloat16] {
                for misaligned in [false, true] {
                    let mut room = vec![0_u8; bytes.len() + 8];
                    let start = room.as_ptr().align_offset(8) + usize::from(misaligned);
                    room[start..start + bytes.len()].copy_from_slice(bytes);
                    let view = TensorView {
                        file: Path::new("w.safetensors"),
                        name: "w",
                        dtype: *dtype,
                        shape: &[2, 3],
                        bytes: &room[start..start + bytes.len()],
                    };
                    let tensor = convert(&view, cpu(working)).unwrap();
                    room.fill(0xff);
                    assert_eq!(tensor.size(), [2, 3]);
                    assert_eq!(tensor.kind(), working.kind());
                    assert_eq!(
                        floats(&tensor),
                        values,
                        "{dtype:?} to {working}, misaligned: {misaligned}"
                    );
                }
            }
        }
    }

    #[test]
    fn bfloat16_to_float16_rounds_to_even_and_flushes_what_is_too_small() {
        // 2^-24 is the smallest float16; half of it and the next bfloat16 above that half lie on either side.
        let cases = [
            (f32::powi(2.0, -24), f32::powi(2.0, -24)),
            (f32::powi(2.0, -25), 0.0),
            (f32::powi(2.0, -25) * 1.007_812_5, f32::powi(2.0, -24)),
            (65_280.0, 65_280.0),
        ];
        for (value, expected) in cases {
            let bytes = bf16::from_f32(value).to_le_bytes();
            let view = TensorView {
                file: Path::new("w.safetensors"),
                name: "w",
                dtype: checkpoint::Dtype::Bf16,
                shape: &[1],
                bytes: &bytes,
            };
            assert_eq!(floats(&convert(&view, cpu(Dtype::Float16)).unwrap()), [expected]);
        }
    }

    #[test]
    fn values_that_are_not_finite_are_refused_by_name_and_file() {
        let narrow = "tensor `model.norm.weight` in `w.safetensors` holds values that are not finite in float16; try \
                      `--dtype float32`";
        let damaged = "tensor `model.norm.weight` in `w.safetensors` holds values that are not finite; the file is damaged \
                       or its training failed: fetch it again";
        let cases = [
            (70_000.0, Dtype::Float16, Some(narrow)),
            (-70_000.0, Dtype::Float16, Some(narrow)),
            (70_000.0, Dtype::Float32, None),
            (f32::NAN, Dtype::Float32, Some(damaged)),
            (f32::NAN, Dtype::Float16, Some(damaged)),
            (f32::INFINITY, Dtype::BFloat16, Some(damaged)),
        ];
        for (value, dtype, wanted) in cases {
            let bytes: Vec<u8> = [0.5, value, 1.0].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
            let view = TensorView {
                file: Path::new("w.safetensors"),
                name: "model.norm.weight",
                dtype: checkpoint::Dtype::F32,
                shape: &[3],
                bytes: &bytes,
            };
            let found = convert(&view, cpu(dtype)).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), wanted, "{value} in {dtype}");
        }
    }

    #[test]
    fn shapes_must_agree() {
        let weights = Weights::random(cpu(Dtype::Float32), |_| vec![2, 3]);
        assert!(weights.tensor("w", &[2, 3]).is_ok());
        assert_eq!(
            weights.tensor("w", &[3, 2]).unwrap_err().to_string(),
            "tensor `w` has shape [2, 3], but the configuration asks for [3, 2]"
        );
        let short = TensorView {
            file: Path::new("w.safetensors"),
            name: "w",
            dtype: checkpoint::Dtype::F32,
            shape: &[2],
            bytes: &[0; 4],
        };
        assert_eq!(
            convert(&short, cpu(Dtype::Float32)).unwrap_err().to_string(),
            "tensor `w` has 4 bytes, but its shape [2] needs 8"
        );
    }
}
