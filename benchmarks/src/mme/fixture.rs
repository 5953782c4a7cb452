//! A small invented MME for tests: one picture for each subtask.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Mme, RELEASE_SUFFIX, SUFFIX, Subtask, bare};
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;

/// A question.
pub(super) struct FixtureRow {
    pub(super) subtask: Subtask,
    pub(super) stem: String,
    pub(super) question: String,
    pub(super) positive: bool,
}

impl FixtureRow {
    pub(super) fn label(&self) -> &'static str {
        if self.positive { "Yes" } else { "No" }
    }

    pub(super) fn file(&self) -> String {
        format!("{}.{}", self.stem, self.subtask.picture_suffix())
    }

    /// `<subtask>/<file>`.
    pub(super) fn picture(&self) -> String {
        format!("{}/{}", self.subtask.id(), self.file())
    }

    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.picture(), if self.positive { 1 } else { 2 })
    }

    /// The picture's path in the release, which is LLaVA's question id.
    pub(super) fn path(&self) -> String {
        let images = if self.subtask.is_nested() { "images/" } else { "" };
        format!("{}/{images}{}", self.subtask.id(), self.file())
    }

    /// LLaVA's prompt.
    pub(super) fn prompt(&self) -> String {
        format!("{}\n{SUFFIX}", bare(&self.question))
    }

    /// A line of LLaVA's question file.
    pub(super) fn llava_line(&self) -> serde_json::Value {
        let path = self.path();
        serde_json::json!(
            {"question_id": path, "image": path, "text": self.prompt(), "category": self.subtask.id()}
        )
    }
}

/// Two questions a subtask; one of colour has two spaces.
pub(super) fn rows() -> Vec<FixtureRow> {
    let row = |(n, subtask): (usize, Subtask), positive: bool| {
        let thing = if positive { "mug" } else { "Tasse ß" };
        let spaces = if subtask == Subtask::Color && positive {
            "  "
        } else {
            " "
        };
        FixtureRow {
            subtask,
            stem: format!("90000{}", n + 1),
            question: format!("Is there a {thing} in the {}?{spaces}{RELEASE_SUFFIX}", subtask.id()),
            positive,
        }
    };
    let subtasks = Subtask::all().enumerate();
    subtasks
        .flat_map(|subtask| [true, false].map(|positive| row(subtask, positive)))
        .collect()
}

/// Writes a file and the folders above it.
pub(super) fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The release, its pictures holding their own names.
pub(super) fn release(folder: &Path, pictures: bool) {
    for pair in rows().chunks(2) {
        let row = &pair[0];
        let texts = if row.subtask.is_nested() {
            "questions_answers_YN/"
        } else {
            ""
        };
        let lines: String = pair
            .iter()
            .map(|row| format!("{}\t{}\n", row.question, row.label()))
            .collect();
        write(
            folder.join(format!("{}/{texts}{}.txt", row.subtask.id(), row.stem)),
            lines,
        );
        if pictures {
            write(folder.join(row.path()), row.picture());
        }
    }
}

/// The evaluation tool's files.
pub(super) fn tool(folder: &Path) {
    for pair in rows().chunks(2) {
        let lines = pair
            .iter()
            .map(|row| format!("{}\t{}\t{}\n", row.file(), row.question, row.label()));
        write(
            folder.join(format!("{}.txt", pair[0].subtask.id())),
            lines.collect::<String>(),
        );
    }
}

/// LLaVA's question file, which has the subtasks in another order.
pub(super) fn llava_questions(folder: &Path) {
    let lines = rows()
        .chunks(2)
        .rev()
        .flat_map(|pair| {
            pair.iter()
                .map(|row| format!("{}\n", row.llava_line()))
                .collect::<Vec<_>>()
        })
        .collect::<String>();
    write(folder.join("llava_mme.jsonl"), lines);
}

/// `root` as `--data`.
pub(super) fn source(root: &Path) -> DataSource {
    DataSource {
        root: root.to_owned(),
        images: None,
        split: None,
        grades: None,
    }
}

/// Loads MME from `root`; messages name it `ROOT`.
pub(super) fn load(root: &Path) -> Result<Box<dyn Dataset>, String> {
    let shown = root.display().to_string();
    Mme.load(&source(root))
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

/// What `load` complains about.
pub(super) fn fault(root: &Path) -> String {
    load(root).map(|data| data.provenance().split.clone()).unwrap_err()
}

/// The sample ids in the order of the dataset.
pub(super) fn ids(data: &dyn Dataset) -> Vec<String> {
    data.samples().iter().map(|sample| sample.id.to_string()).collect()
}

/// The answers of a prediction file with these lines.
pub(super) fn answers(data: &dyn Dataset, lines: &[serde_json::Value]) -> Result<Vec<Option<String>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let content: Vec<String> = lines.iter().map(ToString::to_string).collect();
    fs::write(&path, content.join("\n")).unwrap();
    let outcomes = match_predictions(data, &PredictionFile::read(&path).unwrap());
    outcomes.map(texts).map_err(|error| error.to_string())
}

/// The answers, `None` also for a sample that failed.
pub(super) fn texts(outcomes: Vec<Option<PredictionOutcome>>) -> Vec<Option<String>> {
    let text = |outcome| match outcome {
        PredictionOutcome::Answer(answer) => Some(answer),
        PredictionOutcome::Failed(_) => None,
    };
    outcomes.into_iter().map(|outcome| outcome.and_then(text)).collect()
}
