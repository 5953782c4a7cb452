//! The layers that more than one part of the model is made of.

use tch::{Kind, Tensor};

use crate::checkpoint::Activation;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::matrix::Matrix;
use crate::runner::weights::Weights;

/// `y = x Wᵀ + b`, accumulated in f32 and rounded once to the working dtype.
#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `{name}.weight` of shape `[outputs, inputs]` and no bias.
    pub fn without_bias(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: None,
        })
    }

    /// Reads `{name}.weight` of shape `[outputs, inputs]` and `{name}.bias`.
    pub fn with_bias(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: weights.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: Some(weights.tensor(&format!("{name}.bias"), &[outputs])?),
        })
    }

    /// Takes a matrix of shape `[outputs, inputs]`.
    pub const fn of(weight: Matrix) -> Self {
        Self { weight, bias: None }
    }

    /// Its matrix, where it lies ready in the working dtype.
    pub fn ready(&self) -> Option<Tensor> {
        self.weight.as_ready()
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        self.weight.linear(x, self.bias.as_ref())
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
        Ok(scaled.f_to_kind(self.weight.f_kind()?)?.f_mul_(&self.weight)?)
    }
}

/// What stands between the two linears of a tower's MLP, with the roundings of `architecture.md` sections 2 to 4.
pub fn activate(activation: Activation, x: &Tensor) -> Result<Tensor, TorchError> {
    Ok(match activation {
        Activation::QuickGelu => x.f_mul_scalar(1.702)?.f_sigmoid_()?.f_mul_(x)?,
        Activation::GeluTanh => x.f_gelu("tanh")?,
        Activation::Gelu => x.f_gelu("none")?,
    })
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

    #[test]
    fn quick_gelu_rounds_three_times() {
        let x: Vec<f16> = (-40..40).map(|i| f16::from_f32(i as f32 * 0.1173)).collect();
        let ours: Vec<f16> = Vec::try_from(activate(Activation::QuickGelu, &Tensor::from_slice(&x)).unwrap()).unwrap();
        let by_hand = |x: &f16| {
            let scaled = f16::from_f32(1.702 * x.to_f32());
            let sigmoid = f16::from_f32(1.0 / (1.0 + (-scaled.to_f32()).exp()));
            f16::from_f32(x.to_f32() * sigmoid.to_f32())
        };
        assert_eq!(ours, x.iter().map(by_hand).collect::<Vec<_>>());
        let once = |x: &f16| f16::from_f32(x.to_f32() / (1.0 + (-1.702 * x.to_f32()).exp()));
        assert_ne!(ours, x.iter().map(once).collect::<Vec<_>>());
    }

    #[test]
    fn the_two_forms_of_gelu() {
        for (activation, expected) in [(Activation::Gelu, 0.841_345), (Activation::GeluTanh, 0.841_192)] {
            let one = activate(activation, &Tensor::from_slice(&[1.0_f32])).unwrap();
            assert!((one.double_value(&[0]) - expected).abs() < 1e-6, "{activation:?}");
        }
    }

    #[test]
    fn layer_norm_and_the_forms_of_gelu_round_once() {
        let x = halves(&[0.333_3, -1.771, 2.906, 0.011_2, -0.507, 1.234, 0.777, -2.222]);
        let (weight, bias) = (
            halves(&[1.337, 0.913, 0.491, 1.771, 1.113, 0.707, 1.901, 0.333]),
            halves(&[0.13, -0.7, 0.31, 0.02, -0.41, 0.57, 0.11, -0.93]),
        );
        let norm = LayerNorm {
            weight: Tensor::from_slice(&weight),
            bias: Tensor::from_slice(&bias),
            width: 8,
            eps: 1e-5,
        };
        let ours: Vec<f16> = Vec::try_from(norm.forward(&Tensor::from_slice(&x)).unwrap()).unwrap();
        let mean = x.iter().map(|v| v.to_f32()).sum::<f32>() / 8.0;
        let variance = x.iter().map(|v| (v.to_f32() - mean).powi(2)).sum::<f32>() / 8.0;
        let once = |i: usize| {
            let normed = (x[i].to_f32() - mean) / (variance + 1e-5).sqrt();
            f16::from_f32(normed * weight[i].to_f32() + bias[i].to_f32())
        };
        assert_eq!(ours, (0..8).map(once).collect::<Vec<_>>());

        let tanh: Vec<f16> = Vec::try_from(activate(Activation::GeluTanh, &Tensor::from_slice(&x)).unwrap()).unwrap();
        let once = |v: &f16| {
            let v = v.to_f32();
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (v + 0.044_715 * v * v * v);
            f16::from_f32(0.5 * v * (1.0 + inner.tanh()))
        };
        assert_eq!(tanh, x.iter().map(once).collect::<Vec<_>>());
    }
}
