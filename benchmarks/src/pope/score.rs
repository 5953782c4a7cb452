//! What is counted of POPE answers, and the metrics made of the counts (`pope.md`, sections 6 and 8).

use super::parse::{Reading, read};
use super::{Category, Question};
use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;
use crate::task::Protocol;

/// What one answered sample is to the counts.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    sample: usize,
    question: Question,
    reading: Reading,
    /// Whether a reading of neither counts as a negative prediction.
    neither_is_negative: bool,
}

impl Outcome {
    fn true_positive(self) -> f64 {
        f64::from(self.question.positive && self.reading == Reading::Yes)
    }

    fn false_positive(self) -> f64 {
        f64::from(!self.question.positive && self.reading == Reading::Yes)
    }

    fn false_negative(self) -> f64 {
        let negative = match self.reading {
            Reading::Yes => false,
            Reading::No => true,
            Reading::Neither => self.neither_is_negative,
        };
        f64::from(self.question.positive && negative)
    }

    fn correct(self) -> f64 {
        let right = if self.question.positive {
            Reading::Yes
        } else {
            Reading::No
        };
        f64::from(self.reading == right)
    }
}

/// A number taken over some samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Accuracy,
    Precision,
    Recall,
    F1,
    /// Predicted yes over all.
    YesRatio,
    /// Labelled yes over all: what lmms-eval calls the yes ratio.
    LabelRatio,
}

impl Measure {
    /// Those shown for every category.
    const SHOWN: [Self; 5] = [Self::Accuracy, Self::Precision, Self::Recall, Self::F1, Self::YesRatio];

    const fn id(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::YesRatio | Self::LabelRatio => "yes-ratio",
        }
    }

    /// What a sample adds above and below the line.
    fn term(self, outcome: Outcome) -> (f64, f64) {
        let (tp, fp, missed) = (
            outcome.true_positive(),
            outcome.false_positive(),
            outcome.false_negative(),
        );
        match self {
            Self::Accuracy => (outcome.correct(), 1.0),
            Self::Precision => (tp, tp + fp),
            Self::Recall => (tp, tp + missed),
            Self::F1 => (2.0 * tp, 2.0 * tp + fp + missed),
            Self::YesRatio => (tp + fp, 1.0),
            Self::LabelRatio => (f64::from(outcome.question.positive), 1.0),
        }
    }

    /// The value as a fraction, or why there is none. The originals divide by zero there.
    fn value(self, outcomes: &[Outcome]) -> Result<f64, &'static str> {
        if outcomes.is_empty() {
            return Err("no answered sample");
        }
        if self == Self::F1 {
            let (precision, recall) = (Self::Precision.value(outcomes)?, Self::Recall.value(outcomes)?);
            return match precision + recall {
                0.0 => Err("precision and recall are 0"),
                sum => Ok(2.0 * precision * recall / sum),
            };
        }
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for outcome in outcomes {
            let (above, below) = self.term(*outcome);
            numerator += above;
            denominator += below;
        }
        match (denominator, self) {
            (0.0, Self::Precision) => Err("no positive prediction"),
            (0.0, _) => Err("no positive sample with a prediction"),
            _ => Ok(numerator / denominator),
        }
    }

    fn ratio(self, outcomes: &[Outcome], weight: f64) -> Ratio {
        let terms = outcomes.iter().map(|outcome| {
            let (numerator, denominator) = self.term(*outcome);
            Term {
                sample: outcome.sample,
                numerator,
                denominator,
            }
        });
        Ratio {
            weight,
            terms: terms.collect(),
        }
    }

    /// As a metric in per cent.
    fn metric(self, prefix: &str, outcomes: &[Outcome]) -> Metric {
        let value = self.value(outcomes);
        Metric {
            id: MetricId::new(format!("{prefix}/{}", self.id())),
            n: outcomes.len(),
            bounds: None,
            ratios: if value.is_ok() {
                vec![self.ratio(outcomes, 100.0)]
            } else {
                Vec::new()
            },
            value: value.map(|value| 100.0 * value).map_err(str::to_owned),
        }
    }

    /// As a harness prints it: 0 where it is undefined.
    fn harness_metric(self, harness: Protocol, outcomes: &[Outcome]) -> Metric {
        let mut metric = self.metric(harness.id(), outcomes);
        if !outcomes.is_empty() {
            metric.value = metric.value.or(Ok(0.0));
        }
        metric
    }

    /// The plain mean over the categories, in per cent.
    fn mean(self, categories: &[Vec<Outcome>; 3]) -> Metric {
        let mut value = Ok(0.0);
        for (category, outcomes) in Category::ALL.iter().zip(categories) {
            let of_category = self
                .value(outcomes)
                .map_err(|reason| format!("{}: {reason}", category.id()));
            value = value.and_then(|sum| Ok(sum + of_category?));
        }
        let ratios = categories.iter().map(|outcomes| self.ratio(outcomes, 100.0 / 3.0));
        Metric {
            id: MetricId::new(self.id()),
            n: categories.iter().map(Vec::len).sum(),
            bounds: None,
            ratios: if value.is_ok() { ratios.collect() } else { Vec::new() },
            value: value.map(|sum| 100.0 * sum / 3.0),
        }
    }
}

