//! `compare`: is the candidate worse than the base? Paired on the same samples, with the flips behind each verdict.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use benchmarks::Task;
use quick_xml::Writer;
use quick_xml::events::{BytesText, Event};
use serde::Serialize;

use crate::cli::{CompareArgs, ComparisonFormat};
use crate::comparison::{Comparison, Flip, Question, Verdict, compare_runs, pair_up};
use crate::digits::{number, probability, signed, signed_interval};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::samples::{self, SampleText};
use crate::scorecard::{Found, Scorecard};
use crate::statistics::Margin;
use crate::table::{Table, left, right, visible};

/// Flipped questions shown for each benchmark.
const FLIPS_SHOWN: usize = 10;

/// Letters of a question or an answer shown.
const LETTERS_SHOWN: usize = 120;

/// The document that `--format json` prints.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    alpha: f64,
    margin: f64,
    equivalent_within: Option<f64>,
    regression: bool,
    benchmarks: &'a [Comparison],
}

/// Compares and prints; with `--fail-on-regression` a regression is status 1.
pub fn run(args: &CompareArgs) -> Result<Exit, Fault> {
    let (base, base_folders) = read(&args.base)?;
    let (candidate, candidate_folders) = read(&args.candidate)?;
    let pairs = pair_up(base, candidate, args.tasks.as_ref().map(|tasks| tasks.0.as_slice()))?;
    let question = Question {
        margin: Margin {
            worse: args.margin,
            equivalent: args.equivalent_within,
            alpha: args.alpha,
        },
        common_only: args.common_only,
    };
    let compared = compare_runs(&pairs, question)?;
    let shown = Shown {
        args,
        compared: &compared,
        base: texts(&compared, &base_folders)?,
        candidate: texts(&compared, &candidate_folders)?,
    };
    let mut out = io::stdout().lock();
    shown
        .write(&mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Fault::stdout(&error))?;
    Ok(if args.fail_on_regression && compared.iter().any(failed) {
        Exit::Regression
    } else {
        Exit::Done
    })
}

/// A regression, or a headline that the candidate's answers leave undefined.
fn failed(one: &Comparison) -> bool {
    let lost = one.headline.base.is_some() && one.headline.candidate.is_none();
    one.headline.verdict == Verdict::Regression || lost
}

type Folders = HashMap<(Task, String), PathBuf>;

fn read(path: &Path) -> Result<(Vec<Scorecard>, Folders), Fault> {
    let mut folders = Folders::new();
    let mut scorecards = Vec::new();
    for Found { mut scorecard, folder } in Scorecard::read_all(path)? {
        // A loose prediction file has no model: it goes by its place.
        scorecard.model.get_or_insert_with(|| path.display().to_string());
        if let Some(folder) = folder {
            folders.insert((scorecard.task, scorecard.split.clone()), folder);
        }
        scorecards.push(scorecard);
    }
    Ok((scorecards, folders))
}

/// The texts of the flips that are shown, where the run's folder still holds them.
fn texts(compared: &[Comparison], folders: &Folders) -> Result<HashMap<String, SampleText>, Fault> {
    let mut texts = HashMap::new();
    for one in compared {
        let file = folders
            .get(&(one.task, one.split.clone()))
            .map(|folder| folder.join("samples.parquet"));
        let Some(file) = file.filter(|file| file.is_file()) else {
            continue;
        };
        let flips = one
            .became_wrong
            .iter()
            .take(FLIPS_SHOWN)
            .chain(one.became_right.iter().take(FLIPS_SHOWN));
        let ids: Vec<&str> = flips.map(|flip| flip.id.as_str()).collect();
        let read = samples::read(&file, &ids)?;
        texts.extend(read.into_iter().map(|(id, text)| (key(one, &id), text)));
    }
    Ok(texts)
}

fn key(one: &Comparison, id: &str) -> String {
    format!("{} {} {id}", one.task, one.split)
}

/// All that is printed.
struct Shown<'a> {
    args: &'a CompareArgs,
    compared: &'a [Comparison],
    base: HashMap<String, SampleText>,
    candidate: HashMap<String, SampleText>,
}

