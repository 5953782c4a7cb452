//! The folder of a run, `OUT/<model>/<task>@<split>/`: which files it holds, by name.
//!
//! Shards of one run share the folder. Each writes a journal and a manifest of its own, so that none waits for
//! another; scoring merges all journals that lie there.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use benchmarks::Task;

use crate::artefact::create_folder;
use crate::fault::Fault;
use crate::journal::{self, Entry};
use crate::manifest::Manifest;
use crate::picture_hashes::{self, PictureRecord};
use crate::plan::Shard;
use crate::results::Timings;
use crate::scorecard;

/// A run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    shard: Option<Shard>,
}

impl RunFolder {
    /// The folder of `model` on `task` at `split` under `out`, seen by one shard. Nothing is created.
    pub fn new(out: &Path, model: &str, task: Task, split: &str, shard: Option<Shard>) -> Self {
        Self {
            path: out.join(model).join(format!("{task}@{split}")),
            shard,
        }
    }

    /// The folder at `path`, seen by no shard.
    pub fn at(path: PathBuf) -> Self {
        Self { path, shard: None }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of all runs of the model.
    pub fn of_model(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// This shard's journal.
    pub fn journal(&self) -> PathBuf {
        self.own("predictions", "jsonl")
    }

    /// This shard's manifest.
    pub fn manifest(&self) -> PathBuf {
        self.own("manifest", "json")
    }

    /// The hashes of the pictures that this shard's answers rest on.
    pub fn pictures(&self) -> PathBuf {
        self.own("pictures", "jsonl")
    }

    /// The pictures that the answers of all shards rest on, by key.
    pub fn picture_records(&self) -> Result<BTreeMap<String, PictureRecord>, Fault> {
        let mut records = BTreeMap::new();
        for path in self.all("pictures", "jsonl")? {
            records.extend(picture_hashes::read(&path)?);
        }
        Ok(records)
    }

    /// The metrics of all shards.
    pub fn results(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// What a comparison needs, of all shards.
    pub fn scorecard(&self) -> PathBuf {
        self.path.join(scorecard::FILE)
    }

    /// One row a sample, of all shards.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples.parquet")
    }

    /// The grades or matches that `grade` has written here, where they are one file.
    pub fn grades(&self) -> Option<PathBuf> {
        let is_one = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (name.contains("-grade-") && name.ends_with("runs.json")) || name.ends_with("-matches.json")
        };
        let entries = std::fs::read_dir(&self.path).ok()?;
        let mut files = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_one(path));
        files.next().filter(|_| files.next().is_none())
    }

    /// Creates the folder.
    pub fn create(&self) -> Result<(), Fault> {
        create_folder(&self.path)
    }

    /// Moves this shard's journal, manifest and picture hashes (all shards' where this is none) aside, numbered, beside
    /// the new ones.
    pub fn start_anew(&self) -> Result<(), Fault> {
        let mine = match self.shard {
            Some(_) => vec![self.journal(), self.manifest(), self.pictures()],
            None => [
                self.all("predictions", "jsonl")?,
                self.all("manifest", "json")?,
                self.all("pictures", "jsonl")?,
            ]
            .concat(),
        };
        for path in mine.into_iter().filter(|path| path.exists()) {
            let aside = (1..)
                .map(|n| PathBuf::from(format!("{}.old-{n}", path.display())))
                .find(|aside| !aside.exists())
                .unwrap_or_else(|| path.clone());
            std::fs::rename(&path, &aside).map_err(|error| Fault::write(&aside, &error))?;
        }
        Ok(())
    }

    /// The last entry of every id over all shards' journals.
    pub fn entries(&self) -> Result<HashMap<String, Entry>, Fault> {
        let mut entries = HashMap::new();
        for path in self.all("predictions", "jsonl")? {
            let mut here = HashMap::new();
            journal::read(&path, &mut here)?;
            for (id, entry) in here {
                // An id may stand in two journals after a change of --shard: an answer outweighs a failure.
                if entry.answer.is_some() || !entries.contains_key(&id) {
                    entries.insert(id, entry);
                }
            }
        }
        Ok(entries)
    }

    /// The manifests of all shards, with their places.
    pub fn manifests(&self) -> Result<Vec<(PathBuf, Manifest)>, Fault> {
        let paths = self.all("manifest", "json")?;
        paths
            .into_iter()
            .map(|path| Manifest::read(&path).map(|manifest| (path, manifest)))
            .collect()
    }

