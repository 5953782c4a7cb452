//! `leaderboard`: runs beside published numbers.
//!
//! A published number and ours come from the same questions, so sampling error is not the yardstick: they agree where
//! they part by no more than half the last printed digit and what two runs of one checkpoint part by
//! (`results/tolerances.csv`).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use benchmarks::{PromptStyle, Protocol, Task};
use serde::Serialize;

use crate::artefact;
use crate::cli::{LeaderboardArgs, TableFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::published::{DEFAULT_SOURCES, Ours, Published, PublishedNumbers, Selector};
use crate::results::{MetricRecord, Results};
use crate::run_folder::RunFolder;
use crate::table::{Cell, Table, html, left, right};

/// One line: a value of ours, or a published one set beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Line {
    task: Task,
    split: String,
    metric: String,
    model: String,
    /// `this run`, or the id of the source.
    source: String,
    value: Option<f64>,
    /// What the value lies between where answers are ungraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounds: Option<(f64, f64)>,
    /// The published number as printed.
    printed: Option<String>,
    stderr: Option<f64>,
    ci95: Option<(f64, f64)>,
    n: Option<usize>,
    /// Ours minus published.
    difference: Option<f64>,
    /// Of a published row.
    verdict: Option<Verdict>,
    /// Of a run's headline: its place among itself and the comparable rows, and how many these are.
    rank: Option<(usize, usize)>,
    /// The highest of a headline and the comparable rows.
    best: bool,
    remark: String,
}

/// What a run says of a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// Both round to the same, give or take what two runs of one checkpoint part by.
    Agrees,
    /// They part by more.
    Differs,
    /// Numbers of different things; the remark says why.
    NotComparable,
}

impl Verdict {
    const fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::NotComparable => "not comparable",
        }
    }
}

/// A run's results and what else its folder says of it.
struct Run {
    results: Results,
    /// Wording other than the papers'.
    other_wording: Option<String>,
}

/// Prints the runs, each headline followed by the published rows about the same benchmark.
pub fn run(args: &LeaderboardArgs) -> Result<Exit, Fault> {
    let selection = selection(&args.against)?;
    let mut lines = Vec::new();
    for run in read_runs(&args.runs)? {
        lines.extend(beside_published(&run, &selection)?);
    }
    let write = |out: &mut dyn Write| write(out, args.format, &lines);
    match &args.out {
        Some(path) => artefact::write(path, write)?,
        None => {
            let mut out = io::stdout().lock();
            write(&mut out)
                .and_then(|()| out.flush())
                .map_err(|error| Fault::stdout(&error))?;
        }
    }
    Ok(Exit::Done)
}

fn selection(against: &[String]) -> Result<Vec<Selector>, Fault> {
    if against.is_empty() {
        DEFAULT_SOURCES.iter().map(|source| Selector::parse(source)).collect()
    } else {
        against.iter().map(|text| Selector::parse(text)).collect()
    }
}

/// The results under `paths`: a path may be a run's folder or hold such folders one or two levels down.
fn read_runs(paths: &[PathBuf]) -> Result<Vec<Run>, Fault> {
    let mut runs = Vec::new();
    for path in paths {
        let mut found = Vec::new();
        find_results(path, 2, &mut found)?;
        if found.is_empty() {
            return Err(Fault::User(format!(
                "no results.json in `{}` or in the folders below it; name a folder that `run` has written",
                path.display()
            )));
        }
        for file in found {
            runs.push(Run::read(&file)?);
        }
    }
    let key = |run: &Run| (run.results.task, run.results.split.clone(), run.results.model.clone());
    runs.sort_by_key(key);
    Ok(runs)
}

impl Run {
    fn read(file: &Path) -> Result<Self, Fault> {
        let results = Results::read(file)?;
        let folder = RunFolder::at(file.parent().unwrap_or(Path::new(".")).to_owned());
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

fn find_results(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let file = folder.join("results.json");
    if file.is_file() {
        found.push(file);
        return Ok(());
    }
    if levels > 0 {
        let entries = std::fs::read_dir(folder).map_err(|error| Fault::read(folder, &error))?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        for below in folders {
            find_results(&below, levels - 1, found)?;
        }
    }
    Ok(())
}

fn beside_published(run: &Run, selection: &[Selector]) -> Result<Vec<Line>, Fault> {
    let numbers = PublishedNumbers::get()?;
    let results = &run.results;
    let rows = numbers.select(results.task, selection);
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
        if id == headline {
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
        && let Some(value) = own.value.filter(|_| own.remark.is_empty())
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

fn write(out: &mut dyn Write, format: TableFormat, lines: &[Line]) -> io::Result<()> {
    match format {
        TableFormat::Table => {
            table(lines).write_text(out)?;
            notes(lines).iter().try_for_each(|note| writeln!(out, "{note}"))
        }
        TableFormat::Md => {
            table(lines).write_markdown(out)?;
            writeln!(out)?;
            notes(lines).iter().try_for_each(|note| writeln!(out, "- {note}"))
        }
        TableFormat::Csv => table(lines).write_csv(out),
        TableFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, lines)?;
            writeln!(out)
        }
        TableFormat::Latex => {
            notes(lines).iter().try_for_each(|note| writeln!(out, "% {note}"))?;
            table(lines).write_latex(out)
        }
        TableFormat::Html => {
            table(lines).write_html(out)?;
            writeln!(out, "<ul>")?;
            notes(lines)
                .iter()
                .try_for_each(|note| writeln!(out, "<li>{}</li>", html(note)))?;
            writeln!(out, "</ul>")
        }
    }
}

/// What `agrees` means here and what the sources in the table are, one line each.
fn notes(lines: &[Line]) -> Vec<String> {
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

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&[
        left("benchmark"),
        left("metric"),
        left("model"),
        right("value"),
        right("95 % interval"),
        right("rank"),
        right("ours − published"),
        left("source"),
        left("verdict"),
    ]);
    for line in lines {
        let value = line
            .printed
            .clone()
            .or_else(|| line.value.map(|value| format!("{value:.2}")))
            .or_else(|| line.bounds.map(|(low, high)| format!("{low:.2} to {high:.2}")));
        let value = value.unwrap_or_else(|| "–".to_owned());
        let interval = line.ci95.map(|(low, high)| format!("{low:.2} to {high:.2}"));
        let rank = line.rank.map(|(rank, of)| format!("{rank} of {of}"));
        let difference = line.difference.map(|difference| format!("{difference:+.2}"));
        let verdict = line.verdict.map(|verdict| verdict.words().to_owned());
        let said: Vec<String> = verdict
            .into_iter()
            .chain(Some(line.remark.clone()).filter(|r| !r.is_empty()))
            .collect();
        table.row([
            Cell::from(format!("{} {}", line.task, line.split)),
            line.metric.clone().into(),
            line.model.clone().into(),
            if line.best { Cell::best(value) } else { value.into() },
            interval.unwrap_or_default().into(),
            rank.unwrap_or_default().into(),
            difference.unwrap_or_default().into(),
            line.source.clone().into(),
            said.join(": ").into(),
        ]);
    }
    table
}