/// Scores one answer a question, `None` where there is none; such a question enters no metric.
pub(super) fn score(
    questions: &[Question],
    answers: &[Option<String>],
    protocol: Protocol,
) -> Result<Score, DataError> {
    if questions.len() != answers.len() {
        let (given, wanted) = (answers.len(), questions.len());
        return Err(DataError::Mismatch(format!(
            "{given} answers for {wanted} POPE questions; give one entry each"
        )));
    }
    let mut samples = Vec::with_capacity(questions.len());
    let mut outcomes = Vec::with_capacity(questions.len());
    let (mut unparsed, mut empty) = (0, 0);
    for (sample, (question, answer)) in questions.iter().zip(answers).enumerate() {
        let Some(answer) = answer else {
            samples.push(SampleScore {
                parsed: None,
                score: None,
            });
            continue;
        };
        let outcome = Outcome {
            sample,
            question: *question,
            reading: read(answer, protocol),
            neither_is_negative: protocol == Protocol::VlmEvalKit,
        };
        empty += usize::from(python_text::strip(answer).is_empty());
        unparsed += usize::from(outcome.reading == Reading::Neither);
        samples.push(SampleScore {
            parsed: outcome.reading.parsed(),
            score: Some(outcome.correct()),
        });
        outcomes.push(outcome);
    }
    Ok(Score {
        samples,
        metrics: metrics(&outcomes, protocol),
        answered: outcomes.len(),
        unparsed,
        empty,
    })
}

