//! What is counted of MME answers, and the metrics made of the counts (`mme.md`, section 6).

use super::parse::{Reading, read};
use super::{Question, Subtask};
use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;
use crate::sample::Sample;
use crate::task::Protocol;

/// What one answered sample with a label is to the counts.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    sample: usize,
    question: Question,
    correct: bool,
}

/// The metrics of one subtask.
struct SubtaskMetrics {
    score: Metric,
    accuracy: Metric,
    accuracy_plus: Metric,
}

/// Scores one answer a question, `None` where there is none; such a question enters no metric, nor does its pair
/// enter accuracy-plus.
pub(super) fn score(
    samples: &[Sample],
    questions: &[Question],
    answers: &[Option<String>],
    protocol: Protocol,
) -> Result<Score, DataError> {
    if questions.len() != answers.len() {
        let (given, wanted) = (answers.len(), questions.len());
        return Err(DataError::Mismatch(format!(
            "{given} answers for {wanted} MME questions; give one entry each"
        )));
    }
    let mut scores = Vec::with_capacity(questions.len());
    let mut outcomes = Vec::with_capacity(questions.len());
    let (mut answered, mut unparsed, mut empty) = (0, 0, 0);
    for (index, (question, answer)) in questions.iter().zip(answers).enumerate() {
        let Some(answer) = answer else {
            scores.push(SampleScore {
                parsed: None,
                score: None,
            });
            continue;
        };
        if answer.contains('\t') && matches!(protocol, Protocol::Paper | Protocol::Official) {
            let id = samples.get(index).map_or("", |sample| sample.id.as_str());
            return Err(DataError::Mismatch(format!(
                "the answer to `{id}` holds a tab, where the official scorer cuts its lines; put a space for it in \
                 the prediction file or score with `--protocol lmms-eval`"
            )));
        }
        let reading = read(answer, protocol);
        answered += 1;
        empty += usize::from(python_text::strip(answer).is_empty());
        unparsed += usize::from(reading == Reading::Other);
        let correct = question.positive.map(|positive| match reading {
            Reading::Yes => positive,
            Reading::No => !positive,
            Reading::Other => false,
        });
        scores.push(SampleScore {
            parsed: reading.parsed(),
            score: correct.map(f64::from),
        });
        outcomes.extend(correct.map(|correct| Outcome {
            sample: index,
            question: *question,
            correct,
        }));
    }
    Ok(Score {
        samples: scores,
        metrics: metrics(&outcomes),
        answered,
        unparsed,
        empty,
    })
}

fn metrics(outcomes: &[Outcome]) -> Vec<Metric> {
    let of = |subtask: Subtask| {
        let outcomes = outcomes.iter().filter(|outcome| outcome.question.subtask == subtask);
        SubtaskMetrics::new(subtask, &outcomes.copied().collect::<Vec<Outcome>>())
    };
    let perception_parts = Subtask::PERCEPTION.map(of);
    let cognition_parts = Subtask::COGNITION.map(of);
    let perception = sum("perception", perception_parts.iter().map(|part| &part.score));
    let cognition = sum("cognition", cognition_parts.iter().map(|part| &part.score));
    let total = sum("total", [&perception, &cognition].into_iter());
    let mut metrics = vec![perception, cognition, total];
    for part in perception_parts.into_iter().chain(cognition_parts) {
        metrics.extend([part.score, part.accuracy, part.accuracy_plus]);
    }
    metrics
}

impl SubtaskMetrics {
    fn new(subtask: Subtask, outcomes: &[Outcome]) -> Self {
        let id = |measure: &str| format!("{}/{measure}", subtask.id());
        let single = outcomes.iter().map(|outcome| Term {
            sample: outcome.sample,
            numerator: f64::from(outcome.correct),
            denominator: 1.0,
        });
        let accuracy = percentage(id("accuracy"), single.collect(), 1, "no answered sample");
        let pairs = pairs(outcomes);
        let accuracy_plus = percentage(id("accuracy-plus"), pairs, 2, "no picture with both questions answered");
        let mut score = sum(&id("score"), [&accuracy, &accuracy_plus].into_iter());
        score.n = accuracy.n;
        score.value = accuracy
            .value
            .clone()
            .and_then(|value| Ok(value + accuracy_plus.value.clone()?));
        Self {
            score,
            accuracy,
            accuracy_plus,
        }
    }
}

