//! The projectors, `mlp_downsample` and `mlp2x_gelu`.

use std::error::Error;

use model_adapters::checkpoint::{ProjectorConfig, ProjectorKind};
use tch::Tensor;

use crate::layers::{LayerNorm, Linear};
use crate::parameters::{Parameters, Part, Stored};

/// Fixed in VILA's `base_projector.py`.
const DOWNSAMPLE_NORM_EPS: f64 = 1e-5;

/// A projector of two linears.
#[derive(Debug)]
pub struct Projector {
    /// Present where four patches become one row.
    merge_norm: Option<LayerNorm>,
    first: Linear,
    second: Linear,
}

impl Projector {
    /// Draws the projector that `config` describes.
    pub fn new(config: &ProjectorConfig, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let hidden = config.hidden_size;
        let (inputs, merged) = match config.kind {
            ProjectorKind::MlpDownsample => (4 * config.tower_size, true),
            ProjectorKind::MlpGelu { depth: 2 } => (config.tower_size, false),
            ProjectorKind::MlpGelu { .. } | ProjectorKind::Linear | ProjectorKind::Identity => {
                return Err("only `mlp_downsample` and `mlp2x_gelu` are trained here".into());
            }
        };
        let merge_norm = if merged {
            Some(LayerNorm::new(
                parameters,
                Part::Projector,
                "norm",
                inputs,
                DOWNSAMPLE_NORM_EPS,
            )?)
        } else {
            None
        };
        let mut linear = |number: usize, sizes| {
            let name = format!("linear.{number}");
            Linear::with_bias(parameters, Part::Projector, &name, sizes, 1.0, Stored::Whole)
        };
        Ok(Self {
            merge_norm,
            first: linear(0, [inputs, hidden])?,
            second: linear(1, [hidden, hidden])?,
        })
    }

    /// `[P, T, tower width]` to `[P, rows, H]`.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        let hidden = match &self.merge_norm {
            None => self.first.forward(features)?,
            Some(norm) => self.first.forward(&norm.forward(&merged(features)?)?)?,
        };
        self.second.forward(&hidden.f_gelu("none")?)
    }

    /// The rows of a picture, `[P, rows, H]`, in the order in which it is read: `mlp_downsample` goes down the columns.
    pub fn row_by_row(&self, rows: &Tensor) -> Result<Tensor, Box<dyn Error>> {
        match self.merge_norm {
            Some(_) => turned(rows),
            None => Ok(rows.shallow_clone()),
        }
    }
}

/// See [`Projector::row_by_row`].
fn turned(rows: &Tensor) -> Result<Tensor, Box<dyn Error>> {
    let (pictures, count, width) = rows.size3()?;
    let side = (count as u64).isqrt() as i64;
    Ok(rows
        .f_view([pictures, side, side, width])?
        .f_transpose(1, 2)?
        .f_reshape([pictures, count, width])?)
}

/// 2 x 2 patches to one row, `[P, s², C]` to `[P, (s/2)², 4C]`, down the columns as VILA1.5 has it. Even sides only.
fn merged(features: &Tensor) -> Result<Tensor, Box<dyn Error>> {
    let (pictures, tokens, width) = features.size3()?;
    let half = (tokens as u64).isqrt() as i64 / 2;
    if 4 * half * half != tokens {
        return Err(format!("{tokens} patches do not fill a square of even side").into());
    }
    Ok(features
        .f_view([pictures, half, 2, half, 2, width])?
        .f_permute([0, 3, 1, 2, 4, 5])?
        .f_reshape([pictures, half * half, 4 * width])?)
}