fn metrics(outcomes: &[Outcome], protocol: Protocol) -> Vec<Metric> {
    let categories = Category::ALL.map(|category| {
        let of_category = outcomes.iter().filter(|outcome| outcome.question.category == category);
        of_category.copied().collect::<Vec<Outcome>>()
    });
    let mut metrics = vec![Measure::F1.mean(&categories), Measure::Accuracy.mean(&categories)];
    for (category, outcomes) in Category::ALL.iter().zip(&categories) {
        metrics.extend(Measure::SHOWN.map(|measure| measure.metric(category.id(), outcomes)));
    }
    metrics.extend(Measure::SHOWN.map(|measure| measure.metric("pooled", outcomes)));
    let printed: &[Measure] = match protocol {
        Protocol::Paper | Protocol::Official => &[],
        Protocol::LmmsEval => &[
            Measure::Accuracy,
            Measure::Precision,
            Measure::Recall,
            Measure::F1,
            Measure::LabelRatio,
        ],
        Protocol::VlmEvalKit => &[Measure::F1, Measure::Accuracy],
    };
    metrics.extend(printed.iter().map(|measure| measure.harness_metric(protocol, outcomes)));
    metrics
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Category::{Adversarial, Popular, Random};
    use super::*;

    /// Category, label and answer of each sample.
    fn scored(rows: &[(Category, bool, Option<&str>)], protocol: Protocol) -> Score {
        let questions: Vec<Question> = rows
            .iter()
            .map(|(category, positive, _)| Question {
                category: *category,
                positive: *positive,
            })
            .collect();
        let answers: Vec<Option<String>> = rows.iter().map(|row| row.2.map(str::to_owned)).collect();
        score(&questions, &answers, protocol).unwrap()
    }

    fn value(score: &Score, id: &str) -> Result<f64, String> {
        score.metric(id).unwrap().value.clone()
    }

    #[test]
    fn the_ids_are_those_of_the_command_line_in_their_order() {
        let all = scored(&[(Random, true, Some("yes"))], Protocol::Paper);
        let ids: Vec<&str> = all.metrics.iter().map(|metric| metric.id.as_str()).collect();
        let mut expected = vec!["f1".to_owned(), "accuracy".to_owned()];
        for group in ["random", "popular", "adversarial", "pooled"] {
            for measure in ["accuracy", "precision", "recall", "f1", "yes-ratio"] {
                expected.push(format!("{group}/{measure}"));
            }
        }
        assert_eq!(ids, expected);
    }

    #[test]
    fn interleaved_categories_are_counted_apart() {
        let rows = [
            (Random, true, Some("Yes")),
            (Adversarial, false, Some("Yes")),
            (Random, false, Some("No")),
            (Popular, true, Some("No")),
            (Adversarial, true, Some("Yes")),
            (Popular, true, Some("Yes")),
        ];
        let all = scored(&rows, Protocol::Paper);
        assert_eq!(value(&all, "random/f1"), Ok(100.0));
        assert_eq!(value(&all, "popular/recall"), Ok(50.0));
        assert_eq!(value(&all, "adversarial/precision"), Ok(50.0));
        assert_eq!(value(&all, "adversarial/yes-ratio"), Ok(100.0));
        let two_thirds = 2.0 / 3.0;
        let mean = value(&all, "f1").unwrap();
        assert!((mean - 100.0 * (1.0 + 2.0 * two_thirds) / 3.0).abs() < 1e-12, "{mean}");
        let scores: Vec<Option<f64>> = all.samples.iter().map(|sample| sample.score).collect();
        assert_eq!(scores, [1.0, 0.0, 1.0, 0.0, 1.0, 1.0].map(Some));
    }

    #[test]
    fn undefined_values_have_a_reason() {
        let no = Some("No");
        let all_no = scored(
            &[(Random, true, no), (Random, false, no), (Popular, true, no)],
            Protocol::Paper,
        );
        let cases = [
            ("random/precision", Err("no positive prediction")),
            ("random/recall", Ok(0.0)),
            ("random/f1", Err("no positive prediction")),
            ("random/accuracy", Ok(50.0)),
            ("adversarial/accuracy", Err("no answered sample")),
            ("f1", Err("random: no positive prediction")),
            ("accuracy", Err("adversarial: no answered sample")),
        ];
        for (id, expected) in cases {
            assert_eq!(value(&all_no, id), expected.map_err(str::to_owned), "{id}");
        }
        let all_wrong = scored(&[(Random, true, no), (Random, false, Some("Yes"))], Protocol::Paper);
        assert_eq!(
            value(&all_wrong, "random/f1"),
            Err("precision and recall are 0".to_owned())
        );
        let negatives = scored(&[(Random, false, Some("Yes"))], Protocol::Paper);
        assert_eq!(
            value(&negatives, "random/recall"),
            Err("no positive sample with a prediction".to_owned())
        );
    }

    #[test]
    fn unanswered_samples_enter_no_metric_and_empty_answers_are_a_yes() {
        let rows = [
            (Random, true, None),
            (Random, true, Some("")),
            (Random, false, Some("No")),
        ];
        let paper = scored(&rows, Protocol::Paper);
        assert_eq!(
            (paper.answered, paper.unanswered(), paper.empty, paper.unparsed),
            (2, 1, 1, 0)
        );
        assert_eq!(paper.metric("random/f1").unwrap().n, 2);
        assert_eq!(value(&paper, "random/f1"), Ok(100.0));
        assert_eq!(paper.samples[0].score, None);
        assert_eq!(paper.samples[1].parsed.as_deref(), Some("yes"));
        let kit = scored(&rows, Protocol::VlmEvalKit);
        assert_eq!((kit.empty, kit.unparsed), (1, 1));
        assert_eq!(
            (kit.samples[1].parsed.as_deref(), kit.samples[1].score),
            (None, Some(0.0))
        );
    }

    #[test]
    fn what_is_neither_counts_as_each_harness_counts_it() {
        let rows = [
            (Random, true, Some("yes")),
            (Random, true, Some("maybe")),
            (Random, false, Some("maybe")),
            (Random, true, Some("no")),
        ];
        // lmms-eval: no count but the accuracy's. VLMEvalKit: also a missed positive.
        let lmms = scored(&rows, Protocol::LmmsEval);
        assert_eq!(value(&lmms, "lmms-eval/recall"), Ok(50.0));
        assert_eq!(value(&lmms, "lmms-eval/accuracy"), Ok(25.0));
        assert_eq!(value(&lmms, "lmms-eval/yes-ratio"), Ok(75.0));
        assert_eq!(value(&lmms, "random/yes-ratio"), Ok(25.0));
        let kit = scored(&rows, Protocol::VlmEvalKit);
        assert!((value(&kit, "random/recall").unwrap() - 100.0 / 3.0).abs() < 1e-12);
        assert_eq!(value(&kit, "vlmevalkit/f1"), Ok(50.0));
        assert_eq!(value(&kit, "vlmevalkit/accuracy"), Ok(25.0));
        assert_eq!((lmms.unparsed, kit.unparsed), (2, 2));
    }

    #[test]
    fn a_harness_prints_zero_where_a_value_is_undefined() {
        let rows = [(Random, true, Some("no")), (Random, false, Some("no"))];
        let lmms = scored(&rows, Protocol::LmmsEval);
        assert_eq!(value(&lmms, "lmms-eval/f1"), Ok(0.0));
        assert!(value(&lmms, "pooled/f1").is_err());
        assert!(value(&scored(&[(Random, true, None)], Protocol::LmmsEval), "lmms-eval/f1").is_err());
    }

    #[test]
    fn another_number_of_answers_is_an_error() {
        let questions = [Question {
            category: Random,
            positive: true,
        }];
        assert!(score(&questions, &[], Protocol::Paper).is_err());
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_every_value(
            rows in proptest::collection::vec((0_usize..3, any::<bool>(), 0_usize..5), 0..60),
        ) {
            const ANSWERS: [Option<&str>; 5] = [Some("Yes"), Some("No"), Some("maybe"), Some(""), None];
            let rows: Vec<_> =
                rows.into_iter().map(|(c, positive, a)| (Category::ALL[c], positive, ANSWERS[a])).collect();
            for protocol in Protocol::ALL {
                for metric in scored(&rows, *protocol).metrics {
                    let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
                    match metric.value {
                        Ok(value) => prop_assert!((value - sum.unwrap()).abs() < 1e-9, "{}", metric.id),
                        Err(_) => prop_assert!(metric.ratios.is_empty(), "{}", metric.id),
                    }
                }
            }
        }
    }
}
