//! Whether what a run's folder says still holds: files by their hashes, scores by scoring again, answers by asking some
//! again. What cannot be looked at is never taken to hold.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use benchmarks::{DataSource, Dataset, Picture, Protocol, Task};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::cli::VerifyArgs;
use crate::fault::Fault;
use crate::fingerprint::{Fingerprint, ModelFile};
use crate::hash::bytes_sha256;
use crate::interrupt::Interrupt;
use crate::journal::Entry;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::picture_hashes::PictureDigest;
use crate::questions::Questions;
use crate::recorded_run::{self, Places};
use crate::results::Results;
use crate::run_folder::RunFolder;
use crate::scorecard::Scorecard;
use crate::task;
use crate::task_run::TaskRun;

/// How many files, pictures or answers are named that are not as recorded.
const NAMED: usize = 3;

/// What can be said of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As recorded.
    Holds,
    /// Not as recorded.
    Differs,
    /// It could not be looked at.
    NotChecked,
    /// The run has no such part, or was not to be asked.
    Nothing,
}

impl Verdict {
    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Differs => "DIFFERS",
            Self::NotChecked => "not checked",
            Self::Nothing => "nothing to check",
        }
    }
}

/// One line of the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `model`, `data`, `pictures`, `scores`, `scorecard` or `answers`.
    pub part: &'static str,
    /// What can be said of it.
    pub verdict: Verdict,
    /// How much was looked at, and what is not as recorded.
    pub what: String,
}

impl Finding {
    fn new(part: &'static str, verdict: Verdict, what: impl Into<String>) -> Self {
        Self {
            part,
            verdict,
            what: what.into(),
        }
    }

    fn not_checked(part: &'static str, why: impl std::fmt::Display) -> Self {
        Self::new(part, Verdict::NotChecked, why.to_string())
    }

    /// Of `all` things of one kind, those not as recorded.
    fn of(part: &'static str, all: usize, kind: &str, differing: &[String]) -> Self {
        if differing.is_empty() {
            return Self::new(part, Verdict::Holds, format!("{all} {kind}, all as recorded"));
        }
        let mut named = differing
            .iter()
            .take(NAMED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if differing.len() > NAMED {
            named += &format!(" and {} more", differing.len() - NAMED);
        }
        Self::new(
            part,
            Verdict::Differs,
            format!("{} of {all} {kind} are not as recorded: {named}", differing.len()),
        )
    }
}

/// A run whose record is looked at.
pub struct Verification<'a> {
    args: &'a VerifyArgs,
    folder: RunFolder,
    manifests: Vec<(PathBuf, Manifest)>,
    manifest: Manifest,
    task: Task,
    entries: HashMap<String, Entry>,
}

impl<'a> Verification<'a> {
    /// Reads the folder.
    ///
    /// # Errors
    ///
    /// A folder without a run, or whose files cannot be read.
    pub fn open(args: &'a VerifyArgs) -> Result<Self, Fault> {
        let folder = RunFolder::at(args.run.clone());
        let manifests = folder.manifests()?;
        let Some((_, manifest)) = manifests.first() else {
            return Err(Fault::User(format!(
                "`{}` holds no manifest.json; name a folder that `run` has written, runs/<model>/<task>@<split>",
                args.run.display()
            )));
        };
        let task = manifest.identity.get("task").map(String::as_str).unwrap_or_default();
        Ok(Self {
            args,
            task: task.parse()?,
            manifest: manifest.clone(),
            entries: folder.entries()?,
            folder,
            manifests,
        })
    }

    /// Looks at every part.
    ///
    /// # Errors
    ///
    /// Only what keeps the looking itself from going on.
    pub fn findings(&self, interrupt: &Interrupt) -> Result<Vec<Finding>, Fault> {
        let mut found = vec![self.model()];
        let dataset = self.source().and_then(|source| {
            let dataset: Arc<dyn Dataset> = task::benchmark(self.task)?.load(&source)?.into();
            Ok(dataset)
        });
        match dataset {
            Ok(dataset) => {
                task::say_what_was_found(self.task, dataset.as_ref());
                found.push(self.data(dataset.as_ref()));
                found.push(self.pictures(dataset.as_ref())?);
                found.extend(self.scores(dataset.as_ref())?);
                let same_model = found.first().is_some_and(|model| model.verdict != Verdict::Differs);
                found.push(self.answers(dataset, same_model, interrupt)?);
            }
            Err(fault) => {
                let parts = ["data", "pictures", "scores", "answers"];
                found.extend(parts.map(|part| Finding::not_checked(part, &fault)));
            }
        }
        Ok(found)
    }

