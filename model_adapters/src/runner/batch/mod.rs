//! Many questions at once, with the tokens of one at a time.
//!
//! A *group* is the questions about one picture. What their prompts begin with, the picture included, is prefilled
//! once and kept as a [`cohort::Segment`] that all of them look at; what follows is prefilled for all of them in the
//! same [`prefill::Pass`], which packs several groups into one row of positions. The rows of a group then decode
//! side by side as a [`cohort::Cohort`], and all cohorts share every decode step. Rows leave when they end and groups
//! enter when there is room, so long answers and short ones do not wait for each other ([`engine`]).
//!
//! A batch rounds otherwise than one question does. [`exactness`] finds the answers that this could change and asks
//! them again alone. The reference path, [`crate::runner::VilaModel::generate`], stays the oracle of all of it.

use exactness::{Exactness, Spread};
use serde::{Deserialize, Serialize};

pub mod cohort;
pub mod engine;
pub mod exactness;
pub mod prefill;
pub mod queue;
pub mod root;
pub mod sharing;
pub mod size;

/// How questions are batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Questions in flight at once at most; `None` takes as many as pay and fit.
    pub rows: Option<usize>,
    /// Whether answers must not depend on the batch.
    pub exactness: Exactness,
    /// Exact repetitions of a question are answered once.
    pub dedupe: bool,
    /// Only the limit ends an answer: for measuring speed at fixed lengths.
    pub ignore_end_tokens: bool,
    /// Keep when what was done, for a trace.
    pub trace: bool,
}

/// What a run learned about batches, for the next with the same model, device, dtype and threads.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// How far they move logits.
    pub spread: Spread,
    /// How many questions decode side by side where the user names no number; `None` while that is not settled.
    pub rows: Option<usize>,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            rows: None,
            exactness: Exactness::Exact,
            dedupe: true,
            ignore_end_tokens: false,
            trace: false,
        }
    }
}
