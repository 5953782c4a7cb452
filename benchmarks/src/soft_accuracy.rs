//! Soft accuracy over several human answers, the metric of VQAv2, TextVQA and VizWiz (`vqav2.md`, section 6).
//!
//! For each reference the prediction earns min(1, c/3), c being how many of the *other* references it equals; a
//! question's score is the mean of these. With ten references and m equal to the prediction that is 0, 0.3, 0.6,
//! 0.9 and 1 for m = 0, 1, 2, 3 and 4 or more. Scores are added as whole numbers, so the order does not matter.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;
use crate::vqa_text::Normaliser;

/// How many references a question may have; every known set has ten.
pub const MOST_REFERENCES: usize = 10;

/// A score of 1. Three times every number of references up to [`MOST_REFERENCES`] divides it.
const ONE: u32 = 7560;

/// The references of all questions of a dataset; each distinct text is held once.
#[derive(Debug, Default)]
pub struct References {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    /// Positions in `texts`, question after question.
    answers: Vec<u32>,
    /// Where each question's part of `answers` ends.
    ends: Vec<usize>,
}

/// What is compared with what.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What the prediction goes through before the scorer sees it: LLaVA's conversion for a server.
    pub upload: Option<Normaliser>,
    /// What the scorer makes of the prediction.
    pub prediction: Normaliser,
    /// What the scorer makes of a reference, `None` where it takes it as it stands.
    pub reference: Option<Normaliser>,
    /// Whether references that are one and the same text are compared with white space normalised only.
    pub unanimous_apart: bool,
}

/// What one answered sample earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its position in the dataset.
    pub sample: usize,
    /// In [`ONE`]ths.
    earned: u32,
}

/// Every answer compared.
#[derive(Debug)]
pub struct Compared {
    /// One entry a sample; `parsed` is the normalised prediction.
    pub samples: Vec<SampleScore>,
    /// The answered samples in dataset order.
    pub outcomes: Vec<Outcome>,
    /// How many answers are the empty text.
    pub empty: usize,
}

impl Compared {
    /// The score with these metrics of the outcomes.
    pub fn score(self, metrics: Vec<Metric>) -> Score {
        Score {
            answered: self.outcomes.len(),
            unparsed: 0,
            empty: self.empty,
            metrics,
            samples: self.samples,
        }
    }
}

impl Rule {
    /// One form for predictions and references.
    pub const fn of(normaliser: Normaliser) -> Self {
        Self {
            upload: None,
            prediction: normaliser,
            reference: Some(normaliser),
            unanimous_apart: false,
        }
    }
}

