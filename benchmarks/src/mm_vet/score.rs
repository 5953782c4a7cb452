//! Means of the grades: total, by capability and by set of capabilities (`mm-vet.md`, section 6).

use std::collections::{BTreeMap, BTreeSet};

use super::grades::Grades;
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

/// Scores with the grades of the answers. Unanswered samples enter no metric. Denominators are all answers, graded or
/// not: where a run left one ungraded, the metrics over it have bounds and no value.
///
/// # Errors
///
/// Another number of answers than samples.
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
    let answered = |sample: usize| matches!(answers.get(sample), Some(Some(_)));
    let in_file = grades.graded.iter().filter(|(sample, _)| answered(*sample));
    // The organisers count an exhausted judgement as the 0.0 that they store with it.
    let counts_exhausted = protocol == Protocol::Official;
    let mut graded: Vec<Graded> = in_file
        .clone()
        .map(|(sample, runs)| {
            let score = |run: usize| runs.get(run).filter(|grade| counts_exhausted || !grade.exhausted);
            Graded {
                sample: *sample,
                scores: (0..grades.runs)
                    .map(|run| score(run).map(|grade| grade.score))
                    .collect(),
            }
        })
        .collect();
    let listed: BTreeSet<usize> = graded.iter().map(|graded| graded.sample).collect();
    let unlisted = (0..all.len()).filter(|sample| answered(*sample) && !listed.contains(sample));
    graded.extend(unlisted.map(|sample| Graded {
        sample,
        scores: vec![None; grades.runs],
    }));
    let mut samples: Vec<SampleScore> = vec![
        SampleScore {
            parsed: None,
            score: None
        };
        all.len()
    ];
    for entry in &graded {
        if let Some(place) = samples.get_mut(entry.sample) {
            *place = entry.sample_score();
        }
    }
    let exhausted = in_file
        .filter(|(_, runs)| runs.iter().any(|grade| grade.exhausted))
        .count();
    let answers = answers.iter().flatten();
    Ok(Score {
        samples,
        metrics: metrics(&graded, capabilities, grades.runs),
        answered: answers.clone().count(),
        unparsed: if counts_exhausted { exhausted } else { 0 },
        empty: answers.filter(|answer| python_text::strip(answer).is_empty()).count(),
    })
}

impl Graded {
    fn complete(&self) -> bool {
        self.scores.iter().all(Option::is_some)
    }

