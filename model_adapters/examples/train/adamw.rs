//! AdamW (Loshchilov and Hutter, 2019) with gradient clipping by global norm, and a running average of the weights.

use std::error::Error;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::parameters::Parameters;

/// Settings that do not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of their squares.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// Of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Gradients longer than this together are shortened to it.
    pub clip: f64,
    /// Decay of the running average of the weights, which is what is exported.
    pub average: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.05,
            clip: 1.0,
            average: 0.995,
        }
    }
}

/// What the optimiser remembers of one weight.
#[derive(Debug)]
pub struct Moments {
    /// Running mean of its gradients.
    pub first: Tensor,
    /// Running mean of their squares.
    pub second: Tensor,
    /// Running average of itself.
    pub average: Tensor,
    /// Steps it has taken: a frozen weight takes none.
    pub steps: u32,
}

impl Moments {
    /// Of weights that have taken no step.
    pub fn fresh(parameters: &Parameters) -> Result<Vec<Self>, Box<dyn Error>> {
        let fresh = |value: &Tensor| -> Result<Self, Box<dyn Error>> {
            Ok(Self {
                first: value.f_zeros_like()?.f_detach()?,
                second: value.f_zeros_like()?.f_detach()?,
                average: value.f_detach()?.f_add_scalar(0.0)?,
                steps: 0,
            })
        };
        parameters
            .list
            .iter()
            .map(|parameter| fresh(&parameter.value))
            .collect()
    }
}

impl AdamW {
    /// One step of every weight that has a gradient, which is dropped. Gives the gradients' length before clipping.
    pub fn step(&self, parameters: &Parameters, moments: &mut [Moments], rate: f64) -> Result<f64, Box<dyn Error>> {
        let _guard = tch::no_grad_guard();
        let mut gradients = Vec::with_capacity(moments.len());
        let mut squares = Tensor::f_zeros([1], crate::parameters::OPTIONS)?;
        for parameter in &parameters.list {
            let gradient = parameter.value.f_grad()?;
            let gradient = (gradient.defined() && parameter.value.requires_grad()).then_some(gradient);
            if let Some(gradient) = &gradient {
                squares = squares.f_add(&gradient.f_flatten(0, -1)?.f_dot(&gradient.f_flatten(0, -1)?)?)?;
            }
            gradients.push(gradient);
        }
        let norm = squares.f_double_value(&[0])?.sqrt();
        if !norm.is_finite() {
            return Err("the gradients are not finite: lower the learning rate".into());
        }
        let shorten = (self.clip / norm).min(1.0);
        for ((parameter, moments), gradient) in parameters.list.iter().zip(moments).zip(gradients) {
            let Some(mut gradient) = gradient else { continue };
            let gradient = gradient.f_mul_scalar_(shorten)?;
            moments.steps += 1;
            let _first = moments.first.f_lerp_(&gradient, 1.0 - self.beta1)?;
            let _second = moments.second.f_lerp_(&gradient.f_square()?, 1.0 - self.beta2)?;
            let steps = f64::from(moments.steps);
            let (bias1, bias2) = (1.0 - self.beta1.powf(steps), 1.0 - self.beta2.powf(steps));
            let scale = moments
                .second
                .f_div_scalar(bias2)?
                .f_sqrt_()?
                .f_add_scalar_(self.epsilon)?;
            let update = moments.first.f_div(&scale)?.f_mul_scalar_(rate / bias1)?;
            let mut value = parameter.value.f_detach()?;
            if parameter.decays {
                let _decayed = value.f_mul_scalar_(1.0 - rate * self.weight_decay)?;
            }
            let _stepped = value.f_sub_(&update)?;
            // Young averages would remember the drawn weights for long.
            let keep = self.average.min((1.0 + steps) / (10.0 + steps));
            let _averaged = moments.average.f_lerp_(&value, 1.0 - keep)?;
            let mut gradient = gradient;
            let _zeroed = gradient.f_zero_()?;
        }
        Ok(norm)
    }
}