/// One term for each pair with both questions answered; it stands at the pair's first question.
fn pairs(outcomes: &[Outcome]) -> Vec<Term> {
    let mut by_pair: Vec<&Outcome> = outcomes.iter().collect();
    by_pair.sort_by_key(|outcome| (outcome.question.pair, outcome.sample));
    let pairs = by_pair.chunk_by(|a, b| a.question.pair == b.question.pair);
    let terms = pairs.filter_map(|pair| match pair {
        [first, second] => Some(Term {
            sample: first.sample,
            numerator: f64::from(first.correct && second.correct),
            denominator: 1.0,
        }),
        _ => None,
    });
    terms.collect()
}

/// The mean of terms that each stand for `questions` samples, in per cent.
fn percentage(id: String, terms: Vec<Term>, questions: usize, undefined: &str) -> Metric {
    let n = terms.len();
    let correct: f64 = terms.iter().map(|term| term.numerator).sum();
    let value = if n == 0 {
        Err(undefined.to_owned())
    } else {
        Ok(100.0 * (correct / n as f64))
    };
    Metric {
        id: MetricId::new(id),
        n: n * questions,
        bounds: None,
        ratios: if value.is_ok() {
            vec![Ratio { weight: 100.0, terms }]
        } else {
            Vec::new()
        },
        value,
    }
}

