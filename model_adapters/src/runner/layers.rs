//! The layers that more than one part of the model is made of.

use tch::{Kind, Tensor};

use crate::runner::error::{LoadError, TorchError};
use crate::runner::weights::Weights;

/// `y = x Wᵀ + b`, accumulated in f32 and rounded once to the working dtype.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `{name}.weight` of shape `[outputs, inputs]` and no bias.
    pub fn without_bias(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: None,
        })
    }

    /// Reads `{name}.weight` of shape `[outputs, inputs]` and `{name}.bias`.
    pub fn with_bias(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: Some(weights.tensor(&format!("{name}.bias"), &[outputs])?),
        })
    }

    /// Takes a matrix of shape `[outputs, inputs]`.
    pub fn of(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// LayerNorm over the last axis: statistics and affine map in f32, one rounding.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    width: i64,
    eps: f64,
}

impl LayerNorm {
    /// Reads `{name}.weight` and `{name}.bias`.
    pub fn load(weights: &Weights<'_>, name: &str, width: usize, eps: f64) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[width])?,
            bias: weights.tensor(&format!("{name}.bias"), &[width])?,
            width: width as i64,
            eps,
        })
    }

    /// Same shape as `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        Ok(x.f_layer_norm([self.width], Some(&self.weight), Some(&self.bias), self.eps, false)?)
    }
}

/// RMS norm over the last axis with the two roundings of `architecture.md` section 6.1, which no fused kernel has.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `{name}.weight`.
    pub fn load(weights: &Weights<'_>, name: &str, width: usize, eps: f64) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[width])?,
            eps,
        })
    }

    /// Same shape as `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let wide = x.f_to_kind(Kind::Float)?;
        let mean = wide.f_square()?.f_mean_dim([-1_i64].as_slice(), true, Kind::Float)?;
        let scaled = wide.f_mul(&mean.f_add_scalar(self.eps)?.f_rsqrt()?)?;
        Ok(self.weight.f_mul(&scaled.f_to_kind(self.weight.f_kind()?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    fn halves(values: &[f32]) -> Vec<f16> {
        values.iter().map(|&value| f16::from_f32(value)).collect()
    }

    /// The formula as written, in plain f32 arithmetic with two roundings.
    fn rms_by_hand(x: &[f16], weight: &[f16], eps: f32) -> Vec<f16> {
        let mean = x.iter().map(|v| v.to_f32() * v.to_f32()).sum::<f32>() / x.len() as f32;
        let factor = 1.0 / (mean + eps).sqrt();
        x.iter()
            .zip(weight)
            .map(|(v, w)| f16::from_f32(w.to_f32() * f16::from_f32(v.to_f32() * factor).to_f32()))
            .collect()
    }

    #[test]
    fn rms_norm_rounds_before_and_after_the_weight() {
        let x = halves(&[0.333_3, -1.771, 2.906, 0.011_2, -0.507, 1.234, 0.777, -2.222]);
        let weight = halves(&[1.337, 0.913, 0.491, 1.771, 1.113, 0.707, 1.901, 0.333]);
        let norm = RmsNorm {
            weight: Tensor::from_slice(&weight),
            eps: 1e-5,
        };
        let ours: Vec<f16> = Vec::try_from(norm.forward(&Tensor::from_slice(&x)).unwrap()).unwrap();
        assert_eq!(ours, rms_by_hand(&x, &weight, 1e-5));

        let mean = x.iter().map(|v| v.to_f32() * v.to_f32()).sum::<f32>() / x.len() as f32;
        let once: Vec<f16> = x
            .iter()
            .zip(&weight)
            .map(|(v, w)| f16::from_f32(v.to_f32() / (mean + 1e-5).sqrt() * w.to_f32()))
            .collect();
        assert_ne!(ours, once, "these numbers must tell two roundings from one");
    }

    #[test]
    fn rms_norm_squares_in_single_precision() {
        // 300² overflows float16.
        let norm = RmsNorm {
            weight: Tensor::from_slice(&halves(&[1.0, 1.0])),
            eps: 1e-5,
        };
        let ours: Vec<f16> =
            Vec::try_from(norm.forward(&Tensor::from_slice(&halves(&[300.0, -300.0]))).unwrap()).unwrap();
        assert_eq!(ours, halves(&[1.0, -1.0]));
    }
}
