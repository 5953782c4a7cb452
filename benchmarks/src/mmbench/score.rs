//! Circular and vanilla accuracy (`mmbench.md`, section 6).

use std::collections::BTreeMap;

use super::{Letter, MmBenchData, Question, infer};
use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;
use crate::sample::Sample;
use crate::task::Protocol;

/// What the rotations of one question come to.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    /// The first rotation, which stands for the question.
    base: Option<usize>,
    answered: bool,
    right: bool,
}

/// What was made of one answer.
#[derive(Debug, Clone, Copy)]
struct Reading {
    letter: Option<Letter>,
    right: bool,
    by: Reader,
}

/// What made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The protocol's rule.
    Rule,
    /// A judge, who may have found no option in it.
    Judge,
    /// Neither; it is wrong.
    Nobody,
    /// Neither, and the protocol would ask a judge.
    NobodyYet,
}

/// Scores one answer a row, `None` where there is none. A row without answer enters no metric, nor does a question
/// of which a rotation is unanswered.
///
/// # Errors
///
/// Hidden labels, and another number of answers than rows.
pub(super) fn score(data: &MmBenchData, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
    let (samples, questions) = (&data.samples, &data.questions);
    if samples.len() != answers.len() {
        let (given, wanted) = (answers.len(), samples.len());
        return Err(DataError::Mismatch(format!(
            "{given} answers for {wanted} MMBench rows; give one entry each"
        )));
    }
    let readings = questions.iter().zip(answers).enumerate().map(|(row, (question, answer))| {
        let Some(label) = question.answer else {
            return Err(DataError::Mismatch(format!(
                "the labels of MMBench `{}` are hidden; upload the answers to the organisers' server, or score split \
                 `dev` with `mmbench_dev_20230712.tsv` in ROOT/mmbench",
                data.provenance.split
            )));
        };
        let judged = |answer: &str| data.matches.as_ref()?.letter(row, answer);
        Ok(answer.as_ref().map(|answer| read(question, answer, label, judged, protocol)))
    });
    let readings: Vec<Option<Reading>> = readings.collect::<Result<_, _>>()?;
    let unread = |reading: &&Reading| reading.letter.is_none() && reading.by != Reader::NobodyYet;
    let unparsed = readings.iter().flatten().filter(unread).count();
    let parsed = readings.iter().map(|reading| SampleScore {
        parsed: reading
            .and_then(|reading| reading.letter)
            .map(|letter| letter.id().to_owned()),
        score: reading
            .filter(|reading| reading.by != Reader::NobodyYet)
            .map(|reading| f64::from(reading.right)),
    });
    let answers = answers.iter().flatten();
    Ok(Score {
        samples: parsed.collect(),
        metrics: bounded(samples, questions, &readings),
        answered: answers.clone().count(),
        unparsed,
        empty: answers.filter(|answer| python_text::strip(answer).is_empty()).count(),
    })
}

fn read(
    question: &Question,
    answer: &str,
    label: Letter,
    judged: impl Fn(&str) -> Option<Letter>,
    protocol: Protocol,
) -> Reading {
    let reading = |letter: Option<Letter>, by| Reading {
        letter,
        right: letter == Some(label),
        by,
    };
    if protocol == Protocol::VlmEvalKit {
        return match infer::later(answer, &question.options) {
            Some(letter) => reading(Some(letter), Reader::Rule),
            None => reading(None, Reader::Nobody),
        };
    }
    if let Some(letter) = infer::early(answer, &question.options) {
        return reading(Some(letter), Reader::Rule);
    }
    match judged(answer) {
        Some(Letter::Z) => reading(None, Reader::Judge),
        Some(letter) => reading(Some(letter), Reader::Judge),
        None if protocol == Protocol::Paper => reading(None, Reader::Nobody),
        None => reading(None, Reader::NobodyYet),
    }
}

