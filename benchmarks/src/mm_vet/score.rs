//! Means of the grades: total, by capability and by set of capabilities (`mm-vet.md`, section 6).

use std::collections::{BTreeMap, BTreeSet};

use super::grades::{Grade, Grades};
use super::{Capability, integration};
use crate::error::DataError;
use crate::metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
use crate::python_text;
use crate::sample::Sample;
use crate::task::Protocol;

/// An answered sample and what counts for it in each run; `None` where that run left it ungraded.
struct Graded {
    sample: usize,
    scores: Vec<Option<f64>>,
}

/// Scores with the grades of the answers. Unanswered samples enter no metric, and under `paper` neither do those
/// that no run graded; a run that left a sample ungraded is taken over the others.
///
/// # Errors
///
/// Another number of answers than samples; grades of fewer samples than were answered, where `protocol` is
/// `official`, whose denominators are all questions.
pub(super) fn score(
    all: &[Sample],
    capabilities: &[BTreeSet<Capability>],
    grades: &Grades,
    answers: &[Option<String>],
    protocol: Protocol,
) -> Result<Score, DataError> {
    if all.len() != answers.len() {
        let (given, wanted) = (answers.len(), all.len());
        return Err(DataError::Mismatch(format!(
            "{given} answers for {wanted} MM-Vet questions; give one entry each"
        )));
    }
    let answered = |sample: &usize| matches!(answers.get(*sample), Some(Some(_)));
    let mut graded = Vec::with_capacity(grades.graded.len());
    let mut scored: Vec<Option<&Graded>> = vec![None; all.len()];
    for (sample, runs) in grades.graded.iter().filter(|(sample, _)| answered(sample)) {
        let counts = |grade: &Grade| (protocol == Protocol::Official || !grade.exhausted).then_some(grade.score);
        graded.push(Graded {
            sample: *sample,
            scores: runs.iter().map(counts).collect(),
        });
    }
    for entry in &graded {
        if let Some(place) = scored.get_mut(entry.sample) {
            *place = Some(entry);
        }
    }
    let ungraded = |(sample, entry): &(usize, &Option<&Graded>)| answered(sample) && entry.is_none();
    if protocol == Protocol::Official
        && let Some((first, _)) = scored.iter().enumerate().find(ungraded)
    {
        let count = scored.iter().enumerate().filter(ungraded).count();
        let id = all.get(first).map_or("", |sample| sample.id.as_str());
        return Err(DataError::Mismatch(format!(
            "{count} answers of MM-Vet have no grade (first: `{id}`); grade them too, or score with `paper`, which \
             leaves them out"
        )));
    }
    let exhausted = |runs: &[Grade]| runs.iter().any(|grade| grade.exhausted);
    let unread = grades
        .graded
        .iter()
        .filter(|(sample, runs)| answered(sample) && exhausted(runs));
    let unparsed = unread.count() + scored.iter().enumerate().filter(ungraded).count();
    let answers = answers.iter().flatten();
    Ok(Score {
        samples: scored.iter().map(|entry| sample_score(*entry)).collect(),
        metrics: metrics(&graded, capabilities, grades.runs),
        answered: answers.clone().count(),
        unparsed,
        empty: answers.filter(|answer| python_text::strip(answer).is_empty()).count(),
    })
}

/// The mean over the runs; shown as the grades themselves.
fn sample_score(graded: Option<&Graded>) -> SampleScore {
    let scores: Vec<f64> = graded
        .iter()
        .flat_map(|graded| graded.scores.iter().flatten().copied())
        .collect();
    let shown: Vec<String> = scores.iter().map(|score| format!("{score:?}")).collect();
    SampleScore {
        parsed: (!shown.is_empty()).then(|| shown.join(" ")),
        score: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
    }
}

fn metrics(graded: &[Graded], capabilities: &[BTreeSet<Capability>], runs: usize) -> Vec<Metric> {
    let of = |sample: usize| capabilities.get(sample);
    let mut metrics = vec![mean("total".to_owned(), graded, runs, |_| true)];
    for capability in Capability::ALL {
        let has = |sample| of(sample).is_some_and(|set| set.contains(&capability));
        metrics.push(mean(format!("capability/{}", capability.id()), graded, runs, has));
    }
    let mut sets: BTreeMap<&BTreeSet<Capability>, usize> = BTreeMap::new();
    for set in capabilities {
        *sets.entry(set).or_default() += 1;
    }
    // As in the organisers' table: by falling number of questions.
    let mut sets: Vec<_> = sets.into_iter().collect();
    sets.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (set, _) in sets {
        let is = |sample| of(sample) == Some(set);
        metrics.push(mean(format!("integration/{}", integration(set)), graded, runs, is));
    }
    metrics.push(deviation(graded, runs));
    metrics
}

