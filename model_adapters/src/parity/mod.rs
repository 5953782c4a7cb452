//! Whether this machine and this build compute what the references computed: on the small checkpoints that ship with
//! the project ([`golden`]), and layer by layer on a user's own, beside a dump of a reference program ([`dump`]).

mod dump;
mod fixture;
mod golden;

use half::{bf16, f16};
use safetensors::Dtype as Stored;

pub use dump::{Dump, DumpReport, Step};
pub use fixture::{Case, Cases, Fixture};
pub use golden::{GoldenReport, golden};

/// Why a parity check could not be made; in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParityError(pub String);

impl ParityError {
    fn new(what: &dyn std::fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// The largest distance between two lists of values; infinite where they are not equally long or one is NaN.
fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    if ours.len() != theirs.len() {
        return f32::INFINITY;
    }
    ours.iter().zip(theirs).fold(0.0, |largest: f32, (a, b)| {
        let apart = (a - b).abs();
        if apart.is_nan() {
            f32::INFINITY
        } else {
            largest.max(apart)
        }
    })
}

/// The values of a tensor in f32.
fn values(tensor: &tch::Tensor) -> Result<Vec<f32>, ParityError> {
    let flat = tensor
        .f_to_kind(tch::Kind::Float)
        .and_then(|wide| wide.f_flatten(0, -1));
    flat.and_then(Vec::try_from).map_err(|error| ParityError::new(&error))
}

/// The values of a stored tensor of floats in f32; `None` where it holds none.
fn floats(tensor: &safetensors::tensor::TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    let (words, _) = bytes.as_chunks::<2>();
    Some(match tensor.dtype() {
        Stored::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect(),
        Stored::F16 => words.iter().map(|word| f16::from_le_bytes(*word).to_f32()).collect(),
        Stored::BF16 => words.iter().map(|word| bf16::from_le_bytes(*word).to_f32()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn what_cannot_be_compared_is_infinitely_far_apart() {
        assert_eq!(distance(&[1.0, 2.0], &[1.5, 2.0]), 0.5);
        assert_eq!(distance(&[1.0], &[1.0, 2.0]), f32::INFINITY);
        assert_eq!(distance(&[f32::NAN, 1.0], &[0.0, 1.0]), f32::INFINITY);
        assert_eq!(distance(&[], &[]), 0.0);
    }
}
