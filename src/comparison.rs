//! Two runs of one benchmark, sample by sample: how far every metric moved, whether that can be chance, and which
//! answers flipped.

use std::collections::{BTreeSet, HashMap};

use benchmarks::{Ratio, Task};
use serde::Serialize;

use crate::fault::Fault;
use crate::scorecard::{MetricRecord, Scorecard};
use crate::statistics::{Difference, Margin, Test, adjust, compare};

/// What a comparison is to find out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// Level, margin and bound of equivalence.
    pub margin: Margin,
    /// Compare the samples that both runs have where one has more.
    pub common_only: bool,
}

/// What can be said of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Worse by more than the margin, and not by chance.
    Regression,
    /// Better, and not by chance.
    Improvement,
    /// Worse, not by chance, but the margin allows it or leaves it open.
    WithinMargin,
    /// The difference is certain to lie within the bound that the user gave.
    Equivalent,
    /// Another value, not by chance, of a metric that is neither better nor worse when higher.
    Differs,
    /// Could be chance.
    NoDifference,
    /// Cannot be compared; the reason.
    Undefined(String),
}

impl Verdict {
    /// For tables.
    pub fn words(&self) -> String {
        match self {
            Self::Regression => "regression".to_owned(),
            Self::Improvement => "improvement".to_owned(),
            Self::WithinMargin => "worse, within the margin".to_owned(),
            Self::Equivalent => "equivalent".to_owned(),
            Self::Differs => "differs".to_owned(),
            Self::NoDifference => "no difference shown".to_owned(),
            Self::Undefined(reason) => format!("not compared: {reason}"),
        }
    }
}

/// One metric in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricComparison {
    /// Its id.
    pub id: String,
    /// The base's value; `null` where undefined.
    pub base: Option<f64>,
    /// The candidate's.
    pub candidate: Option<f64>,
    /// Candidate minus base.
    pub difference: Option<f64>,
    /// Standard error of the difference, clustered by picture.
    pub stderr: Option<f64>,
    /// 95 % interval of the difference.
    pub ci95: Option<(f64, f64)>,
    /// Pictures it rests on.
    pub clusters: Option<usize>,
    /// Which test gave the p-values.
    pub test: Option<Test>,
    /// Two-sided p-value, adjusted over the family.
    pub p: Option<f64>,
    /// One-sided p-value of a candidate worse by more than the margin, adjusted over the family.
    pub p_worse: Option<f64>,
    /// p-value of a difference beyond `--equivalent-within`.
    pub p_apart: Option<f64>,
    /// The difference that this many samples show in four of five comparisons.
    pub detectable: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// A sample whose score changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// Its id.
    pub id: String,
    /// What it earned in the base run.
    pub base: f64,
    /// What it earns in the candidate.
    pub candidate: f64,
}

/// Two runs of one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Benchmark.
    pub task: Task,
    /// Split.
    pub split: String,
    /// Model of the base run.
    pub base: String,
    /// Model of the candidate.
    pub candidate: String,
    /// Samples compared.
    pub n: usize,
    /// Samples left out because only one run has a score for them (`--common-only`).
    pub left_out: usize,
    /// How the runs differ besides the model, in words.
    pub remarks: Vec<String>,
    /// The number that tables show, and that decides.
    pub headline: MetricComparison,
    /// All other metrics: a family of their own.
    pub others: Vec<MetricComparison>,
    /// Samples that earn less, the largest loss first.
    pub became_wrong: Vec<Flip>,
    /// Samples that earn more, the largest gain first.
    pub became_right: Vec<Flip>,
}

/// Compares runs pairwise. Headlines are one family of tests and all other metrics another (Holm).
///
/// # Errors
///
/// A pair that is not about the same questions, and samples that only one run has.
pub fn compare_runs(pairs: &[(Scorecard, Scorecard)], question: Question) -> Result<Vec<Comparison>, Fault> {
    let mut compared = pairs
        .iter()
        .map(|(base, candidate)| Pair::new(base, candidate, question)?.compare())
        .collect::<Result<Vec<_>, _>>()?;
    judge(
        compared.iter_mut().map(|one| &mut one.headline).collect(),
        question.margin,
    );
    judge(
        compared.iter_mut().flat_map(|one| &mut one.others).collect(),
        question.margin,
    );
    Ok(compared)
}

