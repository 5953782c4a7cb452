//! The runs that a page shows, as their folders tell them, put together by benchmark.

use std::path::{Path, PathBuf};

use benchmarks::{PromptStyle, Task};

use crate::beside_published::Run as Published;
use crate::fault::Fault;
use crate::manifest::Manifest;
use crate::run_folder::{RunFolder, folders_with};
use crate::samples::{self, SampleRow};
use crate::scorecard::Scorecard;

/// The runs of one benchmark, the base first.
pub struct BenchmarkRuns {
    /// Benchmark.
    pub task: Task,
    /// Split.
    pub split: String,
    /// At least one, in the order given.
    pub runs: Vec<Run>,
}

/// One run of one benchmark.
pub struct Run {
    /// Its model, or its folder's name; unlike that of any other run of the benchmark.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// Its metrics; `None` where the answers cannot be scored here.
    pub metrics: Option<Published>,
    /// What a comparison needs.
    pub scorecard: Option<Scorecard>,
    /// One row a sample.
    pub samples: Vec<SampleRow>,
    /// What produced it, one manifest a shard; empty where a loose prediction file was scored.
    pub manifests: Vec<Manifest>,
}

/// The runs at or below `paths`, by benchmark in the order of the papers' tables.
///
/// # Errors
///
/// A path without a run, and files that are of another version.
pub fn read(paths: &[PathBuf]) -> Result<Vec<BenchmarkRuns>, Fault> {
    let mut benchmarks: Vec<BenchmarkRuns> = Vec::new();
    for path in paths {
        if path.is_file() {
            return Err(Fault::User(format!(
                "`{}` is a file, without questions and pictures; name the run's folder",
                path.display()
            )));
        }
        let folders = folders_with(path, "samples.parquet")?;
        if folders.is_empty() {
            return Err(Fault::User(format!(
                "no samples.parquet in `{}` or in the folders below it; name a folder that `run` or `score --out` has \
                 written",
                path.display()
            )));
        }
        for folder in folders {
            let (task, split, run) = Run::read(&folder)?;
            match benchmarks.iter_mut().find(|one| one.task == task && one.split == split) {
                Some(benchmark) => benchmark.runs.push(run),
                None => benchmarks.push(BenchmarkRuns {
                    task,
                    split,
                    runs: vec![run],
                }),
            }
        }
    }
    benchmarks.sort_by(|a, b| (a.task, &a.split).cmp(&(b.task, &b.split)));
    for benchmark in &mut benchmarks {
        tell_apart(&mut benchmark.runs);
    }
    Ok(benchmarks)
}

impl Run {
    fn read(path: &Path) -> Result<(Task, String, Self), Fault> {
        let folder = RunFolder::at(path.to_owned());
        let manifests: Vec<Manifest> = folder.manifests()?.into_iter().map(|(_, manifest)| manifest).collect();
        let scored = folder.results().is_file();
        let metrics = if scored { Some(Published::read(&folder)?) } else { None };
        let scorecard = if folder.scorecard().is_file() {
            Scorecard::read_all(&folder.scorecard())?
                .pop()
                .map(|found| found.scorecard)
        } else {
            None
        };
        let of_identity = |name: &str| manifests.first().and_then(|manifest| manifest.identity.get(name));
        let (task, split) = match (&metrics, of_identity("task"), of_identity("split")) {
            (Some(metrics), _, _) => (metrics.results.task, metrics.results.split.clone()),
            (None, Some(task), Some(split)) => (task.parse()?, split.clone()),
            _ => {
                return Err(Fault::User(format!(
                    "`{}` holds neither results.json nor manifest.json, so that nothing says which benchmark its \
                     samples are of; run or score again",
                    path.display()
                )));
            }
        };
        let model = metrics.as_ref().and_then(|metrics| metrics.results.model.clone());
        let run = Self {
            name: model.unwrap_or_else(|| model_or_folder(path, !manifests.is_empty())),
            folder: path.to_owned(),
            metrics,
            scorecard,
            samples: samples::read_all(&folder.samples())?,
            manifests,
        };
        Ok((task, split, run))
    }

    /// What of the manifest a reader asks first: (name, value) pairs.
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![("folder".to_owned(), self.folder.display().to_string())];
        if let Some(metrics) = &self.metrics {
            let results = &metrics.results;
            facts.push(("protocol".to_owned(), results.protocol.to_string()));
            facts.push(("answered".to_owned(), format!("{} of {}", results.answered, results.n)));
            for (name, count) in [
                ("failed", results.failed),
                ("cut to the longest sequence", results.truncated),
                ("empty answers", results.empty),
                ("answers that the protocol cannot read", results.unparsed),
            ] {
                if count > 0 {
                    facts.push((name.to_owned(), count.to_string()));
                }
            }
            if let Some(timings) = &results.timings {
                let rate = format!("{:.2} questions a second", timings.questions_per_second);
                facts.push(("rate".to_owned(), rate));
            }
        }
        if let Some(manifest) = self.manifests.first() {
            facts.extend(manifest.identity.clone());
            if let Some(segment) = manifest.segments.first() {
                facts.push(("first started".to_owned(), segment.started.clone()));
                facts.push(("vila-bench".to_owned(), segment.version.clone()));
                facts.push(("host".to_owned(), segment.host.clone()));
                facts.extend(segment.machine.clone());
            }
        } else {
            facts.push(("prompt-style".to_owned(), PromptStyle::Paper.to_string()));
        }
        facts
    }
}

/// A run's folder is `<model>/<task>@<split>`; a folder of `score --out` has the user's name.
fn model_or_folder(path: &Path, is_run: bool) -> String {
    let named = if is_run { path.parent() } else { Some(path) };
    let name = named.and_then(Path::file_name).unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Adds the folder to names that stand more than once.
fn tell_apart(runs: &mut [Run]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in runs {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = format!("{} ({})", run.name, run.folder.display());
        }
    }
}
