//! The questions an adapter is asked and the answers it gives.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::work::{Report, Span};

/// Reads the encoded bytes (JPEG, PNG, …) of a picture, or says why there are none.
pub type ReadPicture = dyn Fn() -> Result<Vec<u8>, String> + Send + Sync;

/// A picture as it lies on disk; an adapter reads it when it gets to it.
#[derive(Clone)]
pub struct EncodedPicture {
    /// Equal for requests that show the same file.
    pub key: Arc<str>,
    /// Reads its bytes.
    pub read: Arc<ReadPicture>,
}

impl fmt::Debug for EncodedPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedPicture")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A piece of the user's message.
#[derive(Debug, Clone)]
pub enum PromptPart {
    /// Text, exactly as the benchmark words it.
    Text(String),
    /// A picture; the adapter puts its own marker around it.
    Picture(EncodedPicture),
}

/// When an answer ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationLimits {
    /// How many tokens may be generated, the end token included.
    pub max_new_tokens: usize,
}

/// Which of the references' evaluation programs asks a question. They treat pictures and the ends of answers
/// differently; how, is the adapter's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Script {
    /// `model_vqa_loader`: short answers.
    #[default]
    Short,
    /// `model_vqa`: open answers.
    Open,
    /// `model_vqa_mmbench`: the letter of an option.
    MultipleChoice,
    /// The wrappers of VLMEvalKit.
    VlmEvalKit,
}

/// One question to a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// Comes back with the answer.
    pub id: String,
    /// Who would ask it.
    pub script: Script,
    /// The user's message.
    pub prompt: Vec<PromptPart>,
    /// When to stop.
    pub limits: GenerationLimits,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model produced an end token.
    EndToken,
    /// The model wrote the stop string of its template.
    StopString,
    /// `max_new_tokens` were reached.
    Length,
    /// The answer was not generated but read from a file.
    Replayed,
}

impl FinishReason {
    /// The spelling on disk.
    pub const fn id(self) -> &'static str {
        match self {
            Self::EndToken => "end-token",
            Self::StopString => "stop-string",
            Self::Length => "length",
            Self::Replayed => "replayed",
        }
    }
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The text, special tokens skipped, stripped at both ends.
    pub text: String,
    /// Positions of the spliced prompt, picture tokens included; 0 where nothing was run.
    pub prompt_tokens: usize,
    /// Generated tokens, the end token included; 0 where nothing was run.
    pub new_tokens: usize,
    /// Their ids; none where nothing was run.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The spliced prompt was cut to the model's longest sequence, as the references do; its end, the question, may
    /// be missing.
    pub truncated: bool,
    /// The id of the equal question whose answer this is; `None` where the model was asked.
    pub repeats: Option<String>,
}

/// Why one question has no answer, in one line. The run goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SampleFailure(pub String);

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's id.
    pub id: String,
    /// What was said, or why nothing was.
    pub outcome: Result<Generated, SampleFailure>,
}

/// Why a model can answer nothing at all.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The user's to mend: what, where, what to do, in one line.
    #[error("{0}")]
    User(String),
    /// libtorch failed in a way that no input should cause.
    #[error("libtorch: {0}")]
    Torch(String),
}

/// A model that can be asked.
///
/// Requests come as a stream in which those about one picture stand side by side; answers may leave in any
/// order, tagged by id. That leaves batching, picture reuse and prefix reuse to the adapter.
pub trait Adapter {
    /// Answers `requests`, handing each outcome to `sink` as soon as it is known. Pulls no more requests once
    /// `sink` has said [`ControlFlow::Break`], and then returns.
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError>;

    /// What the last call of [`Adapter::answer`] took, where the adapter counts that.
    fn report(&self) -> Option<Report> {
        None
    }

    /// When it did what in the last call of [`Adapter::answer`], where the adapter keeps that.
    fn spans(&self) -> &[Span] {
        &[]
    }
}

impl<A: Adapter + ?Sized> Adapter for &mut A {
    fn answer(
        &mut self,
        requests: &mut dyn Iterator<Item = Request>,
        sink: &mut dyn FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), AdapterError> {
        (**self).answer(requests, sink)
    }

    fn report(&self) -> Option<Report> {
        (**self).report()
    }

    fn spans(&self) -> &[Span] {
        (**self).spans()
    }
}