/// Whether two runs can be compared.
///
/// # Errors
///
/// As [`compare_runs`].
pub fn comparable(base: &Scorecard, candidate: &Scorecard, question: Question) -> Result<(), Fault> {
    Pair::new(base, candidate, question).map(drop)
}

/// Adjusts the p-values of a family and draws the verdicts.
fn judge(mut family: Vec<&mut MetricComparison>, margin: Margin) {
    family.retain(|metric| metric.difference.is_some());
    let adjusted = |pick: fn(&MetricComparison) -> Option<f64>| {
        let raw: Vec<f64> = family.iter().filter_map(|metric| pick(metric)).collect();
        adjust(&raw)
    };
    let (two_sided, worse) = (adjusted(|metric| metric.p), adjusted(|metric| metric.p_worse));
    for (metric, (p, p_worse)) in family.into_iter().zip(two_sided.into_iter().zip(worse)) {
        metric.p = Some(p);
        metric.p_worse = Some(p_worse);
        let difference = metric.difference.unwrap_or_default();
        metric.verdict = if !is_better_when_higher(&metric.id) {
            if p <= margin.alpha {
                Verdict::Differs
            } else {
                Verdict::NoDifference
            }
        } else if p_worse <= margin.alpha && difference < 0.0 {
            Verdict::Regression
        } else if metric.p_apart.is_some_and(|p| p <= margin.alpha) {
            Verdict::Equivalent
        } else if p <= margin.alpha && difference > 0.0 {
            Verdict::Improvement
        } else if p <= margin.alpha && difference < 0.0 {
            Verdict::WithinMargin
        } else {
            Verdict::NoDifference
        };
    }
}

/// Whether more of a metric is better; the others say what answers are like, not how good they are.
fn is_better_when_higher(id: &str) -> bool {
    !(id.ends_with("yes-ratio") || ["distribution", "total/std", "rule-matched"].contains(&id))
}

/// Two scorecards about the same questions.
struct Pair<'a> {
    base: &'a Scorecard,
    candidate: &'a Scorecard,
    question: Question,
    /// What each sample earned, in the base's order.
    scores: Vec<(Option<f64>, Option<f64>)>,
    remarks: Vec<String>,
}

impl<'a> Pair<'a> {
    fn new(base: &'a Scorecard, candidate: &'a Scorecard, question: Question) -> Result<Self, Fault> {
        let what = format!("{} {}", base.task, base.split);
        if base.protocol != candidate.protocol {
            return Err(Fault::User(format!(
                "{what}: the base was scored by protocol `{}`, the candidate by `{}`; score one of them again",
                base.protocol, candidate.protocol
            )));
        }
        if base.samples.iter().any(|id| id.starts_with("row/")) && base.questions != candidate.questions {
            return Err(Fault::User(format!(
                "{what}: the samples have no ids of their own, only row numbers, and the questions differ; run both \
                 on one data file"
            )));
        }
        if base.samples != candidate.samples {
            return Err(Fault::User(format!(
                "{what}: {}; run both on the same data",
                parted(base, candidate)
            )));
        }
        if base.questions != candidate.questions {
            return Err(Fault::User(format!(
                "{what}: same samples, but question texts or reference answers differ: other releases of the data; \
                 score both on the same files"
            )));
        }
        let unsound = || Fault::Bug("a checked scorecard has no scores".to_owned());
        let of_base = base.scores().ok_or_else(unsound)?;
        let of_candidate = candidate.scores().ok_or_else(unsound)?;
        let scores: Vec<(Option<f64>, Option<f64>)> = of_base.into_iter().zip(of_candidate).collect();
        let only = |pick: fn(&(Option<f64>, Option<f64>)) -> bool| scores.iter().filter(|pair| pick(pair)).count();
        let only_base = only(|pair| pair.0.is_some() && pair.1.is_none());
        let only_candidate = only(|pair| pair.0.is_none() && pair.1.is_some());
        if only_base + only_candidate > 0 && !question.common_only {
            return Err(Fault::User(format!(
                "{what}: {only_base} samples have a score in the base only, {only_candidate} in the candidate only; \
                 finish the runs, or compare what both have with --common-only"
            )));
        }
        Ok(Self {
            remarks: other_differences(base, candidate),
            base,
            candidate,
            question,
            scores,
        })
    }

