//! Runs beside published numbers: which rows are about the same metric, and what a run says of each.
//!
//! A published number and ours come from the same questions, so sampling error is not the yardstick: they agree where
//! they part by no more than half the last printed digit and what two runs of one checkpoint part by
//! (`results/tolerances.csv`).

use std::path::PathBuf;

use benchmarks::{PromptStyle, Protocol, Task};
use serde::Serialize;

use crate::demo;
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
    /// Whether the value takes part in a ranking: that of a whole run, or of a row that compares with one.
    #[serde(skip)]
    ranked: bool,
    /// Of a run's headline: its place among the runs asked and scored alike and the comparable rows, and how
    /// many these are.
    pub rank: Option<(usize, usize)>,
    /// The highest of them.
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
    /// Data that no published number is about.
    other_data: Option<&'static str>,
}

/// The `source` of a run's own lines.
const THIS_RUN: &str = "this run";

/// What `demo data` draws.
const MINI_SUITE: &str = "the mini suite";

/// The rows that `--against` names; by default the tables of VILA and LLaVA-1.5.
pub fn selection(against: &[String]) -> Result<Vec<Selector>, Fault> {
    if against.is_empty() {
        DEFAULT_SOURCES.iter().map(|source| Selector::parse(source)).collect()
    } else {
        against.iter().map(|text| Selector::parse(text)).collect()
    }
}

/// The results under `paths`, those asked and scored alike one after the other: a path may be a run's folder or hold such
/// folders one or two levels down.
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
    let model = |run: &Run| run.results.model.clone();
    runs.sort_by(|one, other| (one.terms(), model(one)).cmp(&(other.terms(), model(other))));
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
            other_data: demo::suite_asks(&results.questions).then_some(MINI_SUITE),
            results,
            other_wording: style.filter(|style| *style != PromptStyle::Paper.id()).cloned(),
        })
    }

    /// Whether both were asked the same questions in the same wording and scored by the same rule and judge.
    pub fn is_like(&self, other: &Self) -> bool {
        self.terms() == other.terms()
    }

    fn terms(&self) -> (Task, [&str; 5]) {
        let results = &self.results;
        let judge = results.judge.as_ref().map(|judge| judge.name.as_str());
        let terms = [
            &results.split,
            &results.questions,
            results.protocol.id(),
            self.other_wording.as_deref().unwrap_or_default(),
            judge.unwrap_or_default(),
        ];
        (results.task, terms)
    }

    fn record(&self, id: &str) -> Option<&MetricRecord> {
        let mut metrics = self.results.metrics.0.iter();
        metrics.find(|(other, _)| other == id).map(|(_, record)| record)
    }
}

/// Each metric of runs asked and scored alike that is a headline or published, followed by the published rows about it.
pub fn beside_published(runs: &[Run], selection: &[Selector]) -> Result<Vec<Line>, Fault> {
    let numbers = PublishedNumbers::get()?;
    let Some(Run { results: first, .. }) = runs.first() else {
        return Ok(Vec::new());
    };
    let rows = numbers.select(first.task, &first.split, selection);
    let mut lines = Vec::new();
    for (position, (id, _)) in first.metrics.0.iter().enumerate() {
        let about = |row: &&Published| is_about(numbers, row, id);
        let same: Vec<&Published> = rows.iter().copied().filter(about).collect();
        let is_headline = position == 0;
        if is_headline || !same.is_empty() {
            let mut group = group(numbers, runs, id, &same);
            if is_headline {
                place(&mut group);
            }
            lines.append(&mut group);
        }
    }
    Ok(lines)
}

/// One metric: each run with the rows that it can be set beside. A row that compares with no run, for one and the same
/// reason, stands once below several runs.
fn group(numbers: &PublishedNumbers, runs: &[Run], id: &str, rows: &[&Published]) -> Vec<Line> {
    let with_record = |run| Some((run, Run::record(run, id)?));
    let runs: Vec<(&Run, &MetricRecord)> = runs.iter().filter_map(with_record).collect();
    let stands_once = |row: &Published| {
        let mut reasons = runs.iter().map(|(run, _)| obstacle(numbers, run, row));
        let first = reasons.next().flatten();
        runs.len() > 1 && first.is_some() && reasons.all(|reason| reason == first)
    };
    let (once, for_each): (Vec<&Published>, Vec<&Published>) = rows.iter().partition(|row| stands_once(row));
    let mut lines = Vec::new();
    for (run, record) in &runs {
        lines.push(own_line(&run.results, id, record));
        let beside = for_each.iter().map(|row| published_line(numbers, run, id, record, row));
        lines.extend(beside);
    }
    if let Some((run, record)) = runs.first() {
        lines.extend(once.iter().map(|row| published_line(numbers, run, id, record, row)));
    }
    lines
}

fn is_about(numbers: &PublishedNumbers, row: &Published, id: &str) -> bool {
    matches!(numbers.ours(row), Some(Ours::Same { metric, .. }) if metric == id)
}

