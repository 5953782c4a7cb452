//! What a model is: the libtorch runner of VILA and LLaVA-1.5 checkpoints, and answers replayed from a file.
//!
//! Knows no benchmark. An [`Adapter`] takes [`Request`]s and gives [`Answer`]s; all else (templates, tokenizer,
//! preprocessing, weights, generation) is behind it. Without the feature `libtorch` everything but the runner
//! is still here.

pub mod checkpoint;
pub mod picture;
mod replay;
mod request;
#[cfg(feature = "libtorch")]
pub mod runner;
pub mod template;
pub mod tokenizer;
mod work;

pub use replay::Replay;
pub use request::{
    Adapter, AdapterError, Answer, EncodedPicture, FinishReason, Generated, GenerationLimits, PromptPart, Request,
    SampleFailure,
};
pub use work::{Report, Span, Spent, Stage, Work};
