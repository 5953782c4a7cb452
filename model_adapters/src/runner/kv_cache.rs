//! Keys and values of the positions seen so far, in buffers that are allocated once and written in place.

use tch::Tensor;

use crate::checkpoint::LlamaConfig;
use crate::runner::error::TorchError;
use crate::runner::rotary::RotaryTables;
use crate::runner::torch::Placement;

/// Buffers for one sequence, with the rotary tables that cover it.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    rotary: RotaryTables,
    capacity: usize,
    length: usize,
}

/// One layer's buffers, `[1, K, capacity, d]` each; keys are stored after rotation.
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// Room for `capacity` positions.
    pub fn new(config: &LlamaConfig, capacity: usize, placement: Placement) -> Result<Self, TorchError> {
        let shape = [1, config.kv_heads as i64, capacity as i64, config.head_dim as i64];
        let layers = (0..config.layers)
            .map(|_| {
                Ok(LayerCache {
                    keys: Tensor::f_empty(shape, placement.options())?,
                    values: Tensor::f_empty(shape, placement.options())?,
                })
            })
            .collect::<Result<_, TorchError>>()?;
        Ok(Self {
            layers,
            rotary: RotaryTables::new(config, capacity, placement)?,
            capacity,
            length: 0,
        })
    }

    /// How many positions fit.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many positions are filled: the position of the next token.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The tables for the positions that fit.
    pub const fn rotary(&self) -> &RotaryTables {
        &self.rotary
    }

    /// Forgets everything; the buffers stay.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Stores the keys and values, `[1, K, n, d]`, of the next n positions in `layer`; gives views of all up to and
    /// including them. The length stays as it is until [`KvCache::advance`], so that every layer sees the same.
    pub fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor), TorchError> {
        let filled = self.length as i64;
        let buffers = self
            .layers
            .get(layer)
            .ok_or_else(|| TorchError(format!("the KV cache has no layer {layer}")))?;
        let extend = |buffer: &Tensor, new: &Tensor| -> Result<Tensor, TorchError> {
            let added = new.size4()?.2;
            buffer.f_narrow(2, filled, added)?.f_copy_(new)?;
            Ok(buffer.f_narrow(2, 0, filled + added)?)
        };
        Ok((extend(&buffers.keys, keys)?, extend(&buffers.values, values)?))
    }

    /// Counts `positions` more as filled.
    pub const fn advance(&mut self, positions: usize) {
        self.length += positions;
    }
}
