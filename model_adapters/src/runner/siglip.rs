//! What is SigLIP's own (`architecture.md` section 3): no class token, no LayerNorm before the blocks, a bias in the
//! patch embedding, softmax kept in f32 up to one rounding.

use tch::{Kind, Tensor};

use crate::checkpoint::TowerConfig;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::vision_tower::patch_sequence;
use crate::runner::weights::Weights;

/// From pixels to hidden state 0.
#[derive(Debug)]
pub struct SiglipEmbeddings {
    /// `[width, 3, patch, patch]`
    patches: Tensor,
    /// `[width]`
    bias: Tensor,
    /// `[patches, width]`
    positions: Tensor,
    stride: i64,
}

impl SiglipEmbeddings {
    /// Reads `embeddings.*`.
    pub fn load(config: &TowerConfig, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let tokens = config.patches_per_side() * config.patches_per_side();
        Ok(Self {
            patches: weights.tensor("embeddings.patch_embedding.weight", &[width, 3, patch, patch])?,
            bias: weights.tensor("embeddings.patch_embedding.bias", &[width])?,
            positions: weights.tensor("embeddings.position_embedding.weight", &[tokens, width])?,
            stride: patch as i64,
        })
    }

    /// `[B, 3, side, side]` to `[B, patches, width]`.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let stride = [self.stride, self.stride];
        let grid = pixels.f_conv2d(&self.patches, Some(&self.bias), stride, [0, 0], [1, 1], 1)?;
        Ok(patch_sequence(&grid)?.f_add(&self.positions)?)
    }
}

/// Attention weights from a query `[B, heads, n, d]` and transposed keys `[B, heads, d, n]`: scores rounded, scaled
/// and rounded again, softmax in f32, rounded once.
pub fn probabilities(query: &Tensor, keys: &Tensor, scale: f64) -> Result<Tensor, TorchError> {
    let scores = query.f_matmul(keys)?.f_mul_scalar(scale)?;
    Ok(scores.f_softmax(-1, Kind::Float)?.f_to_kind(query.f_kind()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn scores_are_rounded_before_and_after_scaling() {
        let query: Vec<f16> = [1.371, -0.922].iter().map(|&v| f16::from_f32(v)).collect();
        let keys: Vec<f16> = [2.113, -1.391, 0.377, 1.171, 2.771, -0.191]
            .iter()
            .map(|&v| f16::from_f32(v))
            .collect();
        let scale = 72_f64.powf(-0.5);
        let ours = probabilities(
            &Tensor::from_slice(&query).view([1, 1, 1, 2]),
            &Tensor::from_slice(&keys).view([1, 1, 2, 3]),
            scale,
        )
        .unwrap();
        assert_eq!(ours.kind(), Kind::Half);
        let scores: Vec<f32> = (0..3)
            .map(|key| {
                let score = query[0].to_f32() * keys[key].to_f32() + query[1].to_f32() * keys[key + 3].to_f32();
                f16::from_f32(f16::from_f32(score).to_f32() * scale as f32).to_f32()
            })
            .collect();
        let total: f32 = scores.iter().map(|score| score.exp()).sum();
        let expected: Vec<f16> = scores.iter().map(|score| f16::from_f32(score.exp() / total)).collect();
        assert_eq!(Vec::<f16>::try_from(ours.flatten(0, -1)).unwrap(), expected);
    }
}
