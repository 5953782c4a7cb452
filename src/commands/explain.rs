//! `explain`: where the gap between a published number and a run's may come from.

use std::io::{self, Write};
use std::path::PathBuf;

use benchmarks::{DataSource, PromptStyle, Task};
use serde::Serialize;

use crate::cli::{ExplainArgs, ScoreFormat};
use crate::exit::Exit;
use crate::explanation::{Alternative, Explanation, Ours, Scale};
use crate::fault::Fault;
use crate::manifest::Manifest;
use crate::published::{Ours as Mapped, Published, PublishedNumbers, Selector};
use crate::results::{FORMAT, Results};
use crate::run_folder::RunFolder;
use crate::table::{Table, left, right};
use crate::task;

/// All that is printed; also the document of `--format json`.
#[derive(Serialize)]
struct Document {
    format: u32,
    task: Task,
    split: String,
    metric: String,
    source: String,
    published_model: String,
    published: f64,
    published_split: String,
    /// Half the last printed digit, and what two runs of one checkpoint part by.
    half_step: f64,
    tolerance: f64,
    ours: Ours,
    gap: f64,
    alternatives: Vec<Alternative>,
}

/// Scores the run's answers under every other rule and prints what each would leave of the gap.
pub fn run(args: &ExplainArgs) -> Result<Exit, Fault> {
    let folder = RunFolder::at(args.run.clone());
    let results = Results::read(&folder.results())?;
    let row = published(&args.against, &results)?;
    let manifests = folder.manifests()?;
    let manifest = manifests.first().map(|(_, manifest)| manifest);
    let root = match (&args.data, manifest.and_then(recorded_data)) {
        (Some(root), _) => root.clone(),
        (None, Some(root)) => root,
        (None, None) => {
            return Err(Fault::User(format!(
                "`{}` does not say where its data lay; name the folder with --data",
                args.run.display()
            )));
        }
    };
    let source = DataSource {
        root: root.clone(),
        images: None,
        split: Some(results.split.clone()),
        grades: args.grades.clone(),
    };
    let dataset = task::benchmark(results.task)?.load(&source)?;
    task::say_what_was_found(results.task, dataset.as_ref());
    let entries = folder.entries()?;
    let answer = |sample: &benchmarks::Sample| entries.get(sample.id.as_str())?.answer.clone();
    let answers: Vec<Option<String>> = dataset.samples().iter().map(answer).collect();
    if answers.iter().all(Option::is_none) {
        return Err(Fault::User(format!(
            "no answer in `{}` is about the data in `{}`; name the data that the run was made with",
            args.run.display(),
            root.display()
        )));
    }
    let explanation = Explanation {
        dataset: dataset.as_ref(),
        task: results.task,
        answers: &answers,
        style: style(manifest)?,
        metric: &row.metric,
        published: row.value,
    };
    let (ours, score) = explanation.ours().map_err(Fault::User)?;
    let tolerance = PublishedNumbers::get()?.tolerance(results.task);
    let document = Document {
        format: FORMAT,
        task: results.task,
        split: results.split.clone(),
        metric: row.metric.clone(),
        source: row.row.source_id.clone(),
        published_model: row.row.model.clone(),
        published: row.value,
        published_split: row.split.clone(),
        half_step: row.row.half_step(),
        tolerance: tolerance.map_or(0.0, |row| row.tolerance),
        gap: row.value - ours.value,
        alternatives: explanation.alternatives(&score),
        ours,
    };
    print(&document, args.format).map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

/// The published number that the run is set against, and what it is in our terms.
struct Target {
    row: Published,
    value: f64,
    split: String,
    metric: String,
}

/// The row about the run's headline, else the first about another of its metrics.
fn published(against: &str, results: &Results) -> Result<Target, Fault> {
    if !against.contains('/') {
        return Err(Fault::User(format!(
            "--against {against}: name the model too, SOURCE_ID/MODEL; `list published` shows them"
        )));
    }
    let numbers = PublishedNumbers::get()?;
    let rows = numbers.select(results.task, &[Selector::parse(against)?]);
    let targets = rows.into_iter().filter_map(|row| match numbers.ours(row)? {
        Mapped::Same { split, metric } => Some(Target {
            row: row.clone(),
            value: row.value.parse().ok()?,
            split: split.clone(),
            metric: metric.clone(),
        }),
        Mapped::NotComparable(_) => None,
    });
    let mut targets: Vec<Target> = targets.collect();
    let headline = results.metrics.0.first().map(|(id, _)| id.as_str()).unwrap_or_default();
    targets.sort_by_key(|target| (target.metric != headline, target.split != results.split));
    targets.into_iter().next().ok_or_else(|| {
        Fault::User(format!(
            "{against} has no number for {} that is one of ours; `leaderboard --against {against}` says why",
            results.task
        ))
    })
}

/// `--data` of the command that the run was last worked on with.
fn recorded_data(manifest: &Manifest) -> Option<PathBuf> {
    let mut words = manifest.segments.last()?.command.iter();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--data=") {
            return Some(PathBuf::from(value));
        }
        if word == "--data" {
            return words.next().map(PathBuf::from);
        }
    }
    None
}