    fn places(&self) -> Places<'_> {
        Places {
            model: self.args.model.as_deref(),
            data: self.args.data.as_deref(),
            images: self.args.images.as_deref(),
            device: self.args.device.as_deref(),
        }
    }

    fn is_replayed(&self) -> bool {
        self.manifest
            .identity
            .get("adapter")
            .is_some_and(|adapter| adapter == "replay")
    }

    /// Every file, hashed anew, whatever the cache of hashes says.
    fn model(&self) -> Finding {
        let recorded: Vec<(String, PathBuf, String)> = match &self.args.model {
            None => {
                let directory = self.manifest.segments.last().map(|segment| segment.directory.clone());
                let whole = |path: &Path| directory.clone().unwrap_or_default().join(path);
                let files = self.manifest.files.iter();
                files
                    .map(|file| {
                        let path = whole(&file.path);
                        (path.display().to_string(), path, file.sha256.clone())
                    })
                    .collect()
            }
            Some(_) => match self.files_of_named_model() {
                Ok(files) => files,
                Err(fault) => return Finding::not_checked("model", fault),
            },
        };
        if let Some((_, gone, _)) = recorded.iter().find(|(_, path, _)| !path.exists()) {
            let why = format!("`{}` is gone; name the checkpoint with --model", gone.display());
            return Finding::not_checked("model", why);
        }
        let files = recorded.iter().map(|(name, path, _)| ModelFile {
            name: name.clone(),
            path: path.clone(),
        });
        let mut fingerprint = Fingerprint::begin(files.collect(), None);
        let found = match fingerprint.records() {
            Ok(found) => found,
            Err(fault) => return Finding::not_checked("model", fault),
        };
        let mut differing: Vec<String> = found
            .iter()
            .zip(&recorded)
            .filter(|((_, found), (_, _, sha256))| found.sha256 != *sha256)
            .map(|((name, _), _)| format!("`{name}`"))
            .collect();
        let named = self.manifest.identity.keys().filter(|name| name.starts_with("model/"));
        let lacking = named.count().saturating_sub(recorded.len());
        if lacking > 0 {
            differing.push(format!("{lacking} files that are not there"));
        }
        Finding::of("model", recorded.len(), "files", &differing)
    }

    /// The files of `--model` by name, each with the hash that the run has on record; an empty one where it has none.
    fn files_of_named_model(&self) -> Result<Vec<(String, PathBuf, String)>, Fault> {
        let args = recorded_run::pinned(&self.manifest, self.places())?;
        let args = args.ok_or_else(|| Fault::User(NOT_RECORDED.to_owned()))?;
        let mut model = Model::open(&args)?;
        let files = model.files()?.iter().map(|(name, file)| {
            let recorded = self.manifest.identity.get(&format!("model/{name}"));
            (name.clone(), file.path.clone(), recorded.cloned().unwrap_or_default())
        });
        Ok(files.collect())
    }

    /// Where the data lie: where they are said to, else where the run found them.
    fn source(&self) -> Result<DataSource, Fault> {
        let recorded = recorded_run::options(&self.manifest);
        let (root, images) = match (&self.args.data, recorded) {
            (Some(root), recorded) => (root.clone(), recorded.and_then(|run| run.images)),
            (None, Some(run)) => (run.data, run.images),
            (None, None) => {
                return Err(Fault::User(
                    "the run does not say where its data lay; name the folder with --data".to_owned(),
                ));
            }
        };
        Ok(DataSource {
            root,
            images: self.args.images.clone().or(images),
            split: self.manifest.identity.get("split").cloned(),
            grades: self.args.grades.clone().or_else(|| self.folder.grades()),
        })
    }

    fn data(&self, dataset: &dyn Dataset) -> Finding {
        let files = dataset.provenance().files.iter();
        let found: BTreeMap<String, &str> = files
            .map(|file| {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                (format!("data/{name}"), file.sha256.as_str())
            })
            .collect();
        let recorded = self
            .manifest
            .identity
            .iter()
            .filter(|(name, _)| name.starts_with("data/"));
        let differing: Vec<String> = recorded
            .clone()
            .filter(|(name, sha256)| found.get(*name) != Some(&sha256.as_str()))
            .map(|(name, _)| format!("`{}`", name.trim_start_matches("data/")))
            .collect();
        Finding::of("data", recorded.count(), "files", &differing)
    }

    fn pictures(&self, dataset: &dyn Dataset) -> Result<Finding, Fault> {
        let records = self.folder.picture_records()?;
        if records.is_empty() {
            return Ok(match self.is_replayed() {
                true => Finding::new("pictures", Verdict::Nothing, "replayed answers look at none"),
                false => Finding::not_checked("pictures", "the run has no hashes of pictures on record"),
            });
        }
        for (path, manifest) in &self.manifests {
            let file = path.with_file_name(
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .replace("manifest", "pictures")
                    .replace(".json", ".jsonl"),
            );
            if manifest.pictures.is_some() && manifest.pictures != PictureDigest::of_file(&file)? {
                let what = format!("`{}` is not the list that the manifest has the hash of", file.display());
                return Ok(Finding::new("pictures", Verdict::Differs, what));
            }
        }
        let samples = dataset.samples().iter().flat_map(|sample| &sample.pictures);
        let by_key: HashMap<&str, &Picture> = samples.map(|picture| (picture.key(), picture)).collect();
        let (mut differing, mut unread) = (Vec::new(), Vec::new());
        for record in records.values() {
            let read = by_key.get(record.picture.as_str()).map(|picture| picture.read());
            match read {
                Some(Ok(bytes)) if bytes_sha256(&bytes) == record.sha256 => {}
                Some(Ok(_)) => differing.push(format!("`{}`", record.picture)),
                Some(Err(error)) => unread.push(error.to_string()),
                None => unread.push(format!("the data do not have `{}`", record.picture)),
            }
        }
        Ok(match unread.first() {
            Some(first) if differing.is_empty() => Finding::not_checked(
                "pictures",
                format!(
                    "{} of {} cannot be read (first: {first}); name their folder with --data or --images",
                    unread.len(),
                    records.len()
                ),
            ),
            _ => Finding::of("pictures", records.len(), "pictures", &differing),
        })
    }

    /// `results.json` and `scorecard.json`, to the last digit.
    fn scores(&self, dataset: &dyn Dataset) -> Result<Vec<Finding>, Fault> {
        let path = self.folder.results();
        if !path.exists() {
            return Ok(vec![Finding::new(
                "scores",
                Verdict::Nothing,
                "the run is not scored here",
            )]);
        }
        let stored = Results::read(&path)?;
        let answer = |sample: &benchmarks::Sample| self.entries.get(sample.id.as_str())?.answer.clone();
        let answers: Vec<Option<String>> = dataset.samples().iter().map(answer).collect();
        if stored.judge.is_some() && dataset.judge().is_none() {
            let why = "a judge has graded the answers; name its file with --grades";
            return Ok(vec![Finding::not_checked("scores", why)]);
        }
        let score = match dataset.score(&answers, Protocol::Paper) {
            Ok(score) => score,
            Err(error) => return Ok(vec![Finding::not_checked("scores", error)]),
        };
        let mut anew = Results::new(dataset, self.task, Protocol::Paper, &score);
        anew.model.clone_from(&stored.model);
        anew.failed = self.entries.values().filter(|entry| entry.error.is_some()).count();
        anew.truncated = self.entries.values().filter(|entry| entry.truncated).count();
        anew.timings = stored.timings;
        if stored.questions.is_empty() {
            // An earlier vila-bench did not write them.
            anew.questions.clear();
        }
        let mut found = vec![Finding::of(
            "scores",
            stored.metrics.0.len(),
            "metrics",
            &differences(&stored, &anew)?,
        )];
        if self.folder.scorecard().exists() {
            let scorecard = Scorecard::new(dataset, self.task, Protocol::Paper, &score);
            let scorecard = scorecard.of_run(stored.model.as_deref().unwrap_or_default(), &self.manifest.identity);
            let read = Scorecard::read_all(&self.folder.scorecard())?;
            let same = read.iter().all(|found| found.scorecard == scorecard);
            let differing = if same { vec![] } else { vec!["its scores".to_owned()] };
            found.push(Finding::of("scorecard", 1, "scorecard", &differing));
        }
        Ok(found)
    }

    /// Asks some questions again, in a folder of its own that does not stay.
    fn answers(&self, dataset: Arc<dyn Dataset>, same_model: bool, interrupt: &Interrupt) -> Result<Finding, Fault> {
        let part = "answers";
        if self.args.ask == 0 {
            return Ok(Finding::new(part, Verdict::Nothing, "none was to be asked again"));
        }
        if !same_model {
            return Ok(Finding::not_checked(part, "the model is not the run's"));
        }
        let Some(args) = recorded_run::pinned(&self.manifest, self.places())? else {
            return Ok(Finding::not_checked(part, NOT_RECORDED));
        };
        let mut model = match Model::open(&args) {
            Ok(model) => model,
            Err(fault) => return Ok(Finding::not_checked(part, fault)),
        };
        model.stop_when(interrupt);
        let chosen = self.chosen(dataset.as_ref());
        let staging = tempfile::tempdir().map_err(|error| Fault::write(&std::env::temp_dir(), &error))?;
        let run = TaskRun {
            args: &args,
            questions: Questions::about(&args, self.task, Arc::clone(&dataset))?,
            folder: RunFolder::at(staging.path().join("run")),
        };
        let asked = run.answer(&mut model, interrupt, Some(&chosen));
        match asked {
            Ok(answered) if answered.stop.is_none() => {}
            Ok(answered) => {
                return Ok(Finding::not_checked(
                    part,
                    answered.stop.map_or_else(String::new, |fault| fault.to_string()),
                ));
            }
            Err(fault @ Fault::Bug(_)) => return Err(fault),
            Err(fault) => return Ok(Finding::not_checked(part, fault)),
        }
        let again = run.folder.entries()?;
        let (mut differing, mut unasked) = (Vec::new(), 0);
        for sample in chosen.iter().filter_map(|&index| dataset.samples().get(index)) {
            let now = again.get(sample.id.as_str()).and_then(|entry| entry.answer.as_ref());
            let before = self
                .entries
                .get(sample.id.as_str())
                .and_then(|entry| entry.answer.as_ref());
            match now {
                None => unasked += 1,
                Some(_) if now == before => {}
                Some(_) => differing.push(format!("`{}`", sample.id)),
            }
        }
        differing.sort();
        Ok(match (unasked, differing.is_empty()) {
            (1.., true) => Finding::not_checked(part, format!("{unasked} of {} had no answer this time", chosen.len())),
            _ => Finding::of(part, chosen.len(), "answers asked again", &differing),
        })
    }

    /// Positions of as many answered questions as are to be asked, drawn by the seed.
    fn chosen(&self, dataset: &dyn Dataset) -> HashSet<usize> {
        let answered = |id: &str| self.entries.get(id).is_some_and(|entry| entry.answer.is_some());
        let samples = dataset.samples().iter().enumerate();
        let mut positions: Vec<usize> = samples
            .filter(|(_, sample)| answered(sample.id.as_str()))
            .map(|(index, _)| index)
            .collect();
        positions.shuffle(&mut ChaCha8Rng::seed_from_u64(self.args.seed));
        positions.truncate(self.args.ask);
        positions.into_iter().collect()
    }
}

