//! The vision tower (`architecture.md` sections 2 to 4): what CLIP and SigLIP share, which is all but the start and
//! the rounding of the attention scores; and the one door to all three towers, with S2 before it or not.

use tch::{Kind, Tensor};

use crate::checkpoint::{Activation, S2Scales, SelectFeature, TowerConfig, TowerKind};
use crate::runner::attention::{Visible, attend, join_heads};
use crate::runner::clip::ClipEmbeddings;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::intern_vit::{InternBlock, InternEmbeddings};
use crate::runner::layers::{LayerNorm, Linear, activate};
use crate::runner::siglip::SiglipEmbeddings;
use crate::runner::watch;
use crate::runner::weights::Weights;
use crate::runner::{clip, s2, siglip};

/// A tower up to the hidden state that is taken; later blocks are not read.
#[derive(Debug)]
pub struct VisionTower {
    embeddings: Embeddings,
    blocks: Vec<Block>,
    select_feature: SelectFeature,
    s2: Option<S2Scales>,
}

#[derive(Debug)]
enum Embeddings {
    Clip(ClipEmbeddings),
    Siglip(SiglipEmbeddings),
    Intern(InternEmbeddings),
}

#[derive(Debug)]
enum Block {
    Clip(Box<ClipBlock>),
    Intern(Box<InternBlock>),
}

/// A block of CLIP or SigLIP.
#[derive(Debug)]
struct ClipBlock {
    attention_norm: LayerNorm,
    attention: Attention,
    mlp_norm: LayerNorm,
    inner: Linear,
    activation: Activation,
    outer: Linear,
}

/// From a query `[B, heads, n, d]`, transposed keys `[B, heads, d, n]` and the scale to attention weights.
type Probabilities = fn(&Tensor, &Tensor, f64) -> Result<Tensor, TorchError>;

#[derive(Debug)]
struct Attention {
    probabilities: Probabilities,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: i64,
    head_dim: i64,
}

impl VisionTower {
    /// Reads embeddings and the blocks before the selected state.
    pub fn load(config: &TowerConfig, weights: &Weights<'_>) -> Result<Self, LoadError> {
        if config.select_state > config.layers {
            return Err(LoadError::Mismatch(format!(
                "hidden state {} is asked for, but the vision tower has {} blocks",
                config.select_state, config.layers
            )));
        }
        if config.heads == 0 || !config.hidden_size.is_multiple_of(config.heads) {
            return Err(LoadError::Mismatch(format!(
                "the vision tower's width {} cannot be split into {} heads",
                config.hidden_size, config.heads
            )));
        }
        Ok(Self {
            embeddings: match config.kind {
                TowerKind::Clip => Embeddings::Clip(ClipEmbeddings::load(config, weights)?),
                TowerKind::Siglip => Embeddings::Siglip(SiglipEmbeddings::load(config, weights)?),
                TowerKind::InternVit => Embeddings::Intern(InternEmbeddings::load(config, weights)?),
            },
            blocks: (0..config.select_state)
                .map(|block| Block::load(config, &format!("encoder.layers.{block}"), weights))
                .collect::<Result<_, _>>()?,
            select_feature: config.select_feature,
            s2: config.s2.clone(),
        })
    }

    /// Pixels `[B, 3, side, side]` to the selected tokens `[B, T, width]`; behind S2 the side is that of the largest
    /// scale and the width that of all scales together.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let features = match &self.s2 {
            None => self.whole(pixels)?,
            Some(scales) => s2::forward(scales, pixels, |tiles| self.whole(tiles))?,
        };
        watch::see(|| "tower".to_owned(), &features);
        Ok(features)
    }

    /// The selected tokens of pictures of the tower's own size.
    fn whole(&self, pixels: &Tensor) -> Result<Tensor, TorchError> {
        let mut hidden = match &self.embeddings {
            Embeddings::Clip(embeddings) => embeddings.forward(pixels)?,
            Embeddings::Siglip(embeddings) => embeddings.forward(pixels)?,
            Embeddings::Intern(embeddings) => embeddings.forward(pixels)?,
        };
        watch::see(|| "tower.0".to_owned(), &hidden);
        for (index, block) in self.blocks.iter().enumerate() {
            hidden = block.forward(&hidden)?;
            watch::see(|| format!("tower.{}", index + 1), &hidden);
        }
        Ok(match self.select_feature {
            SelectFeature::ClsPatch => hidden,
            SelectFeature::Patch => hidden.f_slice(1, 1, None, 1)?,
        })
    }
}

