//! `score`: metrics of a prediction file.

use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use benchmarks::{DataSource, Dataset, PredictionFile, PredictionOutcome, Protocol, Task, match_predictions};

use crate::artefact;
use crate::cli::{ProtocolChoice, ScoreArgs, ScoreFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::results::Results;
use crate::score_table;
use crate::scorecard::Scorecard;
use crate::{samples, task};

/// Scores a prediction file and prints the metrics.
pub fn run(args: &ScoreArgs) -> Result<Exit, Fault> {
    let benchmark = task::benchmark(args.task)?;
    if args.grades.is_some() && !matches!(args.task, Task::MmVet | Task::Mmbench) {
        return Err(Fault::User(format!(
            "--grades: `{}` is scored without a judge; leave it out",
            args.task
        )));
    }
    let source = DataSource {
        root: args.data.clone(),
        images: None,
        split: args.split.clone(),
        grades: args.grades.clone(),
    };
    let start = Instant::now();
    let dataset = benchmark.load(&source)?;
    let file = PredictionFile::read(&args.answers)?;
    let read = start.elapsed();
    task::say_what_was_found(args.task, dataset.as_ref());
    eprintln!(
        "{}: {} predictions, {}",
        args.answers.display(),
        file.predictions.len(),
        file.format
    );
    let outcomes = match_predictions(dataset.as_ref(), &file)?;

    let answers: Vec<Option<String>> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().and_then(answer))
        .collect();
    let start = Instant::now();
    let scored = Scored {
        args,
        dataset: dataset.as_ref(),
        outcomes: &outcomes,
        answers: &answers,
    };
    match args.protocol {
        ProtocolChoice::One(protocol) => {
            let results = scored.under(protocol, "")?;
            let (read, scored) = (read.as_secs_f64(), start.elapsed().as_secs_f64());
            eprintln!("{}: read in {read:.2} s, scored in {scored:.2} s", args.task);
            print(args.format, &results).map_err(|error| Fault::stdout(&error))?;
            Ok(results.exit())
        }
        ProtocolChoice::All => scored.under_all(),
    }
}

/// Answers matched with the samples they are about.
struct Scored<'a> {
    args: &'a ScoreArgs,
    dataset: &'a dyn Dataset,
    outcomes: &'a [Option<PredictionOutcome>],
    answers: &'a [Option<String>],
}

impl Scored<'_> {
    /// Scores by one rule and writes what `--out` asks for, with `mark` in the files' names.
    fn under(&self, protocol: Protocol, mark: &str) -> Result<Results, Fault> {
        let score = self.dataset.score(self.answers, protocol)?;
        let mut results = Results::new(self.dataset, self.args.task, protocol, &score);
        let failed = |outcome: &&Option<PredictionOutcome>| matches!(outcome, Some(PredictionOutcome::Failed(_)));
        results.failed = self.outcomes.iter().filter(failed).count();
        if let Some(folder) = &self.args.out {
            artefact::create_folder(folder)?;
            artefact::write_json(&folder.join(format!("results{mark}.json")), &results)?;
            let scorecard = Scorecard::new(self.dataset, self.args.task, protocol, &score);
            Scorecard::write(&folder.join(format!("scorecard{mark}.json")), &[scorecard])?;
            let entries = entries(self.dataset, self.outcomes);
            samples::write(
                &folder.join(format!("samples{mark}.parquet")),
                self.dataset,
                &entries,
                Some(&score),
            )?;
        }
        Ok(results)
    }

    /// The same answers under every rule; a rule that does not know this benchmark says so in its column.
    fn under_all(&self) -> Result<Exit, Fault> {
        let mut columns = Vec::new();
        for &protocol in Protocol::ALL {
            match self.under(protocol, &format!(".{protocol}")) {
                Ok(results) => columns.push((protocol, Ok(results))),
                Err(Fault::Data(reason)) => columns.push((protocol, Err(reason.to_string()))),
                Err(fault) => return Err(fault),
            }
        }
        let found: Vec<&Results> = columns.iter().filter_map(|(_, column)| column.as_ref().ok()).collect();
        let Some(exit) = found.iter().map(|results| results.exit()).max() else {
            let reasons: Vec<&str> = columns
                .iter()
                .filter_map(|(_, column)| column.as_ref().err())
                .map(String::as_str)
                .collect();
            return Err(Fault::User(reasons.first().copied().unwrap_or_default().to_owned()));
        };
        print_all(self.args.format, &columns).map_err(|error| Fault::stdout(&error))?;
        Ok(exit)
    }
}

fn print_all(format: ScoreFormat, columns: &[(Protocol, Result<Results, String>)]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        ScoreFormat::Table => score_table::write_all(&mut out, columns),
        ScoreFormat::Csv => score_table::side_by_side(columns).write_csv(&mut out),
        ScoreFormat::Json => {
            let document = |(protocol, column): &(Protocol, Result<Results, String>)| {
                let value = match column {
                    Ok(results) => serde_json::to_value(results)?,
                    Err(reason) => serde_json::json!({ "error": reason }),
                };
                Ok((protocol.to_string(), value))
            };
            let documents = columns
                .iter()
                .map(document)
                .collect::<serde_json::Result<serde_json::Map<_, _>>>()?;
            serde_json::to_writer_pretty(&mut out, &documents)?;
            writeln!(out)
        }
    }
}

fn print(format: ScoreFormat, results: &Results) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        ScoreFormat::Table => score_table::write(&mut out, results),
        ScoreFormat::Csv => {
            // The table has no place for them.
            for line in score_table::counts(results) {
                eprintln!("{}: {line}", results.task);
            }
            score_table::table(results).write_csv(&mut out)
        }
        ScoreFormat::Json => {
            serde_json::to_writer_pretty(&mut out, results)?;
            writeln!(out)
        }
    }
}

fn answer(outcome: &PredictionOutcome) -> Option<String> {
    match outcome {
        PredictionOutcome::Answer(text) => Some(text.clone()),
        PredictionOutcome::Failed(_) => None,
    }
}

fn entries(dataset: &dyn Dataset, outcomes: &[Option<PredictionOutcome>]) -> HashMap<String, Entry> {
    let asked = dataset.samples().iter().zip(outcomes).enumerate();
    asked
        .filter_map(|(index, (sample, outcome))| {
            let (answer, error) = match outcome.as_ref()? {
                PredictionOutcome::Answer(text) => (Some(text.clone()), None),
                PredictionOutcome::Failed(reason) => (None, Some(reason.clone())),
            };
            let id = sample.id.to_string();
            let prompt = dataset.prompt(index, benchmarks::PromptStyle::Paper);
            let entry = Entry {
                id: id.clone(),
                answer,
                error,
                prompt,
                prompt_tokens: 0,
                new_tokens: 0,
                ids: Vec::new(),
                finish: None,
                truncated: false,
                repeats: None,
            };
            Some((id, entry))
        })
        .collect()
}
