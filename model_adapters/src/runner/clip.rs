//! What is CLIP's own (`architecture.md` section 2): a class token, a LayerNorm before the blocks, softmax in the
//! working dtype.

use tch::{Kind, Tensor};

use crate::checkpoint::TowerConfig;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::layers::LayerNorm;
use crate::runner::vision_tower::patch_sequence;
use crate::runner::weights::Weights;

/// From pixels to hidden state 0.
#[derive(Debug)]
pub struct ClipEmbeddings {
    /// `[1, 1, width]`
    class: Tensor,
    /// `[width, 3, patch, patch]`
    patches: Tensor,
    /// `[patches + 1, width]`; row 0 belongs to the class token.
    positions: Tensor,
    norm: LayerNorm,
    stride: i64,
}

impl ClipEmbeddings {
    /// Reads `embeddings.*` and `pre_layrnorm`, whose name is spelled so in the files.
    pub fn load(config: &TowerConfig, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let tokens = config.patches_per_side() * config.patches_per_side() + 1;
        Ok(Self {
            class: weights
                .tensor("embeddings.class_embedding", &[width])?
                .f_view([1, 1, width as i64])?,
            patches: weights.tensor("embeddings.patch_embedding.weight", &[width, 3, patch, patch])?,
            positions: weights.tensor("embeddings.position_embedding.weight", &[tokens, width])?,
            norm: LayerNorm::load(weights, "pre_layrnorm", width, config.layer_norm_eps)?,
            stride: patch as i64,
        })
    }

    /// `[B, 3, side, side]` to `[B, patches + 1, width]`.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let stride = [self.stride, self.stride];
        let grid = pixels.f_conv2d(&self.patches, None::<&Tensor>, stride, [0, 0], [1, 1], 1)?;
        let patches = patch_sequence(&grid)?;
        let (batch, _, width) = patches.size3()?;
        let class = self.class.f_expand([batch, 1, width], false)?;
        let tokens = Tensor::f_cat(&[&class, &patches], 1)?.f_add(&self.positions)?;
        self.norm.forward(&tokens)
    }
}

/// Attention weights from a query `[B, heads, n, d]` and transposed keys `[B, heads, d, n]`: the query scaled and
/// rounded, scores rounded, softmax with f32 inside and one rounding.
pub fn probabilities(query: &Tensor, keys: &Tensor, scale: f64) -> Result<Tensor, TorchError> {
    let scores = query.f_mul_scalar(scale)?.f_matmul(keys)?;
    Ok(scores.f_softmax(-1, None::<Kind>)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Activation, SelectFeature, TowerKind};
    use crate::runner::device::Device;
    use crate::runner::torch::{Dtype, Placement};

    #[test]
    fn the_class_token_stands_first_and_takes_the_first_position() {
        let config = TowerConfig {
            kind: TowerKind::Clip,
            hidden_size: 4,
            intermediate_size: 8,
            layers: 1,
            heads: 1,
            image_size: 4,
            patch_size: 2,
            layer_norm_eps: 1e-5,
            activation: Activation::QuickGelu,
            select_state: 0,
            select_feature: SelectFeature::Patch,
            s2: None,
        };
        let placement = Placement {
            device: Device::Cpu,
            dtype: Dtype::Float32,
        };
        let weights = Weights::random(placement, |name| match name {
            "embeddings.patch_embedding.weight" => vec![4, 3, 2, 2],
            "embeddings.position_embedding.weight" => vec![5, 4],
            _ => vec![4],
        });
        let embeddings = ClipEmbeddings::load(&config, &weights).unwrap();
        let pixels = Tensor::arange(48, (Kind::Float, tch::Device::Cpu)).view([1, 3, 4, 4]) / 48.0;
        let tokens = embeddings.forward(&pixels).unwrap();
        let class = weights.tensor("embeddings.class_embedding", &[4]).unwrap();
        let positions = weights.tensor("embeddings.position_embedding.weight", &[5, 4]).unwrap();
        let kernel = weights
            .tensor("embeddings.patch_embedding.weight", &[4, 3, 2, 2])
            .unwrap();
        // Patch 1 is the one to the right of patch 0.
        let patch = pixels.narrow(2, 0, 2).narrow(3, 2, 2);
        let second = (kernel * patch).sum_dim_intlist([1_i64, 2, 3].as_slice(), false, Kind::Float);
        for (token, before_norm) in [(0, class + positions.get(0)), (2, second + positions.get(2))] {
            let expected = embeddings.norm.forward(&before_norm).unwrap();
            let distance = (tokens.select(1, token).squeeze_dim(0) - expected)
                .abs()
                .max()
                .double_value(&[]);
            assert!(distance < 1e-5, "token {token}: {distance}");
        }
    }

    #[test]
    fn the_query_is_scaled_and_rounded_before_the_scores() {
        use half::f16;
        let halves = |values: &[f32]| values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>();
        let query = halves(&[1.371, -0.922, 2.431]);
        let keys = halves(&[2.113, -1.391, 0.377, 1.171, 2.771, -0.191, 0.733, -1.519, 1.093]);
        let scale = 3_f64.powf(-0.5);
        let ours = probabilities(
            &Tensor::from_slice(&query).view([1, 1, 1, 3]),
            &Tensor::from_slice(&keys).view([1, 1, 3, 3]),
            scale,
        )
        .unwrap();
        assert_eq!(ours.kind(), Kind::Half);
        let scaled: Vec<f32> = query
            .iter()
            .map(|q| f16::from_f32(q.to_f32() * scale as f32).to_f32())
            .collect();
        let scores: Vec<f32> = (0..3)
            .map(|key| {
                let score: f32 = (0..3).map(|i| scaled[i] * keys[key + 3 * i].to_f32()).sum();
                f16::from_f32(score).to_f32()
            })
            .collect();
        let total: f32 = scores.iter().map(|score| score.exp()).sum();
        let expected: Vec<f16> = scores.iter().map(|score| f16::from_f32(score.exp() / total)).collect();
        assert_eq!(Vec::<f16>::try_from(ours.flatten(0, -1)).unwrap(), expected);
    }
}
