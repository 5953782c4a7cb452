//! VizWiz's second task: which questions cannot be answered (`vizwiz.md`, section 6).

use crate::metric::{Metric, MetricId, Ratio, Term};

/// What the task makes of the answered samples.
#[derive(Debug, Default)]
pub(super) struct Answerability {
    known: Vec<Answered>,
    /// How many samples the data say nothing about.
    unknown: usize,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    sample: usize,
    /// Whether the question cannot be answered.
    truth: bool,
    /// Whether the answer says so.
    predicted: bool,
}

impl Answerability {
    /// Adds an answered sample; `answerable` is the annotation's word, if any.
    pub(super) fn add(&mut self, sample: usize, answerable: Option<bool>, predicted: bool) {
        match answerable {
            Some(answerable) => self.known.push(Answered {
                sample,
                truth: !answerable,
                predicted,
            }),
            None => self.unknown += 1,
        }
    }

    /// Average precision and F1, in per cent.
    pub(super) fn metrics(&self) -> [Metric; 2] {
        let undefined = match (self.known.len(), self.unknown) {
            (0, 0) => Some("no answered sample"),
            (_, 0) => None,
            _ => Some("the data do not say which questions are answerable"),
        };
        let ap = match undefined {
            Some(reason) => Err(reason.to_owned()),
            None => {
                let truth: Vec<bool> = self.known.iter().map(|answered| answered.truth).collect();
                let scores: Vec<f64> = self
                    .known
                    .iter()
                    .map(|answered| f64::from(answered.predicted))
                    .collect();
                Ok(100.0 * average_precision(&truth, &scores))
            }
        };
        let f1 = self.ratio(100.0, |answered| {
            let (hit, truth, predicted) = answered.counts();
            (2.0 * hit, truth + predicted)
        });
        let f1_value = match (undefined, f1.value()) {
            (Some(reason), _) => Err(reason.to_owned()),
            (None, None) => Err("no question is unanswerable and no answer says so".to_owned()),
            (None, Some(value)) => Ok(value),
        };
        [
            self.metric("unanswerable/ap", ap, self.ap_ratios()),
            self.metric("unanswerable/f1", f1_value, vec![f1]),
        ]
    }

    fn metric(&self, id: &str, value: Result<f64, String>, ratios: Vec<Ratio>) -> Metric {
        Metric {
            id: MetricId::new(id),
            n: self.known.len(),
            bounds: None,
            ratios: if value.is_ok() { ratios } else { Vec::new() },
            value,
        }
    }

    /// With yes-or-no scores the average precision is R P + (1 - R) prevalence, and the second term is the share
    /// of missed questions. The product is written as P₀ R + R₀ P - R₀ P₀, which has its value and its derivative
    /// at the measured recall R₀ and precision P₀, so that the delta method sees both vary.
    fn ap_ratios(&self) -> Vec<Ratio> {
        let recall = |answered: Answered| {
            let (hit, truth, _) = answered.counts();
            (hit, truth)
        };
        let precision = |answered: Answered| {
            let (hit, _, predicted) = answered.counts();
            (hit, predicted)
        };
        let missed = self.ratio(100.0, |answered| {
            let (hit, truth, _) = answered.counts();
            (truth - hit, 1.0)
        });
        let (at_recall, at_precision) = (self.ratio(1.0, recall).value(), self.ratio(1.0, precision).value());
        match (at_recall, at_precision) {
            (Some(r), Some(p)) => vec![
                self.ratio(100.0 * p, recall),
                self.ratio(100.0 * r, precision),
                self.ratio(-100.0 * r * p, |_| (1.0, 1.0)),
                missed,
            ],
            _ => vec![missed],
        }
    }

    fn ratio(&self, weight: f64, of: impl Fn(Answered) -> (f64, f64)) -> Ratio {
        let terms = self.known.iter().map(|answered| {
            let (numerator, denominator) = of(*answered);
            Term {
                sample: answered.sample,
                numerator,
                denominator,
            }
        });
        Ratio {
            weight,
            terms: terms.collect(),
        }
    }
}

impl Answered {
    /// Whether it is a hit, unanswerable, and called so.
    fn counts(self) -> (f64, f64, f64) {
        (
            f64::from(self.truth && self.predicted),
            f64::from(self.truth),
            f64::from(self.predicted),
        )
    }
}

