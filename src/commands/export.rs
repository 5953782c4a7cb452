//! `export`: answers in the form that an organiser's server or tool takes.

use std::path::{Path, PathBuf};

use benchmarks::{
    DataError, DataSource, Dataset, Export, PredictionFile, PredictionOutcome, Task, llava_answers, match_predictions,
};

use crate::artefact;
use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::Exit;
use crate::fault::Fault;
use crate::run_folder::RunFolder;
use crate::task;

/// Writes the answers of a run or of a prediction file.
pub fn run(args: &ExportArgs) -> Result<Exit, Fault> {
    let benchmark = task::benchmark(args.task)?;
    let run = match &args.run {
        Some(path) => Some(find_run(path, args.task, args.split.as_deref())?),
        None => None,
    };
    let source = DataSource {
        root: args.data.clone(),
        images: None,
        split: run.as_ref().map(|run| run.split.clone()).or(args.split.clone()),
        grades: None,
    };
    let dataset = benchmark.load(&source)?;
    task::say_what_was_found(args.task, dataset.as_ref());
    let answers = match (&run, &args.answers) {
        (Some(run), _) => answers_of_run(dataset.as_ref(), run)?,
        (None, Some(file)) => answers_of_file(dataset.as_ref(), file)?,
        (None, None) => return Err(Fault::User("no answers given; name --run or --answers".to_owned())),
    };
    let export = match args.format {
        ExportFormat::Submission => dataset.export(&answers),
        ExportFormat::Llava => llava_answers(dataset.as_ref(), args.task, &answers),
    };
    let export = export.map_err(|error| match error {
        DataError::Unfaithful(_) => Fault::Bug(error.to_string()),
        error => Fault::Data(error),
    })?;
    if matches!(export, Export::Folder(_)) && std::fs::read_dir(&args.out).is_ok_and(|mut held| held.next().is_some()) {
        return Err(Fault::User(format!(
            "`{}` holds files already; name a new folder with --out",
            args.out.display()
        )));
    }
    match &export {
        Export::File(bytes) => artefact::write(&args.out, |out| out.write_all(bytes))?,
        Export::Folder(files) => artefact::write_folder(&args.out, files)?,
    }
    let answered = answers.iter().flatten().count();
    eprintln!("{}: {answered} of {} answered", args.out.display(), answers.len());
    Ok(if answered == answers.len() {
        Exit::Done
    } else {
        Exit::Unanswered
    })
}

/// A run's folder and what its name says.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    path: PathBuf,
    split: String,
}

/// The run of `task` at `path`, which is `runs/<model>/<task>@<split>` or `runs/<model>`.
fn find_run(path: &Path, task: Task, split: Option<&str>) -> Result<Run, Fault> {
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

/// The run in `path` if its name is that of a run of `task`.
fn named(path: &Path, task: Task) -> Option<Run> {
    let (of_task, split) = path.file_name()?.to_str()?.split_once('@')?;
    (of_task == task.id()).then(|| Run {
        path: path.to_owned(),
        split: split.to_owned(),
    })
}

/// The journals' answers beside the samples.
fn answers_of_run(dataset: &dyn Dataset, run: &Run) -> Result<Vec<Option<String>>, Fault> {
    let mut entries = RunFolder::at(run.path.clone()).entries()?;
    if entries.is_empty() {
        return Err(Fault::User(format!(
            "`{}` holds no answer; run it first",
            run.path.display()
        )));
    }
    let samples = dataset.samples().iter();
    let answers = samples.map(|sample| entries.remove(sample.id.as_str()).and_then(|entry| entry.answer));
    let answers = answers.collect();
    if let Some(unknown) = entries.keys().min() {
        return Err(Fault::User(format!(
            "`{}` answers `{unknown}`, which is not in split `{}` of these data; give the data that were asked",
            run.path.display(),
            run.split,
        )));
    }
    Ok(answers)
}

/// A prediction file's answers beside the samples.
fn answers_of_file(dataset: &dyn Dataset, path: &Path) -> Result<Vec<Option<String>>, Fault> {
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
        let found = |path: &Path, task, split| find_run(path, task, split).map_err(|fault| fault.to_string());
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
