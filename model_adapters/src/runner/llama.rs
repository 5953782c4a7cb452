//! The Llama-family decoder (`architecture.md` section 6): Sheared-LLaMA, Vicuna, Llama-2, Llama-3, Yi.

use std::cell::{RefCell, RefMut};

use tch::{Kind, Tensor};

use crate::checkpoint::LlamaConfig;
use crate::runner::attention::{Visible, attend};
use crate::runner::error::{LoadError, TorchError};
use crate::runner::kv_cache::{self, KvCache};
use crate::runner::layers::{Linear, RmsNorm};
use crate::runner::matrix::Matrix;
use crate::runner::rotary::{RotaryTables, Rotation};
use crate::runner::torch::Placement;
use crate::runner::watch;
use crate::runner::weights::Weights;

/// Rotary tables grow by so many positions.
const ROTARY_STEP: usize = 1024;

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
    rotary: RefCell<RotaryTables>,
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

/// How new positions look at keys and values, the new ones and those before them: all that a single sequence and a
/// batch differ in.
pub trait Mixing {
    /// Takes queries `[1, A, n, d]`, rotated keys and values `[1, K, n, d]` of the new positions in `layer`; gives
    /// `[1, n, A · d]`. Layers come in order.
    fn mix(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError>;
}

/// How the last layer does it, whose output is only asked for at some positions: the others are keys and values.
pub trait Finishing: Mixing {
    /// Takes queries `[1, A, m, d]` of the positions that are asked for, keys and values `[1, K, n, d]` of all new
    /// positions; gives `[1, m, A · d]`.
    fn finish(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError>;
}

/// One sequence over its cache.
struct Sequence<'a> {
    cache: &'a mut KvCache,
    visible: Visible,
}

impl Mixing for Sequence<'_> {
    fn mix(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError> {
        let (keys, values) = self.cache.append(layer, key, value)?;
        attend(query, &keys, &values, &self.visible)
    }
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
            rotary: RefCell::new(RotaryTables::new(config, ROTARY_STEP, placement)?),
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

    /// A cache for `capacity` positions of one sequence.
    pub fn cache(&self, capacity: usize) -> Result<KvCache, TorchError> {
        self.caches(1, capacity)
    }

    /// A cache for `capacity` positions of each of `rows` sequences.
    pub fn caches(&self, rows: usize, capacity: usize) -> Result<KvCache, TorchError> {
        KvCache::new(&self.config, rows, capacity, self.placement)
    }

    /// What the keys and values of one position take, in bytes.
    pub fn bytes_per_position(&self) -> usize {
        let shape = [1, self.config.kv_heads as i64, 1, self.config.head_dim as i64];
        kv_cache::bytes(self.config.layers, shape, self.placement)
    }

    /// Where it lies and what it computes in.
    pub const fn placement(&self) -> Placement {
        self.placement
    }

    /// Embeds ids `[n]` (i64, on the device) to `[1, n, H]`.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor, TorchError> {
        Ok(self.embedding.rows(ids)?.f_unsqueeze(0)?)
    }

    /// Embeds ids that lie on the host to `[1, n, H]`.
    pub fn embed_ids(&self, ids: &[i64]) -> Result<Tensor, TorchError> {
        self.embed(&Tensor::f_from_slice(ids)?.f_to_device(self.placement.device.tch())?)
    }

    /// The rotations of `count` positions from `start` on.
    fn rotation(&self, start: usize, count: usize) -> Result<Rotation, TorchError> {
        self.rotary_up_to(start + count)?.at(start, count)
    }

    /// The rotations of `positions` (`[n]`, i64, on the device), all of them below `end`.
    pub fn rotation_of(&self, positions: &Tensor, end: usize) -> Result<Rotation, TorchError> {
        self.rotary_up_to(end)?.of(positions)
    }

