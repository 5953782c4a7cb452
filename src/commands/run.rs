//! `run`: asks a model a benchmark's questions, keeps every answer as it comes, scores what is there.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use benchmarks::{Benchmark, DataSource, Dataset, PromptStyle, Protocol, Sample, Task};
use model_adapters::{Answer, EncodedPicture, GenerationLimits, PromptPart, Request};

use crate::artefact;
use crate::cli::RunArgs;
use crate::exit::Exit;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal};
use crate::manifest::{FileRecord, Manifest, Segment, file_records};
use crate::model::Model;
use crate::plan::Plan;
use crate::progress::{Progress, span};
use crate::results::{FORMAT, Results, Timings};
use crate::run_folder::RunFolder;
use crate::{samples, score_table, task};

/// How many failed samples are shown one by one.
const FAILURES_SHOWN: usize = 5;

/// Runs every task asked for, one after the other.
pub fn run(args: &RunArgs) -> Result<Exit, Fault> {
    let interrupt = Interrupt::listen()?;
    let mut model = Model::open(args)?;
    let mut exit = Exit::Done;
    for &task in &args.tasks.0 {
        if interrupt.requested() {
            return Ok(Exit::Unanswered);
        }
        if TaskRun::open(args, task, &model)?.execute(&mut model, &interrupt)? == Exit::Unanswered {
            exit = Exit::Unanswered;
        }
    }
    Ok(exit)
}

/// One task of a run: its data, its folder, and what is still to be asked.
struct TaskRun<'a> {
    args: &'a RunArgs,
    task: Task,
    benchmark: &'static dyn Benchmark,
    dataset: Box<dyn Dataset>,
    folder: RunFolder,
}

/// What a stretch of asking came to.
#[derive(Default)]
struct Asked {
    questions: usize,
    new_tokens: usize,
    failures: Vec<(String, String)>,
    seconds: f64,
}

impl<'a> TaskRun<'a> {
    fn open(args: &'a RunArgs, task: Task, model: &Model) -> Result<Self, Fault> {
        let benchmark = task::benchmark(task)?;
        let source = DataSource {
            root: args.data.clone(),
            images: args.images.clone(),
            split: args.split.clone(),
            grades: None,
        };
        let dataset = benchmark.load(&source)?;
        task::say_what_was_found(task, dataset.as_ref());
        let folder = RunFolder::new(&args.out, model.name(), task, &dataset.provenance().split, args.shard);
        Ok(Self {
            args,
            task,
            benchmark,
            dataset,
            folder,
        })
    }

    fn execute(&self, model: &mut Model, interrupt: &Interrupt) -> Result<Exit, Fault> {
        if self.args.dry_run {
            return self.dry_run(model);
        }
        self.folder.create()?;
        if self.args.fresh {
            self.folder.start_anew()?;
        }
        let manifests = self.folder.manifests()?;
        let known: Vec<FileRecord> = manifests
            .iter()
            .flat_map(|(_, manifest)| manifest.files.clone())
            .collect();
        let files = file_records(&model.files(), &known)?;
        let identity = self.identity(model, &files);
        self.folder.require(&identity)?;
        let mut manifest = match manifests.into_iter().find(|(path, _)| *path == self.folder.manifest()) {
            Some((_, manifest)) => manifest,
            None => Manifest {
                format: FORMAT,
                identity,
                model: model.path().to_owned(),
                files,
                segments: Vec::new(),
            },
        };

        let mut journal = Journal::open(&self.folder.journal())?;
        let plan = self.plan(&self.folder.entries()?);
        if model.needs_pictures() {
            self.require_some_picture(&plan)?;
        }
        let resumed = plan.selected.len() - plan.open.len();
        if resumed > 0 {
            eprintln!(
                "{}: {resumed} of {} already answered in `{}`",
                self.task,
                plan.selected.len(),
                self.shown()
            );
        }
        let mut stop = None;
        if !plan.open.is_empty() {
            manifest.segments.push(self.segment());
            artefact::write_json(&self.folder.manifest(), &manifest)?;
            let asked = self.ask(model, &plan, &mut journal, interrupt, &mut stop)?;
            if let Some(segment) = manifest.segments.last_mut() {
                segment.machine = model.machine();
                segment.asked = asked.questions;
                segment.failed = asked.failures.len();
                segment.new_tokens = asked.new_tokens;
                segment.seconds = asked.seconds;
            }
            artefact::write_json(&self.folder.manifest(), &manifest)?;
            self.show_failures(&asked);
        }
        let exit = self.conclude(model, &plan)?;
        stop.map_or(Ok(exit), Err)
    }

