//! `run`: asks a model a benchmark's questions, keeps every answer as it comes, scores what is there.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use benchmarks::{Protocol, Task};
use model_adapters::{Answer, Report};

use crate::artefact;
use crate::cli::RunArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal};
use crate::manifest::{FileRecord, Manifest, Segment};
use crate::model::Model;
use crate::plan::Plan;
use crate::progress::{Progress, span};
use crate::questions::Questions;
use crate::results::FORMAT;
use crate::run_folder::RunFolder;
use crate::scored_run::ScoredRun;
use crate::{samples, speed, trace};

/// How many failed samples are shown one by one.
const FAILURES_SHOWN: usize = 5;

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
            run.rehearse(&model)?
        } else {
            run.execute(&mut model, &interrupt)?
        };
        if ended == Exit::Unanswered {
            exit = Exit::Unanswered;
        }
    }
    Ok(exit)
}

/// One task of a run: its questions and its folder.
struct TaskRun<'a> {
    args: &'a RunArgs,
    questions: Questions,
    folder: RunFolder,
}

/// What a stretch of asking came to.
#[derive(Default)]
struct Asked {
    questions: usize,
    new_tokens: usize,
    failures: Vec<(String, String)>,
    seconds: f64,
    /// What the adapter counted.
    report: Option<Report>,
    /// What ended it early, if anything.
    stop: Option<Fault>,
}

