//! MM-Vet's layouts: invented files in all of them give the same samples.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use polars::prelude::*;

use super::MmVet;
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::metric::Score;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol};

/// Id, picture, question, answer, capabilities.
const ROWS: [(&str, &str, &str, &str, &[&str]); 3] = [
    (
        "v1_900",
        "v1_900.png",
        "What is y?",
        "3<OR>three",
        &["ocr", "math", "ocr"],
    ),
    ("v1_901", "v1_900.png", "What is\nz?", "4<AND>5", &["math", "ocr"]),
    ("v1_902", "v1_902.jpg", "Who | what?", "a cat", &["rec"]),
];

/// The layout that is to be recognised, and what makes it in a folder.
type Case = (&'static str, fn(&Path));

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(super) fn official(folder: &Path) {
    let records = ROWS.map(|(id, image, question, answer, capability)| {
        let record = serde_json::json!({
            "imagename": image, "question": question, "answer": answer, "capability": capability, "imagesource": "web"
        });
        format!("\"{id}\": {record}")
    });
    write(folder.join("mm-vet.json"), format!("{{{}}}", records.join(",\n")));
}

fn llava(folder: &Path) {
    // Another order than that of the labels.
    let lines = [2, 0, 1].map(|n| {
        let (id, image, question, ..) = ROWS[n];
        let number: u32 = id.strip_prefix("v1_").unwrap().parse().unwrap();
        serde_json::json!({"image": image, "text": question, "category": "conv", "question_id": number}).to_string()
    });
    write(folder.join("llava-mm-vet.jsonl"), lines.join("\n"));
}

fn parquet(path: PathBuf) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let column = |name: &str, values: [String; 3]| Column::new(name.into(), values.to_vec());
    let bytes: Vec<Option<Vec<u8>>> = ROWS.iter().map(|row| Some(row.1.as_bytes().to_vec())).collect();
    let paths: Vec<Option<String>> = vec![None; 3];
    let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), paths)];
    let image = StructChunked::from_series("image".into(), 3, fields.iter()).unwrap();
    let columns = vec![
        column("question_id", ROWS.map(|row| row.0.to_owned())),
        column("question", ROWS.map(|row| row.2.to_owned())),
        column("answer", ROWS.map(|row| row.3.to_owned())),
        column("capability", ROWS.map(|row| row.4.join(","))),
        image.into_series().into_column(),
    ];
    let mut frame = DataFrame::new(3, columns).unwrap();
    ParquetWriter::new(File::create(path).unwrap())
        .finish(&mut frame)
        .unwrap();
}

pub(super) fn load(root: &Path, grades: Option<&str>) -> Result<Box<dyn Dataset>, String> {
    let path = root.join("grades.json");
    if let Some(content) = grades {
        fs::write(&path, content).unwrap();
    }
    let source = DataSource {
        root: root.to_owned(),
        images: None,
        split: None,
        grades: grades.map(|_| path),
    };
    let shown = root.display().to_string();
    MmVet
        .load(&source)
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

pub(super) fn fault(root: &Path) -> String {
    load(root, None).map(|data| data.provenance().layout).unwrap_err()
}

fn score(data: &dyn Dataset, protocol: Protocol) -> Result<Score, String> {
    let answers = vec![Some("said".to_owned()); data.samples().len()];
    data.score(&answers, protocol).map_err(|error| error.to_string())
}

#[test]
fn every_layout_gives_the_same_samples() {
    let grades = r#"{"v1_902": {"content": ["0.5"], "score": [0.5]}, "v1_900": {"content": ["1"], "score": [1]},
                     "v1_901": {"content": ["0.3"], "score": [0.3]}}"#;
    let cases: [Case; 4] = [
        ("LLaVA question file with official labels", |root| {
            llava(&root.join("mm-vet"));
            official(&root.join("mm-vet/mm-vet"));
        }),
        ("official mm-vet.json", |root| official(&root.join("MMVet"))),
        ("official mm-vet.json", official),
        ("lmms-lab Parquet", |root| {
            parquet(root.join("mm_vet/data/test-00000-of-00001-0a.parquet"))
        }),
    ];
    for (layout, make) in cases {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let data = load(root.path(), Some(grades)).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            (layout, "all")
        );
        assert_eq!(data.samples().len(), 3);
        for (index, sample) in data.samples().iter().enumerate() {
            let row = ROWS.iter().find(|row| row.0 == sample.id.as_str()).unwrap();
            assert_eq!(
                (sample.question.as_str(), sample.reference.as_deref()),
                (row.2, Some(row.3))
            );
            let category = if row.0 == "v1_902" { "rec" } else { "math+ocr" };
            assert_eq!(sample.category.as_deref(), Some(category));
            assert_eq!(data.prompt(index, PromptStyle::Paper), row.2);
            assert_eq!(data.prompt(index, PromptStyle::VlmEvalKit), row.2);
            let lmms = data.prompt(index, PromptStyle::LmmsEval);
            assert!(lmms.starts_with("First please perform reasoning, and think step by step to provide best answer"));
            assert!(lmms.ends_with(&format!("question: \n\n{}", row.2)), "{lmms}");
        }
        let group = |id: &str| {
            data.samples()
                .iter()
                .find(|sample| sample.id.as_str() == id)
                .unwrap()
                .picture_group()
        };
        assert_eq!(group("v1_900"), group("v1_901"));
        assert_ne!(group("v1_900"), group("v1_902"));
        for protocol in [Protocol::Paper, Protocol::Official] {
            let score = score(&*data, protocol).unwrap();
            let value = score.metric("integration/math+ocr").unwrap().value.clone().unwrap();
            assert!((value - 65.0).abs() < 1e-12, "{value}");
        }
    }
}

