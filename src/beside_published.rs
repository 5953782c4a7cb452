//! Runs beside published numbers: which rows are about the same metric, and what a run says of each.
//!
//! A published number and ours come from the same questions, so sampling error is not the yardstick: they agree where
//! they part by no more than half the last printed digit and what two runs of one checkpoint part by
//! (`results/tolerances.csv`).

use std::path::PathBuf;

use benchmarks::{PromptStyle, Protocol, Task};
use serde::Serialize;

use crate::fault::Fault;
use crate::published::{DEFAULT_SOURCES, Ours, Published, PublishedNumbers, Selector};
use crate::results::{MetricRecord, Results};
use crate::run_folder::{RunFolder, folders_with};

/// One line: a value of ours, or a published one set beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Benchmark.
    pub task: Task,
    /// Split: ours, or the source's word.
    pub split: String,
    /// Our metric id.
    pub metric: String,
    /// Model.
    pub model: String,
    /// `this run`, or the id of the source.
    pub source: String,
    /// `None` where undefined.
    pub value: Option<f64>,
    /// What the value lies between where answers are ungraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<(f64, f64)>,
    /// The published number as printed.
    pub printed: Option<String>,
    /// Of a run's value.
    pub stderr: Option<f64>,
    /// Of a run's value.
    pub ci95: Option<(f64, f64)>,
    /// Samples behind a run's value.
    pub n: Option<usize>,
    /// Ours minus published.
    pub difference: Option<f64>,
    /// Of a published row.
    pub verdict: Option<Verdict>,
    /// Of a run's headline: its place among itself and the comparable rows, and how many these are.
    pub rank: Option<(usize, usize)>,
    /// The highest of a headline and the comparable rows.
    pub best: bool,
    /// What else is to be known.
    pub remark: String,
}

/// What a run says of a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both round to the same, give or take what two runs of one checkpoint part by.
    Agrees,
    /// They part by more.
    Differs,
    /// Numbers of different things; the remark says why.
    NotComparable,
}

impl Verdict {
    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::NotComparable => "not comparable",
        }
    }
}

/// A run's results and what else its folder says of it.
pub struct Run {
    /// Its metrics.
    pub results: Results,
    /// Wording other than the papers'.
    other_wording: Option<String>,
}

/// The rows that `--against` names; by default the tables of VILA and LLaVA-1.5.
pub fn selection(against: &[String]) -> Result<Vec<Selector>, Fault> {
    if against.is_empty() {
        DEFAULT_SOURCES.iter().map(|source| Selector::parse(source)).collect()
    } else {
        against.iter().map(|text| Selector::parse(text)).collect()
    }
}

/// The results under `paths`: a path may be a run's folder or hold such folders one or two levels down.
pub fn read_runs(paths: &[PathBuf]) -> Result<Vec<Run>, Fault> {
    let mut runs = Vec::new();
    for path in paths {
        if path.is_file() {
            return Err(Fault::User(format!(
                "`{}` is a file; name a folder that `run` has written",
                path.display()
            )));
        }
        let found = folders_with(path, "results.json")?;
        if found.is_empty() {
            return Err(Fault::User(format!(
                "no results.json in `{}` or in the folders below it; name a folder that `run` has written",
                path.display()
            )));
        }
        for folder in found {
            runs.push(Run::read(&RunFolder::at(folder))?);
        }
    }
    let key = |run: &Run| (run.results.task, run.results.split.clone(), run.results.model.clone());
    runs.sort_by_key(key);
    Ok(runs)
}

impl Run {
    /// Reads a folder's `results.json` and the manifest beside it.
    pub fn read(folder: &RunFolder) -> Result<Self, Fault> {
        let results = Results::read(&folder.results())?;
        let manifests = folder.manifests()?;
        let style = manifests
            .first()
            .and_then(|(_, manifest)| manifest.identity.get("prompt-style"));
        Ok(Self {
            results,
            other_wording: style.filter(|style| *style != PromptStyle::Paper.id()).cloned(),
        })
    }
}

/// Each metric of a run that is a headline or published, followed by the published rows about it.
pub fn beside_published(run: &Run, selection: &[Selector]) -> Result<Vec<Line>, Fault> {
    let numbers = PublishedNumbers::get()?;
    let results = &run.results;
    let rows = numbers.select(results.task, &results.split, selection);
    let headline = results.metrics.0.first().map(|(id, _)| id.as_str()).unwrap_or_default();
    let mut lines = Vec::new();
    for (id, record) in &results.metrics.0 {
        let about = |row: &&&Published| is_about(numbers, row, id);
        let same: Vec<&&Published> = rows.iter().filter(about).collect();
        if id != headline && same.is_empty() {
            continue;
        }
        let mut group = vec![own_line(results, id, record)];
        group.extend(
            same.into_iter()
                .map(|row| published_line(numbers, run, id, record, row)),
        );
        if id == headline && !results.partial {
            place(&mut group);
        }
        lines.append(&mut group);
    }
    Ok(lines)
}

fn is_about(numbers: &PublishedNumbers, row: &Published, id: &str) -> bool {
    matches!(numbers.ours(row), Some(Ours::Same { metric, .. }) if metric == id)
}

