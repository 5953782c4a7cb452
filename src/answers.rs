//! The answers that a command works on: those of a run, or of a prediction file.

use std::path::{Path, PathBuf};

use benchmarks::{Dataset, PredictionFile, PredictionOutcome, Task, match_predictions};

use crate::fault::Fault;
use crate::run_folder::RunFolder;

/// A run's folder and what its name says.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// `runs/<model>/<task>@<split>`, in full.
    pub path: PathBuf,
    /// The split.
    pub split: String,
}

impl Run {
    /// The run of `task` at `path`, which is `runs/<model>/<task>@<split>` or `runs/<model>`.
    pub fn find(path: &Path, task: Task, split: Option<&str>) -> Result<Self, Fault> {
        let path = path.canonicalize().map_err(|error| Fault::read(path, &error))?;
        let here = named(&path, task);
        let mut found = match here {
            Some(run) => vec![run],
            None => {
                let entries = std::fs::read_dir(&path).map_err(|error| Fault::read(&path, &error))?;
                entries.filter_map(|entry| named(&entry.ok()?.path(), task)).collect()
            }
        };
        found.sort_by(|a, b| a.split.cmp(&b.split));
        let splits: Vec<String> = found.iter().map(|run| format!("`{}`", run.split)).collect();
        found.retain(|run| split.is_none_or(|split| run.split == split));
        match (found.pop(), found.is_empty()) {
            (Some(run), true) => Ok(run),
            (Some(_), false) => Err(Fault::User(format!(
                "`{}` holds runs of `{task}` on {}; name one with --split",
                path.display(),
                splits.join(", "),
            ))),
            (None, _) if splits.is_empty() => Err(Fault::User(format!(
                "`{}` holds no run of `{task}`; name a folder that `run` has written",
                path.display()
            ))),
            (None, _) => Err(Fault::User(format!(
                "`{}` holds no run of `{task}` on split `{}`, it has {}",
                path.display(),
                split.unwrap_or_default(),
                splits.join(", "),
            ))),
        }
    }

    /// The journals' answers beside the samples.
    pub fn answers(&self, dataset: &dyn Dataset) -> Result<Vec<Option<String>>, Fault> {
        let mut entries = RunFolder::at(self.path.clone()).entries()?;
        if entries.is_empty() {
            return Err(Fault::User(format!(
                "`{}` holds no answer; run it first",
                self.path.display()
            )));
        }
        let samples = dataset.samples().iter();
        let answers = samples.map(|sample| entries.remove(sample.id.as_str()).and_then(|entry| entry.answer));
        let answers = answers.collect();
        if let Some(unknown) = entries.keys().min() {
            return Err(Fault::User(format!(
                "`{}` answers `{unknown}`, which is not in split `{}` of these data; give the data that were asked",
                self.path.display(),
                self.split,
            )));
        }
        Ok(answers)
    }

    /// The name of the model, which its folder bears.
    pub fn model(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name);
        folder.unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The run in `path` if its name is that of a run of `task`.
fn named(path: &Path, task: Task) -> Option<Run> {
    let (of_task, split) = path.file_name()?.to_str()?.split_once('@')?;
    (of_task == task.id()).then(|| Run {
        path: path.to_owned(),
        split: split.to_owned(),
    })
}

/// A prediction file's answers beside the samples.
pub fn answers_of_file(dataset: &dyn Dataset, path: &Path) -> Result<Vec<Option<String>>, Fault> {
    let outcomes = match_predictions(dataset, &PredictionFile::read(path)?)?;
    let answer = |outcome| match outcome {
        Some(PredictionOutcome::Answer(text)) => Some(text),
        Some(PredictionOutcome::Failed(_)) | None => None,
    };
    Ok(outcomes.into_iter().map(answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_its_own_folder_and_its_models() {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().canonicalize().unwrap().join("m");
        for name in ["vizwiz@test-dev", "vizwiz@val", "pope@coco-8910", "notes"] {
            std::fs::create_dir_all(model.join(name)).unwrap();
        }
        let found = |path: &Path, task, split| Run::find(path, task, split).map_err(|fault| fault.to_string());
        let run = |name: &str, split: &str| Run {
            path: model.join(name),
            split: split.to_owned(),
        };
        let val = model.join("vizwiz@val");
        assert_eq!(found(&val, Task::Vizwiz, None), Ok(run("vizwiz@val", "val")));
        assert_eq!(found(&model, Task::Vizwiz, Some("val")), Ok(run("vizwiz@val", "val")));
        assert_eq!(found(&model, Task::Pope, None), Ok(run("pope@coco-8910", "coco-8910")));
        let cases = [
            (
                &model,
                Task::Vizwiz,
                None,
                "on `test-dev`, `val`; name one with --split",
            ),
            (
                &model,
                Task::Vizwiz,
                Some("test"),
                "on split `test`, it has `test-dev`, `val`",
            ),
            (
                &model,
                Task::Gqa,
                None,
                "holds no run of `gqa`; name a folder that `run` has written",
            ),
            (
                &val,
                Task::Pope,
                None,
                "holds no run of `pope`; name a folder that `run` has written",
            ),
        ];
        for (path, task, split, expected) in cases {
            let error = found(path, task, split).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