    /// Asks what is open. A fault that ends the run early is left in `stop`, so that what was reached is still
    /// scored.
    fn ask(
        &self,
        model: &mut Model,
        plan: &Plan,
        journal: &mut Journal,
        interrupt: &Interrupt,
        stop: &mut Option<Fault>,
    ) -> Result<Asked, Fault> {
        let mut adapter = model.adapter(self.dataset.as_ref())?;
        let prompts: HashMap<&str, usize> = plan
            .open
            .iter()
            .filter_map(|&index| Some((self.sample(index)?.id.as_str(), index)))
            .collect();
        let ended = Cell::new(false);
        let mut progress = Progress::start(self.task.id(), plan.open.len());
        let mut asked = Asked::default();
        let mut requests = plan
            .open
            .iter()
            .take_while(|_| !ended.get() && !interrupt.requested())
            .filter_map(|&index| self.request(index));
        let mut sink = |answer: Answer| {
            let prompt = prompts
                .get(answer.id.as_str())
                .map(|&index| self.prompt(index))
                .unwrap_or_default();
            let entry = entry(answer, prompt);
            asked.questions += 1;
            asked.new_tokens += entry.new_tokens;
            progress.add(entry.error.is_some());
            if let Err(fault) = journal.append(&entry) {
                *stop = Some(fault);
            } else if let Some(reason) = &entry.error {
                asked.failures.push((entry.id.clone(), reason.clone()));
                if self.args.strict {
                    *stop = Some(Fault::User(format!("--strict: sample `{}` failed: {reason}", entry.id)));
                }
            }
            ended.set(stop.is_some());
            if ended.get() || interrupt.requested() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let outcome = adapter.answer(&mut requests, &mut sink);
        asked.seconds = progress.finish().as_secs_f64();
        outcome?;
        Ok(asked)
    }

    /// Scores all answers in the folder, whoever gave them, and writes and prints the results.
    fn conclude(&self, model: &Model, plan: &Plan) -> Result<Exit, Fault> {
        let entries = self.folder.entries()?;
        let samples = self.dataset.samples();
        let answers: Vec<Option<String>> = samples
            .iter()
            .map(|sample| entries.get(sample.id.as_str())?.answer.clone())
            .collect();
        let score = self.dataset.score(&answers, Protocol::Paper)?;
        let mut results = Results::new(self.dataset.as_ref(), self.task, Protocol::Paper, &score);
        results.model = Some(model.name().to_owned());
        results.failed = entries.values().filter(|entry| entry.error.is_some()).count();
        results.timings = self.timings()?;
        samples::write(&self.folder.samples(), self.dataset.as_ref(), &entries, &score)?;
        artefact::write_json(&self.folder.results(), &results)?;

        let mut out = std::io::stdout().lock();
        score_table::write(&mut out, &results)
            .and_then(|()| out.flush())
            .map_err(|error| Fault::stdout(&error))?;
        eprintln!("{}: written to `{}`", self.task, self.shown());
        let open = plan
            .selected
            .iter()
            .filter(|&&index| answers.get(index).is_none_or(Option::is_none))
            .count();
        Ok(if open > 0 { Exit::Unanswered } else { Exit::Done })
    }

    fn dry_run(&self, model: &Model) -> Result<Exit, Fault> {
        let plan = self.plan(&if self.args.fresh {
            HashMap::new()
        } else {
            self.folder.entries()?
        });
        let pictures: BTreeMap<String, bool> = plan
            .open
            .iter()
            .filter_map(|&index| self.sample(index))
            .flat_map(|sample| &sample.pictures)
            .map(|picture| (picture.key().to_owned(), picture.is_present()))
            .collect();
        let present = pictures.values().filter(|present| **present).count();
        let expected = match self.timings()? {
            Some(timings) if timings.questions_per_second > 0.0 => {
                format!(
                    "about {}, as fast as before",
                    span(plan.open.len() as f64 / timings.questions_per_second)
                )
            }
            _ => "unknown: this run has not asked anything yet".to_owned(),
        };
        let lines = [
            format!(
                "{} {} with {}",
                self.task,
                self.dataset.provenance().split,
                model.name()
            ),
            format!(
                "  questions  {} to ask, {} already answered",
                plan.open.len(),
                plan.selected.len() - plan.open.len()
            ),
            format!("  pictures   {} needed, {present} present", pictures.len()),
            format!("  time       {expected}"),
            format!("  folder     {}", self.shown()),
        ];
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", lines.join("\n")).map_err(|error| Fault::stdout(&error))?;
        Ok(Exit::Done)
    }

    fn plan(&self, entries: &HashMap<String, Entry>) -> Plan {
        let answered: HashSet<&str> = entries
            .iter()
            .filter(|(_, entry)| entry.answer.is_some())
            .map(|(id, _)| id.as_str())
            .collect();
        Plan::new(self.dataset.samples(), self.args.limit, self.args.shard, &answered)
    }

    /// Stops a run none of whose pictures is there before it fails them one by one.
    fn require_some_picture(&self, plan: &Plan) -> Result<(), Fault> {
        let wanted: HashSet<&str> = plan
            .open
            .iter()
            .filter_map(|&index| self.sample(index))
            .flat_map(|sample| &sample.pictures)
            .map(benchmarks::Picture::key)
            .collect();
        let present = |index: &usize| {
            self.sample(*index)
                .is_some_and(|s| s.pictures.iter().any(|p| p.is_present()))
        };
        if wanted.is_empty() || plan.open.iter().any(|index| present(index)) {
            return Ok(());
        }
        let folders: Vec<String> = self
            .dataset
            .provenance()
            .picture_folders
            .iter()
            .map(|folder| format!("`{}`", folder.display()))
            .collect();
        Err(Fault::User(format!(
            "{}: none of the {} pictures is there; looked in {}; {}, or name their folder with --images",
            self.task,
            wanted.len(),
            folders.join(", "),
            self.benchmark.data_hint()
        )))
    }

    fn request(&self, index: usize) -> Option<Request> {
        let sample = self.sample(index)?;
        let pictures = sample.pictures.iter().cloned().map(|picture| {
            let key: Arc<str> = Arc::from(picture.key());
            let read = move || picture.read().map_err(|error| error.to_string());
            PromptPart::Picture(EncodedPicture {
                key,
                read: Arc::new(read),
            })
        });
        let prompt = pictures.chain([PromptPart::Text(self.prompt(index))]).collect();
        Some(Request {
            id: sample.id.to_string(),
            prompt,
            limits: GenerationLimits {
                max_new_tokens: self.max_new_tokens(),
            },
        })
    }

    fn prompt(&self, index: usize) -> String {
        self.dataset.prompt(index, self.args.prompt_style)
    }

    fn max_new_tokens(&self) -> usize {
        self.args
            .max_new_tokens
            .map_or(self.benchmark.max_new_tokens(), |limit| limit as usize)
    }

    fn sample(&self, index: usize) -> Option<&Sample> {
        self.dataset.samples().get(index)
    }

    fn identity(&self, model: &Model, files: &[FileRecord]) -> BTreeMap<String, String> {
        let style: PromptStyle = self.args.prompt_style;
        let mut identity = BTreeMap::from([
            ("task".to_owned(), self.task.to_string()),
            ("split".to_owned(), self.dataset.provenance().split.clone()),
            ("prompt-style".to_owned(), style.to_string()),
            ("max-new-tokens".to_owned(), self.max_new_tokens().to_string()),
        ]);
        identity.extend(
            model
                .identity()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        for file in &self.dataset.provenance().files {
            identity.insert(format!("data/{}", last_part(&file.path)), file.sha256.clone());
        }
        for file in files {
            let name = file
                .path
                .strip_prefix(model.path())
                .ok()
                .filter(|part| !part.as_os_str().is_empty());
            let name = name.map_or_else(|| last_part(&file.path), |part| part.display().to_string());
            identity.insert(format!("model/{name}"), file.sha256.clone());
        }
        identity
    }

    fn segment(&self) -> Segment {
        Segment {
            started: jiff::Timestamp::now().to_string(),
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: sysinfo::System::host_name().unwrap_or_default(),
            machine: BTreeMap::new(),
            limit: self.args.limit,
            shard: self.args.shard.map(|shard| format!("{}/{}", shard.index, shard.count)),
            asked: 0,
            failed: 0,
            new_tokens: 0,
            seconds: 0.0,
        }
    }

    fn timings(&self) -> Result<Option<Timings>, Fault> {
        let segments: Vec<Segment> = self
            .folder
            .manifests()?
            .into_iter()
            .flat_map(|(_, manifest)| manifest.segments)
            .collect();
        let asked = segments.iter().map(|segment| segment.asked).sum();
        let seconds: f64 = segments.iter().map(|segment| segment.seconds).sum();
        Ok((asked > 0 && seconds > 0.0).then(|| Timings {
            asked,
            seconds,
            questions_per_second: asked as f64 / seconds,
            new_tokens: segments.iter().map(|segment| segment.new_tokens).sum(),
        }))
    }

    fn show_failures(&self, asked: &Asked) {
        for (id, reason) in asked.failures.iter().take(FAILURES_SHOWN) {
            eprintln!("{}: failed: {id}: {reason}", self.task);
        }
        if asked.failures.len() > FAILURES_SHOWN {
            let more = asked.failures.len() - FAILURES_SHOWN;
            eprintln!(
                "{}: and {more} more; all stand in `{}`",
                self.task,
                self.folder.journal().display()
            );
        }
    }

    fn shown(&self) -> String {
        self.folder.path().display().to_string()
    }
}

fn entry(answer: Answer, prompt: String) -> Entry {
    match answer.outcome {
        Ok(said) => Entry {
            id: answer.id,
            answer: Some(said.text),
            error: None,
            prompt,
            prompt_tokens: said.prompt_tokens,
            new_tokens: said.new_tokens,
            finish: Some(said.finish.id().to_owned()),
        },
        Err(failure) => Entry {
            id: answer.id,
            answer: None,
            error: Some(failure.0),
            prompt,
            prompt_tokens: 0,
            new_tokens: 0,
            finish: None,
        },
    }
}

fn last_part(path: &std::path::Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