fn style(manifest: Option<&Manifest>) -> Result<PromptStyle, Fault> {
    match manifest.and_then(|manifest| manifest.identity.get("prompt-style")) {
        Some(name) => name.parse::<PromptStyle>().map_err(Fault::from),
        None => Ok(PromptStyle::Paper),
    }
}

fn print(document: &Document, format: ScoreFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        ScoreFormat::Json => {
            serde_json::to_writer_pretty(&mut out, document)?;
            writeln!(out)?;
        }
        ScoreFormat::Csv => table(document).write_csv(&mut out)?,
        ScoreFormat::Table => {
            heading(&mut out, document)?;
            table(document).write_text(&mut out)?;
            rest(&mut out, document)?;
        }
    }
    out.flush()
}

fn heading(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let ours = document
        .ours
        .ci95
        .map(|(low, high)| format!(" ({low:.2} to {high:.2})"));
    writeln!(
        out,
        "{} {} {}: {} publishes {} for {}, this run has {:.2}{}: gap {:+.2}",
        document.task,
        document.split,
        document.metric,
        document.source,
        document.published,
        document.published_model,
        document.ours.value,
        ours.unwrap_or_default(),
        document.gap
    )?;
    if document.published_split != document.split {
        writeln!(
            out,
            "the published number is over other questions ({}): run that split first",
            document.published_split
        )?;
    }
    writeln!(
        out,
        "{:.2} of it is rounding at most, and {} what two runs of one checkpoint part by",
        document.half_step, document.tolerance
    )
}

fn table(document: &Document) -> Table {
    let (published, ours) = (document.published, document.ours.value);
    let values = document.alternatives.iter().filter_map(|one| one.value);
    let scale = Scale::of(values.chain([published, ours]));
    let mut table = Table::new(&[
        left("factor"),
        left("alternative"),
        right("value"),
        right("change"),
        right("gap left"),
        left("o ours  | published  x alternative"),
    ]);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.2}"));
    table.row([
        "none".to_owned(),
        String::new(),
        format!("{ours:.2}"),
        String::new(),
        format!("{:+.2}", document.gap),
        scale.draw(published, ours, None),
    ]);
    for one in &document.alternatives {
        table.row([
            one.factor.words().to_owned(),
            one.alternative.clone(),
            one.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}")),
            number(one.change),
            number(one.gap_left),
            match (&one.reason, one.value) {
                (Some(reason), _) => reason.clone(),
                (None, value) => scale.draw(published, ours, value),
            },
        ]);
    }
    table
}

/// The alternative that leaves the least, or that none does.
fn rest(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let explained = document.half_step + document.tolerance;
    if document.gap.abs() <= explained {
        return writeln!(out, "the two agree: the gap is within rounding and noise");
    }
    let left = |one: &&Alternative| one.gap_left.map_or(f64::INFINITY, f64::abs);
    let best = document.alternatives.iter().min_by(|a, b| left(a).total_cmp(&left(b)));
    match best.filter(|best| left(best) < document.gap.abs()) {
        Some(best) => writeln!(
            out,
            "closest: {} {} leaves {:+.2}; what is left comes from the answers, not from how they are scored",
            best.factor.words(),
            best.alternative,
            best.gap_left.unwrap_or_default()
        ),
        None => writeln!(
            out,
            "no other rule brings the run nearer: the gap comes from the answers, not from how they are scored"
        ),
    }
}