    fn compare(&self) -> Result<Comparison, Fault> {
        let metrics = self.base.metrics.iter().map(|of_base| self.metric(of_base));
        let mut metrics = metrics.collect::<Result<Vec<_>, _>>()?.into_iter();
        let headline = metrics.next().ok_or_else(|| {
            Fault::User(format!(
                "{} {}: the base has no metric",
                self.base.task, self.base.split
            ))
        })?;
        let (became_wrong, became_right) = self.flips();
        let both = self
            .scores
            .iter()
            .filter(|pair| pair.0.is_some() && pair.1.is_some())
            .count();
        let either = self
            .scores
            .iter()
            .filter(|pair| pair.0.is_some() || pair.1.is_some())
            .count();
        let name = |scorecard: &Scorecard| scorecard.model.clone().unwrap_or_default();
        Ok(Comparison {
            task: self.base.task,
            split: self.base.split.clone(),
            base: name(self.base),
            candidate: name(self.candidate),
            n: both,
            left_out: either - both,
            remarks: self.remarks.clone(),
            headline,
            others: metrics.collect(),
            became_wrong,
            became_right,
        })
    }

    fn metric(&self, of_base: &MetricRecord) -> Result<MetricComparison, Fault> {
        let of_candidate = self.candidate.metrics.iter().find(|metric| metric.id == of_base.id);
        let mut found = MetricComparison {
            id: of_base.id.clone(),
            base: of_base.value,
            candidate: of_candidate.and_then(|metric| metric.value),
            difference: None,
            stderr: None,
            ci95: None,
            clusters: None,
            test: None,
            p: None,
            p_worse: None,
            p_apart: None,
            detectable: None,
            verdict: Verdict::Undefined("undefined in one of the runs".to_owned()),
        };
        let (Some(_), Some(of_candidate), Some(_)) = (found.base, of_candidate, found.candidate) else {
            return Ok(found);
        };
        let unsound = || Fault::Bug(format!("a checked scorecard has no terms for `{}`", of_base.id));
        let mut base = self.base.metric(of_base).ok_or_else(unsound)?;
        let mut candidate = self.candidate.metric(of_candidate).ok_or_else(unsound)?;
        if base.is_empty() || candidate.is_empty() {
            found.verdict = Verdict::Undefined("no sum over samples".to_owned());
            return Ok(found);
        }
        if self.question.common_only && keep_common(&mut base, &mut candidate) {
            let value = |ratios: &[Ratio]| ratios.iter().map(Ratio::value).sum::<Option<f64>>();
            (found.base, found.candidate) = (value(&base), value(&candidate));
        }
        match compare(&base, &candidate, &self.base.pictures, self.question.margin) {
            Some(difference) => found.take(&difference),
            None => found.verdict = Verdict::Undefined("fewer than two pictures".to_owned()),
        }
        Ok(found)
    }

    fn flips(&self) -> (Vec<Flip>, Vec<Flip>) {
        let mut flips: Vec<Flip> = self
            .base
            .samples
            .iter()
            .zip(&self.scores)
            .filter_map(|(id, pair)| {
                let flip = Flip {
                    id: id.clone(),
                    base: pair.0?,
                    candidate: pair.1?,
                };
                (flip.base != flip.candidate).then_some(flip)
            })
            .collect();
        // Stable: equal changes stay in the order of the data.
        flips.sort_by(|a, b| (a.candidate - a.base).total_cmp(&(b.candidate - b.base)));
        let wrong = flips.partition_point(|flip| flip.candidate < flip.base);
        let mut right = flips.split_off(wrong);
        right.sort_by(|a, b| (b.candidate - b.base).total_cmp(&(a.candidate - a.base)));
        (flips, right)
    }
}

impl MetricComparison {
    fn take(&mut self, difference: &Difference) {
        self.difference = Some(difference.value);
        self.stderr = Some(difference.standard_error);
        self.ci95 = Some(difference.interval);
        self.clusters = Some(difference.clusters);
        self.test = Some(difference.test);
        self.p = Some(difference.p);
        self.p_worse = Some(difference.p_worse);
        self.p_apart = difference.p_apart;
        self.detectable = Some(difference.detectable);
    }
}

