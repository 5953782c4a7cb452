//! The libtorch runner: vision tower, projector, decoder, generation.
//!
//! [`VilaModel::generate`] is the reference path (`architecture.md` section 9): one question at a time, one prefill of
//! the whole spliced sequence, then greedy decoding over a KV cache, with every rounding point of the references. Runs
//! go through [`batch`], which gives the same tokens faster.

mod adapter;
mod asking;
mod attention;
mod batch;
mod clip;
mod clock;
mod cpu_attention;
mod device;
mod error;
mod few_rows;
mod finite;
mod generate;
mod intern_vit;
mod kv_cache;
mod layers;
mod llama;
mod loading;
mod many_rows;
mod matrix;
mod memory;
mod model;
mod pass;
mod pictures;
mod projector;
mod repeats;
mod rotary;
mod s2;
mod settings;
mod siglip;
mod splice;
mod torch;
mod vision_tower;
mod watch;
mod weights;
mod wording;

pub use adapter::VilaAdapter;
pub use batch::exactness::{Exactness, Spread};
pub use batch::{Batching, Learned};
pub use device::{CudaStatus, Device};
pub use error::{AnswerError, DeviceError, LoadError, TorchError};
pub use generate::Generation;
pub use loading::{Keep, Loading, free_memory};
pub use memory::{keep_freed_memory, use_large_pages};
pub use model::VilaModel;
pub use pass::Hashing;
pub use settings::RunnerSettings;
pub use torch::{Dtype, DtypeChoice, Libtorch, Placement, ThreadsBy};
