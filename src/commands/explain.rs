//! `explain`: where the gap between a published number and a run's may come from.

use std::io::{self, Write};
use std::sync::Arc;

use benchmarks::{DataSource, Dataset, PromptStyle, Score, Task};
use serde::Serialize;

use crate::cli::{ExplainArgs, ExplainFormat, RunArgs};
use crate::exit::Exit;
use crate::explanation::{Alternative, Asked, Explanation, Factor, Ours, Rerun, Waterfall, choices};
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::published::{Ours as Mapped, Published, PublishedNumbers, Selector};
use crate::recorded_run::{self, Places};
use crate::results::{FORMAT, Results};
use crate::run_folder::RunFolder;
use crate::table::{Table, html, left, right};
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
    waterfall: Waterfall,
}

/// Scores the run's answers under every other rule, asks some again where that is wanted, and prints what each would
/// leave of the gap.
pub fn run(args: &ExplainArgs) -> Result<Exit, Fault> {
    let folder = RunFolder::at(args.run.clone());
    if !folder.results().is_file() {
        return Err(not_scored(&folder)?);
    }
    let results = Results::read(&folder.results())?;
    let row = published(&args.against, &results)?;
    let manifests = folder.manifests()?;
    let manifest = manifests.first().map(|(_, manifest)| manifest);
    let source = source(args, &folder, &results, manifest)?;
    let benchmark = task::benchmark(results.task)?;
    let dataset: Arc<dyn Dataset> = benchmark.load(&source)?.into();
    task::say_what_was_found(results.task, dataset.as_ref());
    let entries = folder.entries()?;
    let answer = |sample: &benchmarks::Sample| entries.get(sample.id.as_str())?.answer.clone();
    let answers: Vec<Option<String>> = dataset.samples().iter().map(answer).collect();
    if answers.iter().all(Option::is_none) {
        return Err(Fault::User(format!(
            "no answer in `{}` is about the data in `{}`; name the data that the run was made with",
            args.run.display(),
            source.root.display()
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
    let (ours, score) = explanation.ours().map_err(|reason| {
        let (task, metric) = (results.task, &row.metric);
        Fault::User(format!("{task}: this run has no `{metric}` to explain: {reason}"))
    })?;
    let mut alternatives = explanation.alternatives(&score, benchmark.releases(), benchmark.versions(&source)?);
    let mut exit = Exit::Done;
    if let Some(factors) = &args.rerun {
        if let Some(judge) = dataset.judge() {
            return Err(Fault::User(format!(
                "--rerun: {} has graded the answers of `{}`, and no others; leave it out, or grade a run of each setting \
                 and compare the runs",
                judge.name,
                args.run.display()
            )));
        }
        let recorded = manifest.ok_or_else(|| not_recorded(args))?;
        let pinned = pinned(args, recorded)?;
        // What keeps the run itself from being made again is no property of a factor.
        Model::open(&pinned)?.files()?;
        let interrupt = Interrupt::listen()?;
        let rerun = Rerun {
            args: &pinned,
            identity: &recorded.identity,
            dataset: Arc::clone(&dataset),
            task: results.task,
            answers: &answers,
            metric: &row.metric,
            value: ours.value,
            published: row.value,
            folder: args.run.join("explain"),
            precision: args.precision / 100.0 * range(&score, &row.metric),
            limit: args.rerun_limit,
            interrupt: &interrupt,
        };
        for choice in choices(&pinned, results.task, dataset.as_ref()) {
            if interrupt.requested() {
                exit = Exit::Unanswered;
                break;
            }
            if factors.contains(choice.factor) {
                alternatives.push(rerun.ask(&choice)?);
            }
        }
    }
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
        waterfall: Waterfall::new(row.value, ours.value, &alternatives),
        alternatives,
        ours,
    };
    print(&document, args.format).map_err(|error| Fault::stdout(&error))?;
    Ok(exit)
}

/// A folder without a score: of a run that has none yet, or of no run.
fn not_scored(folder: &RunFolder) -> Result<Fault, Fault> {
    let what = if folder.manifests()?.is_empty() {
        "holds no results.json; name a folder that `run` has written, runs/<model>/<task>@<split>"
    } else {
        "is not scored yet; finish it with `vila-bench run`, or have its answers graded with `vila-bench grade`"
    };
    Ok(Fault::User(format!("`{}` {what}", folder.path().display())))
}

/// Where the data lie: where they are said to, else where the run found them.
fn source(
    args: &ExplainArgs,
    folder: &RunFolder,
    results: &Results,
    manifest: Option<&Manifest>,
) -> Result<DataSource, Fault> {
    let recorded = manifest.and_then(recorded_run::options);
    let (root, images) = match (&args.data, recorded) {
        (Some(root), recorded) => (root.clone(), recorded.and_then(|run| run.images)),
        (None, Some(run)) => (run.data, run.images),
        (None, None) => {
            return Err(Fault::User(format!(
                "`{}` does not say where its data lay; name the folder with --data",
                args.run.display()
            )));
        }
    };
    Ok(DataSource {
        root,
        images: args.images.clone().or(images),
        split: Some(results.split.clone()),
        grades: args.grades.clone().or_else(|| folder.grades()),
    })
}

/// The options with which the run's checkpoint is asked as it was.
fn pinned(args: &ExplainArgs, manifest: &Manifest) -> Result<RunArgs, Fault> {
    if manifest
        .identity
        .get("adapter")
        .is_some_and(|adapter| adapter == "replay")
    {
        return Err(Fault::User(format!(
            "--rerun: `{}` replays a prediction file; only a run of a checkpoint can be asked again",
            args.run.display()
        )));
    }
    let places = Places {
        model: args.model.as_deref(),
        data: args.data.as_deref(),
        images: args.images.as_deref(),
        device: args.device.as_deref(),
    };
    recorded_run::pinned(manifest, places)?.ok_or_else(|| not_recorded(args))
}

fn not_recorded(args: &ExplainArgs) -> Fault {
    Fault::User(format!(
        "--rerun: `{}` does not say which `run` made it; make it again with `vila-bench run`",
        args.run.display()
    ))
}

/// From the lowest to the highest value that the metric can have: 100 for a share, 2,000 for MME's perception.
fn range(score: &Score, metric: &str) -> f64 {
    let ratios = score.metric(metric).map_or(&[][..], |metric| &metric.ratios);
    ratios.iter().map(|ratio| ratio.weight.abs()).sum()
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
    let rows = numbers.select(results.task, &results.split, &[Selector::parse(against)?]);
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

fn style(manifest: Option<&Manifest>) -> Result<PromptStyle, Fault> {
    match manifest.and_then(|manifest| manifest.identity.get("prompt-style")) {
        Some(name) => name.parse::<PromptStyle>().map_err(Fault::from),
        None => Ok(PromptStyle::Paper),
    }
}

fn print(document: &Document, format: ExplainFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        ExplainFormat::Json => {
            serde_json::to_writer_pretty(&mut out, document)?;
            writeln!(out)?;
        }
        ExplainFormat::Csv => table(document).write_csv(&mut out)?,
        ExplainFormat::Svg => out.write_all(document.waterfall.svg(&title(document)).as_bytes())?,
        ExplainFormat::Html => {
            out.write_all(document.waterfall.svg(&title(document)).as_bytes())?;
            table(document).write_html(&mut out)?;
            notes(document)
                .iter()
                .try_for_each(|note| writeln!(out, "<p>{}</p>", html(note)))?;
        }
        ExplainFormat::Md => {
            writeln!(out, "{}\n", heading(document).join("  \n"))?;
            table(document).write_markdown(&mut out)?;
            writeln!(out)?;
            notes(document).iter().try_for_each(|note| writeln!(out, "- {note}"))?;
        }
        ExplainFormat::Table => {
            for line in heading(document) {
                writeln!(out, "{line}")?;
            }
            table(document).write_text(&mut out)?;
            for line in document.waterfall.text(width()) {
                writeln!(out, "{line}")?;
            }
            notes(document).iter().try_for_each(|note| writeln!(out, "{note}"))?;
        }
    }
    out.flush()
}

/// Columns of the terminal; where there is none, of a page.
fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0))
}