/// The sum of metrics in their order, undefined where one of them is.
fn sum<'a>(id: &str, parts: impl Iterator<Item = &'a Metric> + Clone) -> Metric {
    let mut value = Ok(0.0);
    for part in parts.clone() {
        let of_part = part.value.clone().map_err(|reason| format!("{}: {reason}", part.id));
        value = value.and_then(|sum| Ok(sum + of_part?));
    }
    let ratios = parts.clone().flat_map(|part| part.ratios.iter().cloned());
    Metric {
        id: MetricId::new(id),
        n: parts.map(|part| part.n).sum(),
        bounds: None,
        ratios: if value.is_ok() { ratios.collect() } else { Vec::new() },
        value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::SampleId;

    /// Questions `0`, `1`, … in pairs of a yes and a no.
    fn data(subtasks: &[Subtask]) -> (Vec<Sample>, Vec<Question>) {
        let questions: Vec<Question> = subtasks
            .iter()
            .enumerate()
            .flat_map(|(pair, subtask)| {
                [true, false].map(|positive| Question {
                    subtask: *subtask,
                    pair,
                    positive: Some(positive),
                })
            })
            .collect();
        let sample = |n: usize| Sample {
            id: SampleId::row(n),
            source_id: n.to_string(),
            pictures: Vec::new(),
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: n / 2,
        };
        ((0..questions.len()).map(sample).collect(), questions)
    }

    fn scored(subtasks: &[Subtask], answers: &[Option<&str>], protocol: Protocol) -> Score {
        let (samples, questions) = data(subtasks);
        let answers: Vec<Option<String>> = answers.iter().map(|answer| answer.map(str::to_owned)).collect();
        score(&samples, &questions, &answers, protocol).unwrap()
    }

    fn value(score: &Score, id: &str) -> Result<f64, String> {
        score.metric(id).unwrap().value.clone()
    }

    #[test]
    fn the_ids_are_those_of_the_command_line_in_their_order() {
        let all = scored(&[], &[], Protocol::Paper);
        let ids: Vec<&str> = all.metrics.iter().map(|metric| metric.id.as_str()).collect();
        assert_eq!(
            ids[..5],
            [
                "perception",
                "cognition",
                "total",
                "existence/score",
                "existence/accuracy"
            ]
        );
        assert_eq!(ids[ids.len() - 1], "code_reasoning/accuracy-plus");
        assert_eq!(ids.len(), 3 + 14 * 3);
    }

    #[test]
    fn accuracy_counts_answers_and_accuracy_plus_pairs() {
        let (yes, no) = (Some("Yes"), Some("No"));
        let subtasks = [Subtask::Color, Subtask::Scene, Subtask::Color];
        let all = scored(&subtasks, &[yes, no, yes, yes, yes, Some("maybe")], Protocol::Paper);
        let cases = [
            ("color/accuracy", 75.0, 4),
            ("color/accuracy-plus", 50.0, 4),
            ("color/score", 125.0, 4),
            ("scene/accuracy", 50.0, 2),
            ("scene/accuracy-plus", 0.0, 2),
            ("scene/score", 50.0, 2),
        ];
        for (id, expected, n) in cases {
            assert_eq!(value(&all, id), Ok(expected), "{id}");
            assert_eq!(all.metric(id).unwrap().n, n, "{id}");
        }
        let scores: Vec<Option<f64>> = all.samples.iter().map(|sample| sample.score).collect();
        assert_eq!(scores, [1.0, 1.0, 1.0, 0.0, 1.0, 0.0].map(Some));
        assert_eq!((all.answered, all.unparsed, all.empty), (6, 1, 0));
    }

    #[test]
    fn unanswered_questions_and_their_pairs_enter_no_metric() {
        let subtasks = [Subtask::Color, Subtask::Color, Subtask::Count];
        let answers = [Some("Yes"), None, Some("Yes"), Some(""), Some("Yes"), None];
        let all = scored(&subtasks, &answers, Protocol::Paper);
        assert!((value(&all, "color/accuracy").unwrap() - 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(value(&all, "color/accuracy-plus"), Ok(0.0));
        assert_eq!(all.metric("color/accuracy-plus").unwrap().n, 2);
        assert_eq!((all.answered, all.unanswered(), all.empty), (4, 2, 1));
        let undefined = [
            ("count/accuracy-plus", "no picture with both questions answered"),
            ("count/score", "no picture with both questions answered"),
            ("scene/accuracy", "no answered sample"),
            ("scene/score", "no answered sample"),
            ("perception", "existence/score: no answered sample"),
            ("total", "perception: existence/score: no answered sample"),
        ];
        for (id, reason) in undefined {
            assert_eq!(value(&all, id), Err(reason.to_owned()), "{id}");
        }
    }

    #[test]
    fn questions_without_a_label_are_answered_and_enter_no_metric() {
        let (samples, mut questions) = data(&[Subtask::Landmark, Subtask::Landmark]);
        for question in &mut questions[2..] {
            question.positive = None;
        }
        let answers = ["Yes", "Yes", "Yes", "No"].map(|answer| Some(answer.to_owned()));
        let all = score(&samples, &questions, &answers, Protocol::Paper).unwrap();
        assert_eq!(all.answered, 4);
        assert_eq!(value(&all, "landmark/accuracy"), Ok(50.0));
        assert_eq!(all.metric("landmark/accuracy").unwrap().n, 2);
        assert_eq!(all.samples[2].score, None);
    }

    #[test]
    fn a_tab_is_an_error_where_the_original_crashes() {
        let (samples, questions) = data(&[Subtask::Color]);
        let answers = [Some("No".to_owned()), Some("No\tno".to_owned())];
        for protocol in [Protocol::Paper, Protocol::Official] {
            let error = score(&samples, &questions, &answers, protocol).unwrap_err().to_string();
            assert!(error.starts_with("the answer to `row/1` holds a tab"), "{error}");
        }
        for protocol in [Protocol::LmmsEval, Protocol::VlmEvalKit] {
            let all = score(&samples, &questions, &answers, protocol).unwrap();
            assert_eq!(value(&all, "color/accuracy"), Ok(50.0));
        }
    }

    #[test]
    fn another_number_of_answers_is_an_error() {
        let (samples, questions) = data(&[Subtask::Color]);
        assert!(score(&samples, &questions, &[], Protocol::Paper).is_err());
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_every_value(
            rows in proptest::collection::vec((0_usize..14, 0_usize..5, 0_usize..5), 0..60),
            whole: bool,
        ) {
            const ANSWERS: [Option<&str>; 5] = [Some("Yes"), Some("No"), Some("maybe"), Some(""), None];
            let known: Vec<Subtask> = Subtask::all().collect();
            let mut subtasks: Vec<Subtask> = rows.iter().map(|row| known[row.0]).collect();
            let mut answers: Vec<_> = rows.iter().flat_map(|row| [ANSWERS[row.1], ANSWERS[row.2]]).collect();
            if whole {
                subtasks.extend(&known);
                answers.extend(known.iter().flat_map(|_| [Some("Yes"), Some("No")]));
            }
            for protocol in Protocol::ALL {
                let all = scored(&subtasks, &answers, *protocol);
                prop_assert_eq!(all.metrics[2].value.is_ok(), all.metrics[3..].iter().all(|m| m.value.is_ok()));
                prop_assert!(!whole || all.metrics[2].value.is_ok());
                for metric in all.metrics {
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
