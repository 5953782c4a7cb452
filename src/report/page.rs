//! From what was found to the page: words and charts for `page.html`, which escapes all of them.

use std::slice;

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::beside_published::{Line, Verdict as PaperVerdict, beside_published, notes};
use crate::digits::{interval, number};
use crate::fault::Fault;
use crate::published::Selector;
use crate::report::chart::{Curve, Forest, Kind, Strip, Value};
use crate::report::comparisons::{ALPHA, Compared, compare_with_first};
use crate::report::difference::ComparisonView;
use crate::report::gallery::Gallery;
use crate::report::runs::{BenchmarkRuns, Run};
use crate::report::sample_data::SampleData;
use crate::report::shown;
use crate::results::MetricRecord;
use crate::task;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Published numbers named in a line of the summary.
const AGREEING_SHOWN: usize = 3;

/// All that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    version: &'static str,
    style: &'static str,
    script: &'static str,
    /// The JSON block, safe in a script element.
    data: String,
    alpha: f64,
    sections: Vec<Section>,
    notes: Vec<String>,
    pictures: String,
    /// Some picture cannot be shown.
    pictures_absent: bool,
    samples: &'a str,
}

/// One benchmark.
#[derive(Serialize)]
struct Section {
    anchor: String,
    name: String,
    about: &'static str,
    /// One line a run, for the summary.
    summary: Vec<SummaryRow>,
    /// Headlines with intervals, the comparable published numbers in one row.
    headline: Option<Forest>,
    /// The same with a row for each published number.
    paper_chart: Option<Forest>,
    /// Some published number can be set beside a run.
    paper_comparable: bool,
    /// Over checkpoints, where there are more than two.
    curve: Option<Curve>,
    comparisons: Vec<ComparisonView>,
    paper: Vec<PaperRow>,
    /// How many of them agree, differ, cannot be compared.
    paper_counts: String,
    runs: Vec<RunView>,
    metrics: Vec<MetricRow>,
}

#[derive(Serialize)]
struct SummaryRow {
    run: String,
    metric: String,
    value: String,
    interval: String,
    answered: String,
    partial: bool,
    paper: Vec<String>,
    /// How many more published numbers agree.
    paper_more: usize,
}

#[derive(Serialize)]
struct RunView {
    name: String,
    facts: Vec<(String, String)>,
}

#[derive(Serialize)]
struct MetricRow {
    id: String,
    /// One cell a run.
    cells: Vec<MetricCell>,
}

#[derive(Serialize)]
struct MetricCell {
    value: String,
    interval: String,
    n: String,
    reason: Option<String>,
    strip: Option<Strip>,
    axis_end: f64,
}

#[derive(Serialize)]
struct PaperRow {
    run: String,
    metric: String,
    ours: String,
    model: String,
    source: String,
    printed: String,
    difference: String,
    verdict: String,
    remark: String,
}

/// The page as text.
pub fn render(
    benchmarks: &[BenchmarkRuns],
    selection: &[Selector],
    gallery: &Gallery,
    samples: &SampleData,
) -> Result<String, Fault> {
    let mut lines = Vec::new();
    let mut sections = Vec::new();
    let compared = compare_with_first(benchmarks)?;
    for (number, (benchmark, compared)) in benchmarks.iter().zip(compared).enumerate() {
        let mut of_runs = Vec::new();
        for run in &benchmark.runs {
            of_runs.push(match &run.metrics {
                Some(metrics) => beside_published(slice::from_ref(metrics), selection)?,
                None => Vec::new(),
            });
        }
        sections.push(section(number, benchmark, &compared, &of_runs)?);
        lines.extend(of_runs.into_iter().flatten());
    }
    let bug = |what: &dyn std::fmt::Display| Fault::Bug(format!("report page: {what}"));
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        style: STYLE,
        script: SCRIPT,
        data: samples.to_script().map_err(|error| bug(&error))?,
        alpha: ALPHA,
        sections,
        notes: notes(&lines),
        pictures: gallery.in_words(),
        pictures_absent: gallery.absent() > 0,
        samples: &samples.len().to_string(),
    };
    let mut environment = Environment::new();
    // The name's ending switches escaping on.
    environment
        .add_template("page.html", TEMPLATE)
        .map_err(|error| bug(&error))?;
    let template = environment.get_template("page.html").map_err(|error| bug(&error))?;
    template.render(Serde(&page)).map_err(|error| bug(&error))
}

