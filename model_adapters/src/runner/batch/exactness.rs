//! Why a batch's answers can be trusted: matrices of other shapes round otherwise, so a token of the batch is taken
//! only where the best logit leads by far more than rounding was ever seen to move it.
//!
//! The first questions of a run are answered twice, in the batch and alone, and the movement of the lead is measured
//! at every step. A question with a step that is too close, or with an answer much longer than any measured one, is
//! asked again alone, from scratch; that answer is the one given, and one more measurement.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::runner::batch::cohort::Choice;
use crate::runner::error::TorchError;
use crate::runner::torch::Dtype;

/// So many questions are measured before any answer of a batch is trusted.
const SAMPLE: usize = 8;
/// A lead counts when it is this many times the largest movement seen, `M`. A wrong token is taken only where a lead
/// over `8 M` turns, so where one movement is over 8 times the largest of at least eight earlier ones of its kind. That
/// has a probability of 9e-7 where movements are normal, as sums of many roundings are, whatever their scale, and of
/// 8e-5 were they as heavy-tailed as an exponential; a test computes both. Every question that is asked again makes
/// the sample larger and the probability smaller.
const FACTOR: f64 = 8.0;
/// Where nothing moved, a lead must still be this many units in the last place of the logit.
const LAST_PLACES: f64 = 4.0;

/// Whether answers must not depend on the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exactness {
    /// The tokens of one question at a time.
    #[default]
    Exact,
    /// Whatever the batch says; a sample is measured.
    Fast,
    /// No batch: one question at a time with a full prefill. What the others are compared with.
    Reference,
}

/// How far batches move the lead of the best logit, as measured so far. Belongs to a model, a device, a dtype and a
/// number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// The largest movement seen.
    pub largest: f64,
    /// Questions measured.
    pub questions: usize,
    /// Tokens of the longest answer measured.
    pub longest: usize,
}

impl Spread {
    /// Whether an answer of `tokens` tokens can be judged by what has been measured. Rounding adds up along an
    /// answer, so one of more than twice the longest measured length is measured as well.
    pub const fn covers(&self, tokens: usize) -> bool {
        self.questions >= SAMPLE && tokens <= 2 * self.longest
    }

    /// Whether the batch's choice is beyond doubt.
    pub fn settles(&self, choice: &Choice, dtype: Dtype) -> bool {
        let last_places = LAST_PLACES * dtype.epsilon() * choice.logit.abs();
        choice.margin > (FACTOR * self.largest).max(last_places)
    }

    /// Learns from an answer of `tokens` tokens whose leads moved by at most `moved`.
    pub const fn learn(&mut self, moved: f64, tokens: usize) {
        self.largest = self.largest.max(moved);
        self.questions += 1;
        if tokens > self.longest {
            self.longest = tokens;
        }
    }
}

/// Compares a question asked alone with what the batch chose, as long as both have the same tokens behind them.
pub struct Comparison<'a> {
    batch: &'a [Choice],
    /// The largest movement of a lead.
    pub moved: f64,
}

impl<'a> Comparison<'a> {
    /// With what the batch chose, step by step.
    pub const fn with(batch: &'a [Choice]) -> Self {
        Self { batch, moved: 0.0 }
    }

    /// Looks at the logits `[V]` behind `ids`.
    pub fn step(&mut self, ids: &[u32], logits: &Tensor) -> Result<(), TorchError> {
        let same = ids.iter().zip(self.batch).all(|(&id, choice)| id == choice.first);
        if let Some(choice) = self.batch.get(ids.len())
            && same
        {
            let pair = [i64::from(choice.first), i64::from(choice.second)];
            let pair = Tensor::f_from_slice(&pair)?.f_to_device(logits.device())?;
            if let [first, second] = Vec::<f32>::try_from(logits.f_index_select(0, &pair)?)?[..] {
                let moved = (f64::from(first) - f64::from(second) - choice.margin).abs();
                if moved.is_finite() {
                    self.moved = self.moved.max(moved);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(margin: f64) -> Choice {
        Choice {
            first: 2,
            second: 0,
            logit: 10.0,
            margin,
        }
    }

    #[test]
    fn nothing_is_covered_before_the_sample_nor_far_beyond_its_longest_answer() {
        let mut spread = Spread::default();
        for _ in 0..SAMPLE {
            assert!(!spread.covers(1));
            spread.learn(1e-5, 3);
        }
        assert!(spread.covers(6) && !spread.covers(7));
    }

    #[test]
    fn a_lead_must_exceed_the_spread_by_far_and_the_last_places_always() {
        let mut spread = Spread::default();
        assert!(!spread.settles(&choice(0.0), Dtype::Float32), "a tie settles nothing");
        assert!(!spread.settles(&choice(3e-6), Dtype::Float32));
        assert!(spread.settles(&choice(6e-6), Dtype::Float32));
        assert!(!spread.settles(&choice(6e-6), Dtype::Float16));
        spread.learn(1e-3, 1);
        assert!(!spread.settles(&choice(7.9e-3), Dtype::Float32));
        assert!(spread.settles(&choice(8.1e-3), Dtype::Float32));
        assert!(!spread.settles(&choice(f64::NAN), Dtype::Float32));
    }

    /// The probability that a movement is over [`FACTOR`] times the largest of [`SAMPLE`] earlier ones, where one has
    /// `density` and stays below x with probability `below`.
    fn escapes(density: impl Fn(f64) -> f64, below: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-3;
        let largest = |x: f64| SAMPLE as f64 * density(x) * below(x).powi(SAMPLE as i32 - 1);
        let at = |place: u32| (f64::from(place) + 0.5) * step;
        (0..10_000)
            .map(at)
            .map(|x| largest(x) * (1.0 - below(FACTOR * x)) * step)
            .sum()
    }

    #[test]
    fn the_factor_lets_one_movement_in_a_million_escape() {
        let exponential = escapes(|x| (-x).exp(), |x| 1.0 - (-x).exp());
        // Closed form: the expectation of exp(-8 M), 8! 8! / 16!.
        assert!((exponential - 1.0 / 12_870.0).abs() < 1e-8, "{exponential}");
        let bell = |x: f64| (-x * x / 2.0).exp() * (2.0 / std::f64::consts::PI).sqrt();
        let step = 1e-3;
        let mut sums = vec![0.0];
        for place in 0..100_000 {
            let x = (f64::from(place) + 0.5) * step;
            sums.push(sums.last().unwrap() + bell(x) * step);
        }
        let below = |x: f64| {
            let place = x / step;
            let low = place.floor() as usize;
            let (before, after) = (sums[low], sums[(low + 1).min(sums.len() - 1)]);
            before + (after - before) * place.fract()
        };
        let normal = escapes(bell, below);
        assert!((8e-7..1e-6).contains(&normal), "{normal}");
    }

    #[test]
    fn movements_count_until_the_tokens_part() {
        let batch = [choice(1.0), choice(1.0), choice(1.0)];
        let mut comparison = Comparison::with(&batch);
        let logits = |lead: f32| Tensor::from_slice(&[0.0, -5.0, lead]);
        comparison.step(&[], &logits(1.25)).unwrap();
        assert_eq!(comparison.moved, 0.25);
        comparison.step(&[2], &logits(0.5)).unwrap();
        assert_eq!(comparison.moved, 0.5);
        comparison.step(&[2, 0], &logits(-9.0)).unwrap();
        assert_eq!(comparison.moved, 0.5);
    }
}