    /// Refuses an identity that is not that of every shard here.
    pub fn require(&self, identity: &BTreeMap<String, String>) -> Result<(), Fault> {
        self.manifests()?
            .iter()
            .try_for_each(|(path, manifest)| manifest.require(identity, path))
    }

    /// What asking took so far, over all shards; `None` where nothing has been asked.
    pub fn timings(&self) -> Result<Option<Timings>, Fault> {
        let manifests = self.manifests()?;
        let segments = || manifests.iter().flat_map(|(_, manifest)| &manifest.segments);
        let asked = segments().map(|segment| segment.asked).sum();
        let seconds: f64 = segments().map(|segment| segment.seconds).sum();
        Ok((asked > 0 && seconds > 0.0).then(|| Timings {
            asked,
            seconds,
            questions_per_second: asked as f64 / seconds,
            new_tokens: segments().map(|segment| segment.new_tokens).sum(),
            report: segments()
                .filter_map(|segment| segment.report)
                .reduce(|mut sum, report| {
                    sum += report;
                    sum
                }),
        }))
    }

    fn own(&self, stem: &str, extension: &str) -> PathBuf {
        match self.shard {
            None => self.path.join(format!("{stem}.{extension}")),
            Some(shard) => self.path.join(format!("{stem}.{}.{extension}", shard.file_part())),
        }
    }

    /// `stem.extension` and `stem.I-of-N.extension`, sorted.
    fn all(&self, stem: &str, extension: &str) -> Result<Vec<PathBuf>, Fault> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            // Nothing there yet; a file in the way is named when the folder is created.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Fault::read(&self.path, &error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| Fault::read(&self.path, &error))?.path();
            let middle = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_prefix(stem)?.strip_suffix(&format!(".{extension}")));
            let ours = |middle: &str| middle.is_empty() || middle.strip_prefix('.').is_some_and(is_shard_part);
            if middle.is_some_and(ours) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The folders at `path` or one or two levels below it that hold `file`, sorted; nothing is looked for inside one.
pub fn folders_with(path: &Path, file: &str) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    collect_folders(path, file, 2, &mut found)?;
    Ok(found)
}

fn collect_folders(folder: &Path, file: &str, levels: usize, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    if folder.join(file).is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    if levels > 0 {
        let entries = std::fs::read_dir(folder).map_err(|error| Fault::read(folder, &error))?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        for below in folders {
            collect_folders(&below, file, levels - 1, found)?;
        }
    }
    Ok(())
}

fn is_shard_part(text: &str) -> bool {
    text.split_once("-of-")
        .is_some_and(|(index, count)| format!("{index}/{count}").parse::<Shard>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &RunFolder, name: &str) {
        std::fs::write(folder.path().join(name), "").unwrap();
    }

    #[test]
    fn only_journals_are_journals() {
        let out = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(out.path(), "m", Task::Pope, "coco-8910", None);
        folder.create().unwrap();
        for name in [
            "predictions.jsonl",
            "predictions.0-of-2.jsonl",
            "predictions.1-of-2.jsonl",
            "predictions.2-of-2.jsonl",
            "predictions.jsonl.old-1",
            "predictions.backup.jsonl",
            "results.json",
        ] {
            touch(&folder, name);
        }
        let found = folder.all("predictions", "jsonl").unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "predictions.0-of-2.jsonl",
                "predictions.1-of-2.jsonl",
                "predictions.jsonl"
            ]
        );
    }

    #[test]
    fn grades_of_two_judges_are_nobodys_choice() {
        let out = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(out.path().to_owned());
        touch(&folder, "m_gpt-4.transcript.jsonl");
        assert_eq!(folder.grades(), None);
        touch(&folder, "m_gpt-4-grade-1runs.json");
        assert_eq!(folder.grades(), Some(out.path().join("m_gpt-4-grade-1runs.json")));
        touch(&folder, "m_rule-grade-1runs.json");
        assert_eq!(folder.grades(), None);
        assert_eq!(RunFolder::at(out.path().join("nowhere")).grades(), None);
    }

    #[test]
    fn starting_anew_keeps_every_old_journal() {
        let out = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(out.path(), "m", Task::Pope, "coco-8910", None);
        folder.create().unwrap();
        for _ in 0..2 {
            touch(&folder, "predictions.jsonl");
            folder.start_anew().unwrap();
        }
        assert!(!folder.journal().exists());
        for name in ["predictions.jsonl.old-1", "predictions.jsonl.old-2"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }
}
