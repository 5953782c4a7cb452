//! Small invented POPE files for tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Category, PROMPT_SUFFIX, Pope};
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;

/// Category, picture, question, label: two of each category, one with the misspelling.
pub(super) const ROWS: [(&str, &str, &str, &str); 6] = [
    (
        "random",
        "COCO_val2014_000000000001",
        "Is there a kite in the image?",
        "yes",
    ),
    (
        "random",
        "COCO_val2014_000000000001",
        "Is there an oven in the imange?",
        "no",
    ),
    (
        "popular",
        "COCO_val2014_000000000001",
        "Is there a kite in the image?",
        "yes",
    ),
    (
        "popular",
        "COCO_val2014_000000000002",
        "Is there a dining table in the image?",
        "no",
    ),
    (
        "adversarial",
        "COCO_val2014_000000000002",
        "Is there a cat in the imange?",
        "yes",
    ),
    (
        "adversarial",
        "COCO_val2014_000000000002",
        "Is there a dog in the image?",
        "no",
    ),
];

/// Their sample ids.
pub(super) const IDS: [&str; 6] = [
    "random/COCO_val2014_000000000001/kite",
    "random/COCO_val2014_000000000001/oven",
    "popular/COCO_val2014_000000000001/kite",
    "popular/COCO_val2014_000000000002/dining table",
    "adversarial/COCO_val2014_000000000002/cat",
    "adversarial/COCO_val2014_000000000002/dog",
];

/// Writes a file and the folders above it.
pub(super) fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The label lines of a category.
pub(super) fn label_lines(category: &str, spelled: impl Fn(&str) -> String) -> String {
    let rows = ROWS.iter().filter(|row| row.0 == category).enumerate();
    rows.map(|(n, (_, picture, question, label))| {
        let image = format!("{picture}.jpg");
        let line = serde_json::json!({
            "question_id": n + 1, "image": image, "text": spelled(question), "label": label
        });
        format!("{line}\n")
    })
    .collect()
}

/// The official label files in `folder`.
pub(super) fn labels(folder: &Path) {
    for category in Category::ALL {
        let content = label_lines(category.id(), str::to_owned);
        write(folder.join(format!("coco_pope_{}.json", category.id())), content);
    }
}

/// LLaVA's question file in its order.
pub(super) fn llava_questions(folder: &Path) {
    let mut content = String::new();
    for (category, first) in [("adversarial", 1), ("random", 10_000_001), ("popular", 20_000_001)] {
        for (n, row) in ROWS.iter().filter(|row| row.0 == category).enumerate() {
            let image = format!("{}.jpg", row.1);
            let text = format!("{}{PROMPT_SUFFIX}", row.2);
            let line =
                serde_json::json!({"question_id": first + n, "image": image, "text": text, "category": category});
            content += &format!("{line}\n");
        }
    }
    write(folder.join("llava_pope_test.jsonl"), content);
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

/// Loads POPE from `root`; messages name it `ROOT`.
pub(super) fn load(root: &Path) -> Result<Box<dyn Dataset>, String> {
    let shown = root.display().to_string();
    Pope.load(&source(root))
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

/// What `load` complains about.
pub(super) fn fault(root: &Path) -> String {
    load(root).map(|data| data.provenance().split.clone()).unwrap_err()
}

/// The sample ids in the order of [`IDS`], unknown ones first.
pub(super) fn ids(data: &dyn Dataset) -> Vec<String> {
    let mut ids: Vec<String> = data.samples().iter().map(|sample| sample.id.to_string()).collect();
    ids.sort_by_key(|id| IDS.iter().position(|known| known == id));
    ids
}

/// The predictions of a LLaVA answer file with these lines.
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