fn title(document: &Document) -> String {
    format!(
        "{} {} {}: from {} {} to this run",
        document.task, document.split, document.metric, document.source, document.published_model
    )
}

fn heading(document: &Document) -> Vec<String> {
    let ours = document
        .ours
        .ci95
        .map(|(low, high)| format!(" ({low:.2} to {high:.2})"));
    let mut lines = vec![format!(
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
    )];
    if document.published_split != document.split {
        lines.push(format!(
            "the published number is over other questions ({}): run that split first",
            document.published_split
        ));
    }
    lines.push(format!(
        "{:.2} of it is rounding at most, and {} what two runs of one checkpoint part by",
        document.half_step, document.tolerance
    ));
    lines
}

fn table(document: &Document) -> Table {
    let mut table = Table::new(&[
        left("factor"),
        left("alternative"),
        right("value"),
        right("change"),
        right("95 % interval"),
        right("gap left"),
        left("remark"),
    ]);
    let signed = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.2}"));
    table.row([
        "none".to_owned(),
        String::new(),
        format!("{:.2}", document.ours.value),
        String::new(),
        String::new(),
        format!("{:+.2}", document.gap),
        String::new(),
    ]);
    for one in &document.alternatives {
        let interval = one.ci95.map(|(low, high)| format!("{low:+.2} to {high:+.2}"));
        let remark = one.reason.clone().or_else(|| one.asked.as_ref().map(asked));
        table.row([
            one.factor.words().to_owned(),
            one.alternative.clone(),
            one.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}")),
            signed(one.change),
            interval.unwrap_or_default(),
            signed(one.gap_left),
            remark.unwrap_or_default(),
        ]);
    }
    table
}

