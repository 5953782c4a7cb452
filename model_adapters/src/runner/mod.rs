//! The libtorch runner: vision tower, projector, decoder, generation.
//!
//! This is the reference path (`architecture.md` section 9): one question at a time, one prefill of the whole
//! spliced sequence, then greedy decoding over a KV cache. Every rounding point of the references is kept.

mod adapter;
mod clip;
mod device;
mod error;
mod generate;
mod kv_cache;
mod layers;
mod llama;
mod model;
mod projector;
mod rotary;
mod siglip;
mod splice;
mod torch;
mod vision_tower;
mod weights;
mod wording;

pub use adapter::{RunnerSettings, VilaAdapter};
pub use device::{CudaStatus, Device};
pub use error::{AnswerError, DeviceError, LoadError, TorchError};
pub use generate::Generation;
pub use model::VilaModel;
pub use torch::{Dtype, DtypeChoice, Libtorch, Placement};