impl TaskRun<'_> {
    /// Asks what is not answered yet, then scores all that is.
    fn execute(&self, model: &mut Model, interrupt: &Interrupt) -> Result<Exit, Fault> {
        if model.hashes_when_loaded() && !self.plan(&self.earlier_entries()?).open.is_empty() {
            // So that the files come from disk once.
            model.load(self.questions.dataset())?;
        }
        let mut manifest = self.manifest(model)?;
        let plan = self.plan(&self.earlier_entries()?);
        self.say_what_is_answered(&plan);
        let mut stop = None;
        if plan.open.is_empty() {
            self.folder.create()?;
        } else {
            if model.needs_pictures() {
                self.questions.require_some_picture(&plan.open)?;
                eprintln!("{}: asked with {}", self.questions.task(), self.settings(model));
            }
            // A model that cannot be loaded must not leave a folder that claims a run.
            model.load(self.questions.dataset())?;
            self.folder.create()?;
            if self.args.fresh {
                self.folder.start_anew()?;
            }
            let mut journal = Journal::open(&self.folder.journal())?;
            let plan = self.plan(&self.folder.entries()?);
            stop = self.record(model, &plan, &mut journal, &mut manifest, interrupt)?;
        }
        let concluded = self.conclude(model, &plan);
        stop.map_or(concluded, Err)
    }

    /// Asks, and keeps in the manifest what it took.
    fn record(
        &self,
        model: &mut Model,
        plan: &Plan,
        journal: &mut Journal,
        manifest: &mut Manifest,
        interrupt: &Interrupt,
    ) -> Result<Option<Fault>, Fault> {
        manifest.segments.push(Segment::begin(
            self.args.typed.clone(),
            self.args.limit,
            self.args.shard,
            model.machine(),
        ));
        artefact::write_json(&self.folder.manifest(), manifest)?;
        model.recall(self.folder.of_model(), &manifest.identity)?;
        let asked = self.ask(model, plan, journal, interrupt)?;
        model.keep(self.folder.of_model(), &manifest.identity)?;
        if let Some(segment) = manifest.segments.last_mut() {
            segment.asked = asked.questions;
            segment.failed = asked.failures.len();
            segment.new_tokens = asked.new_tokens;
            segment.seconds = asked.seconds;
            segment.report = asked.report;
        }
        artefact::write_json(&self.folder.manifest(), manifest)?;
        self.show_failures(&asked.failures);
        if let Some(report) = &asked.report {
            speed::say(self.questions.task(), report, asked.seconds, asked.new_tokens);
        }
        Ok(asked.stop)
    }

    fn ask(
        &self,
        model: &mut Model,
        plan: &Plan,
        journal: &mut Journal,
        interrupt: &Interrupt,
    ) -> Result<Asked, Fault> {
        let mut adapter = model.adapter(self.questions.dataset())?;
        let id = |&index: &usize| Some((self.questions.sample(index)?.id.as_str(), index));
        let index_of: HashMap<&str, usize> = plan.open.iter().filter_map(id).collect();
        let ended = Cell::new(false);
        let mut progress = Progress::start(self.questions.task().id(), plan.open.len());
        let mut asked = Asked::default();
        let mut requests = plan
            .open
            .iter()
            .take_while(|_| !ended.get() && !interrupt.requested())
            .filter_map(|&index| self.questions.request(index));
        let mut sink = |answer: Answer| {
            let index = index_of.get(answer.id.as_str());
            let prompt = index.map(|&index| self.questions.prompt(index)).unwrap_or_default();
            let mut entry = Entry::of(answer, prompt);
            if !self.args.ignore_eos {
                entry.ids.clear();
            }
            asked.questions += 1;
            asked.new_tokens += entry.new_tokens;
            progress.add(entry.error.is_some());
            if let Err(fault) = journal.append(&entry) {
                asked.stop = Some(fault);
            } else if let Some(reason) = entry.error {
                if self.args.strict {
                    asked.stop = Some(Fault::User(format!("--strict: sample `{}` failed: {reason}", entry.id)));
                }
                asked.failures.push((entry.id, reason));
            }
            ended.set(asked.stop.is_some());
            if ended.get() || interrupt.requested() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let outcome = adapter.answer(&mut requests, &mut sink);
        asked.seconds = progress.finish().as_secs_f64();
        outcome?;
        asked.report = adapter.report();
        if let Some(path) = &self.args.trace {
            trace::write(path, self.questions.task(), adapter.spans())?;
        }
        Ok(asked)
    }

    /// Scores all answers in the folder, whoever gave them, and writes and prints the results.
    fn conclude(&self, model: &Model, plan: &Plan) -> Result<Exit, Fault> {
        let dataset = self.questions.dataset();
        let entries = self.folder.entries()?;
        let answer = |sample: &benchmarks::Sample| entries.get(sample.id.as_str())?.answer.clone();
        let answers: Vec<Option<String>> = dataset.samples().iter().map(answer).collect();
        let start = Instant::now();
        let scored = dataset.score(&answers, Protocol::Paper);
        speed::say_scored(self.questions.task(), start.elapsed().as_secs_f64());
        match scored {
            Ok(score) => {
                let run = ScoredRun {
                    folder: &self.folder,
                    dataset,
                    task: self.questions.task(),
                    model: model.name(),
                };
                run.write(&entries, &score)?;
            }
            // The answers are what was asked for; where their labels are on a server or a judge must grade them,
            // the score comes later.
            Err(reason) => {
                samples::write(&self.folder.samples(), dataset, &entries, None)?;
                eprintln!("{}: answered, not scored: {reason}", self.questions.task());
                self.say_how_to_grade(!plan.open.is_empty())?;
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
    fn say_how_to_grade(&self, answers_are_new: bool) -> Result<(), Fault> {
        if self.questions.task() != Task::MmVet {
            return Ok(());
        }
        let results = self.folder.results();
        if answers_are_new && results.exists() {
            std::fs::remove_file(&results).map_err(|error| Fault::file("remove", &results, &error))?;
        }
        eprintln!(
            "mm-vet: next: vila-bench grade --task mm-vet --run {} --judge URL --judge-model gpt-4-0613",
            self.folder.path().display()
        );
        Ok(())
    }

    /// `--dry-run`: says what would be asked.
    fn rehearse(&self, model: &Model) -> Result<Exit, Fault> {
        let plan = self.plan(&self.earlier_entries()?);
        let pictures = self.questions.pictures(&plan.open);
        let expected = match self.folder.timings()? {
            Some(timings) if timings.questions_per_second > 0.0 => {
                let seconds = plan.open.len() as f64 / timings.questions_per_second;
                format!("about {}, as fast as before", span(seconds))
            }
            _ => "unknown: this run has not asked anything yet".to_owned(),
        };
        let mut lines = vec![
            format!(
                "{} {} with {}",
                self.questions.task(),
                self.questions.split(),
                model.name()
            ),
            format!(
                "  questions  {} to ask, {} already answered",
                plan.open.len(),
                plan.selected.len() - plan.open.len()
            ),
            format!("  pictures   {} needed, {} present", pictures.needed, pictures.present),
            format!("  wording    {}", self.first_prompt(&plan)),
        ];
        lines.extend(self.asked_as(model, &plan));
        lines.extend([
            format!("  time       {expected}"),
            format!("  folder     {}", self.folder.path().display()),
        ]);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", lines.join("\n")).map_err(|error| Fault::stdout(&error))?;
        Ok(Exit::Done)
    }

    /// The wording of the first question, on one line.
    fn first_prompt(&self, plan: &Plan) -> String {
        let first = plan.open.first().or(plan.selected.first());
        first
            .map(|&index| format!("{:?}", self.questions.prompt(index)))
            .unwrap_or_default()
    }

    /// The first question as a checkpoint gets it, template and picture markers included, and the settings that answers
    /// depend on; nothing for a model that makes no prompt here.
    fn asked_as(&self, model: &Model, plan: &Plan) -> Vec<String> {
        let first = plan.open.first().or(plan.selected.first());
        let request = first.and_then(|&index| self.questions.request(index));
        let Some(prompt) = request.and_then(|request| model.prompt(&request)) else {
            return Vec::new();
        };
        vec![
            format!("  prompt     {prompt:?}"),
            format!("  settings   {}", self.settings(model)),
            format!("  answers    {} tokens at most", self.questions.max_new_tokens()),
        ]
    }

    /// What answers depend on beside files and question, chosen by the user or for the checkpoint.
    fn settings(&self, model: &Model) -> String {
        let settings = model.identity(self.questions.script()).into_iter();
        let settings: Vec<String> = settings.map(|(name, value)| format!("{name} {value}")).collect();
        settings.join(", ")
    }

    /// The manifest of this run: the one in the folder, which must be about the same run, or a new one.
    fn manifest(&self, model: &mut Model) -> Result<Manifest, Fault> {
        let earlier = self.folder.manifests()?;
        let files = model.files()?.to_vec();
        let identity = self.identity(model, &files);
        if !self.args.fresh {
            self.folder.require(&identity)?;
            let own = earlier.into_iter().find(|(path, _)| *path == self.folder.manifest());
            if let Some((_, manifest)) = own {
                return Ok(manifest);
            }
        }
        Ok(Manifest {
            format: FORMAT,
            identity,
            model: model.path().to_owned(),
            files: files.into_iter().map(|(_, record)| record).collect(),
            segments: Vec::new(),
        })
    }

    fn identity(&self, model: &Model, files: &[(String, FileRecord)]) -> BTreeMap<String, String> {
        let mut identity: BTreeMap<String, String> = self.questions.identity().into_iter().collect();
        identity.extend(
            model
                .identity(self.questions.script())
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        for (name, file) in files {
            identity.insert(format!("model/{name}"), file.sha256.clone());
        }
        identity
    }

    /// What the folder holds, as far as this run goes on from it.
    fn earlier_entries(&self) -> Result<HashMap<String, Entry>, Fault> {
        if self.args.fresh {
            Ok(HashMap::new())
        } else {
            self.folder.entries()
        }
    }

    fn plan(&self, entries: &HashMap<String, Entry>) -> Plan {
        let answered = entries.iter().filter(|(_, entry)| entry.answer.is_some());
        let answered: HashSet<&str> = answered.map(|(id, _)| id.as_str()).collect();
        Plan::new(
            self.questions.dataset().samples(),
            self.args.limit,
            self.args.shard,
            &answered,
        )
    }

    fn say_what_is_answered(&self, plan: &Plan) {
        let answered = plan.selected.len() - plan.open.len();
        if answered > 0 {
            let (task, of, folder) = (self.questions.task(), plan.selected.len(), self.folder.path().display());
            eprintln!("{task}: {answered} of {of} already answered in `{folder}`");
        }
    }

    fn show_failures(&self, failures: &[(String, String)]) {
        let task = self.questions.task();
        for (id, reason) in failures.iter().take(FAILURES_SHOWN) {
            eprintln!("{task}: failed: {id}: {reason}");
        }
        if failures.len() > FAILURES_SHOWN {
            let more = failures.len() - FAILURES_SHOWN;
            eprintln!(
                "{task}: and {more} more; all stand in `{}`",
                self.folder.journal().display()
            );
        }
    }
}
