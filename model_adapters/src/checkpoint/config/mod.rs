//! What the configuration files of a checkpoint say, in types (`checkpoints.md` sections 4 to 8).

mod file;
mod generation;
mod llama;
mod projector;
mod quantisation;
mod s2;
mod selection;
mod tower;

pub(super) use file::ConfigFile;
pub use generation::GenerationConfig;
pub use llama::LlamaConfig;
pub use projector::{ProjectorConfig, ProjectorKind};
pub(super) use quantisation::{refuse_quantised, require_group_size};
pub use s2::S2Scales;
pub use selection::SelectFeature;
pub(super) use selection::Selection;
pub use tower::{Activation, TowerConfig, TowerKind};
