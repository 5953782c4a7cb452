//! `leaderboard`: runs beside published numbers.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use benchmarks::Task;
use serde::Serialize;

use crate::artefact;
use crate::cli::{LeaderboardArgs, TableFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::published::{DEFAULT_SOURCES, Ours, Published, PublishedNumbers, Selector};
use crate::results::{MetricRecord, Results};
use crate::table::{Table, left, right};

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
    n: Option<usize>,
    /// Ours minus published.
    difference: Option<f64>,
    remark: String,
}

/// Prints the runs, each headline followed by the published rows about the same benchmark.
pub fn run(args: &LeaderboardArgs) -> Result<Exit, Fault> {
    let selection = selection(&args.against)?;
    let mut lines = Vec::new();
    for results in read_runs(&args.runs)? {
        lines.extend(beside_published(&results, &selection)?);
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
fn read_runs(paths: &[PathBuf]) -> Result<Vec<Results>, Fault> {
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
            runs.push(Results::read(&file)?);
        }
    }
    runs.sort_by(|a, b| (a.task, &a.split, &a.model).cmp(&(b.task, &b.split, &b.model)));
    Ok(runs)
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

fn beside_published(results: &Results, selection: &[Selector]) -> Result<Vec<Line>, Fault> {
    let numbers = PublishedNumbers::get()?;
    let rows = numbers.select(results.task, selection);
    let headline = results.metrics.0.first().map(|(id, _)| id.as_str()).unwrap_or_default();
    let mut lines = Vec::new();
    for (id, record) in &results.metrics.0 {
        let about = |row: &&&Published| is_about(numbers, row, id);
        let same: Vec<&&Published> = rows.iter().filter(about).collect();
        if id != headline && same.is_empty() {
            continue;
        }
        lines.push(own_line(results, id, record));
        lines.extend(
            same.into_iter()
                .map(|row| published_line(numbers, results, id, record, row)),
        );
    }
    Ok(lines)
}

fn is_about(numbers: &PublishedNumbers, row: &Published, id: &str) -> bool {
    matches!(numbers.ours(row), Some(Ours::Same { metric, .. }) if metric == id)
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
        n: Some(record.n),
        difference: None,
        remark: remarks.join("; "),
    }
}

fn published_line(
    numbers: &PublishedNumbers,
    results: &Results,
    id: &str,
    record: &MetricRecord,
    row: &Published,
) -> Line {
    let value: Option<f64> = row.value.parse().ok();
    let obstacle = match numbers.ours(row) {
        Some(Ours::Same { split, .. }) if *split != results.split => {
            Some(format!("different data ({split}): not comparable"))
        }
        Some(Ours::NotComparable(reason)) => Some(format!("not comparable: {reason}")),
        _ if results.partial => Some("partial run: not comparable".to_owned()),
        _ if results.ungraded > 0 => Some("answers ungraded: not comparable".to_owned()),
        _ => results.judge.as_ref().and_then(|judge| judge.remark.clone()),
    };
    let difference = match (obstacle.is_none(), record.value, value) {
        (true, Some(ours), Some(published)) => Some(ours - published),
        _ => None,
    };
    Line {
        task: results.task,
        split: row.split.clone(),
        metric: id.to_owned(),
        model: [row.model.as_str(), row.precision.as_str()].join(" ").trim().to_owned(),
        source: row.source_id.clone(),
        value,
        bounds: None,
        printed: Some(row.value.clone()),
        stderr: None,
        n: None,
        difference,
        remark: obstacle.unwrap_or_default(),
    }
}

fn write(out: &mut dyn Write, format: TableFormat, lines: &[Line]) -> io::Result<()> {
    match format {
        TableFormat::Table => {
            table(lines).write_text(out)?;
            sources(lines).iter().try_for_each(|source| writeln!(out, "{source}"))
        }
        TableFormat::Md => {
            table(lines).write_markdown(out)?;
            writeln!(out)?;
            sources(lines).iter().try_for_each(|source| writeln!(out, "- {source}"))
        }
        TableFormat::Csv => table(lines).write_csv(out),
        TableFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, lines)?;
            writeln!(out)
        }
    }
}

/// What the sources in the table are, one line each.
fn sources(lines: &[Line]) -> Vec<String> {
    let Ok(numbers) = PublishedNumbers::get() else {
        return Vec::new();
    };
    let used = |id: &str| lines.iter().any(|line| line.source == id);
    let sources = numbers.sources.iter().filter(|source| used(&source.source_id));
    sources
        .map(|source| format!("{}: {}, {}", source.source_id, source.title, source.citation))
        .collect()
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&[
        left("benchmark"),
        left("metric"),
        left("model"),
        right("value"),
        right("std. error"),
        right("ours − published"),
        left("source"),
        left("remark"),
    ]);
    for line in lines {
        let value = line
            .printed
            .clone()
            .or_else(|| line.value.map(|value| format!("{value:.2}")))
            .or_else(|| line.bounds.map(|(low, high)| format!("{low:.2} to {high:.2}")));
        table.row([
            format!("{} {}", line.task, line.split),
            line.metric.clone(),
            line.model.clone(),
            value.unwrap_or_else(|| "–".to_owned()),
            line.stderr.map(|error| format!("{error:.2}")).unwrap_or_default(),
            line.difference
                .map(|difference| format!("{difference:+.2}"))
                .unwrap_or_default(),
            line.source.clone(),
            line.remark.clone(),
        ]);
    }
    table
}