impl Shown<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.args.format {
            ComparisonFormat::Table => {
                writeln!(out, "{}", self.heading())?;
                self.table().write_text(out)?;
                self.write_details(out, "", &|flip| format!("  {flip}"))
            }
            ComparisonFormat::Md => {
                writeln!(out, "### {}\n", self.heading())?;
                self.table().write_markdown(out)?;
                writeln!(out)?;
                self.write_details(out, "- ", &|flip| format!("  - `{}`", flip.replace('`', "'")))
            }
            ComparisonFormat::Json => {
                let document = Document {
                    format: crate::results::FORMAT,
                    alpha: self.args.alpha,
                    margin: self.args.margin,
                    equivalent_within: self.args.equivalent_within,
                    regression: self.compared.iter().any(failed),
                    benchmarks: self.compared,
                };
                serde_json::to_writer_pretty(&mut *out, &document)?;
                writeln!(out)
            }
            ComparisonFormat::Junit => self.write_junit(out),
        }
    }

    fn heading(&self) -> String {
        let names = |pick: fn(&Comparison) -> &String| {
            let mut names: Vec<&str> = self.compared.iter().map(|one| pick(one).as_str()).collect();
            names.dedup();
            visible(&names.join(", "))
        };
        let mut heading = format!(
            "{} against {}: paired, level {}",
            names(|one| &one.candidate),
            names(|one| &one.base),
            self.args.alpha
        );
        if self.args.margin > 0.0 {
            heading.push_str(&format!(", margin {}", self.args.margin));
        }
        heading
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            left("benchmark"),
            left("metric"),
            right("base"),
            right("candidate"),
            right("difference"),
            right("95 % interval"),
            right("p"),
            right("detectable"),
            right("wrong / right"),
            left("verdict"),
        ]);
        for one in self.compared {
            let metric = &one.headline;
            table.row([
                format!("{} {}", one.task, one.split),
                metric.id.clone(),
                number(metric.base),
                number(metric.candidate),
                signed(metric.difference),
                signed_interval(metric.ci95),
                metric.p.map(probability).unwrap_or_default(),
                metric.detectable.map(|value| format!("{value:.2}")).unwrap_or_default(),
                format!("{} / {}", one.became_wrong.len(), one.became_right.len()),
                metric.verdict.words(),
            ]);
        }
        table
    }

    /// What lies behind each verdict, a line each; `item` sets a flip off.
    fn write_details(&self, out: &mut dyn Write, bullet: &str, item: &dyn Fn(&str) -> String) -> io::Result<()> {
        for one in self.compared {
            let name = format!("{bullet}{} {}", one.task, one.split);
            if one.left_out > 0 {
                writeln!(out, "{name}: {} samples left out, which only one run has", one.left_out)?;
            }
            for remark in &one.remarks {
                writeln!(out, "{name}: also differs: {}", visible(remark))?;
            }
            for metric in one.others.iter().filter(|metric| metric.verdict == Verdict::Regression) {
                writeln!(
                    out,
                    "{name}: {} {} to {}, {} ({}), p {}",
                    metric.id,
                    number(metric.base),
                    number(metric.candidate),
                    signed(metric.difference),
                    signed_interval(metric.ci95),
                    metric.p_worse.map(probability).unwrap_or_default()
                )?;
            }
            let shown = match one.headline.verdict {
                Verdict::Improvement => [("became right", &one.became_right)].to_vec(),
                Verdict::NoDifference | Verdict::Equivalent => Vec::new(),
                _ => [("became wrong", &one.became_wrong)].to_vec(),
            };
            for (what, flips) in shown {
                if !flips.is_empty() {
                    writeln!(
                        out,
                        "{name}: {} {what}, the first {}:",
                        flips.len(),
                        flips.len().min(FLIPS_SHOWN)
                    )?;
                }
                for flip in flips.iter().take(FLIPS_SHOWN) {
                    writeln!(out, "{}", item(&self.flip(one, flip)))?;
                }
            }
        }
        Ok(())
    }

    fn flip(&self, one: &Comparison, flip: &Flip) -> String {
        let (base, candidate) = (
            self.base.get(&key(one, &flip.id)),
            self.candidate.get(&key(one, &flip.id)),
        );
        let mut line = format!("{}: {} to {}", flip.id, score(flip.base), score(flip.candidate));
        if let Some(text) = candidate.or(base) {
            line.push_str(&format!("; {}", shortened(&text.question)));
            if let Some(reference) = &text.reference {
                line.push_str(&format!(" [{}]", shortened(reference)));
            }
        }
        for (name, text) in [("base", base), ("candidate", candidate)] {
            if let Some(answer) = text.and_then(|text| text.answer.as_ref()) {
                line.push_str(&format!("; {name}: {}", shortened(answer)));
            }
        }
        visible(&line)
    }

    /// One test case a benchmark, as CI servers show them.
    fn write_junit(&self, out: &mut dyn Write) -> io::Result<()> {
        let failures = self.compared.iter().filter(|one| failed(one)).count();
        let mut writer = Writer::new_with_indent(out, b' ', 2);
        writer
            .create_element("testsuites")
            .write_inner_content(|writer| {
                writer
                    .create_element("testsuite")
                    .with_attribute(("name", "vila-bench compare"))
                    .with_attribute(("tests", self.compared.len().to_string().as_str()))
                    .with_attribute(("failures", failures.to_string().as_str()))
                    .write_inner_content(|writer| self.compared.iter().try_for_each(|one| self.write_case(writer, one)))
                    .map(drop)
            })?
            .get_mut()
            .write_all(b"\n")
    }

    fn write_case<W: Write>(&self, writer: &mut Writer<W>, one: &Comparison) -> io::Result<()> {
        let metric = &one.headline;
        let summary = format!(
            "{}: {} to {}, {} ({}): {}",
            metric.id,
            number(metric.base),
            number(metric.candidate),
            signed(metric.difference),
            signed_interval(metric.ci95),
            metric.verdict.words()
        );
        let name = format!("{} {} {}", one.task, one.split, metric.id);
        let case = writer
            .create_element("testcase")
            .with_attribute(("classname", "vila-bench"))
            .with_attribute(("name", name.as_str()));
        if !failed(one) {
            return case
                .write_inner_content(|writer| {
                    writer
                        .create_element("system-out")
                        .write_text_content(BytesText::new(&summary))
                        .map(drop)
                })
                .map(drop);
        }
        let flips = one
            .became_wrong
            .iter()
            .take(FLIPS_SHOWN)
            .map(|flip| self.flip(one, flip));
        let lines: Vec<String> = flips.collect();
        case.write_inner_content(|writer| {
            writer
                .create_element("failure")
                .with_attribute(("message", summary.as_str()))
                .write_inner_content(|writer| {
                    writer.write_event(Event::Text(BytesText::new(&format!("\n{}\n", lines.join("\n")))))
                })
                .map(drop)
        })
        .map(drop)
    }
}

/// A score from 0 to 1, as short as it can be told.
fn score(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LETTERS_SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
