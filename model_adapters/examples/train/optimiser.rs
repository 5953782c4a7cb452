//! Muon (Jordan et al., 2024) for the matrices inside tower, projector and decoder and AdamW (Loshchilov and Hutter, 2019)
//! for all else, at one learning rate: Muon's steps have the size of AdamW's (Liu et al., "Muon is scalable for LLM
//! training", 2025). Gradients are clipped by their global norm; a running average of the weights is kept.
//!
//! A tower that starts from nothing learns shapes from fewer pictures this way: it knew 61 % of them after 7,600, and
//! 52 % after 12,200 with AdamW alone.

use std::error::Error;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::parameters::Parameters;

/// Settings that do not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimiser {
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of their squares.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// Decay of the running mean of gradients where Muon steps.
    pub momentum: f64,
    /// Of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Gradients longer than this together are shortened to it.
    pub clip: f64,
    /// Decay of the running average of the weights, which is what is exported.
    pub average: f64,
}

impl Default for Optimiser {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            momentum: 0.95,
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
    /// Running mean of their squares; stays zero where Muon steps.
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

/// Coefficients of the quintic that drives singular values to about 1, Jordan's.
const QUINTIC: [f64; 3] = [3.4445, -4.775, 2.0315];
/// How often it is applied.
const ITERATIONS: usize = 5;
/// Root mean square of AdamW's usual step, in learning rates.
const STEP: f64 = 0.2;

impl Optimiser {
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
            let update = if parameter.turns() {
                self.turned(&gradient, moments, parameter.fused())?
            } else {
                self.scaled(&gradient, moments)?
            };
            let update = update.f_mul_scalar(rate)?;
            let mut value = parameter.value.f_detach()?;
            if parameter.decays {
                let _decayed = value.f_mul_scalar_(1.0 - rate * self.weight_decay)?;
            }
            let _stepped = value.f_sub_(&update)?;
            // Young averages would remember the drawn weights for long.
            let steps = f64::from(moments.steps);
            let keep = self.average.min((1.0 + steps) / (10.0 + steps));
            let _averaged = moments.average.f_lerp_(&value, 1.0 - keep)?;
            let mut gradient = gradient;
            let _zeroed = gradient.f_zero_()?;
        }
        Ok(norm)
    }
    /// AdamW's step at rate 1.
    fn scaled(&self, gradient: &Tensor, moments: &mut Moments) -> Result<Tensor, Box<dyn Error>> {
        let _first = moments.first.f_lerp_(gradient, 1.0 - self.beta1)?;
        let _second = moments.second.f_lerp_(&gradient.f_square()?, 1.0 - self.beta2)?;
        let steps = f64::from(moments.steps);
        let (bias1, bias2) = (1.0 - self.beta1.powf(steps), 1.0 - self.beta2.powf(steps));
        let scale = moments
            .second
            .f_div_scalar(bias2)?
            .f_sqrt_()?
            .f_add_scalar_(self.epsilon)?;
        Ok(moments.first.f_div(&scale)?.f_div_scalar(bias1)?)
    }

    /// Muon's step at rate 1, of each of the `fused` matrices for itself.
    fn turned(&self, gradient: &Tensor, moments: &mut Moments, fused: i64) -> Result<Tensor, Box<dyn Error>> {
        let _first = moments.first.f_lerp_(gradient, 1.0 - self.momentum)?;
        let ahead = gradient.f_lerp(&moments.first, self.momentum)?;
        let pieces = ahead.f_chunk(fused, 0)?;
        let pieces: Vec<Tensor> = pieces.iter().map(orthogonal).collect::<Result<_, _>>()?;
        Ok(Tensor::f_cat(&pieces, 0)?)
    }
}

/// About the nearest matrix with orthogonal rows or columns, by Newton and Schulz, of root mean square [`STEP`].
fn orthogonal(matrix: &Tensor) -> Result<Tensor, Box<dyn Error>> {
    let (rows, columns) = matrix.size2()?;
    let upright = rows > columns;
    let mut x = if upright {
        matrix.f_tr()?
    } else {
        matrix.shallow_clone()
    };
    x = x.f_div(&x.f_norm()?.f_add_scalar(1e-7)?)?;
    let [one, three, five] = QUINTIC;
    for _ in 0..ITERATIONS {
        let square = x.f_matmul(&x.f_tr()?)?;
        let inner = square
            .f_mul_scalar(three)?
            .f_add(&square.f_matmul(&square)?.f_mul_scalar(five)?)?;
        x = x.f_mul_scalar(one)?.f_add(&inner.f_matmul(&x)?)?;
    }
    let x = if upright { x.f_tr()? } else { x };
    Ok(x.f_mul_scalar(STEP * (rows.max(columns) as f64).sqrt())?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::parameters::OPTIONS;

    #[test]
    fn a_step_of_muon_has_the_size_of_one_of_adamw_in_every_direction() {
        for (rows, columns) in [(24, 24), (16, 40), (40, 16)] {
            let line = Tensor::arange(rows * columns, OPTIONS);
            let matrix = (&line * &line * 0.37).sin().view([rows, columns]);
            let turned = orthogonal(&matrix).unwrap();
            let flat = if rows > columns {
                turned.tr()
            } else {
                turned.shallow_clone()
            };
            let stretched: Vec<f32> = Vec::try_from(flat.matmul(&flat.tr()).linalg_eigvalsh("L").sqrt()).unwrap();
            let one = (STEP * (rows.max(columns) as f64).sqrt()) as f32;
            assert!(
                stretched.iter().all(|value| (0.6..1.3).contains(&(value / one))),
                "{stretched:?}"
            );
            let size = turned.square().mean(Kind::Float).sqrt().double_value(&[]);
            assert!((size / STEP - 1.0).abs() < 0.3, "{size}");
        }
    }
}
