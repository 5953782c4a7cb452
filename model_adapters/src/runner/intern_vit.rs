//! InternViT-6B (`architecture.md` section 4; VILA-1.5 `intern/modeling_intern_vit.py`): a class token, RMS norms,
//! queries and keys normalised over all heads together, residual branches scaled per channel.

use tch::Tensor;

use crate::checkpoint::TowerConfig;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::layers::{Linear, RmsNorm, activate};
use crate::runner::vision_tower::patch_sequence;
use crate::runner::weights::Weights;

/// From pixels to hidden state 0.
#[derive(Debug)]
pub struct InternEmbeddings {
    /// `[1, 1, width]`
    class: Tensor,
    /// `[width, 3, patch, patch]`
    patches: Tensor,
    /// `[width]`
    bias: Tensor,
    /// `[1, patches + 1, width]`; row 0 belongs to the class token.
    positions: Tensor,
    stride: i64,
}

impl InternEmbeddings {
    /// Reads `embeddings.*`.
    pub fn load(config: &TowerConfig, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let tokens = config.patches_per_side() * config.patches_per_side() + 1;
        Ok(Self {
            class: weights.tensor("embeddings.class_embedding", &[1, 1, width])?,
            patches: weights.tensor("embeddings.patch_embedding.weight", &[width, 3, patch, patch])?,
            bias: weights.tensor("embeddings.patch_embedding.bias", &[width])?,
            positions: weights.tensor("embeddings.position_embedding", &[1, tokens, width])?,
            stride: patch as i64,
        })
    }

    /// `[B, 3, side, side]` to `[B, patches + 1, width]`.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let stride = [self.stride, self.stride];
        let grid = pixels.f_conv2d(&self.patches, Some(&self.bias), stride, [0, 0], [1, 1], 1)?;
        let patches = patch_sequence(&grid)?;
        let (batch, _, width) = patches.size3()?;
        let class = self.class.f_expand([batch, 1, width], false)?;
        Ok(Tensor::f_cat(&[&class, &patches], 1)?.f_add(&self.positions)?)
    }
}

/// One block: `x + ls1 ⊙ attention(RMS(x))`, then `x + ls2 ⊙ MLP(RMS(x))`.
#[derive(Debug)]
pub struct InternBlock {
    attention_norm: RmsNorm,
    attention: InternAttention,
    /// `[width]`
    attention_scale: Tensor,
    mlp_norm: RmsNorm,
    inner: Linear,
    outer: Linear,
    /// `[width]`
    mlp_scale: Tensor,
    activation: crate::checkpoint::Activation,
}

#[derive(Debug)]
struct InternAttention {
    /// Queries of all heads, then keys, then values.
    joint: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    output: Linear,
    heads: i64,
}

impl InternBlock {
    /// Reads `{name}.*`.
    pub fn load(config: &TowerConfig, name: &str, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |part| RmsNorm::load(weights, &format!("{name}.{part}"), width, config.layer_norm_eps);
        let linear = |part, inputs, outputs| Linear::with_bias(weights, &format!("{name}.{part}"), inputs, outputs);
        Ok(Self {
            attention_norm: norm("norm1")?,
            attention: InternAttention {
                joint: Linear::without_bias(weights, &format!("{name}.attn.qkv"), width, 3 * width)?,
                query_norm: norm("attn.q_norm")?,
                key_norm: norm("attn.k_norm")?,
                output: linear("attn.proj", width, width)?,
                heads: config.heads as i64,
            },
            attention_scale: weights.tensor(&format!("{name}.ls1"), &[width])?,
            mlp_norm: norm("norm2")?,
            inner: linear("mlp.fc1", width, inner)?,
            outer: linear("mlp.fc2", inner, width)?,
            mlp_scale: weights.tensor(&format!("{name}.ls2"), &[width])?,
            activation: config.activation,
        })
    }

    /// `[B, n, width]` to the same.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let attended = self.attention.forward(&self.attention_norm.forward(x)?)?;
        let x = x.f_add(&attended.f_mul(&self.attention_scale)?)?;
        let inner = activate(self.activation, &self.inner.forward(&self.mlp_norm.forward(&x)?)?)?;
        Ok(x.f_add(&self.outer.forward(&inner)?.f_mul(&self.mlp_scale)?)?)
    }
}