    /// The mean over the runs, `None` unless all of them graded it; shown as the grades themselves.
    fn sample_score(&self) -> SampleScore {
        let scores: Vec<f64> = self.scores.iter().flatten().copied().collect();
        let shown: Vec<String> = scores.iter().map(|score| format!("{score:?}")).collect();
        SampleScore {
            parsed: (!shown.is_empty()).then(|| shown.join(" ")),
            score: self
                .complete()
                .then(|| scores.iter().sum::<f64>() / scores.len() as f64),
        }
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
    let chosen: Vec<&Graded> = graded.iter().filter(|graded| takes_part(graded.sample)).collect();
    let over_runs = |missing: f64| {
        let values = (0..runs).map(|run| run_value(&chosen, run, missing));
        values.sum::<f64>() / runs as f64
    };
    let ungraded = chosen.iter().filter(|graded| !graded.complete()).count();
    let (value, bounds) = if chosen.is_empty() {
        (Err("no answered question".to_owned()), None)
    } else if ungraded > 0 {
        let bounds = (over_runs(0.0), over_runs(1.0));
        (Err(reason(ungraded, chosen.len())), Some(bounds))
    } else {
        (Ok(over_runs(0.0)), None)
    };
    let ratios = (0..runs).map(|run| Ratio {
        weight: 100.0 / runs as f64,
        terms: terms(&chosen, run, 0.0),
    });
    Metric {
        id: MetricId::new(id),
        n: chosen.len(),
        bounds,
        ratios: if value.is_ok() { ratios.collect() } else { Vec::new() },
        value,
    }
}

fn reason(ungraded: usize, of: usize) -> String {
    format!("{ungraded} of {of} answers ungraded: between all of them 0 and all 1")
}

/// The population standard deviation of the runs' totals. No ratio of sums over samples, so it has no ratios.
fn deviation(graded: &[Graded], runs: usize) -> Metric {
    let chosen: Vec<&Graded> = graded.iter().collect();
    let ungraded = graded.iter().filter(|graded| !graded.complete()).count();
    let value = if graded.is_empty() {
        Err("no answered question".to_owned())
    } else if ungraded > 0 {
        Err(format!("{ungraded} of {} answers ungraded", graded.len()))
    } else {
        let totals: Vec<f64> = (0..runs).map(|run| run_value(&chosen, run, 0.0)).collect();
        let mean = totals.iter().sum::<f64>() / runs as f64;
        let squares: f64 = totals.iter().map(|total| (total - mean).powi(2)).sum();
        Ok((squares / runs as f64).sqrt())
    };
    Metric {
        id: MetricId::new("total/std"),
        n: graded.len(),
        bounds: None,
        ratios: Vec::new(),
        value,
    }
}

/// One run's terms, in the order of the grade file; `missing` stands in for a grade that is not there.
fn terms(chosen: &[&Graded], run: usize, missing: f64) -> Vec<Term> {
    let terms = chosen.iter().map(|graded| Term {
        sample: graded.sample,
        numerator: graded.scores.get(run).copied().flatten().unwrap_or(missing),
        denominator: 1.0,
    });
    terms.collect()
}

/// One run's value in the organisers' order of operations, so that ties round as theirs.
fn run_value(chosen: &[&Graded], run: usize, missing: f64) -> f64 {
    let terms = terms(chosen, run, missing);
    let sum: f64 = terms.iter().fold(0.0, |sum, term| sum + term.numerator);
    sum / terms.len() as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::grades::Grade;
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
        let runs = graded.iter().map(|(_, grades)| grades.len()).max().unwrap();
        let answers: Vec<Option<String>> = rows.iter().map(|row| row.2.then(|| "said".to_owned())).collect();
        let grades = Grades::of(runs, graded);
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
        assert_eq!(value(&score, "capability/rec"), Err("no answered question".to_owned()));
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
        assert_eq!(paper.metric("total").unwrap().bounds, Some((50.0, 100.0)));
        assert_eq!((official.samples[0].score, paper.samples[0].score), (Some(0.0), None));
        assert_eq!((official.unparsed, official.ungraded()), (1, 0));
        assert_eq!((paper.unparsed, paper.ungraded()), (0, 1));
        for score in [official, paper] {
            assert_eq!((score.answered, score.unanswered()), (2, 1));
        }
    }

    #[test]
    fn ungraded_answers_leave_an_interval_over_all_answers() {
        let rows = [
            (vec![Rec], vec![Some(1.0), Some(0.5)], true),
            (vec![Rec], vec![Some(1.0)], true),
            (vec![Rec, Ocr], vec![], true),
            (vec![Math], vec![Some(0.3), Some(0.3)], true),
        ];
        for protocol in [Protocol::Paper, Protocol::Official] {
            let score = scored(&rows, protocol).unwrap();
            let total = score.metric("total").unwrap();
            assert_eq!(
                total.value,
                Err("2 of 4 answers ungraded: between all of them 0 and all 1".to_owned())
            );
            // Run 1: 2.3 and 3.3 of 4, run 2: 0.8 and 2.8.
            let (low, high) = total.bounds.unwrap();
            assert!(
                (low - 38.75).abs() < 1e-9 && (high - 76.25).abs() < 1e-9,
                "{low} {high}"
            );
            assert_eq!(total.n, 4);
            assert_eq!(score.metric("capability/ocr").unwrap().bounds, Some((0.0, 100.0)));
            assert_eq!(value(&score, "integration/math"), Ok(30.0));
            assert_eq!(score.metric("integration/math").unwrap().bounds, None);
            assert!(value(&score, "total/std").is_err());
            assert_eq!((score.ungraded(), score.unparsed), (2, 0));
            assert_eq!(
                (score.samples[1].parsed.as_deref(), score.samples[1].score),
                (Some("1.0"), None)
            );
        }
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
                    if let Some((low, high)) = metric.bounds {
                        prop_assert!(metric.value.is_err() && 0.0 <= low && low < high && high <= 100.0 + 1e-9);
                    }
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
