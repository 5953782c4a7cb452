//! What answering took: counts, which tests assert to the last one, and seconds.

use std::ops::AddAssign;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Counts that do not depend on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Questions whose prompts were prefilled.
    #[serde(default)]
    pub questions: usize,
    /// Pictures encoded.
    pub tower_forwards: usize,
    /// Prefill passes.
    pub prefill_passes: usize,
    /// Positions prefilled.
    pub prefilled: usize,
    /// Positions of all prompts, as one question at a time prefills them.
    pub prompt_positions: usize,
    /// Decode steps.
    pub decode_steps: usize,
    /// Tokens that these steps fed.
    pub decoded: usize,
    /// Bytes of keys and values at most held at once.
    pub kv_bytes: usize,
    /// Questions answered alone as well, to measure what batching moves.
    pub measured: usize,
    /// Questions asked again alone because a choice was close.
    pub close: usize,
    /// Of the questions answered both ways, those whose tokens differed.
    pub differing: usize,
    /// Questions answered from an earlier equal one.
    pub repeats: usize,
}

impl Work {
    /// Positions of prompts that no prefill computed.
    pub const fn positions_saved(&self) -> usize {
        self.prompt_positions.saturating_sub(self.prefilled)
    }
}

/// Seconds by stage. Reading and preprocessing go on beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Reading and decoding pictures, in the background.
    pub decode: f64,
    /// Preprocessing pictures, in the background.
    pub preprocess: f64,
    /// Waiting for pictures.
    pub waiting: f64,
    /// Tokenising prompts.
    pub tokenise: f64,
    /// Vision tower.
    pub tower: f64,
    /// Projector.
    pub projector: f64,
    /// Prefill passes.
    pub prefill: f64,
    /// Decode steps.
    pub steps: f64,
    /// Questions asked alone, whole.
    pub alone: f64,
}

/// What answering took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Counts.
    pub work: Work,
    /// Seconds.
    pub spent: Spent,
    /// What of the machine that used; measured with `--trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
}

/// What this machine can do at the model's shapes, and what of it a run used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Operations a second of a product of 2048 rows with an MLP matrix of the decoder.
    pub matrix: f64,
    /// Bytes a second of summing up the matrices of the decoder's layers.
    pub read: f64,
    /// The share of `matrix` that the prefill passes had: operations of their products with weights over their
    /// seconds.
    pub prefill: f64,
    /// The share of `read` that the decode steps had: bytes of the layers' matrices and the head, once a step, over
    /// their seconds.
    pub decode: f64,
}

impl AddAssign for Report {
    /// One stretch of asking after another.
    fn add_assign(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.work, other.work);
        mine.questions += theirs.questions;
        mine.tower_forwards += theirs.tower_forwards;
        mine.prefill_passes += theirs.prefill_passes;
        mine.prefilled += theirs.prefilled;
        mine.prompt_positions += theirs.prompt_positions;
        mine.decode_steps += theirs.decode_steps;
        mine.decoded += theirs.decoded;
        mine.kv_bytes = mine.kv_bytes.max(theirs.kv_bytes);
        mine.measured += theirs.measured;
        mine.close += theirs.close;
        mine.differing += theirs.differing;
        mine.repeats += theirs.repeats;
        let (mine, theirs) = (&mut self.spent, other.spent);
        mine.decode += theirs.decode;
        mine.preprocess += theirs.preprocess;
        mine.waiting += theirs.waiting;
        mine.tokenise += theirs.tokenise;
        mine.tower += theirs.tower;
        mine.projector += theirs.projector;
        mine.prefill += theirs.prefill;
        mine.steps += theirs.steps;
        mine.alone += theirs.alone;
        self.rates = other.rates.or(self.rates);
    }
}

/// What time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading and decoding a picture, in the background.
    Decode,
    /// Preprocessing a picture, in the background.
    Preprocess,
    /// Waiting for a picture.
    Waiting,
    /// Tokenising a prompt.
    Tokenise,
    /// Vision tower.
    Tower,
    /// Projector.
    Projector,
    /// A prefill pass.
    Prefill,
    /// A decode step.
    Step,
    /// A question asked alone.
    Alone,
}

impl Stage {
    /// As traces show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "read picture",
            Self::Preprocess => "preprocess picture",
            Self::Waiting => "wait for picture",
            Self::Tokenise => "tokenise",
            Self::Tower => "vision tower",
            Self::Projector => "projector",
            Self::Prefill => "prefill",
            Self::Step => "decode step",
            Self::Alone => "ask alone",
        }
    }

    /// Whether it goes on beside the others.
    pub const fn is_beside(self) -> bool {
        matches!(self, Self::Decode | Self::Preprocess)
    }
}

/// One stretch of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What was done.
    pub stage: Stage,
    /// From then.
    pub start: Instant,
    /// Until then.
    pub end: Instant,
}

impl Span {
    /// Of `work`, with its result.
    pub fn of<T>(stage: Stage, work: impl FnOnce() -> T) -> (T, Self) {
        let start = Instant::now();
        let result = work();
        let end = Instant::now();
        (result, Self { stage, start, end })
    }
}