fn section(
    number: usize,
    benchmark: &BenchmarkRuns,
    compared: &[Compared],
    lines: &[Vec<Line>],
) -> Result<Section, Fault> {
    let name = shown(&format!("{} {}", benchmark.task, benchmark.split));
    let headlines: Vec<Value> = benchmark.runs.iter().filter_map(headline).collect();
    let runs = &benchmark.runs;
    let published = published_marks(lines);
    let one_row = published.iter().map(|mark| Value {
        label: "published".to_owned(),
        ..mark.clone()
    });
    let summary_marks: Vec<Value> = headlines.iter().cloned().chain(one_row).collect();
    let paper_marks: Vec<Value> = headlines.iter().chain(&published).cloned().collect();
    let title = format!("{name}: headline with 95 % interval");
    Ok(Section {
        anchor: format!("benchmark-{number}"),
        about: task::benchmark(benchmark.task)?.about(),
        summary: runs.iter().zip(lines).map(|(run, lines)| summary(run, lines)).collect(),
        headline: Forest::new(title.clone(), &summary_marks),
        paper_chart: Forest::new(title, &paper_marks).filter(|_| !published.is_empty()),
        paper_comparable: !published.is_empty(),
        curve: Curve::new(format!("{name}: headline over checkpoints"), &headlines),
        comparisons: compared
            .iter()
            .map(|one| ComparisonView::new(number, runs, one))
            .collect(),
        paper: runs
            .iter()
            .zip(lines)
            .flat_map(|(run, lines)| paper_rows(run, lines))
            .collect(),
        paper_counts: counts(lines),
        runs: runs.iter().map(run_view).collect(),
        metrics: metric_rows(runs),
        name,
    })
}

fn records(run: &Run) -> &[(String, MetricRecord)] {
    run.metrics.as_ref().map_or(&[], |metrics| &metrics.results.metrics.0)
}

fn headline(run: &Run) -> Option<Value> {
    let (_, record) = records(run).first()?;
    Some(Value {
        label: shown(&run.name),
        name: shown(&run.name),
        value: record.value?,
        interval: record.ci95,
        kind: Kind::Run,
    })
}

/// The published numbers that a headline can be set beside, each once: as agreeing where any run agrees with it.
fn published_marks(lines: &[Vec<Line>]) -> Vec<Value> {
    let mut marks: Vec<Value> = Vec::new();
    for line in lines.iter().filter_map(|lines| headline_group(lines)).flatten() {
        let Some(mark) = published_mark(line) else {
            continue;
        };
        match marks.iter_mut().find(|other| other.label == mark.label) {
            Some(other) if mark.kind == Kind::Agrees => other.kind = Kind::Agrees,
            Some(_) => {}
            None => marks.push(mark),
        }
    }
    marks
}

/// The lines about a run's headline, which come first.
fn headline_group(lines: &[Line]) -> Option<&[Line]> {
    lines.chunk_by(|one, next| one.metric == next.metric).next()
}

fn published_mark(line: &Line) -> Option<Value> {
    let kind = match line.verdict? {
        PaperVerdict::Agrees => Kind::Agrees,
        PaperVerdict::Differs => Kind::Differs,
        PaperVerdict::NotComparable => return None,
    };
    let name = shown(&format!("{} ({})", line.model, line.source));
    Some(Value {
        label: name.clone(),
        name,
        value: line.value?,
        interval: None,
        kind,
    })
}