/// The metrics; those that depend on answers which a judge has yet to read have bounds, all of them wrong and all
/// right.
fn bounded(samples: &[Sample], questions: &[Question], readings: &[Option<Reading>]) -> Vec<Metric> {
    let low = metrics(samples, questions, readings);
    let open = |reading: &Option<Reading>| reading.is_some_and(|reading| reading.by == Reader::NobodyYet);
    let count = readings.iter().filter(|reading| open(reading)).count();
    if count == 0 {
        return low;
    }
    let all_right = readings.iter().map(|reading| {
        reading.map(|reading| Reading {
            right: reading.right || reading.by == Reader::NobodyYet,
            ..reading
        })
    });
    let high = metrics(samples, questions, &all_right.collect::<Vec<_>>());
    let between = |(low, high): (Metric, Metric)| match (&low.value, &high.value) {
        (Ok(least), Ok(most)) if least < most => Metric {
            bounds: Some((*least, *most)),
            value: Err(format!(
                "{count} answers wait for a judge: between all of them wrong and all right"
            )),
            ratios: Vec::new(),
            ..low
        },
        _ => low,
    };
    low.into_iter().zip(high).map(between).collect()
}

fn metrics(samples: &[Sample], questions: &[Question], readings: &[Option<Reading>]) -> Vec<Metric> {
    let rounds = rounds(samples, questions, readings);
    let complete: Vec<(usize, bool)> = rounds
        .values()
        .filter(|rounds| rounds.answered)
        .filter_map(|rounds| Some((rounds.base?, rounds.right)))
        .collect();
    let rows = || {
        readings
            .iter()
            .enumerate()
            .filter_map(|(row, reading)| Some((row, (*reading)?)))
    };
    let is_base = |row: usize| questions.get(row).is_some_and(|question| question.base);
    let base = rows()
        .filter(|(row, _)| is_base(*row))
        .map(|(row, reading)| (row, reading.right));
    let mut metrics = vec![
        share("accuracy".to_owned(), complete.iter().copied()),
        share("accuracy/vanilla-base".to_owned(), base),
        share(
            "accuracy/vanilla-all".to_owned(),
            rows().map(|(row, reading)| (row, reading.right)),
        ),
    ];
    let ability = |row: usize| questions.get(row).and_then(|question| question.ability.as_deref());
    let category = |row: usize| samples.get(row).and_then(|sample| sample.category.as_deref());
    metrics.extend(by_name(
        "ability",
        &complete,
        (0..samples.len()).filter_map(ability),
        ability,
    ));
    metrics.extend(by_name(
        "category",
        &complete,
        (0..samples.len()).filter_map(category),
        category,
    ));
    let matched = rows().map(|(row, reading)| (row, reading.by == Reader::Rule));
    metrics.push(share("rule-matched".to_owned(), matched));
    metrics
}

fn rounds(samples: &[Sample], questions: &[Question], readings: &[Option<Reading>]) -> BTreeMap<usize, Rounds> {
    let mut rounds: BTreeMap<usize, Rounds> = BTreeMap::new();
    for (row, ((sample, question), reading)) in samples.iter().zip(questions).zip(readings).enumerate() {
        let of_question = rounds.entry(sample.scoring_group).or_insert(Rounds {
            base: None,
            answered: true,
            right: true,
        });
        if question.base {
            of_question.base = Some(row);
        }
        of_question.answered &= reading.is_some();
        of_question.right &= reading.is_some_and(|reading| reading.right);
    }
    rounds
}

/// Circular accuracy over the questions whose first rotation has that name, for each of `names`, in their order.
fn by_name<'a>(
    prefix: &str,
    complete: &[(usize, bool)],
    names: impl Iterator<Item = &'a str>,
    name_of: impl Fn(usize) -> Option<&'a str>,
) -> Vec<Metric> {
    let mut grouped: BTreeMap<&str, Vec<(usize, bool)>> = names.map(|name| (name, Vec::new())).collect();
    for (row, right) in complete {
        if let Some(rows) = name_of(*row).and_then(|name| grouped.get_mut(name)) {
            rows.push((*row, *right));
        }
    }
    let metrics = grouped.into_iter();
    metrics
        .map(|(name, rows)| share(format!("{prefix}/{name}"), rows.into_iter()))
        .collect()
}

