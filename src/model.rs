//! What answers a run: a checkpoint behind the libtorch runner, or a prediction file that is replayed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use benchmarks::{Dataset, PredictionFile, PredictionOutcome, match_predictions};
use model_adapters::{Adapter, Replay, Request, Script};

use crate::cli::{AdapterKind, RunArgs};
use crate::fault::Fault;
use crate::fingerprint::{self, Fingerprint, ModelFile};
use crate::interrupt::Interrupt;
use crate::manifest::FileRecord;
#[cfg(feature = "libtorch")]
use crate::runner::Runner;

/// A model, opened as far as is needed to know what it is; weights are read when the first question is asked.
pub struct Model {
    name: String,
    path: PathBuf,
    fingerprint: Fingerprint,
    kind: Kind,
}

enum Kind {
    Replay(PredictionFile),
    #[cfg(feature = "libtorch")]
    Checkpoint(Box<Runner>),
}

impl Model {
    /// Recognises what `--model` names.
    pub fn open(args: &RunArgs) -> Result<Self, Fault> {
        let path = args.model.clone();
        let replayed = match args.adapter {
            AdapterKind::Auto => path.is_file(),
            AdapterKind::Replay => true,
            AdapterKind::Vila | AdapterKind::Llava => false,
        };
        let kind = if replayed {
            Kind::Replay(PredictionFile::read(&path)?)
        } else {
            checkpoint(args)?
        };
        // A rehearsal names no file: to show a prompt, 13 GB are not read.
        let files = if args.dry_run { Vec::new() } else { kind.files(&path) };
        Ok(Self {
            name: kind.name(&path),
            fingerprint: Fingerprint::begin(files, fingerprint::cache_file()),
            path,
            kind,
        })
    }

    /// Names the run's folder: the last part of the path or of the hub id, for a prediction file without its ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that an answer depends on, by name, with its hash.
    pub fn files(&mut self) -> Result<&[(String, FileRecord)], Fault> {
        self.fingerprint.records()
    }

    /// Whether [`Self::files`] would have to read large files for their hashes, which loading reads anyway.
    pub fn hashes_when_loaded(&self) -> bool {
        !self.fingerprint.missing().is_empty()
    }

    /// What an answer to `script` depends on besides files and prompt.
    #[cfg_attr(
        not(feature = "libtorch"),
        expect(unused_variables, reason = "only a checkpoint looks at the script")
    )]
    pub fn identity(&self, script: Script) -> Vec<(&'static str, String)> {
        match &self.kind {
            Kind::Replay(_) => vec![("adapter", "replay".to_owned())],
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => runner.identity(script),
        }
    }

    /// The whole text that `request` becomes, where the model is one that makes it here.
    #[cfg_attr(
        not(feature = "libtorch"),
        expect(unused_variables, reason = "only a checkpoint looks at the request")
    )]
    pub fn prompt(&self, request: &Request) -> Option<String> {
        match &self.kind {
            Kind::Replay(_) => None,
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => Some(runner.prompt(request)),
        }
    }

    /// Where it computes, for the record.
    pub fn machine(&self) -> BTreeMap<String, String> {
        match &self.kind {
            Kind::Replay(_) => BTreeMap::new(),
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => runner.machine(),
        }
    }

    /// Whether it looks at pictures.
    pub fn needs_pictures(&self) -> bool {
        !matches!(self.kind, Kind::Replay(_))
    }

    /// Loads what [`Self::adapter`] would load, so that a fault shows before anything is written.
    pub fn load(&mut self, dataset: &dyn Dataset) -> Result<(), Fault> {
        self.adapter(dataset).map(drop)
    }

    /// Lets it leave questions in flight unfinished once the user asks to stop.
    #[cfg_attr(
        not(feature = "libtorch"),
        expect(unused_variables, reason = "replayed answers come at once")
    )]
    pub fn stop_when(&mut self, interrupt: &Interrupt) {
        match &mut self.kind {
            Kind::Replay(_) => {}
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => runner.stop_when(interrupt.flag()),
        }
    }

    /// Goes on from what earlier runs of the model, in `folder`, measured.
    #[cfg_attr(
        not(feature = "libtorch"),
        expect(unused_variables, reason = "replayed answers come at once")
    )]
    pub fn recall(&mut self, folder: &Path, identity: &BTreeMap<String, String>) -> Result<(), Fault> {
        match &mut self.kind {
            Kind::Replay(_) => Ok(()),
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => runner.recall(folder, identity),
        }
    }

    /// Keeps what has been measured for later runs.
    #[cfg_attr(
        not(feature = "libtorch"),
        expect(unused_variables, reason = "replayed answers come at once")
    )]
    pub fn keep(&self, folder: &Path, identity: &BTreeMap<String, String>) -> Result<(), Fault> {
        match &self.kind {
            Kind::Replay(_) => Ok(()),
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => runner.keep(folder, identity),
        }
    }

    /// Makes it ready to be asked the questions of `dataset`, by sample id.
    pub fn adapter(&mut self, dataset: &dyn Dataset) -> Result<Box<dyn Adapter + '_>, Fault> {
        match &mut self.kind {
            Kind::Replay(file) => Ok(Box::new(replay(dataset, file)?)),
            #[cfg(feature = "libtorch")]
            Kind::Checkpoint(runner) => {
                let fingerprint = &mut self.fingerprint;
                for (path, sha256) in runner.load(|| fingerprint.missing())? {
                    fingerprint.supply(&path, &sha256);
                }
                runner.adapter()
            }
        }
    }
}

