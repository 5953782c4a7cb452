//! What is counted of GQA answers, and the metrics made of the counts (`gqa.md`, section 6).
//!
//! Only balanced questions count. Each metric is taken over the answered ones among them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::choices::{COMMON, Choices};
use super::grounding::Grounding;
use super::parse::Forms;
use super::{Question, Semantic, Structural, distribution};
use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;

/// An answered balanced question.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) sample: usize,
    pub(super) question: &'a Question,
    /// The right answer and the model's in the forms in which they are compared.
    pub(super) reference: Cow<'a, str>,
    pub(super) prediction: Cow<'a, str>,
}

impl Outcome<'_> {
    fn correct(&self) -> bool {
        self.reference == self.prediction
    }
}

/// Scores one answer a question, `None` where there is none; such a question enters no metric.
pub(super) fn score(
    questions: &[Question],
    grounding: Grounding,
    answers: &[Option<String>],
    forms: Forms,
) -> Result<Score, DataError> {
    if questions.len() != answers.len() {
        let (given, wanted) = (answers.len(), questions.len());
        return Err(DataError::Mismatch(format!(
            "{given} answers for {wanted} GQA questions; give one entry each"
        )));
    }
    let mut samples = Vec::with_capacity(questions.len());
    let mut outcomes = Vec::with_capacity(questions.len());
    let (mut answered, mut empty) = (0, 0);
    for (index, (question, answer)) in questions.iter().zip(answers).enumerate() {
        let (Some(reference), Some(answer)) = (&question.answer, answer) else {
            samples.push(SampleScore {
                parsed: None,
                score: None,
            });
            continue;
        };
        answered += 1;
        empty += usize::from(python_text::strip(answer).is_empty());
        let outcome = Outcome {
            sample: index,
            question,
            reference: Cow::Owned(forms.reference(reference)),
            prediction: Cow::Owned(forms.prediction(answer)),
        };
        samples.push(SampleScore {
            parsed: Some(outcome.prediction.clone().into_owned()),
            score: Some(f64::from(outcome.correct())),
        });
        if question.balanced {
            outcomes.push(outcome);
        }
    }
    let metrics = metrics(&outcomes, &samples, grounding, forms);
    Ok(Score {
        samples,
        metrics,
        answered,
        unparsed: 0,
        empty,
    })
}

fn metrics(outcomes: &[Outcome<'_>], samples: &[SampleScore], grounding: Grounding, forms: Forms) -> Vec<Metric> {
    let typed = outcomes.iter().any(|outcome| outcome.question.types.is_some());
    let none_of_type = if typed || outcomes.is_empty() {
        "no answered question of this type"
    } else {
        "the data do not give the types of questions"
    };
    let of_form = |id: &str, takes: &dyn Fn(Structural) -> bool| {
        let takes = |outcome: &Outcome<'_>| outcome.question.types.is_some_and(|types| takes(types.structural));
        accuracy(id, outcomes, &takes, none_of_type)
    };
    let attention = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.sample, outcome.question.grounding?)));
    let mut metrics = vec![
        accuracy("accuracy", outcomes, &|_| true, "no answered question"),
        of_form("accuracy/binary", &|form| form != Structural::Query),
        of_form("accuracy/open", &|form| form == Structural::Query),
        consistency(outcomes, samples),
        choice("validity", outcomes, forms, |choices| &choices.valid),
        choice("plausibility", outcomes, forms, |choices| &choices.plausible),
        percentage("grounding", attention.collect(), grounding.reason()),
        distribution::metric(outcomes),
    ];
    metrics.extend(Structural::ALL.map(|form| of_form(&format!("structural/{}", form.id()), &|other| other == form)));
    metrics.extend(Semantic::ALL.map(|about| {
        let takes = |outcome: &Outcome<'_>| outcome.question.types.is_some_and(|types| types.semantic == about);
        accuracy(&format!("semantic/{}", about.id()), outcomes, &takes, none_of_type)
    }));
    metrics.extend(by_number("words", outcomes, |question| Some(question.words)));
    metrics.extend(by_number("steps", outcomes, |question| question.steps));
    metrics
}