/// The share of hits in per cent.
fn share(id: String, hits: impl Iterator<Item = (usize, bool)>) -> Metric {
    let terms = hits.map(|(sample, hit)| Term {
        sample,
        numerator: f64::from(hit),
        denominator: 1.0,
    });
    let ratio = Ratio {
        weight: 100.0,
        terms: terms.collect(),
    };
    let value = ratio.value();
    Metric {
        id: MetricId::new(id),
        n: ratio.terms.len(),
        bounds: None,
        ratios: if value.is_some() { vec![ratio] } else { Vec::new() },
        value: value.ok_or_else(|| "no answered question".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::HashMap;

    use super::super::matches::Matches;
    use super::super::split::Split;
    use super::*;
    use crate::benchmark::Provenance;
    use crate::sample::SampleId;

    /// Question, rotation, label, answer, category.
    type Row = (usize, u64, Option<Letter>, Option<&'static str>, Option<&'static str>);

    fn scored(rows: &[Row], protocol: Protocol) -> Result<Score, String> {
        judged(rows, &[], protocol)
    }

    /// With what a judge read in the answers to some rows.
    fn judged(rows: &[Row], letters: &[(usize, Letter)], protocol: Protocol) -> Result<Score, String> {
        let samples: Vec<Sample> = rows
            .iter()
            .map(|(group, rotation, _, _, category)| Sample {
                id: SampleId::new((*group as u64 + super::super::ROTATION * rotation).to_string()),
                source_id: String::new(),
                pictures: Vec::new(),
                question: String::new(),
                category: category.map(str::to_owned),
                reference: None,
                scoring_group: *group,
            })
            .collect();
        let questions: Vec<Question> = rows
            .iter()
            .map(|(_, rotation, answer, _, category)| Question {
                base: *rotation == 0,
                hint: None,
                options: ["mug", "cup", "jar", "pot"].map(str::to_owned).to_vec(),
                answer: *answer,
                ability: category.map(|category| format!("l2-{category}")),
            })
            .collect();
        let provenance = Provenance {
            layout: "toy",
            split: "test".to_owned(),
            files: Vec::new(),
            picture_folders: Vec::new(),
        };
        let answers: Vec<Option<String>> = rows.iter().map(|row| row.3.map(str::to_owned)).collect();
        let letters = letters
            .iter()
            .map(|(row, letter)| (*row, answers[*row].clone().unwrap(), *letter));
        let data = MmBenchData {
            provenance,
            split: Split::Dev,
            samples,
            questions,
            by_id: HashMap::new(),
            matches: Some(Matches::of(letters)),
        };
        score(&data, &answers, protocol).map_err(|error| error.to_string())
    }

    fn value(score: &Score, id: &str) -> Result<f64, String> {
        score.metric(id).unwrap().value.clone()
    }

    const A: Option<Letter> = Some(Letter::A);
    const B: Option<Letter> = Some(Letter::B);

    #[test]
    fn a_question_counts_if_every_rotation_is_right() {
        let rows: [Row; 6] = [
            (1, 1, B, Some("B"), Some("x")),
            (1, 0, A, Some("A"), Some("x")),
            (2, 0, A, Some("A"), Some("y")),
            (2, 1, B, Some("A"), Some("y")),
            (3, 0, B, Some("B"), Some("x")),
            (3, 1, A, None, Some("x")),
        ];
        let score = scored(&rows, Protocol::Paper).unwrap();
        assert_eq!(value(&score, "accuracy"), Ok(50.0));
        assert_eq!(score.metric("accuracy").unwrap().n, 2);
        assert_eq!(value(&score, "accuracy/vanilla-base"), Ok(100.0));
        assert_eq!(value(&score, "accuracy/vanilla-all"), Ok(80.0));
        assert_eq!(value(&score, "ability/l2-x"), Ok(100.0));
        assert_eq!(value(&score, "category/y"), Ok(0.0));
        assert_eq!(value(&score, "rule-matched"), Ok(100.0));
        assert_eq!((score.answered, score.unanswered()), (5, 1));
        let ids: Vec<&str> = score.metrics.iter().map(|metric| metric.id.as_str()).collect();
        let expected = [
            "ability/l2-x",
            "ability/l2-y",
            "category/x",
            "category/y",
            "rule-matched",
        ];
        assert_eq!(ids[3..], expected);
    }

    #[test]
    fn unread_answers_are_wrong_or_for_a_judge() {
        let rows: [Row; 3] = [
            (1, 0, A, Some("no idea"), None),
            (2, 0, B, Some("**B**"), None),
            (3, 0, B, Some(""), None),
        ];
        let paper = scored(&rows, Protocol::Paper).unwrap();
        assert_eq!(
            (value(&paper, "accuracy"), paper.unparsed, paper.empty),
            (Ok(0.0), 3, 1)
        );
        assert_eq!(value(&paper, "rule-matched"), Ok(0.0));
        assert_eq!(
            (paper.samples[0].parsed.as_deref(), paper.samples[0].score),
            (None, Some(0.0))
        );
        let kit = scored(&rows, Protocol::VlmEvalKit).unwrap();
        assert_eq!(kit.unparsed, 2);
        assert!((value(&kit, "accuracy").unwrap() - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(kit.samples[1].parsed.as_deref(), Some("B"));
        for protocol in [Protocol::Official, Protocol::LmmsEval] {
            let score = scored(&rows, protocol).unwrap();
            let accuracy = score.metric("accuracy").unwrap();
            assert_eq!(accuracy.bounds, Some((0.0, 100.0)));
            assert_eq!(
                accuracy.value,
                Err("3 answers wait for a judge: between all of them wrong and all right".to_owned())
            );
            assert_eq!(value(&score, "rule-matched"), Ok(0.0));
            assert_eq!((score.ungraded(), score.unparsed), (3, 0));
            assert_eq!(
                value(&scored(&[(1, 0, A, Some("A"), None)], protocol).unwrap(), "accuracy"),
                Ok(100.0)
            );
        }
    }

    #[test]
    fn a_judge_reads_what_no_rule_does() {
        let rows: [Row; 4] = [
            (1, 0, A, Some("no idea"), None),
            (2, 0, B, Some("the second"), None),
            (3, 0, B, Some("the first"), None),
            (4, 0, B, Some("B"), None),
        ];
        // A rule reads the last one: what a judge says of it does not count.
        let letters = [(0, Letter::Z), (1, Letter::B), (2, Letter::A), (3, Letter::A)];
        for protocol in [Protocol::Paper, Protocol::Official, Protocol::LmmsEval] {
            let score = judged(&rows, &letters, protocol).unwrap();
            assert_eq!(value(&score, "accuracy"), Ok(50.0));
            assert_eq!(value(&score, "rule-matched"), Ok(25.0));
            let parsed: Vec<Option<&str>> = score.samples.iter().map(|sample| sample.parsed.as_deref()).collect();
            assert_eq!(parsed, [None, Some("B"), Some("A"), Some("B")]);
            assert_eq!((score.unparsed, score.ungraded()), (1, 0));
        }
        let kit = judged(&rows, &letters, Protocol::VlmEvalKit).unwrap();
        assert_eq!(value(&kit, "accuracy"), Ok(25.0));
        let open = judged(&rows, &letters[..2], Protocol::Official).unwrap();
        assert_eq!(open.metric("accuracy").unwrap().bounds, Some((50.0, 75.0)));
    }

    #[test]
    fn hidden_labels_are_named() {
        let error = scored(&[(1, 0, None, Some("A"), None)], Protocol::Paper).unwrap_err();
        assert!(error.starts_with("the labels of MMBench `test` are hidden"), "{error}");
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_every_value(
            rows in proptest::collection::vec((0_usize..9, 0_u64..3, any::<bool>(), 0_usize..5, any::<bool>()), 0..60),
        ) {
            const ANSWERS: [Option<&str>; 5] = [Some("A"), Some("B"), Some("a mug"), Some("D."), None];
            let rows: Vec<Row> = rows
                .into_iter()
                .map(|(group, rotation, a, n, x)| {
                    (group, rotation, if a { A } else { B }, ANSWERS[n], Some(if x { "x" } else { "y" }))
                })
                .collect();
            for protocol in Protocol::ALL {
                for metric in scored(&rows, *protocol).unwrap().metrics {
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
