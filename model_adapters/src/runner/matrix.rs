//! A weight matrix as it is kept: ready in the working dtype, as it lies on disk and widened when it is used, or in
//! four bits and de-quantised when it is used.
//!
//! Widening 16 bits to 32 is exact, so a product is the same to the last bit whichever way the matrix is kept: how a
//! model is kept is no part of what a run is.

use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use tch::{Kind, Tensor};

use crate::checkpoint::{QuantisedView, StoredQuantised, StoredTensor};
use crate::runner::error::TorchError;
use crate::runner::torch::{Placement, threads};
use crate::runner::{few_rows, many_rows};

/// A matrix `[outputs, inputs]`.
#[derive(Debug)]
pub struct Matrix {
    kept: Kept,
    /// Rows in use: the first ones.
    outputs: usize,
}

#[derive(Debug)]
enum Kept {
    Ready(Tensor),
    Stored {
        stored: Mapped,
        wide: WideBuffer,
    },
    FourBits {
        packed: Arc<StoredQuantised>,
        wide: WideBuffer,
    },
}

/// A tensor over the bytes of a mapped file, and the file, which must outlive it: fields fall in this order.
#[derive(Debug)]
pub struct Mapped {
    tensor: Tensor,
    file: StoredTensor,
}

impl Mapped {
    /// `tensor` lies in the bytes of `file` and is only ever read.
    pub const fn new(tensor: Tensor, file: StoredTensor) -> Self {
        Self { tensor, file }
    }

    fn share(&self) -> Self {
        Self::new(self.tensor.shallow_clone(), self.file.clone())
    }
}

impl Matrix {
    /// One in the working dtype, `[outputs, inputs]`.
    pub fn ready(tensor: Tensor) -> Self {
        Self {
            outputs: tensor.size().first().map_or(0, |&rows| rows as usize),
            kept: Kept::Ready(tensor),
        }
    }

    /// One that stays in its file.
    pub fn stored(stored: Mapped, wide: &WideBuffer) -> Self {
        let size = stored.tensor.size();
        if !wide.is_as_wide_as(&stored) {
            wide.reserve(stored.tensor.numel());
        }
        Self {
            outputs: size.first().map_or(0, |&rows| rows as usize),
            kept: Kept::Stored {
                stored,
                wide: wide.clone(),
            },
        }
    }

    /// One that stays in four bits.
    pub fn four_bits(packed: StoredQuantised, wide: &WideBuffer) -> Self {
        let QuantisedView { outputs, inputs, .. } = packed.view();
        wide.reserve(outputs * inputs);
        Self {
            outputs,
            kept: Kept::FourBits {
                packed: Arc::new(packed),
                wide: wide.clone(),
            },
        }
    }

    /// Rows.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// The first `rows` rows.
    pub fn cut(self, rows: usize) -> Self {
        Self {
            outputs: rows.min(self.outputs),
            ..self
        }
    }

    /// The same matrix once more, nothing copied.
    pub fn share(&self) -> Self {
        let kept = match &self.kept {
            Kept::Ready(tensor) => Kept::Ready(tensor.shallow_clone()),
            Kept::Stored { stored, wide } => Kept::Stored {
                stored: stored.share(),
                wide: wide.clone(),
            },
            Kept::FourBits { packed, wide } => Kept::FourBits {
                packed: Arc::clone(packed),
                wide: wide.clone(),
            },
        };
        Self {
            kept,
            outputs: self.outputs,
        }
    }

    /// The tensor itself, where it is ready.
    pub fn as_ready(&self) -> Option<Tensor> {
        match &self.kept {
            Kept::Ready(tensor) => Some(tensor.shallow_clone()),
            Kept::Stored { .. } | Kept::FourBits { .. } => None,
        }
    }