/// The grid of a patch convolution, `[B, width, rows, columns]`, as a sequence `[B, rows · columns, width]`, row by
/// row.
pub fn patch_sequence(grid: &Tensor) -> Result<Tensor, TorchError> {
    Ok(grid.f_flatten(2, 3)?.f_transpose(1, 2)?)
}

impl Block {
    fn load(config: &TowerConfig, name: &str, weights: &Weights<'_>) -> Result<Self, LoadError> {
        Ok(match config.kind {
            TowerKind::Clip | TowerKind::Siglip => Self::Clip(Box::new(ClipBlock::load(config, name, weights)?)),
            TowerKind::InternVit => Self::Intern(Box::new(InternBlock::load(config, name, weights)?)),
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        match self {
            Self::Clip(block) => block.forward(x),
            Self::Intern(block) => block.forward(x),
        }
    }
}

impl ClipBlock {
    fn load(config: &TowerConfig, name: &str, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |part| LayerNorm::load(weights, &format!("{name}.{part}"), width, config.layer_norm_eps);
        let linear = |part, inputs, outputs| Linear::with_bias(weights, &format!("{name}.{part}"), inputs, outputs);
        Ok(Self {
            attention_norm: norm("layer_norm1")?,
            attention: Attention {
                probabilities: if config.kind == TowerKind::Siglip {
                    siglip::probabilities
                } else {
                    clip::probabilities
                },
                query: linear("self_attn.q_proj", width, width)?,
                key: linear("self_attn.k_proj", width, width)?,
                value: linear("self_attn.v_proj", width, width)?,
                output: linear("self_attn.out_proj", width, width)?,
                heads: config.heads as i64,
                head_dim: (width / config.heads) as i64,
            },
            mlp_norm: norm("layer_norm2")?,
            inner: linear("mlp.fc1", width, inner)?,
            activation: config.activation,
            outer: linear("mlp.fc2", inner, width)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let x = self.attention.forward(&self.attention_norm.forward(x)?)?.f_add_(x)?;
        let inner = activate(self.activation, &self.inner.forward(&self.mlp_norm.forward(&x)?)?)?;
        Ok(self.outer.forward(&inner)?.f_add_(&x)?)
    }
}

impl Attention {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let (batch, count, _) = x.size3()?;
        let split = |x: &Tensor| x.f_view([batch, count, self.heads, self.head_dim])?.f_transpose(1, 2);
        let query = split(&self.query.forward(x)?)?;
        let key = split(&self.key.forward(x)?)?;
        let value = split(&self.value.forward(x)?)?;
        let mixed = if x.f_kind()? == Kind::Float && x.device() == tch::Device::Cpu {
            // In f32 nothing is rounded on the way, and scores that never reach memory save a fifth of the time.
            attend(&query, &key, &value, &Visible::All)?
        } else {
            let scale = (self.head_dim as f64).powf(-0.5);
            let probabilities = (self.probabilities)(&query, &key.f_transpose(2, 3)?, scale)?;
            join_heads(&probabilities.f_matmul(&value)?)?
        };
        self.output.forward(&mixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::device::Device;
    use crate::runner::torch::{Dtype, Placement};

    const CPU: Placement = Placement {
        device: Device::Cpu,
        dtype: Dtype::Float32,
    };

    fn config(kind: TowerKind, select_state: usize, select_feature: SelectFeature) -> TowerConfig {
        TowerConfig {
            kind,
            hidden_size: 12,
            intermediate_size: 20,
            layers: 3,
            heads: 3,
            image_size: 11,
            patch_size: 3,
            layer_norm_eps: 1e-5,
            activation: Activation::GeluTanh,
            select_state,
            select_feature,
            s2: None,
        }
    }

    fn shape(kind: TowerKind, name: &str) -> Vec<i64> {
        let tokens = if kind == TowerKind::Clip { 10 } else { 9 };
        match name {
            "embeddings.patch_embedding.weight" => vec![12, 3, 3, 3],
            "embeddings.position_embedding.weight" => vec![tokens, 12],
            _ if name.ends_with("fc1.weight") => vec![20, 12],
            _ if name.ends_with("fc1.bias") => vec![20],
            _ if name.ends_with("fc2.weight") => vec![12, 20],
            _ if name.ends_with("proj.weight") => vec![12, 12],
            _ => vec![12],
        }
    }

    fn tower(config: &TowerConfig) -> VisionTower {
        let kind = config.kind;
        let unread = format!("encoder.layers.{}.", config.select_state);
        let weights = Weights::random(CPU, move |name| {
            assert!(
                !name.starts_with(&unread) && !name.contains("post_layernorm"),
                "{name} is not needed"
            );
            shape(kind, name)
        });
        VisionTower::load(config, &weights).unwrap()
    }

    fn pixels() -> Tensor {
        (Tensor::arange(3 * 11 * 11, (Kind::Float, tch::Device::Cpu)) * 0.37)
            .sin()
            .view([1, 3, 11, 11])
    }

    #[test]
    fn token_counts_are_those_of_the_configuration() {
        for kind in [TowerKind::Clip, TowerKind::Siglip] {
            for feature in [SelectFeature::Patch, SelectFeature::ClsPatch] {
                let config = config(kind, 2, feature);
                let features = tower(&config).forward(&pixels()).unwrap();
                assert_eq!(features.size(), [1, config.tokens() as i64, 12]);
            }
        }
    }

    #[test]
    fn the_selected_state_counts_from_the_input_of_the_first_block() {
        let at = |state| {
            tower(&config(TowerKind::Siglip, state, SelectFeature::ClsPatch))
                .forward(&pixels())
                .unwrap()
        };
        let whole = tower(&config(TowerKind::Siglip, 3, SelectFeature::ClsPatch));
        let mut state = at(0);
        for (number, block) in whole.blocks.iter().enumerate() {
            state = block.forward(&state).unwrap();
            assert_eq!(state, at(number + 1));
        }
        assert_eq!(
            VisionTower::load(
                &config(TowerKind::Clip, 4, SelectFeature::Patch),
                &Weights::random(CPU, |_| vec![12])
            )
            .unwrap_err()
            .to_string(),
            "hidden state 4 is asked for, but the vision tower has 3 blocks"
        );
    }

    #[test]
    fn pixels_beyond_the_last_whole_patch_are_not_seen() {
        let tower = tower(&config(TowerKind::Siglip, 1, SelectFeature::ClsPatch));
        let changed = pixels();
        let _rows = changed.narrow(2, 9, 2).fill_(7.0);
        let _columns = changed.narrow(3, 9, 2).fill_(7.0);
        assert_eq!(tower.forward(&pixels()).unwrap(), tower.forward(&changed).unwrap());
    }

    #[test]
    fn the_first_patches_are_read_row_by_row() {
        let grid = Tensor::arange(2 * 6, (Kind::Float, tch::Device::Cpu)).view([1, 2, 2, 3]);
        let rows: Vec<Vec<f32>> = Vec::try_from(patch_sequence(&grid).unwrap().squeeze_dim(0)).unwrap();
        assert_eq!(rows, (0..6).map(|i| vec![i as f32, (i + 6) as f32]).collect::<Vec<_>>());
    }
}