const NOT_RECORDED: &str = "the folder does not say which `run` made it";

/// What two documents say otherwise, by name.
fn differences(stored: &Results, anew: &Results) -> Result<Vec<String>, Fault> {
    let json = |results: &Results| {
        serde_json::to_value(results).map_err(|error| Fault::Bug(format!("results have no JSON: {error}")))
    };
    let (stored, anew) = (json(stored)?, json(anew)?);
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .map_or_else(Vec::new, |object| object.keys().cloned().collect())
    };
    let mut found = Vec::new();
    let names: std::collections::BTreeSet<String> = keys(&stored).into_iter().chain(keys(&anew)).collect();
    for name in names {
        match (stored.get(&name), anew.get(&name)) {
            (one, other) if one == other => {}
            (Some(one), Some(other)) if name == "metrics" => {
                let ids: std::collections::BTreeSet<String> = keys(one).into_iter().chain(keys(other)).collect();
                let differing = ids.into_iter().filter(|id| one.get(id) != other.get(id));
                found.extend(differing.map(|id| {
                    let value = |of: &serde_json::Value| of.get(&id).and_then(|metric| metric.get("value")).cloned();
                    let shown =
                        |value: Option<serde_json::Value>| value.map_or_else(|| "none".to_owned(), |v| v.to_string());
                    format!("{id} ({} on record, {} now)", shown(value(one)), shown(value(other)))
                }));
            }
            _ => found.push(name),
        }
    }
    Ok(found)
}