    /// `x Wᵀ + b`: `[.., inputs]` to `[.., outputs]`, accumulated in f32 and rounded once to the working dtype.
    pub fn linear(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TorchError> {
        if let Kept::Stored { stored, .. } = &self.kept {
            let stored = stored.tensor.f_narrow(0, 0, self.outputs as i64)?;
            if let Some(product) = few_rows(x, &stored, bias)? {
                return Ok(product);
            }
        }
        self.with(|weight| {
            if let Some(product) = few_rows(x, weight, bias)? {
                return Ok(product);
            }
            match many_rows::product(x, weight, bias)? {
                Some(product) => Ok(product),
                None => Ok(x.f_linear(weight, bias)?),
            }
        })
    }

    /// The rows of these numbers, `[n]` i64 on the device: `[n, inputs]` in the working dtype.
    pub fn rows(&self, numbers: &Tensor) -> Result<Tensor, TorchError> {
        match &self.kept {
            Kept::Stored { stored, wide } => {
                let rows = Tensor::f_embedding(&stored.tensor, numbers, -1, false, false)?;
                Ok(rows.f_to_kind(wide.placement.options().0)?)
            }
            _ => self.with(|weight| Ok(Tensor::f_embedding(weight, numbers, -1, false, false)?)),
        }
    }

    /// Runs `product` on the matrix in the working dtype.
    fn with(&self, product: impl FnOnce(&Tensor) -> Result<Tensor, TorchError>) -> Result<Tensor, TorchError> {
        let rows = self.outputs as i64;
        match &self.kept {
            Kept::Ready(tensor) => product(&tensor.f_narrow(0, 0, rows)?),
            Kept::Stored { stored, wide } => {
                let is_wide = wide.is_as_wide_as(stored);
                let stored = stored.tensor.f_narrow(0, 0, rows)?;
                if is_wide {
                    return product(&stored);
                }
                wide.filled(&stored.size(), |buffer, _| Ok(buffer.f_copy_(&stored)?), product)
            }
            Kept::FourBits { packed, wide } => {
                let packed = packed.view();
                let fill = |buffer: &mut Tensor, halves: &mut Vec<f16>| {
                    dequantise(&packed, self.outputs, halves);
                    let halves = Tensor::f_from_slice(halves.as_slice())?.f_view_as(buffer)?;
                    Ok(buffer.f_copy_(&halves)?)
                };
                wide.filled(&[rows, packed.inputs as i64], fill, product)
            }
        }
    }
}

/// `x Wᵀ + b` where there are few rows.
fn few_rows(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>, TorchError> {
    Ok(match (few_rows::product(x, weight)?, bias) {
        (Some(mut product), Some(bias)) => Some(product.f_add_(bias)?),
        (product, _) => product,
    })
}

/// Writes the first `rows` rows of `packed` to `halves`, shared out to threads.
pub fn dequantise(packed: &QuantisedView<'_>, rows: usize, halves: &mut Vec<f16>) {
    let inputs = packed.inputs.max(1);
    halves.resize(rows * inputs, f16::ZERO);
    // AWQ's current packing interleaves four rows.
    let share = rows.div_ceil(threads()).next_multiple_of(4).max(4);
    std::thread::scope(|scope| {
        for (number, part) in halves.chunks_mut(share * inputs).enumerate() {
            let first = number * share;
            scope.spawn(move || packed.dequantise_rows(first..first + part.len() / inputs, part));
        }
    });
}

/// The one buffer that matrices are widened into, as large as the largest of them and allocated when it is first
/// used.
#[derive(Debug, Clone)]
pub struct WideBuffer {
    placement: Placement,
    room: Arc<Mutex<Room>>,
}

#[derive(Debug, Default)]
struct Room {
    /// Elements that the largest matrix has.
    elements: usize,
    /// Flat, in the working dtype.
    wide: Option<Tensor>,
    /// Where four bits become sixteen.
    halves: Vec<f16>,
}

impl WideBuffer {
    /// An empty one for matrices that are used at `placement`.
    pub fn new(placement: Placement) -> Self {
        Self {
            placement,
            room: Arc::default(),
        }
    }

    /// Whether there is nothing to widen.
    fn is_as_wide_as(&self, stored: &Mapped) -> bool {
        stored.tensor.kind() == self.placement.options().0
    }

    fn reserve(&self, elements: usize) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.elements = room.elements.max(elements);
    }

    /// Lets `fill` write a tensor of `shape` into the buffer and `product` read it. Held until the product is there,
    /// since the next matrix overwrites it.
    fn filled(
        &self,
        shape: &[i64],
        fill: impl FnOnce(&mut Tensor, &mut Vec<f16>) -> Result<(), TorchError>,
        product: impl FnOnce(&Tensor) -> Result<Tensor, TorchError>,
    ) -> Result<Tensor, TorchError> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let Room { elements, wide, halves } = &mut *room;
        let needed = (*elements).max(shape.iter().product::<i64>() as usize);
        let whole = match wide.take().filter(|wide| wide.numel() >= needed) {
            Some(whole) => whole,
            None => Tensor::f_empty([needed as i64], self.placement.options())?,
        };
        let whole = wide.insert(whole);
        let mut matrix = whole.f_narrow(0, 0, shape.iter().product())?.f_view(shape)?;
        fill(&mut matrix, halves)?;
        product(&matrix)
    }
}

/// The dtype on disk as libtorch calls it.
pub const fn stored_kind(dtype: crate::checkpoint::Dtype) -> Kind {
    match dtype {
        crate::checkpoint::Dtype::F16 => Kind::Half,
        crate::checkpoint::Dtype::Bf16 => Kind::BFloat16,
        crate::checkpoint::Dtype::F32 => Kind::Float,
        crate::checkpoint::Dtype::I16 => Kind::Int16,
        crate::checkpoint::Dtype::I32 => Kind::Int,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(rows: usize) -> Tensor {
        let values: Vec<f32> = (0..rows * 4).map(|at| at as f32 / 8.0).collect();
        Tensor::from_slice(&values).view([rows as i64, 4])
    }

    #[test]
    fn a_cut_matrix_has_no_more_rows() {
        let matrix = Matrix::ready(by_hand(9)).cut(5);
        assert_eq!(matrix.outputs(), 5);
        let x = Tensor::ones([2, 4], (Kind::Float, tch::Device::Cpu));
        assert_eq!(matrix.linear(&x, None).unwrap().size(), [2, 5]);
        assert!(matrix.rows(&Tensor::from_slice(&[5_i64])).is_err());
    }
}