/// 100 times the mean score of the samples that `takes_part` names, meant over the runs.
fn mean(id: String, graded: &[Graded], runs: usize, takes_part: impl Fn(usize) -> bool) -> Metric {
    let chosen: Vec<&Graded> = graded
        .iter()
        .filter(|graded| takes_part(graded.sample) && graded.scores.iter().any(Option::is_some))
        .collect();
    let ratios: Vec<Ratio> = (0..runs)
        .map(|run| Ratio {
            weight: 100.0 / runs as f64,
            terms: terms(&chosen, run),
        })
        .collect();
    let values: Option<Vec<f64>> = (0..runs).map(|run| run_value(&chosen, run)).collect();
    let value = match values {
        _ if chosen.is_empty() => Err("no graded answer".to_owned()),
        None => Err("a run without a graded answer".to_owned()),
        Some(values) => Ok(values.iter().sum::<f64>() / runs as f64),
    };
    Metric {
        id: MetricId::new(id),
        n: chosen.len(),
        ratios: if value.is_ok() { ratios } else { Vec::new() },
        value,
    }
}

/// The population standard deviation of the runs' totals. No ratio of sums over samples, so it has no ratios.
fn deviation(graded: &[Graded], runs: usize) -> Metric {
    let chosen: Vec<&Graded> = graded.iter().collect();
    let totals: Option<Vec<f64>> = (0..runs).map(|run| run_value(&chosen, run)).collect();
    let value = totals.map(|totals| {
        let mean = totals.iter().sum::<f64>() / runs as f64;
        let squares: f64 = totals.iter().map(|total| (total - mean).powi(2)).sum();
        (squares / runs as f64).sqrt()
    });
    let scored = |graded: &&Graded| graded.scores.iter().any(Option::is_some);
    Metric {
        id: MetricId::new("total/std"),
        n: graded.iter().filter(scored).count(),
        ratios: Vec::new(),
        value: value.ok_or_else(|| "a run without a graded answer".to_owned()),
    }
}

/// One run's terms, in the order of the grade file.
fn terms(chosen: &[&Graded], run: usize) -> Vec<Term> {
    let terms = chosen.iter().filter_map(|graded| {
        let score = graded.scores.get(run).copied().flatten()?;
        Some(Term {
            sample: graded.sample,
            numerator: score,
            denominator: 1.0,
        })
    });
    terms.collect()
}

