//! Keys and values of the positions seen so far, in buffers that are written in place.

use tch::Tensor;

use crate::checkpoint::LlamaConfig;
use crate::runner::error::TorchError;
use crate::runner::torch::Placement;

/// Buffers for some sequences of equal length.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    placement: Placement,
    /// Of one layer's keys: rows, heads K, capacity, width d.
    shape: [i64; 4],
    length: usize,
}

/// One layer's buffers, `[rows, K, capacity, d]` each; keys are stored after rotation.
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// Room for `capacity` positions of each of `rows` sequences.
    pub fn new(config: &LlamaConfig, rows: usize, capacity: usize, placement: Placement) -> Result<Self, TorchError> {
        let shape = [
            rows as i64,
            config.kv_heads as i64,
            capacity as i64,
            config.head_dim as i64,
        ];
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
            placement,
            shape,
            length: 0,
        })
    }

    /// How many positions of a sequence fit.
    pub const fn capacity(&self) -> usize {
        let [_, _, capacity, _] = self.shape;
        capacity as usize
    }

    /// How many positions of every sequence are filled.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// What the buffers take.
    pub fn bytes(&self) -> usize {
        bytes(self.layers.len(), self.shape, self.placement)
    }

    /// Forgets everything; the buffers stay.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Stores the keys and values, `[rows, K, n, d]`, of the next n positions in `layer`; gives views of all up to
    /// and including them. The length stays as it is until [`KvCache::advance`], so that every layer sees the same.
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

    /// Fills an empty cache of one sequence with the keys and values, `[1, K, n, d]`, that it begins with.
    pub fn begin(&mut self, layers: &[(Tensor, Tensor)]) -> Result<(), TorchError> {
        let mut positions = 0;
        for (layer, (keys, values)) in layers.iter().enumerate() {
            let _filled = self.append(layer, keys, values)?;
            positions = keys.size4()?.2;
        }
        self.length = positions as usize;
        Ok(())
    }

    /// Views of what is filled, `[rows, K, n, d]`, layer by layer.
    pub fn filled(&self) -> Result<Vec<(Tensor, Tensor)>, TorchError> {
        let filled = |buffer: &Tensor| buffer.f_narrow(2, 0, self.length as i64);
        let layer = |layer: &LayerCache| Ok((filled(&layer.keys)?, filled(&layer.values)?));
        self.layers.iter().map(layer).collect()
    }

    /// Counts `positions` more as filled.
    pub const fn advance(&mut self, positions: usize) {
        self.length += positions;
    }

    /// Moves to buffers for `capacity` positions, one layer after the other.
    pub fn grow(&mut self, capacity: usize) -> Result<(), TorchError> {
        let [rows, heads, _, width] = self.shape;
        let shape = [rows, heads, capacity as i64, width];
        let filled = self.length as i64;
        let moved = |old: &Tensor| -> Result<Tensor, TorchError> {
            let new = Tensor::f_empty(shape, self.placement.options())?;
            new.f_narrow(2, 0, filled)?.f_copy_(&old.f_narrow(2, 0, filled)?)?;
            Ok(new)
        };
        for layer in &mut self.layers {
            layer.keys = moved(&layer.keys)?;
            layer.values = moved(&layer.values)?;
        }
        self.shape = shape;
        Ok(())
    }

    /// Keeps the sequences that `rows` (`[n]`, i64, on the device) names.
    pub fn keep(&mut self, rows: &Tensor) -> Result<(), TorchError> {
        for layer in &mut self.layers {
            layer.keys = layer.keys.f_index_select(0, rows)?;
            layer.values = layer.values.f_index_select(0, rows)?;
        }
        let [kept, ..] = &mut self.shape;
        *kept = rows.size1()?;
        Ok(())
    }
}

/// What keys and values of `layers` layers take, `shape` each.
pub fn bytes(layers: usize, shape: [i64; 4], placement: Placement) -> usize {
    let values: i64 = shape.iter().product();
    2 * layers * values as usize * placement.dtype.bytes()
}
