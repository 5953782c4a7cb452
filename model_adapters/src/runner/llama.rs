//! The Llama-family decoder (`architecture.md` section 6): Sheared-LLaMA, Vicuna, Llama-2, Llama-3, Yi.

use tch::{Kind, Tensor};

use crate::checkpoint::LlamaConfig;
use crate::runner::error::{LoadError, TorchError};
use crate::runner::kv_cache::KvCache;
use crate::runner::layers::{Linear, RmsNorm};
use crate::runner::matrix::Matrix;
use crate::runner::rotary::Rotation;
use crate::runner::torch::Placement;
use crate::runner::watch;
use crate::runner::weights::Weights;

/// The decoder with its embedding and its head.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    placement: Placement,
    /// `[V, H]`
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: Attention,
    post_norm: RmsNorm,
    mlp: Mlp,
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
}

#[derive(Debug)]
struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Which keys a query may see, the same in every layer.
enum Visible {
    /// All: one new position.
    All,
    /// Those up to its own: a prefill from position 0.
    Causal,
    /// Those that the mask `[n, length + n]` marks: several new positions after others.
    Masked(Tensor),
}

impl Llama {
    /// Reads the decoder, with the first `rows` rows of embedding and head (`checkpoints.md` section 4.1).
    pub fn load(
        config: &LlamaConfig,
        rows: usize,
        weights: &Weights<'_>,
        placement: Placement,
    ) -> Result<Self, LoadError> {
        if rows > config.vocabulary {
            return Err(LoadError::Mismatch(format!(
                "the embedding has {} rows, too few for {rows} tokens",
                config.vocabulary
            )));
        }
        let matrix = |name| weights.matrix(name, config.vocabulary, config.hidden_size);
        let embedding = matrix("model.embed_tokens.weight")?.cut(rows);
        let lm_head = if config.tied_embeddings {
            embedding.share()
        } else {
            matrix("lm_head.weight")?.cut(rows)
        };
        Ok(Self {
            config: config.clone(),
            placement,
            embedding,
            layers: (0..config.layers)
                .map(|layer| Layer::load(config, &format!("model.layers.{layer}"), weights))
                .collect::<Result<_, _>>()?,
            norm: RmsNorm::load(weights, "model.norm", config.hidden_size, config.rms_norm_eps)?,
            lm_head: Linear::of(lm_head),
        })
    }

    /// Rows of the embedding: ids below this can be fed.
    pub const fn rows(&self) -> usize {
        self.embedding.outputs()
    }

    /// Width H.
    pub const fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    /// A cache for `capacity` positions of this decoder.
    pub fn cache(&self, capacity: usize) -> Result<KvCache, TorchError> {
        KvCache::new(&self.config, capacity, self.placement)
    }

    /// Embeds ids `[n]` (i64, on the device) to `[1, n, H]`.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor, TorchError> {
        Ok(self.embedding.rows(ids)?.f_unsqueeze(0)?)
    }

    /// Embeds ids that lie on the host to `[1, n, H]`.
    pub fn embed_ids(&self, ids: &[i64]) -> Result<Tensor, TorchError> {
        self.embed(&Tensor::f_from_slice(ids)?.f_to_device(self.placement.device.tch())?)
    }

    /// Runs the next n positions, `[1, n, H]`, and appends them to `cache`; gives the last one's logits, `[V]` in
    /// f32.
    pub fn forward(&self, hidden: &Tensor, cache: &mut KvCache) -> Result<Tensor, TorchError> {
        let (start, count) = (cache.length(), hidden.size3()?.1);
        let rotation = cache.rotary().at(start, count as usize)?;
        let visible = self.visible(start, count)?;
        let mut hidden = hidden.shallow_clone();
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(&hidden, &rotation, &visible, index, cache)?;
            watch::see(|| format!("decoder.{}", index + 1), &hidden);
        }
        cache.advance(count as usize);
        let last = hidden.f_select(1, count - 1)?;
        let logits = self.lm_head.forward(&self.norm.forward(&last)?)?;
        Ok(logits.f_squeeze_dim(0)?.f_to_kind(Kind::Float)?)
    }

    fn visible(&self, start: usize, count: i64) -> Result<Visible, TorchError> {
        Ok(match (start as i64, count) {
            (_, 1) => Visible::All,
            (0, _) => Visible::Causal,
            (start, _) => {
                let options = (Kind::Bool, self.placement.device.tch());
                Visible::Masked(Tensor::f_ones([count, start + count], options)?.f_tril(start)?)
            }
        })
    }
}