impl InternAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let (batch, count, width) = x.size3()?;
        let joint = self.joint.forward(x)?;
        let part = |number: i64| joint.f_narrow(-1, number * width, width);
        let split = |x: &Tensor| {
            x.f_reshape([batch, count, self.heads, width / self.heads])?
                .f_transpose(1, 2)
        };
        let query = split(&self.query_norm.forward(&part(0)?)?)?;
        let key = split(&self.key_norm.forward(&part(1)?)?)?;
        let value = split(&part(2)?)?;
        // FlashAttention in the reference: scores and softmax in f32 inside the kernel.
        let none = None::<&Tensor>;
        let mixed = Tensor::f_scaled_dot_product_attention(&query, &key, &value, none, 0.0, false, None, false)?;
        self.output
            .forward(&mixed.f_transpose(1, 2)?.f_reshape([batch, count, width])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Activation, SelectFeature, TowerKind};
    use crate::runner::device::Device;
    use crate::runner::torch::{Dtype, Placement};
    use tch::Kind;

    const CPU: Placement = Placement {
        device: Device::Cpu,
        dtype: Dtype::Float32,
    };

    fn config() -> TowerConfig {
        TowerConfig {
            kind: TowerKind::InternVit,
            hidden_size: 12,
            intermediate_size: 20,
            layers: 1,
            heads: 3,
            image_size: 4,
            patch_size: 2,
            layer_norm_eps: 1e-6,
            activation: Activation::Gelu,
            select_state: 1,
            select_feature: SelectFeature::Patch,
            s2: None,
        }
    }

    fn weights() -> Weights<'static> {
        Weights::random(CPU, |name| match name {
            _ if name.ends_with("qkv.weight") => vec![36, 12],
            _ if name.ends_with("proj.weight") => vec![12, 12],
            _ if name.ends_with("fc1.weight") => vec![20, 12],
            _ if name.ends_with("fc1.bias") => vec![20],
            _ if name.ends_with("fc2.weight") => vec![12, 20],
            _ => vec![12],
        })
    }

    fn at(name: &str, shape: &[usize]) -> Tensor {
        weights().tensor(&format!("b.{name}"), shape).unwrap()
    }

    fn rms(x: &Tensor, weight: &Tensor) -> Tensor {
        let mean = x.square().mean_dim([-1_i64].as_slice(), true, Kind::Float);
        x * (mean + 1e-6).rsqrt() * weight
    }

    #[test]
    fn a_block_is_the_formula() {
        let block = InternBlock::load(&config(), "b", &weights()).unwrap();
        let x = (Tensor::arange(60, (Kind::Float, tch::Device::Cpu)) * 0.73)
            .sin()
            .view([1, 5, 12]);
        let normed = rms(&x, &at("norm1.weight", &[12]));
        let joint = normed.matmul(&at("attn.qkv.weight", &[36, 12]).tr());
        let query = rms(&joint.narrow(2, 0, 12), &at("attn.q_norm.weight", &[12]));
        let key = rms(&joint.narrow(2, 12, 12), &at("attn.k_norm.weight", &[12]));
        let value = joint.narrow(2, 24, 12);
        let heads: Vec<Tensor> = (0..3)
            .map(|head| {
                let of = |x: &Tensor| x.narrow(2, 4 * head, 4);
                let scores = of(&query).matmul(&of(&key).transpose(1, 2)) / 2.0;
                scores.softmax(-1, Kind::Float).matmul(&of(&value))
            })
            .collect();
        let output =
            Tensor::cat(&heads, 2).matmul(&at("attn.proj.weight", &[12, 12]).tr()) + at("attn.proj.bias", &[12]);
        let x = &x + output * at("ls1", &[12]);
        let inner = rms(&x, &at("norm2.weight", &[12])).matmul(&at("mlp.fc1.weight", &[20, 12]).tr())
            + at("mlp.fc1.bias", &[20]);
        let outer = inner.gelu("none").matmul(&at("mlp.fc2.weight", &[12, 20]).tr()) + at("mlp.fc2.bias", &[12]);
        let expected = &x + outer * at("ls2", &[12]);
        let ours = block
            .forward(
                &(Tensor::arange(60, (Kind::Float, tch::Device::Cpu)) * 0.73)
                    .sin()
                    .view([1, 5, 12]),
            )
            .unwrap();
        let distance = (ours - expected).abs().max().double_value(&[]);
        assert!(distance < 1e-5, "{distance}");
    }

    #[test]
    fn the_class_token_stands_first_and_the_convolution_has_a_bias() {
        let weights = Weights::random(CPU, |name| match name {
            "embeddings.patch_embedding.weight" => vec![12, 3, 2, 2],
            "embeddings.position_embedding" => vec![1, 5, 12],
            "embeddings.class_embedding" => vec![1, 1, 12],
            _ => vec![12],
        });
        let embeddings = InternEmbeddings::load(&config(), &weights).unwrap();
        let tokens = embeddings
            .forward(&Tensor::zeros([1, 3, 4, 4], (Kind::Float, tch::Device::Cpu)))
            .unwrap();
        let positions = weights.tensor("embeddings.position_embedding", &[1, 5, 12]).unwrap();
        let class = weights.tensor("embeddings.class_embedding", &[1, 1, 12]).unwrap();
        let bias = weights.tensor("embeddings.patch_embedding.bias", &[12]).unwrap();
        assert_eq!(tokens.narrow(1, 0, 1), class + positions.narrow(1, 0, 1));
        assert_eq!(tokens.narrow(1, 3, 1), bias + positions.narrow(1, 3, 1));
    }
}
