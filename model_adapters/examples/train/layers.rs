//! The layers that tower, projector and decoder share.

use std::error::Error;

use tch::Tensor;

use crate::parameters::{Parameters, Part, Stored};

/// A matrix product with or without a bias.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Draws `{name}.weight`, `[outputs, inputs]`, with outputs of variance `gain²` for inputs of variance 1.
    pub fn new(
        parameters: &mut Parameters,
        part: Part,
        name: &str,
        [inputs, outputs]: [usize; 2],
        gain: f64,
        lies: Stored,
    ) -> Result<Self, Box<dyn Error>> {
        let deviation = gain / (inputs as f64).sqrt();
        let weight = parameters.matrix(part, &format!("{name}.weight"), [outputs, inputs], deviation, lies)?;
        Ok(Self { weight, bias: None })
    }

    /// The same with `{name}.bias`, zero at first.
    pub fn with_bias(
        parameters: &mut Parameters,
        part: Part,
        name: &str,
        sizes: [usize; 2],
        gain: f64,
        lies: Stored,
    ) -> Result<Self, Box<dyn Error>> {
        let linear = Self::new(parameters, part, name, sizes, gain, lies)?;
        let bias = parameters.vector(part, &format!("{name}.bias"), sizes[1], 0.0)?;
        if let (Stored::Qkv, Some(fused)) = (lies, parameters.list.last_mut()) {
            fused.lies = lies;
        }
        Ok(Self {
            bias: Some(bias),
            ..linear
        })
    }

    /// The same with another number in its bias.
    pub fn biased(self, number: f64) -> Result<Self, Box<dyn Error>> {
        if let Some(bias) = &self.bias {
            let _filled = bias.f_detach()?.f_fill_(number)?;
        }
        Ok(self)
    }

    /// Takes over `weight`; the bias, if any, makes the output of `mean` zero.
    pub fn set(&self, weight: &Tensor, mean: &Tensor) -> Result<(), Box<dyn Error>> {
        self.weight.f_detach()?.f_copy_(weight)?;
        if let Some(bias) = &self.bias {
            bias.f_detach()?.f_copy_(&weight.f_mv(mean)?.f_neg()?)?;
        }
        Ok(())
    }

    /// `[outputs, inputs]`
    pub const fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// LayerNorm over the last axis.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Ones and zeros.
    pub fn new(
        parameters: &mut Parameters,
        part: Part,
        name: &str,
        width: usize,
        eps: f64,
    ) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            weight: parameters.vector(part, &format!("{name}.weight"), width, 1.0)?,
            bias: parameters.vector(part, &format!("{name}.bias"), width, 0.0)?,
            eps,
        })
    }

    /// Same shape as `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        Ok(x.f_layer_norm(
            self.weight.size(),
            Some(&self.weight),
            Some(&self.bias),
            self.eps,
            false,
        )?)
    }
}

/// RMS norm over the last axis.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Ones.
    pub fn new(parameters: &mut Parameters, name: &str, width: usize, eps: f64) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            weight: parameters.vector(Part::Decoder, &format!("{name}.weight"), width, 1.0)?,
            eps,
        })
    }

    /// Same shape as `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        Ok(x.f_rms_norm(self.weight.size(), Some(&self.weight), self.eps)?)
    }
}