#[test]
fn what_is_needed_to_score_is_named() {
    let root = tempfile::tempdir().unwrap();
    llava(root.path());
    let data = load(root.path(), None).unwrap();
    assert_eq!(data.provenance().layout, "LLaVA question file without labels");
    assert_eq!(data.samples()[0].reference, None);
    let error = score(&*data, Protocol::Paper).unwrap_err();
    assert!(
        error.ends_with("put the organisers' `mm-vet.json` beside `llava-mm-vet.jsonl`"),
        "{error}"
    );
    official(root.path());
    let data = load(root.path(), None).unwrap();
    let error = score(&*data, Protocol::Paper).unwrap_err();
    assert!(error.contains("-grade-<n>runs.json` with `--grades`"), "{error}");
    let error = score(&*data, Protocol::LmmsEval).unwrap_err();
    assert!(
        error.contains("protocol `lmms-eval` is not built for mm-vet"),
        "{error}"
    );
}

#[test]
fn faulty_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    assert!(fault(root.path()).starts_with("MM-Vet (`mm-vet.json`, "));
    llava(root.path());
    official(root.path());
    let labels = fs::read_to_string(root.path().join("mm-vet.json")).unwrap();
    let questions = fs::read_to_string(root.path().join("llava-mm-vet.jsonl")).unwrap();
    let label_cases = [
        (
            labels.replace("v1_902\"", "v1_903\""),
            "`ROOT/llava-mm-vet.jsonl`, line 1: `v1_902` is not in `mm-vet.json`",
        ),
        (
            labels.replace("What is y?", "Why?"),
            "`ROOT/llava-mm-vet.jsonl`, line 2: asks something else than",
        ),
        (
            labels.replace("[\"rec\"]", "[\"wreck\"]"),
            "`ROOT/llava-mm-vet.jsonl`, line 1: unknown capability `wreck`",
        ),
        (
            labels.replace("v1_901\":", "v1_900\":"),
            "`ROOT/llava-mm-vet.jsonl`, line 2: asks something else than",
        ),
    ];
    for (content, expected) in label_cases {
        fs::write(root.path().join("mm-vet.json"), content).unwrap();
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}");
    }
    fs::write(root.path().join("mm-vet.json"), &labels).unwrap();
    let shorter = questions.lines().skip(1).collect::<Vec<_>>().join("\n");
    fs::write(root.path().join("llava-mm-vet.jsonl"), shorter).unwrap();
    assert!(fault(root.path()).contains("`mm-vet.json` beside it has `v1_902`, which is not asked here"));
    let twice = format!("{questions}\n{}", questions.lines().next().unwrap());
    fs::write(root.path().join("llava-mm-vet.jsonl"), twice).unwrap();
    assert!(fault(root.path()).contains("line 4: `v1_902` is not in `mm-vet.json`, or asked twice here"));
    fs::remove_file(root.path().join("llava-mm-vet.jsonl")).unwrap();
    let repeated = labels.replace("v1_901\":", "v1_900\":");
    fs::write(root.path().join("mm-vet.json"), repeated).unwrap();
    assert_eq!(
        fault(root.path()),
        "`ROOT/mm-vet.json`, `v1_900`: stands here twice; delete one of the two"
    );
    fs::write(root.path().join("mm-vet.json"), "{}").unwrap();
    assert_eq!(
        fault(root.path()),
        "`ROOT/mm-vet.json`: holds no question; download it again"
    );
}

#[test]
fn answers_are_matched_by_number_and_by_id() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    let data = load(root.path(), None).unwrap();
    let matched = |name: &str, content: &str| {
        let path = root.path().join(name);
        fs::write(&path, content).unwrap();
        let file = PredictionFile::read(&path).unwrap();
        let outcomes = match_predictions(&*data, &file).map_err(|error| error.to_string())?;
        let text = |outcome| match outcome {
            PredictionOutcome::Answer(text) => text,
            PredictionOutcome::Failed(reason) => reason,
        };
        Ok::<_, String>(
            outcomes
                .into_iter()
                .map(|outcome| outcome.map(text))
                .collect::<Vec<_>>(),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let llava = "{\"question_id\": 900, \"text\": \"a\"}\n{\"question_id\": 900, \"text\": \"b\"}";
    assert_eq!(matched("a.jsonl", llava), Ok(vec![some("b"), None, None]));
    // The converter's file for the organisers' grader.
    let converted = "{\n  \"v1_902\": \"c | d\",\n  \"v1_900\": \"line\\nline\"\n}";
    assert_eq!(
        matched("a.json", converted),
        Ok(vec![some("line\nline"), None, some("c | d")])
    );
    let other = "{\"question_id\": 900, \"text\": \"a\", \"prompt\": \"Is there a cat?\"}";
    let error = matched("a.jsonl", other).unwrap_err();
    assert!(
        error.contains("`prompt` asks `Is there a cat?`, question 900 of MM-Vet is `What is y?`"),
        "{error}"
    );
}
