//! A checkpoint on disk: which layout it has, what its configuration says, and its tensors, memory-mapped and
//! checked against that configuration before any is used. No libtorch here.

mod archive;
mod awq;
mod compare;
mod config;
mod error;
mod expected;
mod inspect;
mod layout;
mod lookup;
mod mapped;
mod open;
mod pickle;
mod processor;
mod safetensors;
mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod weights;

pub use awq::{Packing, QuantisedView, StoredQuantised};
pub use compare::Fit;
pub use config::{
    Activation, GenerationConfig, LlamaConfig, ProjectorConfig, ProjectorKind, S2Scales, SelectFeature, TowerConfig,
    TowerKind,
};
pub use error::CheckpointError;
pub use inspect::{Inspection, ModuleInspection};
pub use layout::Layout;
#[cfg(feature = "libtorch")]
pub(crate) use mapped::MappedFile;
pub use open::{Checkpoint, OpenSettings};
pub use tensors::{Dtype, Module, StoredTensor, TensorView};