/// Sum over distinct scores in descending order of (R_n - R_{n-1}) P_n, equal scores together, no interpolation.
/// 0 where nothing is true.
fn average_precision(truth: &[bool], scores: &[f64]) -> f64 {
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positive = truth.iter().filter(|truth| **truth).count();
    if positive == 0 {
        return 0.0;
    }
    let (mut seen, mut hits, mut sum) = (0_usize, 0_usize, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let new = tied.iter().filter(|(_, truth)| *truth).count();
        seen += tied.len();
        hits += new;
        sum += new as f64 / positive as f64 * (hits as f64 / seen as f64);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        vizwiz_unanswerable: Golden,
    }

    #[derive(Deserialize)]
    struct Golden {
        unanswerable_truth: Vec<u8>,
        binary_scores: Vec<u8>,
        binary_ap: f64,
        binary_f1: f64,
        graded_scores: Vec<f64>,
        graded_ap: f64,
    }

    fn of(rows: &[(bool, bool)]) -> Answerability {
        let mut all = Answerability::default();
        for (sample, (truth, predicted)) in rows.iter().enumerate() {
            all.add(sample, Some(!truth), *predicted);
        }
        all
    }

    #[test]
    fn golden_vectors_are_met() {
        let file: File = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
        let golden = file.vizwiz_unanswerable;
        let truth: Vec<bool> = golden.unanswerable_truth.iter().map(|truth| *truth == 1).collect();
        assert!((average_precision(&truth, &golden.graded_scores) - golden.graded_ap).abs() < 1e-15);
        let rows: Vec<(bool, bool)> = truth
            .into_iter()
            .zip(golden.binary_scores.iter().map(|score| *score == 1))
            .collect();
        let [ap, f1] = of(&rows).metrics();
        assert!((ap.value.unwrap() - 100.0 * golden.binary_ap).abs() < 1e-12);
        assert!((f1.value.unwrap() - 100.0 * golden.binary_f1).abs() < 1e-12);
    }

    #[test]
    fn edges() {
        let reason = |reason: &str| Err(reason.to_owned());
        type Case = (&'static [(bool, bool)], Result<f64, String>, Result<f64, String>);
        let cases: [Case; 5] = [
            (&[(false, true), (false, false)], Ok(0.0), Ok(0.0)),
            (
                &[(false, false)],
                Ok(0.0),
                reason("no question is unanswerable and no answer says so"),
            ),
            (&[(true, true), (true, false)], Ok(100.0), Ok(100.0 * 2.0 / 3.0)),
            (&[(true, false), (false, false)], Ok(50.0), Ok(0.0)),
            (&[], reason("no answered sample"), reason("no answered sample")),
        ];
        for (rows, ap, f1) in cases {
            let values = of(rows).metrics().map(|metric| metric.value);
            assert_eq!(values, [ap, f1], "{rows:?}");
        }
        let mut unknown = of(&[(true, true)]);
        unknown.add(1, None, true);
        let [ap, f1] = unknown.metrics();
        assert_eq!(ap.value, reason("the data do not say which questions are answerable"));
        assert!(f1.value.is_err() && f1.ratios.is_empty());
    }

    proptest! {
        #[test]
        fn ratios_add_up(rows in proptest::collection::vec(any::<(bool, bool)>(), 1..60)) {
            for metric in of(&rows).metrics() {
                let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
                match metric.value {
                    Ok(value) => prop_assert!((value - sum.unwrap()).abs() < 1e-9, "{}", metric.id),
                    Err(_) => prop_assert!(metric.ratios.is_empty(), "{}", metric.id),
                }
            }
        }

        #[test]
        fn binary_scores_give_the_closed_form(rows in proptest::collection::vec(any::<(bool, bool)>(), 1..60)) {
            let count = |of: fn(&(bool, bool)) -> bool| rows.iter().filter(|row| of(row)).count() as f64;
            let (hit, truth, predicted) = (count(|r| r.0 && r.1), count(|r| r.0), count(|r| r.1));
            prop_assume!(truth > 0.0 && predicted > 0.0);
            let (r, p) = (hit / truth, hit / predicted);
            let expected = 100.0 * (r * p + (1.0 - r) * truth / rows.len() as f64);
            let [ap, _] = of(&rows).metrics();
            prop_assert!((ap.value.unwrap() - expected).abs() < 1e-9);
        }
    }
}
