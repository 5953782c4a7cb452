//! The projector from the tower's tokens to rows of the decoder's input (`architecture.md` section 5).

use tch::Tensor;

use crate::checkpoint::{ProjectorConfig, ProjectorKind};
use crate::runner::error::{LoadError, TorchError};
use crate::runner::layers::{LayerNorm, Linear};
use crate::runner::weights::Weights;

/// Fixed in `base_projector.py` of VILA-1.5.
const DOWNSAMPLE_NORM_EPS: f64 = 1e-5;
/// Patches that become one row.
const MERGED: usize = 4;

/// A projector: linears with exact GELU between, possibly behind a patch merge and a LayerNorm; no linear hands the
/// tower's tokens on as they are (`IdentityMap` of the references).
#[derive(Debug)]
pub struct Projector {
    /// Present where patches are merged.
    merge_norm: Option<LayerNorm>,
    linears: Vec<Linear>,
}

impl Projector {
    /// Reads `norm` where there is one and `linear.{i}`.
    pub fn load(config: &ProjectorConfig, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (inputs, merge_norm) = match config.kind {
            ProjectorKind::Identity | ProjectorKind::Linear | ProjectorKind::MlpGelu { .. } => {
                (config.tower_size, None)
            }
            ProjectorKind::MlpDownsample => {
                let merged = MERGED * config.tower_size;
                let norm = LayerNorm::load(weights, "norm", merged, DOWNSAMPLE_NORM_EPS)?;
                (merged, Some(norm))
            }
        };
        let linears = (0..config.kind.linears())
            .map(|i| {
                let inputs = if i == 0 { inputs } else { config.hidden_size };
                Linear::with_bias(weights, &format!("linear.{i}"), inputs, config.hidden_size)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { merge_norm, linears })
    }

    /// `[B, T, tower width]` to `[B, rows, H]`.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor, TorchError> {
        let mut hidden = match &self.merge_norm {
            None => features.shallow_clone(),
            Some(norm) => norm.forward(&merge_patches(features)?)?,
        };
        for (i, linear) in self.linears.iter().enumerate() {
            if i > 0 {
                hidden = hidden.f_gelu("none")?;
            }
            hidden = linear.forward(&hidden)?;
        }
        Ok(hidden)
    }
}

/// Merges 2 x 2 patches of `[B, s², C]` into `[B, (s/2)², 4C]`. An odd side is padded with zeros at the bottom and at
/// the right. The rows run down the columns: the references up to VILA1.5 swap the axes once and do not swap back.
fn merge_patches(features: &Tensor) -> Result<Tensor, TorchError> {
    let (batch, tokens, width) = features.size3()?;
    let side = (tokens as u64).isqrt() as i64;
    if side * side != tokens {
        return Err(TorchError(format!("{tokens} patches do not fill a square")));
    }
    let odd = side % 2;
    let half = (side + odd) / 2;
    let padded = features
        .f_view([batch, side, side, width])?
        .f_constant_pad_nd([0, 0, 0, odd, 0, odd])?;
    Ok(padded
        .f_view([batch, half, 2, half, 2, width])?
        .f_permute([0, 3, 1, 2, 4, 5])?
        .f_reshape([batch, half * half, 4 * width])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::device::Device;
    use crate::runner::matrix::Matrix;
    use crate::runner::torch::{Dtype, Placement};
    use tch::Kind;

    fn numbered(from: i64, to: i64) -> Tensor {
        Tensor::arange_start(from, to, (Kind::Float, tch::Device::Cpu)).view([1, to - from, 1])
    }

    fn merged(features: &Tensor) -> Vec<Vec<f32>> {
        Vec::try_from(merge_patches(features).unwrap().squeeze_dim(0)).unwrap()
    }

    #[test]
    fn three_by_three_merges_as_the_protocol_page_says() {
        let expected = [[1., 2., 4., 5.], [7., 8., 0., 0.], [3., 0., 6., 0.], [9., 0., 0., 0.]];
        assert_eq!(merged(&numbered(1, 10)), expected);
    }

    #[test]
    fn siglip_patches_merge_down_the_columns() {
        // Numbered from 1, so that a zero is padding.
        let rows = merged(&numbered(1, 730));
        assert_eq!(rows.len(), 196);
        let cases = [
            (0, [1., 2., 28., 29.]),
            (1, [55., 56., 82., 83.]),
            (13, [703., 704., 0., 0.]),
            (14, [3., 4., 30., 31.]),
            (195, [729., 0., 0., 0.]),
        ];
        for (row, expected) in cases {
            assert_eq!(rows[row], expected, "row {row}");
        }
    }

    #[test]
    fn an_even_side_is_not_padded_and_channels_stay_together() {
        let features = Tensor::arange(8, (Kind::Float, tch::Device::Cpu)).view([1, 4, 2]);
        assert_eq!(merged(&features), [[0., 1., 2., 3., 4., 5., 6., 7.]]);
        assert_eq!(
            merge_patches(&numbered(0, 8)).unwrap_err().to_string(),
            "8 patches do not fill a square"
        );
    }

    #[test]
    fn rows_and_depths_are_those_of_the_configuration() {
        let placement = Placement {
            device: Device::Cpu,
            dtype: Dtype::Float32,
        };
        let kinds = [
            (ProjectorKind::Linear, 3, 1),
            (ProjectorKind::MlpGelu { depth: 2 }, 3, 2),
            (ProjectorKind::MlpGelu { depth: 3 }, 3, 3),
            (ProjectorKind::MlpDownsample, 12, 2),
        ];
        for (kind, inputs, depth) in kinds {
            let config = ProjectorConfig {
                kind,
                tower_size: 3,
                hidden_size: 5,
            };
            let weights = Weights::random(placement, move |name| match name {
                "linear.0.weight" => vec![5, inputs],
                "norm.weight" | "norm.bias" => vec![12],
                _ if name.ends_with("weight") => vec![5, 5],
                _ => vec![5],
            });
            let projector = Projector::load(&config, &weights).unwrap();
            assert_eq!(projector.linears.len(), depth);
            let features = (Tensor::arange(75, (Kind::Float, tch::Device::Cpu)) * 0.7)
                .sin()
                .view([1, 25, 3]);
            let rows = projector.forward(&features).unwrap();
            assert_eq!(rows.size(), [1, config.tokens(25) as i64, 5], "{kind:?}");
        }
    }

    #[test]
    fn gelu_is_exact_and_stands_between_the_linears() {
        let eye = || Linear::of(Matrix::ready(Tensor::eye(2, (Kind::Float, tch::Device::Cpu))));
        let projector = Projector {
            merge_norm: None,
            linears: vec![eye(), eye()],
        };
        let rows = projector
            .forward(&Tensor::from_slice(&[1.0_f32, -1.0]).view([1, 1, 2]))
            .unwrap();
        let rows: Vec<f32> = Vec::try_from(rows.flatten(0, -1)).unwrap();
        assert!(
            (rows[0] - 0.841_344_8).abs() < 1e-6 && (rows[1] + 0.158_655_2).abs() < 1e-6,
            "{rows:?}"
        );
    }
}
