//! The time that the stages of a run take.

use std::time::Instant;

use crate::work::{Span, Spent, Stage};

/// Sums spans up, and keeps them where a trace is wanted.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Seconds so far.
    pub spent: Spent,
    /// Kept spans.
    pub spans: Vec<Span>,
    /// Whether spans are kept.
    pub keeps: bool,
}

impl Clock {
    /// Runs `work` as a stretch of `stage`.
    pub fn run<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (result, span) = Span::of(stage, work);
        self.add(span);
        result
    }

    /// Adds a stretch that ends now.
    pub fn since(&mut self, stage: Stage, start: Instant) {
        let end = Instant::now();
        self.add(Span { stage, start, end });
    }

    /// Adds a stretch.
    pub fn add(&mut self, span: Span) {
        let spent = &mut self.spent;
        let seconds = match span.stage {
            Stage::Decode => &mut spent.decode,
            Stage::Preprocess => &mut spent.preprocess,
            Stage::Waiting => &mut spent.waiting,
            Stage::Tokenise => &mut spent.tokenise,
            Stage::Tower => &mut spent.tower,
            Stage::Projector => &mut spent.projector,
            Stage::Prefill => &mut spent.prefill,
            Stage::Step => &mut spent.steps,
            Stage::Alone => &mut spent.alone,
        };
        *seconds += (span.end - span.start).as_secs_f64();
        if self.keeps {
            self.spans.push(span);
        }
    }
}
