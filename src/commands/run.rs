//! `run`: asks a model a benchmark's questions, keeps every answer as it comes, scores what is there.

use std::io::Write as _;
use std::time::Instant;

use benchmarks::{Protocol, Task};

use crate::cli::RunArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::plan::Plan;
use crate::progress::span;
use crate::questions::Questions;
use crate::run_folder::RunFolder;
use crate::scored_run::ScoredRun;
use crate::task_run::TaskRun;
use crate::{samples, speed};

/// Runs every task asked for, one after the other.
pub fn run(args: &RunArgs) -> Result<Exit, Fault> {
    let interrupt = Interrupt::listen()?;
    let mut model = Model::open(args)?;
    model.stop_when(&interrupt);
    // All data first: a missing folder should not show after a night of another benchmark.
    let tasks = args.tasks.0.iter();
    let loaded = tasks
        .map(|&task| Questions::load(args, task))
        .collect::<Result<Vec<_>, _>>()?;
    let mut exit = Exit::Done;
    for questions in loaded {
        if interrupt.requested() {
            return Ok(Exit::Unanswered);
        }
        let task = questions.task();
        let folder = RunFolder::new(&args.out, model.name(), task, questions.split(), args.shard);
        let run = TaskRun {
            args,
            questions,
            folder,
        };
        let ended = if args.dry_run {
            rehearse(&run, &model)?
        } else {
            execute(&run, &mut model, &interrupt)?
        };
        if ended == Exit::Unanswered {
            exit = Exit::Unanswered;
        }
    }
    Ok(exit)
}

/// Asks what is not answered yet, then scores all that is.
fn execute(run: &TaskRun<'_>, model: &mut Model, interrupt: &Interrupt) -> Result<Exit, Fault> {
    let answered = run.answer(model, interrupt, None)?;
    let concluded = conclude(run, model, &answered.plan);
    answered.stop.map_or(concluded, Err)
}

/// Scores all answers in the folder, whoever gave them, and writes and prints the results.
fn conclude(run: &TaskRun<'_>, model: &Model, plan: &Plan) -> Result<Exit, Fault> {
    let dataset = run.questions.dataset();
    let entries = run.folder.entries()?;
    let answer = |sample: &benchmarks::Sample| entries.get(sample.id.as_str())?.answer.clone();
    let answers: Vec<Option<String>> = dataset.samples().iter().map(answer).collect();
    let start = Instant::now();
    let score = dataset.score(&answers, Protocol::Paper);
    speed::say_scored(run.questions.task(), start.elapsed().as_secs_f64());
    match score {
        Ok(score) => {
            let scored = ScoredRun {
                folder: &run.folder,
                dataset,
                task: run.questions.task(),
                model: model.name(),
                quiet: run.args.quiet,
            };
            scored.write(&entries, &score)?;
        }
        // The answers are what was asked for; where their labels are on a server or a judge must grade them,
        // the score comes later.
        Err(reason) => {
            samples::write(&run.folder.samples(), dataset, &entries, None)?;
            eprintln!("{}: answered, not scored: {reason}", run.questions.task());
            say_how_to_grade(run, !plan.open.is_empty())?;
        }
    }
    let unanswered = |index: &&usize| answers.get(**index).is_none_or(Option::is_none);
    Ok(if plan.selected.iter().any(|index| unanswered(&index)) {
        Exit::Unanswered
    } else {
        Exit::Done
    })
}

/// Names the command that grades these answers, where a judge must. A score of other answers does not stay.
fn say_how_to_grade(run: &TaskRun<'_>, answers_are_new: bool) -> Result<(), Fault> {
    if run.questions.task() != Task::MmVet {
        return Ok(());
    }
    let results = run.folder.results();
    if answers_are_new && results.exists() {
        std::fs::remove_file(&results).map_err(|error| Fault::file("remove", &results, &error))?;
    }
    eprintln!(
        "mm-vet: next: vila-bench grade --task mm-vet --run {} --judge URL --judge-model gpt-4-0613",
        run.folder.path().display()
    );
    Ok(())
}

/// `--dry-run`: says what would be asked.
fn rehearse(run: &TaskRun<'_>, model: &Model) -> Result<Exit, Fault> {
    let plan = run.plan(&run.earlier_entries()?);
    let pictures = run.questions.pictures(&plan.open);
    let expected = match run.folder.timings()? {
        Some(timings) if timings.questions_per_second > 0.0 => {
            let seconds = plan.open.len() as f64 / timings.questions_per_second;
            format!("about {}, as fast as before", span(seconds))
        }
        _ => "unknown: this run has not asked anything yet".to_owned(),
    };
    let mut lines = vec![
        format!(
            "{} {} with {}",
            run.questions.task(),
            run.questions.split(),
            model.name()
        ),
        format!(
            "  questions  {} to ask, {} already answered",
            plan.open.len(),
            plan.selected.len() - plan.open.len()
        ),
        format!("  pictures   {} needed, {} present", pictures.needed, pictures.present),
        format!("  wording    {}", first_prompt(run, &plan)),
    ];
    lines.extend(asked_as(run, model, &plan));
    lines.extend([
        format!("  time       {expected}"),
        format!("  folder     {}", run.folder.path().display()),
    ]);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", lines.join("\n")).map_err(|error| Fault::stdout(&error))?;
    Ok(Exit::Done)
}

/// The wording of the first question, on one line.
fn first_prompt(run: &TaskRun<'_>, plan: &Plan) -> String {
    let first = plan.open.first().or(plan.selected.first());
    first
        .map(|&index| format!("{:?}", run.questions.prompt(index)))
        .unwrap_or_default()
}

/// The first question as a checkpoint gets it, template and picture markers included, and the settings that answers
/// depend on; nothing for a model that makes no prompt here.
fn asked_as(run: &TaskRun<'_>, model: &Model, plan: &Plan) -> Vec<String> {
    let first = plan.open.first().or(plan.selected.first());
    let request = first.and_then(|&index| run.questions.request(index));
    let Some(prompt) = request.and_then(|request| model.prompt(&request)) else {
        return Vec::new();
    };
    vec![
        format!("  prompt     {prompt:?}"),
        format!("  settings   {}", run.settings(model)),
        format!("  answers    {} tokens at most", run.questions.max_new_tokens()),
    ]
}
