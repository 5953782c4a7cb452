//! One task of a run, from its questions to its journal: what is open is asked, each answer is kept as it comes, and
//! the manifest says what produced them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use model_adapters::{Answer, Report};

use crate::artefact;
use crate::cli::RunArgs;
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal};
use crate::manifest::{DataFile, FileRecord, Manifest, Segment};
use crate::model::Model;
use crate::picture_hashes::PictureDigest;
use crate::plan::{LIMIT_SEED, Plan};
use crate::progress::Progress;
use crate::questions::Questions;
use crate::results::FORMAT;
use crate::run_folder::RunFolder;
use crate::{speed, trace};

/// How many failed samples are shown one by one.
const FAILURES_SHOWN: usize = 5;

/// One task of a run: its questions and its folder.
pub struct TaskRun<'a> {
    /// The options.
    pub args: &'a RunArgs,
    /// What is asked.
    pub questions: Questions,
    /// Where it is kept.
    pub folder: RunFolder,
}

/// What asking came to.
pub struct Answered {
    /// What was selected and, of that, what was open before.
    pub plan: Plan,
    /// What ended it early, if anything.
    pub stop: Option<Fault>,
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
    /// Asks what is not answered yet of what the options select, of these positions in the data only where some are
    /// given.
    pub fn answer(
        &self,
        model: &mut Model,
        interrupt: &Interrupt,
        only: Option<&HashSet<usize>>,
    ) -> Result<Answered, Fault> {
        let plan = |entries: &HashMap<String, Entry>| match only {
            Some(positions) => self.plan(entries).only(positions),
            None => self.plan(entries),
        };
        let before = plan(&self.earlier_entries()?);
        if model.hashes_when_loaded() && !before.open.is_empty() {
            // So that the files come from disk once.
            model.load(self.questions.dataset())?;
        }
        let mut manifest = self.manifest(model)?;
        self.say_what_is_answered(&before);
        let mut stop = None;
        if before.open.is_empty() {
            self.folder.create()?;
        } else {
            if model.needs_pictures() {
                self.questions.require_some_picture(&before.open)?;
                if !self.args.quiet {
                    eprintln!("{}: asked with {}", self.questions.task(), self.settings(model));
                }
            }
            // A model that cannot be loaded must not leave a folder that claims a run.
            model.load(self.questions.dataset())?;
            self.folder.create()?;
            if self.args.fresh {
                self.folder.start_anew()?;
            }
            let mut journal = Journal::open(&self.folder.journal())?;
            let now = plan(&self.folder.entries()?);
            stop = self.record(model, &now, &mut journal, &mut manifest, interrupt)?;
        }
        Ok(Answered { plan: before, stop })
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
        // Until this stretch has ended, what is written of it is not known.
        manifest.pictures = None;
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
        manifest.pictures = PictureDigest::of_file(&self.folder.pictures())?;
        artefact::write_json(&self.folder.manifest(), manifest)?;
        self.show_failures(&asked.failures);
        if let (Some(report), false) = (&asked.report, self.args.quiet) {
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
        let hashes = self.questions.picture_hashes();
        hashes.know(self.folder.picture_records()?);
        let mut pictures = match model.needs_pictures() {
            true => Some(Journal::open(&self.folder.pictures())?),
            false => None,
        };
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
            let sample = index.and_then(|&index| self.questions.sample(index));
            let looked_at = match (&mut pictures, sample, &entry.answer) {
                (Some(pictures), Some(sample), Some(_)) => hashes
                    .settle(sample)
                    .iter()
                    .try_for_each(|record| pictures.append(record)),
                _ => Ok(()),
            };
            // The pictures first: no answer rests on one that is not on record.
            if let Err(fault) = looked_at.and_then(|()| journal.append(&entry)) {
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

    /// What answers depend on beside files and question, chosen by the user or for the checkpoint.
    pub fn settings(&self, model: &Model) -> String {
        let settings = model.identity(self.questions.script()).into_iter();
        let settings: Vec<String> = settings.map(|(name, value)| format!("{name} {value}")).collect();
        settings.join(", ")
    }

    /// The manifest of this run: the one in the folder, which must be about the same run, or a new one.
    fn manifest(&self, model: &mut Model) -> Result<Manifest, Fault> {
        let earlier = self.folder.manifests()?;
        let identity = self.identity(model)?;
        if !self.args.fresh {
            self.folder.require(&identity)?;
            let own = earlier.into_iter().find(|(path, _)| *path == self.folder.manifest());
            if let Some((_, manifest)) = own {
                return Ok(manifest);
            }
        }
        let files = model.files()?.iter().map(|(_, record)| record.clone()).collect();
        let data = self.questions.dataset().provenance().files.iter();
        Ok(Manifest {
            format: FORMAT,
            identity,
            model: model.path().to_owned(),
            files,
            data: data.map(DataFile::from).collect(),
            seed: LIMIT_SEED.to_owned(),
            pictures: None,
            segments: Vec::new(),
        })
    }

    /// What this run is: the manifest's entries.
    pub fn identity(&self, model: &mut Model) -> Result<BTreeMap<String, String>, Fault> {
        let files: Vec<(String, FileRecord)> = model.files()?.to_vec();
        let mut identity: BTreeMap<String, String> = self.questions.identity().into_iter().collect();
        identity.extend(
            model
                .identity(self.questions.script())
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        for (name, file) in files {
            identity.insert(format!("model/{name}"), file.sha256);
        }
        Ok(identity)
    }

    /// What the folder holds, as far as this run goes on from it.
    pub fn earlier_entries(&self) -> Result<HashMap<String, Entry>, Fault> {
        if self.args.fresh {
            Ok(HashMap::new())
        } else {
            self.folder.entries()
        }
    }

    /// What the options select, and what of it `entries` leave open.
    pub fn plan(&self, entries: &HashMap<String, Entry>) -> Plan {
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