fn summary(run: &Run, lines: &[Line]) -> SummaryRow {
    let empty = String::new();
    let Some((id, record)) = records(run).first() else {
        return SummaryRow {
            run: shown(&run.name),
            metric: String::new(),
            value: "–".to_owned(),
            interval: empty,
            answered: "not scored here".to_owned(),
            partial: false,
            paper: Vec::new(),
            paper_more: 0,
        };
    };
    let agreeing: Vec<&Line> = lines
        .iter()
        .filter(|line| line.metric == *id && line.verdict == Some(PaperVerdict::Agrees))
        .collect();
    let results = run.metrics.as_ref().map(|metrics| &metrics.results);
    SummaryRow {
        run: shown(&run.name),
        metric: shown(id),
        value: number(record.value),
        interval: interval(record.ci95),
        answered: results.map_or(empty, |results| format!("{} of {}", results.answered, results.n)),
        partial: results.is_some_and(|results| results.partial),
        paper: agreeing
            .iter()
            .take(AGREEING_SHOWN)
            .map(|line| {
                let printed = line.printed.as_deref().unwrap_or_default();
                shown(&format!("{} ({}): {printed}", line.model, line.source))
            })
            .collect(),
        paper_more: agreeing.len().saturating_sub(AGREEING_SHOWN),
    }
}

fn run_view(run: &Run) -> RunView {
    RunView {
        name: shown(&run.name),
        facts: run
            .facts()
            .into_iter()
            .map(|(name, value)| (shown(&name), shown(&value)))
            .collect(),
    }
}

/// Every metric of any run; the first run's order first.
fn metric_rows(runs: &[Run]) -> Vec<MetricRow> {
    let mut ids: Vec<&String> = Vec::new();
    for (id, _) in runs.iter().flat_map(records) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    // Metrics of one kind, such as `random/f1` and `popular/f1`, share an axis.
    let end = |id: &str| {
        let kind = |id: &str| id.rsplit('/').next().unwrap_or_default().to_owned();
        let same = runs
            .iter()
            .flat_map(records)
            .filter(|(other, _)| kind(other) == kind(id));
        Strip::end(same.filter_map(|(_, record)| record.value).fold(0.0, f64::max))
    };
    let row = |id: &String| MetricRow {
        id: shown(id),
        cells: runs.iter().map(|run| metric_cell(run, id, end(id))).collect(),
    };
    ids.into_iter().map(row).collect()
}

fn metric_cell(run: &Run, id: &str, axis_end: f64) -> MetricCell {
    let record = records(run)
        .iter()
        .find(|(other, _)| other == id)
        .map(|(_, record)| record);
    MetricCell {
        value: number(record.and_then(|record| record.value)),
        interval: interval(record.and_then(|record| record.ci95)),
        n: record.map(|record| record.n.to_string()).unwrap_or_default(),
        reason: record.and_then(|record| record.reason.as_deref()).map(shown),
        strip: record.and_then(|record| Some(Strip::new(record.value?, record.ci95, axis_end))),
        axis_end,
    }
}

fn paper_rows(run: &Run, lines: &[Line]) -> Vec<PaperRow> {
    let published = lines
        .iter()
        .filter(|line| line.verdict.is_some() || line.printed.is_some());
    let ours = |id: &str| {
        let record = records(run).iter().find(|(other, _)| other == id);
        number(record.and_then(|(_, record)| record.value))
    };
    published
        .map(|line| PaperRow {
            run: shown(&run.name),
            metric: shown(&line.metric),
            ours: ours(&line.metric),
            model: shown(&line.model),
            source: shown(&line.source),
            printed: shown(line.printed.as_deref().unwrap_or_default()),
            difference: line.difference.map(|value| format!("{value:+.2}")).unwrap_or_default(),
            verdict: line
                .verdict
                .map(|verdict| verdict.words().to_owned())
                .unwrap_or_default(),
            remark: shown(&line.remark),
        })
        .collect()
}

fn counts(lines: &[Vec<Line>]) -> String {
    let count = |verdict: PaperVerdict| {
        let given = lines.iter().flatten().filter(|line| line.verdict == Some(verdict));
        given.count()
    };
    format!(
        "{} agree, {} differ, {} not comparable",
        count(PaperVerdict::Agrees),
        count(PaperVerdict::Differs),
        count(PaperVerdict::NotComparable)
    )
}
