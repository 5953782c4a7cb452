//! `score`: metrics of a prediction file.

use std::collections::HashMap;
use std::io::Write;

use benchmarks::{DataSource, Dataset, PredictionFile, PredictionOutcome, Task, match_predictions};

use crate::artefact;
use crate::cli::{ScoreArgs, ScoreFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::results::Results;
use crate::score_table;
use crate::{samples, task};

/// Scores a prediction file and prints the metrics.
pub fn run(args: &ScoreArgs) -> Result<Exit, Fault> {
    let benchmark = task::benchmark(args.task)?;
    if args.grades.is_some() && args.task != Task::MmVet {
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
    let dataset = benchmark.load(&source)?;
    let file = PredictionFile::read(&args.answers)?;
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
    let score = dataset.score(&answers, args.protocol)?;
    let mut results = Results::new(dataset.as_ref(), args.task, args.protocol, &score);
    results.failed = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Some(PredictionOutcome::Failed(_))))
        .count();

    if let Some(folder) = &args.out {
        artefact::create_folder(folder)?;
        artefact::write_json(&folder.join("results.json"), &results)?;
        samples::write(
            &folder.join("samples.parquet"),
            dataset.as_ref(),
            &entries(dataset.as_ref(), &outcomes),
            &score,
        )?;
    }
    print(args.format, &results).map_err(|error| Fault::stdout(&error))?;
    Ok(if results.partial { Exit::Unanswered } else { Exit::Done })
}

fn print(format: ScoreFormat, results: &Results) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        ScoreFormat::Table => score_table::write(&mut out, results),
        ScoreFormat::Csv => score_table::table(results).write_csv(&mut out),
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
                finish: None,
            };
            Some((id, entry))
        })
        .collect()
}