/// Leaves the terms that both runs have, ratio by ratio; whether that left any out.
fn keep_common(base: &mut [Ratio], candidate: &mut [Ratio]) -> bool {
    let mut cut = false;
    for (one, other) in base.iter_mut().zip(candidate) {
        let samples = |ratio: &Ratio| ratio.terms.iter().map(|term| term.sample).collect::<BTreeSet<_>>();
        let both: BTreeSet<usize> = samples(one).intersection(&samples(other)).copied().collect();
        for ratio in [one, other] {
            let before = ratio.terms.len();
            ratio.terms.retain(|term| both.contains(&term.sample));
            cut |= ratio.terms.len() < before;
        }
    }
    cut
}

/// In words, how two lists of samples part.
fn parted(base: &Scorecard, candidate: &Scorecard) -> String {
    let (of_base, of_candidate): (BTreeSet<&String>, BTreeSet<&String>) =
        (base.samples.iter().collect(), candidate.samples.iter().collect());
    let (only_base, only_candidate) = (of_base.difference(&of_candidate), of_candidate.difference(&of_base));
    let first = only_base.clone().chain(only_candidate.clone()).next();
    match first {
        None => "the samples stand in another order".to_owned(),
        Some(first) => format!(
            "{} samples are in the base only, {} in the candidate only (first: `{first}`)",
            only_base.count(),
            only_candidate.count()
        ),
    }
}

/// What the identities differ in besides model and data files, for instance the prompt style.
fn other_differences(base: &Scorecard, candidate: &Scorecard) -> Vec<String> {
    let of_files = |name: &str| name.starts_with("model/") || name.starts_with("data/");
    let names: BTreeSet<&String> = base.identity.keys().chain(candidate.identity.keys()).collect();
    let shown = |value: Option<&String>| value.map_or_else(|| "not recorded".to_owned(), |value| format!("`{value}`"));
    names
        .into_iter()
        .filter(|name| !of_files(name) && base.identity.get(*name) != candidate.identity.get(*name))
        .map(|name| {
            format!(
                "{name}: base {}, candidate {}",
                shown(base.identity.get(name)),
                shown(candidate.identity.get(name))
            )
        })
        .collect()
}

/// The scorecards of both sides, paired by task and split.
///
/// # Errors
///
/// A benchmark that one side lacks or has twice.
pub fn pair_up(
    base: Vec<Scorecard>,
    candidate: Vec<Scorecard>,
    tasks: Option<&[Task]>,
) -> Result<Vec<(Scorecard, Scorecard)>, Fault> {
    let base = by_benchmark(base, "base", tasks)?;
    let mut candidate = by_benchmark(candidate, "candidate", tasks)?;
    let mut pairs = Vec::new();
    let mut lacking = Vec::new();
    let mut keys: Vec<(Task, String)> = base.keys().cloned().collect();
    keys.sort();
    let mut base = base;
    for key in keys {
        match (base.remove(&key), candidate.remove(&key)) {
            (Some(base), Some(candidate)) => pairs.push((base, candidate)),
            _ => lacking.push(format!("{} {} is in the base only", key.0, key.1)),
        }
    }
    let mut rest: Vec<String> = candidate
        .keys()
        .map(|(task, split)| format!("{task} {split} is in the candidate only"))
        .collect();
    rest.sort();
    lacking.extend(rest);
    if !lacking.is_empty() {
        return Err(Fault::User(format!(
            "{}; name the benchmarks to compare with --tasks",
            lacking.join("; ")
        )));
    }
    if pairs.is_empty() {
        return Err(Fault::User(
            "neither side holds one of the benchmarks named by --tasks".to_owned(),
        ));
    }
    Ok(pairs)
}

fn by_benchmark(
    scorecards: Vec<Scorecard>,
    side: &str,
    tasks: Option<&[Task]>,
) -> Result<HashMap<(Task, String), Scorecard>, Fault> {
    let mut found = HashMap::new();
    let named = |task: Task| tasks.is_none_or(|tasks| tasks.contains(&task));
    for scorecard in scorecards.into_iter().filter(|scorecard| named(scorecard.task)) {
        let key = (scorecard.task, scorecard.split.clone());
        if let Some(earlier) = found.insert(key, scorecard) {
            return Err(Fault::User(format!(
                "the {side} holds {} {} twice; name the folder of one model",
                earlier.task, earlier.split
            )));
        }
    }
    Ok(found)
}
