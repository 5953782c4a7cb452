//! What a model is: the libtorch runner of VILA and LLaVA-1.5 checkpoints, and answers replayed from a file.
//!
//! Knows no benchmark. An [`Adapter`] takes [`Request`]s and gives [`Answer`]s; all else (templates, tokenizer,
//! preprocessing, weights, generation) is behind it. Without the feature `libtorch` everything but the runner
//! is still here.

pub mod checkpoint;
mod names;
#[cfg(feature = "libtorch")]
pub mod parity;
pub mod picture;
pub mod profile;
mod replay;
mod request;
#[cfg(feature = "libtorch")]
pub mod runner;
pub mod stop;
pub mod template;
pub mod tokenizer;
pub mod variants;
mod work;

pub use names::UnknownName;
pub use replay::Replay;
pub use request::{
    Adapter, AdapterError, Answer, EncodedPicture, FinishReason, Generated, GenerationLimits, PromptPart, Request,
    SampleFailure, Script,
};
pub use work::{Rates, Report, Span, Spent, Stage, Work};