/// One run's value in the organisers' order of operations, so that ties round as theirs.
fn run_value(chosen: &[&Graded], run: usize) -> Option<f64> {
    let terms = terms(chosen, run);
    let sum: f64 = terms.iter().fold(0.0, |sum, term| sum + term.numerator);
    (!terms.is_empty()).then(|| sum / terms.len() as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Capability::{Math, Ocr, Rec};
    use super::*;
    use crate::sample::SampleId;

    fn sample(n: usize) -> Sample {
        Sample {
            id: SampleId::new(format!("v1_{n}")),
            source_id: n.to_string(),
            pictures: Vec::new(),
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: n,
        }
    }

    /// Capabilities of each sample, grades by run (`None`: exhausted; an empty list: not in the file), answered.
    type Row = (Vec<Capability>, Vec<Option<f64>>, bool);

    fn scored(rows: &[Row], protocol: Protocol) -> Result<Score, String> {
        let samples: Vec<Sample> = (0..rows.len()).map(sample).collect();
        let capabilities: Vec<BTreeSet<Capability>> = rows.iter().map(|row| row.0.iter().copied().collect()).collect();
        let grade = |score: &Option<f64>| Grade {
            score: score.unwrap_or(0.0),
            exhausted: score.is_none(),
        };
        let graded: Vec<(usize, Vec<Grade>)> = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.1.is_empty())
            .map(|(n, row)| (n, row.1.iter().map(grade).collect()))
            .collect();
        let runs = graded.iter().map(|(_, grades)| grades.len()).min().unwrap();
        let answers: Vec<Option<String>> = rows.iter().map(|row| row.2.then(|| "said".to_owned())).collect();
        let grades = Grades { runs, graded };
        score(&samples, &capabilities, &grades, &answers, protocol).map_err(|error| error.to_string())
    }

    fn value(score: &Score, id: &str) -> Result<f64, String> {
        score.metric(id).unwrap().value.clone()
    }

    #[test]
    fn capabilities_overlap_and_integrations_do_not() {
        let rows = [
            (vec![Ocr, Math, Ocr], vec![Some(1.0)], true),
            (vec![Math, Ocr], vec![Some(0.5)], true),
            (vec![Ocr], vec![Some(0.0)], true),
        ];
        let score = scored(&rows, Protocol::Official).unwrap();
        assert_eq!(value(&score, "total"), Ok(50.0));
        assert_eq!(value(&score, "capability/ocr"), Ok(50.0));
        assert_eq!(value(&score, "capability/math"), Ok(75.0));
        assert_eq!(value(&score, "capability/rec"), Err("no graded answer".to_owned()));
        assert_eq!(value(&score, "integration/math+ocr"), Ok(75.0));
        assert_eq!(value(&score, "integration/ocr"), Ok(0.0));
        assert_eq!(value(&score, "total/std"), Ok(0.0));
        assert_eq!(score.samples[1].score, Some(0.5));
        let ids: Vec<&str> = score.metrics.iter().map(|metric| metric.id.as_str()).collect();
        assert_eq!(ids[7..], ["integration/math+ocr", "integration/ocr", "total/std"]);
    }

    #[test]
    fn runs_are_averaged_and_spread() {
        let rows = [
            (vec![Rec], vec![Some(1.0), Some(0.0)], true),
            (vec![Ocr], vec![Some(1.0), Some(1.0)], true),
        ];
        let score = scored(&rows, Protocol::Paper).unwrap();
        assert_eq!(value(&score, "total"), Ok(75.0));
        assert_eq!(value(&score, "total/std"), Ok(25.0));
        let first = &score.samples[0];
        assert_eq!((first.parsed.as_deref(), first.score), (Some("1.0 0.0"), Some(0.5)));
    }

    #[test]
    fn an_exhausted_judgement_is_a_zero_officially_and_ungraded_in_the_papers() {
        let rows = [
            (vec![Rec], vec![None], true),
            (vec![Rec], vec![Some(1.0)], true),
            (vec![Rec], vec![Some(0.2)], false),
        ];
        let official = scored(&rows, Protocol::Official).unwrap();
        let paper = scored(&rows, Protocol::Paper).unwrap();
        assert_eq!(value(&official, "total"), Ok(50.0));
        assert_eq!(value(&paper, "total"), Ok(100.0));
        assert_eq!((official.samples[0].score, paper.samples[0].score), (Some(0.0), None));
        for score in [official, paper] {
            assert_eq!((score.answered, score.unanswered(), score.unparsed), (2, 1, 1));
        }
    }

    #[test]
    fn an_answer_without_grade_is_named_officially() {
        let rows = [(vec![Rec], vec![Some(1.0)], true), (vec![Rec], vec![], true)];
        let error = scored(&rows, Protocol::Official).unwrap_err();
        assert!(
            error.starts_with("1 answers of MM-Vet have no grade (first: `v1_1`)"),
            "{error}"
        );
        let paper = scored(&rows, Protocol::Paper).unwrap();
        assert_eq!((value(&paper, "total"), paper.unparsed), (Ok(100.0), 1));
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_every_value(
            rows in proptest::collection::vec(
                (proptest::collection::vec(0_usize..6, 1..4), [0_u8..12, 0_u8..12, 0_u8..12], any::<bool>()), 1..40,
            ),
        ) {
            let tenths = |n: u8| (n < 11).then(|| f64::from(n) / 10.0);
            let rows: Vec<Row> = rows
                .into_iter()
                .map(|(set, runs, answered)| {
                    (set.into_iter().map(|n| Capability::ALL[n]).collect(), runs.map(tenths).to_vec(), answered)
                })
                .collect();
            for protocol in [Protocol::Paper, Protocol::Official] {
                for metric in scored(&rows, protocol).unwrap().metrics {
                    let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
                    match metric.value {
                        Ok(_) if metric.id.as_str() == "total/std" => prop_assert!(metric.ratios.is_empty()),
                        Ok(value) => prop_assert!((value - sum.unwrap()).abs() < 1e-9, "{}", metric.id),
                        Err(_) => prop_assert!(metric.ratios.is_empty(), "{}", metric.id),
                    }
                }
            }
        }
    }
}