/// Ranks a run's headline, the first line, among the comparable rows below it, and marks the best.
fn place(group: &mut [Line]) {
    let takes_part = |line: &&mut Line| line.verdict != Some(Verdict::NotComparable) && line.value.is_some();
    let values: Vec<f64> = group
        .iter_mut()
        .filter(takes_part)
        .filter_map(|line| line.value)
        .collect();
    if values.len() < 2 {
        return;
    }
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for line in group.iter_mut().filter(takes_part) {
        line.best = line.value == Some(highest);
    }
    if let Some(own) = group.first_mut()
        && let Some(value) = own.value
    {
        own.rank = Some((1 + values.iter().filter(|other| **other > value).count(), values.len()));
    }
}

fn own_line(results: &Results, id: &str, record: &MetricRecord) -> Line {
    let mut remarks = Vec::new();
    if results.partial {
        remarks.push(format!("partial: {} of {} answered", results.answered, results.n));
    }
    if results.unparsed > 0 {
        remarks.push(format!("{} answers the protocol cannot read", results.unparsed));
    }
    if let Some(judge) = &results.judge {
        remarks.push(format!("judged by {}", judge.name));
    }
    remarks.extend(record.reason.clone());
    Line {
        task: results.task,
        split: results.split.clone(),
        metric: id.to_owned(),
        model: results.model.clone().unwrap_or_default(),
        source: "this run".to_owned(),
        value: record.value,
        bounds: record.bounds,
        printed: None,
        stderr: record.stderr,
        ci95: record.ci95,
        n: Some(record.n),
        difference: None,
        verdict: None,
        rank: None,
        best: false,
        remark: remarks.join("; "),
    }
}

fn published_line(numbers: &PublishedNumbers, run: &Run, id: &str, record: &MetricRecord, row: &Published) -> Line {
    let value: Option<f64> = row.value.parse().ok();
    let obstacle = obstacle(numbers, run, row);
    let difference = match (&obstacle, record.value, value) {
        (None, Some(ours), Some(published)) => Some(ours - published),
        _ => None,
    };
    let tolerance = numbers.tolerance(run.results.task).map_or(0.0, |row| row.tolerance);
    let verdict = match (&obstacle, difference) {
        (Some(_), _) => Some(Verdict::NotComparable),
        (None, None) => None,
        (None, Some(difference)) if difference.abs() <= row.half_step() + tolerance => Some(Verdict::Agrees),
        (None, Some(_)) => Some(Verdict::Differs),
    };
    let within = |(low, high): (f64, f64)| value.is_some_and(|value| low <= value && value <= high);
    let remark = match verdict {
        Some(Verdict::Differs) if record.ci95.is_some_and(within) => "within sampling error".to_owned(),
        _ => obstacle.unwrap_or_default(),
    };
    Line {
        task: run.results.task,
        split: row.split.clone(),
        metric: id.to_owned(),
        model: [row.model.as_str(), row.precision.as_str()].join(" ").trim().to_owned(),
        source: row.source_id.clone(),
        value,
        bounds: None,
        printed: Some(row.value.clone()),
        stderr: None,
        ci95: None,
        n: None,
        difference,
        verdict,
        rank: None,
        best: false,
        remark,
    }
}

/// Why a published row is about something else than the run.
fn obstacle(numbers: &PublishedNumbers, run: &Run, row: &Published) -> Option<String> {
    match numbers.ours(row) {
        Some(Ours::Same { split, .. }) if *split != run.results.split => Some(format!("different data: {split}")),
        Some(Ours::NotComparable(reason)) => Some(reason.clone()),
        _ if run.results.protocol != Protocol::Paper => Some(format!("scored by protocol {}", run.results.protocol)),
        _ if run.other_wording.is_some() => run.other_wording.as_ref().map(|style| format!("wording of {style}")),
        _ if run.results.partial => Some("partial run".to_owned()),
        _ if run.results.ungraded > 0 => Some("answers ungraded".to_owned()),
        _ => run.results.judge.as_ref()?.remark.clone(),
    }
}

/// What `agrees` means here and what the sources in the table are, one line each.
pub fn notes(lines: &[Line]) -> Vec<String> {
    let Ok(numbers) = PublishedNumbers::get() else {
        return Vec::new();
    };
    let judged = |task: Task| {
        let mut of_task = lines.iter().filter(|line| line.task == task);
        of_task.any(|line| matches!(line.verdict, Some(Verdict::Agrees | Verdict::Differs)))
    };
    let tolerances = Task::ALL
        .iter()
        .filter(|&&task| judged(task))
        .filter_map(|&task| numbers.tolerance(task));
    let mut notes: Vec<String> = tolerances
        .map(|row| {
            format!(
                "{} agrees within {} {} beyond rounding: {} ({})",
                row.benchmark, row.tolerance, row.unit, row.reason, row.source_id
            )
        })
        .collect();
    let used = |id: &str| lines.iter().any(|line| line.source == id);
    let sources = numbers.sources.iter().filter(|source| used(&source.source_id));
    notes.extend(sources.map(|source| format!("{}: {}, {}", source.source_id, source.title, source.citation)));
    notes
}