/// The accuracy over the questions that `takes` accepts, or why there is none.
fn accuracy(id: &str, outcomes: &[Outcome<'_>], takes: &dyn Fn(&Outcome<'_>) -> bool, none: &str) -> Metric {
    let taken = outcomes.iter().filter(|outcome| takes(outcome));
    let terms = taken.map(|outcome| (outcome.sample, f64::from(outcome.correct())));
    percentage(id, terms.collect(), none)
}

/// One accuracy for each value of `number`, in its order.
fn by_number(kind: &str, outcomes: &[Outcome<'_>], number: fn(&Question) -> Option<usize>) -> Vec<Metric> {
    let mut terms: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for outcome in outcomes {
        if let Some(number) = number(outcome.question) {
            terms
                .entry(number)
                .or_default()
                .push((outcome.sample, f64::from(outcome.correct())));
        }
    }
    let metrics = terms
        .into_iter()
        .map(|(number, terms)| percentage(&format!("{kind}/{number}"), terms, ""));
    metrics.collect()
}

/// Over right answers: how many of the questions that follow from one are right as well.
fn consistency(outcomes: &[Outcome<'_>], samples: &[SampleScore]) -> Metric {
    let id = "consistency";
    let mut terms = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.correct()) {
        let Some(entailed) = &outcome.question.entailed else {
            return undefined(id, "the data do not tell which questions are entailed");
        };
        if entailed.outside > 0 {
            return undefined(id, "entailed questions are not in these data; take the tier `all`");
        }
        let mut right = 0.0;
        for index in &entailed.within {
            match samples.get(*index).and_then(|sample| sample.score) {
                Some(score) => right += score,
                None => return undefined(id, "entailed questions have no answer"),
            }
        }
        if !entailed.within.is_empty() {
            terms.push((outcome.sample, right / entailed.within.len() as f64));
        }
    }
    percentage(id, terms, "no right answer entails another question")
}

/// How many answers are among the candidates.
fn choice(id: &str, outcomes: &[Outcome<'_>], forms: Forms, list: fn(&Choices) -> &Vec<String>) -> Metric {
    let terms = outcomes.iter().filter_map(|outcome| {
        let choices = outcome.question.choices.as_ref()?;
        let is = |candidate: &str| forms.reference(candidate) == outcome.prediction;
        let found = if outcome.question.types.is_some_and(|types| types.common) {
            COMMON.into_iter().any(is)
        } else {
            list(choices).iter().any(|candidate| is(candidate))
        };
        Some((outcome.sample, f64::from(found)))
    });
    percentage(
        id,
        terms.collect(),
        "no choices file; GQA has them for train and val only",
    )
}

/// The mean of values by sample, in per cent.
fn percentage(id: &str, values: Vec<(usize, f64)>, none: &str) -> Metric {
    if values.is_empty() {
        return undefined(id, none);
    }
    let (n, sum) = (values.len(), values.iter().map(|(_, value)| value).sum::<f64>());
    let terms = values.into_iter().map(|(sample, numerator)| Term {
        sample,
        numerator,
        denominator: 1.0,
    });
    Metric {
        id: MetricId::new(id),
        value: Ok(sum / n as f64 * 100.0),
        n,
        bounds: None,
        ratios: vec![Ratio {
            weight: 100.0,
            terms: terms.collect(),
        }],
    }
}

fn undefined(id: &str, reason: &str) -> Metric {
    Metric {
        id: MetricId::new(id),
        value: Err(reason.to_owned()),
        n: 0,
        bounds: None,
        ratios: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gqa::fixture::{golden, golden_answers, load, official};
    use crate::gqa::{Entailed, Types};
    use crate::task::Protocol;

    fn question(answer: &str) -> Question {
        Question {
            answer: Some(answer.to_owned()),
            balanced: true,
            entailed: Some(Entailed::default()),
            ..Question::default()
        }
    }

    fn scored(questions: &[Question], answers: &[Option<&str>]) -> Score {
        let answers: Vec<Option<String>> = answers.iter().map(|answer| answer.map(str::to_owned)).collect();
        score(questions, Grounding::NoAttention, &answers, Forms::of(Protocol::Paper)).unwrap()
    }

    fn value(score: &Score, id: &str) -> Result<f64, String> {
        score.metric(id).unwrap().value.clone()
    }

    #[test]
    fn the_toy_set_scores_what_the_official_code_says() {
        let root = tempfile::tempdir().unwrap();
        official(root.path());
        let data = load(root.path()).unwrap();
        let expected = golden().expected;
        let score = data.score(&golden_answers(&*data), Protocol::Official).unwrap();
        let close = |id: &str, expected: f64, n: Option<u64>| {
            let metric = score.metric(id).unwrap();
            assert!(
                (metric.value.clone().unwrap() - expected).abs() < 1e-12,
                "{id}: {:?}",
                metric.value
            );
            assert!(n.is_none_or(|n| n == metric.n as u64), "{id}: {}", metric.n);
        };
        close("accuracy", expected["accuracy"].as_f64().unwrap(), Some(9));
        close("accuracy/binary", expected["binary"].as_f64().unwrap(), Some(5));
        close("accuracy/open", expected["open"].as_f64().unwrap(), Some(4));
        close("distribution", expected["distribution"].as_f64().unwrap(), Some(5));
        for kind in ["structural", "semantic", "words", "steps"] {
            let groups = expected[kind].as_object().unwrap();
            for (name, group) in groups {
                close(&format!("{kind}/{name}"), group[0].as_f64().unwrap(), group[1].as_u64());
            }
            let prefix = format!("{kind}/");
            let defined = score
                .metrics
                .iter()
                .filter(|m| m.id.as_str().starts_with(&prefix) && m.value.is_ok());
            assert_eq!(defined.count(), groups.len(), "{kind}");
        }
        assert_eq!(score.answered, 10);
        // The one difference that LLaVA's conversion makes to it: `Plate`.
        let paper = data.score(&golden_answers(&*data), Protocol::Paper).unwrap();
        assert!((value(&paper, "accuracy").unwrap() - 600.0 / 9.0).abs() < 1e-9);
    }

    #[test]
    fn the_ids_are_those_of_the_command_line_in_their_order() {
        let ids = scored(&[question("yes")], &[Some("yes")]).metrics;
        let ids: Vec<&str> = ids.iter().map(|metric| metric.id.as_str()).collect();
        let expected = [
            "accuracy",
            "accuracy/binary",
            "accuracy/open",
            "consistency",
            "validity",
            "plausibility",
            "grounding",
            "distribution",
            "structural/query",
            "structural/verify",
            "structural/choose",
            "structural/logical",
            "structural/compare",
            "semantic/attr",
            "semantic/cat",
            "semantic/global",
            "semantic/obj",
            "semantic/rel",
            "words/0",
        ];
        assert_eq!(ids, expected);
    }

    #[test]
    fn answers_must_be_equal() {
        let cases = [
            ("Red", 1.0),
            ("red...", 1.0),
            (" red", 0.0),
            (".", 0.0),
            ("", 0.0),
            ("a red", 0.0),
        ];
        for (answer, expected) in cases {
            let score = scored(&[question("red")], &[Some(answer)]);
            assert_eq!(score.samples[0].score, Some(expected), "{answer:?}");
            assert_eq!(score.empty, usize::from(answer.is_empty()), "{answer:?}");
        }
    }

    #[test]
    fn unanswered_and_unbalanced_questions_enter_no_metric() {
        let mut questions = [question("a"), question("a"), question("a")];
        questions[2].balanced = false;
        let score = scored(&questions, &[Some("a"), None, Some("b")]);
        assert_eq!((score.answered, score.unanswered()), (2, 1));
        assert_eq!(
            (value(&score, "accuracy"), score.metric("accuracy").unwrap().n),
            (Ok(100.0), 1)
        );
        assert_eq!(score.samples[2].score, Some(0.0));
        let none = scored(&questions, &[None, None, Some("b")]);
        assert_eq!(value(&none, "accuracy"), Err("no answered question".to_owned()));
    }

    #[test]
    fn another_number_of_answers_is_an_error() {
        assert!(
            score(
                &[question("a")],
                Grounding::NoAttention,
                &[],
                Forms::of(Protocol::Paper)
            )
            .is_err()
        );
    }

    #[test]
    fn consistency_is_over_right_answers_that_entail_others() {
        let entails = |within: &[usize], outside: usize| {
            Some(Entailed {
                within: within.to_vec(),
                outside,
            })
        };
        let mut questions = vec![question("a"); 4];
        questions[0].entailed = entails(&[1, 2], 0);
        questions[1].entailed = entails(&[0], 0);
        questions[2].entailed = entails(&[], 1);
        questions[3].balanced = false;
        questions[3].entailed = entails(&[2], 0);
        // The second is wrong, so that what it entails does not count; the third is wrong, and what it entails unknown.
        let answers = [Some("a"), Some("b"), Some("b"), Some("a")];
        assert_eq!(value(&scored(&questions, &answers), "consistency"), Ok(0.0));
        questions[0].entailed = entails(&[1, 3], 0);
        assert_eq!(value(&scored(&questions, &answers), "consistency"), Ok(50.0));
        let undefined = |questions: &[Question], answers: &[Option<&str>]| {
            value(&scored(questions, answers), "consistency").unwrap_err()
        };
        assert_eq!(
            undefined(&questions, &[Some("a"), None, None, None]),
            "entailed questions have no answer"
        );
        assert_eq!(
            undefined(&questions, &[Some("b"), None, Some("a"), None]),
            "entailed questions are not in these data; take the tier `all`"
        );
        questions[2].entailed = None;
        assert_eq!(
            undefined(&questions, &[None, None, Some("a"), None]),
            "the data do not tell which questions are entailed"
        );
        assert_eq!(
            undefined(&questions, &[Some("b"), None, None, None]),
            "no right answer entails another question"
        );
    }

    #[test]
    fn undefined_values_have_a_reason() {
        let untyped = scored(&[question("a")], &[Some("a")]);
        let cases = [
            ("accuracy/open", "the data do not give the types of questions"),
            ("structural/query", "the data do not give the types of questions"),
            (
                "grounding",
                "needs attention maps, which answers in words do not come with",
            ),
            ("validity", "no choices file; GQA has them for train and val only"),
            ("distribution", "no answered question has a global group"),
        ];
        for (id, reason) in cases {
            assert_eq!(value(&untyped, id), Err(reason.to_owned()), "{id}");
        }
        let mut typed = question("a");
        typed.types = Types::parse("query", "rel", "").ok();
        let typed = scored(&[typed], &[Some("a")]);
        assert_eq!(
            (value(&typed, "accuracy/open"), value(&typed, "semantic/rel")),
            (Ok(100.0), Ok(100.0))
        );
        assert_eq!(
            value(&typed, "accuracy/binary"),
            Err("no answered question of this type".to_owned())
        );
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_every_value(
            rows in proptest::collection::vec((0_usize..5, 0_usize..5, 0_usize..4, 0_usize..5, any::<bool>()), 0..40),
        ) {
            const ANSWERS: [Option<&str>; 5] = [Some("Red."), Some("blue"), Some("color"), Some(""), None];
            let questions: Vec<Question> = rows
                .iter()
                .enumerate()
                .map(|(index, (form, about, group, _, balanced))| Question {
                    answer: Some(["red", "blue"][form % 2].to_owned()),
                    balanced: *balanced,
                    types: Some(Types {
                        structural: Structural::ALL[*form],
                        semantic: Semantic::ALL[*about],
                        common: *group == 1,
                    }),
                    global_group: (*group > 0).then(|| group.to_string()),
                    words: *about,
                    steps: Some(*form),
                    entailed: Some(Entailed { within: (0..index % 3).collect(), outside: 0 }),
                    choices: Some(Choices { valid: vec!["red".to_owned()], plausible: Vec::new() }),
                    grounding: Some(index as f64 / 7.0),
                })
                .collect();
            let answers: Vec<Option<String>> = rows.iter().map(|row| ANSWERS[row.3].map(str::to_owned)).collect();
            for protocol in Protocol::ALL {
                for metric in score(&questions, Grounding::NoAttention, &answers, Forms::of(*protocol)).unwrap().metrics {
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