/// What was asked again, in words.
fn asked(asked: &Asked) -> String {
    let mut said = format!(
        "{} questions about {} pictures: {} answers changed, {} scores",
        asked.samples, asked.pictures, asked.changed, asked.flips
    );
    if asked.failed > 0 {
        said += &format!(", {} failed and left out", asked.failed);
    }
    if !asked.also.is_empty() {
        said += &format!("; also {}", asked.also.join(", "));
    }
    if let Some(needed) = asked.needed {
        said += &format!("; the precision needs about {needed}, raise --rerun-limit");
    }
    said
}

/// What the drawing means, and the alternative that leaves the least, or that none does.
fn notes(document: &Document) -> Vec<String> {
    let explained = document.half_step + document.tolerance;
    if document.gap.abs() <= explained {
        return vec!["the two agree: the gap is within rounding and noise".to_owned()];
    }
    let mut notes = vec![
        "each bar is one factor changed alone, to its alternative nearest to the published number; changes need not add \
         up, so the rest holds what is unexplained and what factors share"
            .to_owned(),
    ];
    let tried = document
        .alternatives
        .iter()
        .filter(|one| one.factor != Factor::AskedAgain);
    let left = |one: &&Alternative| one.gap_left.map_or(f64::INFINITY, f64::abs);
    let best = tried.min_by(|a, b| left(a).total_cmp(&left(b)));
    notes.push(match best.filter(|best| left(best) < document.gap.abs()) {
        Some(best) => format!(
            "closest: {} {} leaves {:+.2}",
            best.factor.words(),
            best.alternative,
            best.gap_left.unwrap_or_default()
        ),
        None => "nothing that was tried brings the run nearer".to_owned(),
    });
    if !document.alternatives.iter().any(|one| one.asked.is_some()) {
        notes.push(
            "only rules of scoring were changed; --rerun also asks with another wording, template, picture shape, JPEG \
             decoder and dtype"
                .to_owned(),
        );
    }
    notes
}