    /// The tables, grown where they do not reach `end`.
    fn rotary_up_to(&self, end: usize) -> Result<RefMut<'_, RotaryTables>, TorchError> {
        let mut tables = self.rotary.borrow_mut();
        if tables.positions() < end {
            let positions = end.next_multiple_of(ROTARY_STEP);
            *tables = RotaryTables::new(&self.config, positions, self.placement)?;
        }
        Ok(tables)
    }

    /// Runs the next n positions, `[1, n, H]`, and appends them to `cache`; gives the last one's logits, `[V]` in
    /// f32.
    pub fn forward(&self, hidden: &Tensor, cache: &mut KvCache) -> Result<Tensor, TorchError> {
        let (start, count) = (cache.length(), hidden.size3()?.1);
        let rotation = self.rotation(start, count as usize)?;
        let visible = self.visible(start, count)?;
        let hidden = self.run(hidden, &rotation, &mut Sequence { cache, visible })?;
        cache.advance(count as usize);
        self.logits(&hidden.f_select(1, count - 1)?)?
            .f_squeeze_dim(0)
            .map_err(TorchError::from)
    }

    /// Runs n positions, `[1, n, H]`, of one sequence or of several; gives their last hidden states, `[1, n, H]`.
    pub fn run(&self, hidden: &Tensor, rotation: &Rotation, mixing: &mut dyn Mixing) -> Result<Tensor, TorchError> {
        let mut hidden = hidden.shallow_clone();
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(&hidden, rotation, index, mixing)?;
            watch::see(|| format!("decoder.{}", index + 1), &hidden);
        }
        Ok(hidden)
    }

    /// Runs n positions as [`Self::run`] does, but gives only those that `wanted` (`[m]`, i64, on the device) names:
    /// `[1, m, H]`. Of the others the last layer only computes keys and values.
    pub fn run_for(
        &self,
        wanted: &Tensor,
        hidden: &Tensor,
        rotation: &Rotation,
        mixing: &mut dyn Finishing,
    ) -> Result<Tensor, TorchError> {
        let Some((last, before)) = self.layers.split_last() else {
            return Ok(hidden.f_index_select(1, wanted)?);
        };
        let mut hidden = hidden.shallow_clone();
        for (index, layer) in before.iter().enumerate() {
            hidden = layer.forward(&hidden, rotation, index, mixing)?;
        }
        last.finish(wanted, &hidden, rotation, before.len(), mixing)
    }

    /// The logits, `[m, V]` in f32, of hidden states `[m, H]`.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, TorchError> {
        Ok(self
            .lm_head
            .forward(&self.norm.forward(hidden)?)?
            .f_to_kind(Kind::Float)?)
    }

    /// What `count` new positions see behind `start` others.
    pub fn visible(&self, start: usize, count: i64) -> Result<Visible, TorchError> {
        let grouped = self.config.heads != self.config.kv_heads;
        Visible::causal(start as i64, count, self.placement, grouped)
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
        index: usize,
        mixing: &mut dyn Mixing,
    ) -> Result<Tensor, TorchError> {
        let normed = self.input_norm.forward(hidden)?;
        let attended = self.attention.forward(&normed, rotation, index, mixing)?;
        self.behind_attention(attended, hidden)
    }

    /// As [`Self::forward`], for the positions that are `wanted`.
    fn finish(
        &self,
        wanted: &Tensor,
        hidden: &Tensor,
        rotation: &Rotation,
        index: usize,
        mixing: &mut dyn Finishing,
    ) -> Result<Tensor, TorchError> {
        let normed = self.input_norm.forward(hidden)?;
        let attended = self.attention.finish(wanted, &normed, rotation, index, mixing)?;
        self.behind_attention(attended, &hidden.f_index_select(1, wanted)?)
    }

    /// In place where the result of a matrix product is at hand: a fresh buffer of this size costs page faults.
    fn behind_attention(&self, mut attended: Tensor, hidden: &Tensor) -> Result<Tensor, TorchError> {
        let hidden = attended.f_add_(hidden)?;
        let normed = self.post_norm.forward(&hidden)?;
        Ok(self.mlp.forward(&normed)?.f_add_(&hidden)?)
    }
}

impl Attention {
    /// `[1, n, H]` to `[1, n, H]`.
    fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        layer: usize,
        mixing: &mut dyn Mixing,
    ) -> Result<Tensor, TorchError> {
        let query = rotation.apply(&self.split(&self.query.forward(x)?, self.heads)?)?;
        let key = rotation.apply(&self.split(&self.key.forward(x)?, self.kv_heads)?)?;
        let value = self.split(&self.value.forward(x)?, self.kv_heads)?;
        self.output.forward(&mixing.mix(layer, &query, &key, &value)?)
    }

    /// `[1, n, H]` to `[1, m, H]`: as [`Self::forward`], for the positions that are `wanted`.
    fn finish(
        &self,
        wanted: &Tensor,
        x: &Tensor,
        rotation: &Rotation,
        layer: usize,
        mixing: &mut dyn Finishing,
    ) -> Result<Tensor, TorchError> {
        let query = self.query.forward(&x.f_index_select(1, wanted)?)?;
        let query = rotation.of(wanted)?.apply(&self.split(&query, self.heads)?)?;
        let key = rotation.apply(&self.split(&self.key.forward(x)?, self.kv_heads)?)?;
        let value = self.split(&self.value.forward(x)?, self.kv_heads)?;
        self.output.forward(&mixing.finish(layer, &query, &key, &value)?)
    }

    /// `[1, n, heads · d]` to `[1, heads, n, d]`.
    fn split(&self, x: &Tensor, heads: i64) -> Result<Tensor, TorchError> {
        let count = x.size3()?.1;
        Ok(x.f_view([1, count, heads, self.head_dim])?.f_transpose(1, 2)?)
    }
}

impl Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let gated = self.gate.forward(x)?.f_silu_()?.f_mul_(&self.up.forward(x)?)?;
        self.down.forward(&gated)
    }
}

mod rates;
#[cfg(test)]
pub mod tests;