impl References {
    /// Adds the references of the next question.
    ///
    /// # Errors
    ///
    /// None of them, or more than [`MOST_REFERENCES`]; in words for a message.
    pub fn push<'a>(&mut self, answers: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let before = self.answers.len();
        for answer in answers {
            let number = match self.numbers.get(answer) {
                Some(number) => *number,
                None => {
                    let text: Arc<str> = answer.into();
                    let number = u32::try_from(self.texts.len()).map_err(|error| error.to_string())?;
                    self.texts.push(text.clone());
                    self.numbers.insert(text, number);
                    number
                }
            };
            self.answers.push(number);
        }
        match self.answers.len() - before {
            0 => Err("no reference answer".to_owned()),
            n if n > MOST_REFERENCES => Err(format!("{n} reference answers; there are {MOST_REFERENCES} at most")),
            _ => {
                self.ends.push(self.answers.len());
                Ok(())
            }
        }
    }

    /// How many questions there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The distinct references of a question, the most frequent first: `acme (8), acne (2)`.
    pub fn shown(&self, question: usize) -> String {
        let mut counts: Vec<(u32, usize)> = Vec::new();
        for number in self.of(question) {
            match counts.iter_mut().find(|(known, _)| known == number) {
                Some((_, count)) => *count += 1,
                None => counts.push((*number, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let shown = counts.iter().map(|(number, count)| {
            let text = self.texts.get(*number as usize).map_or("", |text| text);
            format!("{text} ({count})")
        });
        shown.collect::<Vec<String>>().join(", ")
    }

    /// The positions in `texts` of a question's references.
    fn of(&self, question: usize) -> &[u32] {
        let start = question.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(question).copied().unwrap_or_default();
        self.answers
            .get(start.copied().unwrap_or_default()..end)
            .unwrap_or_default()
    }

    /// Compares one answer a question, `None` where there is none, with the references.
    ///
    /// # Errors
    ///
    /// Another number of answers than of questions.
    pub fn compare(&self, answers: &[Option<String>], rule: Rule) -> Result<Compared, DataError> {
        if answers.len() != self.len() {
            let (given, wanted) = (answers.len(), self.len());
            return Err(DataError::Mismatch(format!(
                "{given} answers for {wanted} questions; give one entry each"
            )));
        }
        let normalised: Vec<String> = match rule.reference {
            Some(normaliser) => self.texts.iter().map(|text| normaliser.apply(text)).collect(),
            None => self.texts.iter().map(|text| text.as_ref().to_owned()).collect(),
        };
        let plain: Vec<String> = if rule.unanimous_apart {
            let plain = Normaliser::VqaOfficialUnanimous;
            self.texts.iter().map(|text| plain.apply(text)).collect()
        } else {
            Vec::new()
        };
        let mut compared = Compared {
            samples: Vec::with_capacity(answers.len()),
            outcomes: Vec::with_capacity(answers.len()),
            empty: 0,
        };
        for (sample, answer) in answers.iter().enumerate() {
            let Some(answer) = answer else {
                compared.samples.push(SampleScore {
                    parsed: None,
                    score: None,
                });
                continue;
            };
            let numbers = self.of(sample);
            let apart = rule.unanimous_apart && one_text(&plain, numbers);
            let (texts, normaliser) = if apart {
                (&plain, Normaliser::VqaOfficialUnanimous)
            } else {
                (&normalised, rule.prediction)
            };
            let prediction = match rule.upload {
                Some(upload) => normaliser.apply(&upload.apply(answer)),
                None => normaliser.apply(answer),
            };
            let equal = numbers
                .iter()
                .filter(|number| texts.get(**number as usize) == Some(&prediction));
            let earned = earned(equal.count(), numbers.len());
            compared.empty += usize::from(python_text::strip(answer).is_empty());
            compared.samples.push(SampleScore {
                parsed: Some(prediction),
                score: Some(f64::from(earned) / f64::from(ONE)),
            });
            compared.outcomes.push(Outcome { sample, earned });
        }
        Ok(compared)
    }
}

/// Whether all of a question's references are one and the same text.
fn one_text(texts: &[String], numbers: &[u32]) -> bool {
    let text = |number: &u32| texts.get(*number as usize);
    let first = numbers.first().and_then(text);
    numbers.iter().all(|number| text(number) == first)
}

/// What `equal` of `all` references give, in [`ONE`]ths.
fn earned(equal: usize, all: usize) -> u32 {
    let (Ok(equal), Ok(all)) = (u32::try_from(equal), u32::try_from(all)) else {
        return 0;
    };
    let thirds = equal * equal.saturating_sub(1).min(3) + (all - equal) * equal.min(3);
    thirds * ONE.checked_div(3 * all).unwrap_or_default()
}

/// The mean of some outcomes in per cent.
pub fn mean(id: impl Into<String>, outcomes: impl IntoIterator<Item = Outcome>) -> Metric {
    let mut sum = 0_u64;
    let terms: Vec<Term> = outcomes
        .into_iter()
        .map(|outcome| {
            sum += u64::from(outcome.earned);
            Term {
                sample: outcome.sample,
                numerator: f64::from(outcome.earned) / f64::from(ONE),
                denominator: 1.0,
            }
        })
        .collect();
    let n = terms.len();
    Metric {
        id: MetricId::new(id),
        value: match n {
            0 => Err("no answered sample".to_owned()),
            // Both are whole numbers below 2^53, so this rounds once.
            _ => Ok((100 * sum) as f64 / (u64::from(ONE) * n as u64) as f64),
        },
        n,
        bounds: None,
        ratios: match n {
            0 => Vec::new(),
            _ => vec![Ratio { weight: 100.0, terms }],
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const EVAL_AI: Rule = Rule::of(Normaliser::EvalAi);

    #[derive(Deserialize)]
    struct Golden {
        leave_one_out: HashMap<String, f64>,
    }

    fn references(questions: &[&[&str]]) -> References {
        let mut references = References::default();
        for answers in questions {
            references.push(answers.iter().copied()).unwrap();
        }
        references
    }

    /// The score of one answer.
    fn one(answers: &[&str], answer: &str, rule: Rule) -> f64 {
        let compared = references(&[answers]).compare(&[Some(answer.to_owned())], rule);
        compared.unwrap().samples[0].score.unwrap()
    }

    /// As section 6 states it, in floats.
    fn leave_one_out(answers: &[&str], answer: &str) -> f64 {
        let others = |i: usize| (0..answers.len()).filter(|j| *j != i && answers[*j] == answer).count();
        let sum: f64 = (0..answers.len()).map(|i| (others(i) as f64 / 3.0).min(1.0)).sum();
        sum / answers.len() as f64
    }

    #[test]
    fn ten_references_give_exact_tenths() {
        let golden: Golden = serde_json::from_str(include_str!("../tests/data/golden-vectors.json")).unwrap();
        assert_eq!(golden.leave_one_out.len(), 11);
        for (equal, expected) in golden.leave_one_out {
            let equal: usize = equal.parse().unwrap();
            assert_eq!(f64::from(earned(equal, 10)) / f64::from(ONE), expected, "{equal}");
        }
    }

    #[test]
    fn unanimous_references_are_compared_as_they_stand() {
        let apart = Rule {
            prediction: Normaliser::VqaOfficial,
            reference: Some(Normaliser::VqaOfficial),
            unanimous_apart: true,
            ..EVAL_AI
        };
        let same = ["t-shirt"; 10];
        let mut differ = same;
        differ[9] = "shirt";
        let mut blanks = same;
        blanks[9] = "t-shirt\n";
        let cases = [
            (&same, "t-shirt", 1.0),
            (&same, " t-shirt\n", 1.0),
            (&same, "T-shirt", 0.0),
            (&same, "t shirt", 0.0),
            (&same, "t-shirt.", 0.0),
            (&blanks, "T-shirt", 0.0),
            (&differ, "T-shirt.", 1.0),
            (&differ, "shirt", 0.3),
        ];
        for (answers, answer, expected) in cases {
            assert_eq!(one(answers, answer, apart), expected, "{answer:?}");
        }
        assert_eq!(one(&same, "T shirt", EVAL_AI), 1.0);
    }

    #[test]
    fn what_normalises_to_nothing_equals_references_that_do() {
        let answers = ["a", "a", "the", "b", "b", "b", "b", "b", "b", "b"];
        assert_eq!(one(&answers, "The", EVAL_AI), 0.9);
        assert_eq!(one(&answers, "", EVAL_AI), 0.9);
        assert_eq!(one(&["cat"; 10], "", EVAL_AI), 0.0);
    }

    #[test]
    fn a_question_has_one_to_ten_references() {
        let mut references = References::default();
        assert_eq!(references.push([]), Err("no reference answer".to_owned()));
        let error = references.push(["x"; 11]).unwrap_err();
        assert_eq!(error, "11 reference answers; there are 10 at most");
    }

    #[test]
    fn references_are_shown_by_frequency() {
        let references = references(&[&["b", "a", "c", "a"], &["b"]]);
        assert_eq!(references.shown(0), "a (2), b (1), c (1)");
        assert_eq!(references.shown(1), "b (1)");
        assert_eq!(references.texts.len(), 3);
    }

    #[test]
    fn unanswered_samples_enter_no_mean() {
        let references = references(&[&["a1"; 10], &["b1"; 10], &["c1"; 10]]);
        let answers = [Some("a1".to_owned()), None, Some(" ".to_owned())];
        let compared = references.compare(&answers, EVAL_AI).unwrap();
        assert_eq!((compared.samples[1].score, compared.empty), (None, 1));
        let metric = mean("accuracy", compared.outcomes);
        assert_eq!((metric.value, metric.n), (Ok(50.0), 2));
        assert_eq!(mean("x", []).value, Err("no answered sample".to_owned()));
        assert!(references.compare(&answers[..2], EVAL_AI).is_err());
    }

    proptest! {
        #[test]
        fn the_closed_form_is_leave_one_out(
            numbers in proptest::collection::vec(0_usize..4, 1..=10),
            asked in 0_usize..4,
        ) {
            const WORDS: [&str; 4] = ["red", "blue", "green", "pink"];
            let answers: Vec<&str> = numbers.iter().map(|n| WORDS[*n]).collect();
            let score = one(&answers, WORDS[asked], EVAL_AI);
            prop_assert!((score - leave_one_out(&answers, WORDS[asked])).abs() < 1e-12);
        }

        #[test]
        fn ratios_add_up_to_the_mean(equal in proptest::collection::vec(0_usize..=10, 1..50)) {
            let outcomes = equal.iter().enumerate().map(|(sample, m)| Outcome { sample, earned: earned(*m, 10) });
            let metric = mean("accuracy", outcomes);
            let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
            prop_assert!((metric.value.unwrap() - sum.unwrap()).abs() < 1e-9);
        }
    }
}