/// Ranks the runs among each other and the comparable rows, each of which counts once, and marks the best.
fn place(group: &mut [Line]) {
    let mut rivals: Vec<&Line> = Vec::new();
    for line in group.iter().filter(|line| line.ranked) {
        let same_row = |other: &&Line| other.source == line.source && other.model == line.model;
        if line.source == THIS_RUN || !rivals.iter().any(same_row) {
            rivals.push(line);
        }
    }
    let values: Vec<f64> = rivals.iter().filter_map(|line| line.value).collect();
    if values.len() < 2 {
        return;
    }
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for line in group.iter_mut().filter(|line| line.ranked) {
        line.best = line.value == Some(highest);
        line.rank = match line.value {
            Some(value) if line.source == THIS_RUN => {
                Some((1 + values.iter().filter(|other| **other > value).count(), values.len()))
            }
            _ => None,
        };
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
        let remark = judge.remark.iter().map(|remark| format!(": {remark}"));
        remarks.push(format!("judged by {}{}", judge.name, remark.collect::<String>()));
    }
    remarks.extend(record.reason.clone());
    Line {
        task: results.task,
        split: results.split.clone(),
        metric: id.to_owned(),
        model: results.model.clone().unwrap_or_default(),
        source: THIS_RUN.to_owned(),
        value: record.value,
        bounds: record.bounds,
        printed: None,
        stderr: record.stderr,
        ci95: record.ci95,
        n: Some(record.n),
        difference: None,
        verdict: None,
        ranked: !results.partial && record.value.is_some(),
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
        ranked: difference.is_some(),
        rank: None,
        best: false,
        remark,
    }
}

/// Why a published row is about something else than the run.
fn obstacle(numbers: &PublishedNumbers, run: &Run, row: &Published) -> Option<String> {
    match numbers.ours(row) {
        _ if run.other_data.is_some() => run.other_data.map(|data| format!("different data: {data}")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{FORMAT, Metrics};

    /// A whole run of TextVQA with that accuracy.
    fn run(model: &str, accuracy: f64) -> Run {
        let record = MetricRecord {
            value: Some(accuracy),
            n: 5000,
            stderr: None,
            ci95: None,
            clusters: None,
            bounds: None,
            reason: None,
        };
        let results = Results {
            format: FORMAT,
            task: Task::Textvqa,
            split: "val".to_owned(),
            protocol: Protocol::Paper,
            questions: String::new(),
            model: Some(model.to_owned()),
            n: 5000,
            answered: 5000,
            failed: 0,
            truncated: 0,
            empty: 0,
            unparsed: 0,
            ungraded: 0,
            judge: None,
            partial: false,
            timings: None,
            metrics: Metrics(vec![("accuracy".to_owned(), record)]),
        };
        Run {
            results,
            other_wording: None,
            other_data: None,
        }
    }

    /// Model, rank, whether it is the best, verdict and remark of each line.
    fn board(runs: &[Run]) -> Vec<String> {
        let selection = ["LLaVA-1.5-7B", "VILA-7B"].map(|model| format!("vila-paper-t5/{model}"));
        let lines = beside_published(runs, &super::selection(&selection).unwrap()).unwrap();
        let shown = |line: &Line| {
            let rank = line.rank.map(|(place, of)| format!(" {place}/{of}"));
            let verdict = line.verdict.map(|verdict| format!(" {}", verdict.words()));
            let best = if line.best { "*" } else { "" };
            let remark = Some(&line.remark).filter(|remark| !remark.is_empty());
            let remark = remark.map(|remark| format!(": {remark}"));
            let parts = [rank, verdict, remark].map(Option::unwrap_or_default);
            format!("{best}{}{}", line.model, parts.concat())
        };
        lines.iter().map(shown).collect()
    }

    #[test]
    fn runs_are_ranked_among_each_other_and_the_rows_that_compare() {
        let both = ["LLaVA-1.5-7B agrees", "*VILA-7B differs"];
        let alone = [&["a 2/3"], &both[..]].concat();
        assert_eq!(board(&[run("a", 58.24)]), alone);
        // The rows compare with each run, and count once.
        let two = board(&[run("a", 58.24), run("b", 70.0)]);
        assert_eq!(
            two,
            [
                "a 3/4",
                "LLaVA-1.5-7B agrees",
                "VILA-7B differs",
                "*b 1/4",
                "LLaVA-1.5-7B differs",
                "VILA-7B differs"
            ]
        );
    }

    #[test]
    fn what_compares_with_no_run_stands_once_below_all() {
        let on_the_suite = |mut run: Run| {
            run.other_data = Some(MINI_SUITE);
            run
        };
        let row = |model: &str| format!("{model} not comparable: different data: the mini suite");
        let rows = [row("LLaVA-1.5-7B"), row("VILA-7B")];
        let two = [on_the_suite(run("a", 58.2)), on_the_suite(run("b", 48.0))];
        let (first, second) = ("*a 1/2".to_owned(), "b 2/2".to_owned());
        assert_eq!(board(&two), [&[first, second][..], &rows].concat());
        assert_eq!(board(&two[..1]), [&["a".to_owned()][..], &rows].concat());
    }

    #[test]
    fn a_reason_that_is_one_runs_own_stands_with_it() {
        let mut partial = run("a", 58.24);
        partial.results.partial = true;
        assert_eq!(
            board(&[partial, run("b", 58.24)]),
            [
                "a: partial: 5000 of 5000 answered",
                "LLaVA-1.5-7B not comparable: partial run",
                "VILA-7B not comparable: partial run",
                "b 2/3",
                "LLaVA-1.5-7B agrees",
                "*VILA-7B differs"
            ]
        );
    }

    #[test]
    fn runs_of_other_terms_are_not_alike() {
        let changes: [fn(&mut Run); 4] = [
            |run| run.results.questions = "other".to_owned(),
            |run| run.results.protocol = Protocol::Official,
            |run| run.other_wording = Some("lmms-eval".to_owned()),
            |run| {
                run.results.judge = Some(crate::results::JudgeRecord {
                    name: "rule".to_owned(),
                    remark: None,
                });
            },
        ];
        assert!(run("a", 1.0).is_like(&run("b", 2.0)));
        for change in changes {
            let mut other = run("a", 1.0);
            change(&mut other);
            assert!(!run("a", 1.0).is_like(&other));
        }
    }
}