impl Layer {
    fn load(config: &LlamaConfig, name: &str, weights: &Weights<'_>) -> Result<Self, LoadError> {
        let norm = |part| {
            let name = format!("{name}.{part}");
            RmsNorm::load(weights, &name, config.hidden_size, config.rms_norm_eps)
        };
        let linear = |part, inputs, outputs| Linear::without_bias(weights, &format!("{name}.{part}"), inputs, outputs);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: Attention {
                query: linear("self_attn.q_proj", hidden, queries)?,
                key: linear("self_attn.k_proj", hidden, keys)?,
                value: linear("self_attn.v_proj", hidden, keys)?,
                output: linear("self_attn.o_proj", queries, hidden)?,
                heads: config.heads as i64,
                kv_heads: config.kv_heads as i64,
                head_dim: config.head_dim as i64,
            },
            post_norm: norm("post_attention_layernorm")?,
            mlp: Mlp {
                gate: linear("mlp.gate_proj", hidden, inner)?,
                up: linear("mlp.up_proj", hidden, inner)?,
                down: linear("mlp.down_proj", inner, hidden)?,
            },
        })
    }

    fn forward(
        &self,
        hidden: &Tensor,
        rotation: &Rotation,
        visible: &Visible,
        index: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor, TorchError> {
        let normed = self.input_norm.forward(hidden)?;
        let attended = self.attention.forward(&normed, rotation, visible, index, cache)?;
        let hidden = hidden.f_add(&attended)?;
        let normed = self.post_norm.forward(&hidden)?;
        Ok(hidden.f_add(&self.mlp.forward(&normed)?)?)
    }
}

impl Attention {
    /// `[1, n, H]` to `[1, n, H]`.
    fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        visible: &Visible,
        layer: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor, TorchError> {
        let query = rotation.apply(&self.split(&self.query.forward(x)?, self.heads)?)?;
        let key = rotation.apply(&self.split(&self.key.forward(x)?, self.kv_heads)?)?;
        let value = self.split(&self.value.forward(x)?, self.kv_heads)?;
        let (keys, values) = cache.append(layer, &key, &value)?;
        let mixed = attend(&query, &keys, &values, visible)?;
        let count = x.size3()?.1;
        let joined = mixed
            .f_transpose(1, 2)?
            .f_reshape([1, count, self.heads * self.head_dim])?;
        self.output.forward(&joined)
    }

    /// `[1, n, heads · d]` to `[1, heads, n, d]`.
    fn split(&self, x: &Tensor, heads: i64) -> Result<Tensor, TorchError> {
        let count = x.size3()?.1;
        Ok(x.f_view([1, count, heads, self.head_dim])?.f_transpose(1, 2)?)
    }
}

impl Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let gated = self.gate.forward(x)?.f_silu()?.f_mul(&self.up.forward(x)?)?;
        self.down.forward(&gated)
    }
}

/// Fused attention: scores and softmax in f32 inside the kernel; query head `a` uses key/value head `a / (A/K)`.
fn attend(query: &Tensor, keys: &Tensor, values: &Tensor, visible: &Visible) -> Result<Tensor, TorchError> {
    let (mask, causal) = match visible {
        Visible::All => (None, false),
        Visible::Causal => (None, true),
        Visible::Masked(mask) => (Some(mask), false),
    };
    let grouped = query.size4()?.1 != keys.size4()?.1;
    Ok(Tensor::f_scaled_dot_product_attention(
        query, keys, values, mask, 0.0, causal, None, grouped,
    )?)
}

#[cfg(test)]
pub mod tests;
