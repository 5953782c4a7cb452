//! What the configuration files of a checkpoint say, in types (`checkpoints.md` sections 4 to 8).

mod file;
mod generation;
mod llama;
mod projector;
mod s2;
mod tower;

pub(super) use file::ConfigFile;
pub use generation::GenerationConfig;
pub use llama::LlamaConfig;
pub(super) use llama::refuse_quantised;
pub use projector::{ProjectorConfig, ProjectorKind};
pub use s2::S2Scales;
pub(super) use tower::Selection;
pub use tower::{Activation, SelectFeature, TowerConfig, TowerKind};