impl Kind {
    fn name(&self, path: &Path) -> String {
        match self {
            Self::Replay(_) => file_stem(path),
            #[cfg(feature = "libtorch")]
            Self::Checkpoint(runner) => runner.name(),
        }
    }

    fn files(&self, path: &Path) -> Vec<ModelFile> {
        match self {
            Self::Replay(file) => prediction_files(&file.path)
                .into_iter()
                .map(|file| {
                    let inside = file
                        .strip_prefix(path)
                        .ok()
                        .filter(|inside| !inside.as_os_str().is_empty());
                    let name = inside.map(Path::as_os_str).or(file.file_name()).unwrap_or_default();
                    ModelFile {
                        name: name.to_string_lossy().into_owned(),
                        path: file,
                    }
                })
                .collect(),
            #[cfg(feature = "libtorch")]
            Self::Checkpoint(runner) => runner.files(),
        }
    }
}

#[cfg(feature = "libtorch")]
fn checkpoint(args: &RunArgs) -> Result<Kind, Fault> {
    Ok(Kind::Checkpoint(Box::new(Runner::open(args)?)))
}

#[cfg(not(feature = "libtorch"))]
fn checkpoint(args: &RunArgs) -> Result<Kind, Fault> {
    std::fs::metadata(&args.model).map_err(|error| Fault::read(&args.model, &error))?;
    Err(Fault::User(format!(
        "cannot run checkpoint `{}`: this vila-bench was built without libtorch; build it with the feature `libtorch`, \
         or give --model a prediction file",
        args.model.display()
    )))
}

/// Answers by sample id, from a file that may name its samples otherwise.
fn replay(dataset: &dyn Dataset, file: &PredictionFile) -> Result<Replay, Fault> {
    let outcomes = match_predictions(dataset, file)?;
    let answers: HashMap<String, Result<String, String>> = dataset
        .samples()
        .iter()
        .zip(outcomes)
        .filter_map(|(sample, outcome)| {
            let outcome = match outcome? {
                PredictionOutcome::Answer(text) => Ok(text),
                PredictionOutcome::Failed(reason) => Err(reason),
            };
            Some((sample.id.to_string(), outcome))
        })
        .collect();
    Ok(Replay::new(answers))
}

/// The file itself, or the files of an MME result folder.
fn prediction_files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

fn file_stem(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole
        .file_stem()
        .map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_file_names_its_run_without_its_ending() {
        assert_eq!(file_stem(Path::new("answers/llava-v1.5-13b.jsonl")), "llava-v1.5-13b");
        assert_eq!(file_stem(Path::new("/answers/mme/")), "mme");
    }
}
