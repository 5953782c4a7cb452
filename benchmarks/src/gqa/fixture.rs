//! A small GQA for tests: the invented questions of `golden-vectors.json`, nine balanced and one not.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Gqa, PROMPT_SUFFIX};
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;

/// The toy set with what the official scorer says of it.
#[derive(Deserialize)]
pub(super) struct Golden {
    /// The question file.
    pub(super) questions: Map<String, Value>,
    pub(super) predictions: Map<String, Value>,
    pub(super) expected: Value,
}

pub(super) fn golden() -> Golden {
    let mut vectors: Value = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
    serde_json::from_value(vectors["gqa"].take()).unwrap()
}

/// Writes a file and the folders above it.
pub(super) fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The official question file in `folder`.
pub(super) fn official(folder: &Path) {
    let questions = Value::Object(golden().questions);
    write(folder.join("testdev_balanced_questions.json"), questions.to_string());
}

/// LLaVA's question file, which has the balanced questions in another order.
pub(super) fn llava_questions(folder: &Path) {
    let questions = golden().questions;
    let balanced = questions
        .iter()
        .rev()
        .filter(|(_, question)| question["isBalanced"] == true);
    let lines = balanced.map(|(id, question)| {
        let image = format!("{}.jpg", question["imageId"].as_str().unwrap());
        let text = format!("{}{PROMPT_SUFFIX}", question["question"].as_str().unwrap());
        format!(
            "{}\n",
            json!({"question_id": id, "image": image, "text": text, "category": "default"})
        )
    });
    write(
        folder.join("llava_gqa_testdev_balanced.jsonl"),
        lines.collect::<String>(),
    );
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

/// Loads GQA from `root`; messages name it `ROOT`.
pub(super) fn load(root: &Path) -> Result<Box<dyn Dataset>, String> {
    load_split(root, None)
}

/// Loads a split of GQA from `root`; messages name it `ROOT`.
pub(super) fn load_split(root: &Path, split: Option<&str>) -> Result<Box<dyn Dataset>, String> {
    let shown = root.display().to_string();
    let source = DataSource {
        split: split.map(str::to_owned),
        ..source(root)
    };
    Gqa.load(&source)
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

/// What `load` complains about.
pub(super) fn fault(root: &Path) -> String {
    load(root).map(|data| data.provenance().split.clone()).unwrap_err()
}

/// The answers of a prediction file with these lines.
pub(super) fn answers(data: &dyn Dataset, lines: &[Value]) -> Result<Vec<Option<String>>, String> {
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

/// The predictions of the toy set in the order of the dataset.
pub(super) fn golden_answers(data: &dyn Dataset) -> Vec<Option<String>> {
    let predictions = golden().predictions;
    let answer = |id: &str| predictions[id].as_str().map(str::to_owned);
    data.samples().iter().map(|sample| answer(sample.id.as_str())).collect()
}
