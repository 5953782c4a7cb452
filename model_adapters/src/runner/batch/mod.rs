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

use exactness::Exactness;

pub mod cohort;
pub mod engine;
pub mod exactness;
pub mod prefill;
pub mod queue;
pub mod sharing;

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
