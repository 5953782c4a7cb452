//! VizWiz from files to samples and scores.

use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::*;
use serde_json::{Value, json};

use super::Vizwiz;
use crate::benchmark::{Benchmark, Dataset};
use crate::golden_vectors::vqa_items;
use crate::matching::match_predictions;
use crate::metric::{Ratio, Score};
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol};

pub(super) const LLAVA: &str = "llava_test.jsonl";

/// Picture, question, ten answers by count, answer type, answerable.
type Item = (
    &'static str,
    &'static str,
    &'static [(&'static str, usize)],
    &'static str,
    u8,
);

const ITEMS: [Item; 5] = [
    (
        "VizWiz_val_00009001",
        "What flavor is this? ",
        &[("mint", 7), ("Mint", 3)],
        "other",
        1,
    ),
    (
        "VizWiz_val_00009002",
        "is this on",
        &[("yes", 8), ("no", 2)],
        "yes/no",
        1,
    ),
    (
        "VizWiz_val_00009003",
        "how many",
        &[("unanswerable", 9), ("2", 1)],
        "unanswerable",
        0,
    ),
    (
        "VizWiz_val_00009004",
        "What drink?",
        &[("coca-cola", 9), ("coca cola", 1)],
        "other",
        1,
    ),
    ("VizWiz_val_00009005", "How many?", &[("2", 2), ("two", 8)], "number", 1),
];

fn answers(item: &Item) -> Vec<String> {
    item.2
        .iter()
        .flat_map(|(answer, n)| vec![(*answer).to_owned(); *n])
        .collect()
}

fn val() -> Value {
    let record = |item: &Item| {
        let answers: Vec<Value> = answers(item)
            .into_iter()
            .map(|answer| json!({"answer": answer, "answer_confidence": "yes"}))
            .collect();
        json!({"image": format!("{}.jpg", item.0), "question": item.1, "answers": answers, "answer_type": item.3,
               "answerable": item.4})
    };
    ITEMS.iter().map(record).collect()
}

/// The questions of test in LLaVA's file.
fn llava() -> String {
    let line = |n: usize| {
        let text = format!(
            "Question {n}? \nWhen the provided information is insufficient, respond with 'Unanswerable'.\n\
             Answer the question using a single word or phrase."
        );
        json!({"question_id": n, "image": format!("VizWiz_test_{n:08}.jpg"), "text": text, "category": "default"})
    };
    (0..3).map(|n| format!("{}\n", line(n))).collect()
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Messages name the folder `ROOT`.
pub(super) fn load(root: &Path, split: Option<&str>) -> Result<Box<dyn Dataset>, String> {
    let source = DataSource {
        root: root.to_owned(),
        images: None,
        split: split.map(str::to_owned),
        grades: None,
    };
    let shown = root.display().to_string();
    Vizwiz
        .load(&source)
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

fn fault(root: &Path) -> String {
    load(root, None).map(|_| ()).unwrap_err()
}

fn matched(data: &dyn Dataset, lines: &[Value]) -> Result<Vec<Option<String>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let content: Vec<String> = lines.iter().map(ToString::to_string).collect();
    fs::write(&path, content.join("\n")).unwrap();
    let outcomes = match_predictions(data, &PredictionFile::read(&path).unwrap());
    outcomes.map(texts).map_err(|error| error.to_string())
}

pub(super) fn texts(outcomes: Vec<Option<PredictionOutcome>>) -> Vec<Option<String>> {
    let text = |outcome| match outcome {
        Some(PredictionOutcome::Answer(answer)) => Some(answer),
        _ => None,
    };
    outcomes.into_iter().map(text).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

fn scores(score: &Score) -> Vec<f64> {
    score.samples.iter().map(|sample| sample.score.unwrap()).collect()
}

#[test]
fn protocols_treat_references_each_in_its_way() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("vizwiz/val.json"), val().to_string());
    let data = load(root.path(), None).unwrap();
    assert_eq!(
        (data.provenance().layout, data.provenance().split.as_str()),
        ("official", "val")
    );
    let predictions = some(&["Mint", "Yes!", "Unanswerable.", "coca-cola", "Two"]);
    let cases = [
        (Protocol::Paper, [1.0, 1.0, 1.0, 0.3, 0.6]),
        (Protocol::Official, [1.0, 1.0, 1.0, 0.3, 0.6]),
        (Protocol::LmmsEval, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (Protocol::VlmEvalKit, [1.0, 1.0, 1.0, 1.0, 1.0]),
    ];
    for (protocol, expected) in cases {
        assert_eq!(
            scores(&data.score(&predictions, protocol).unwrap()),
            expected,
            "{protocol}"
        );
    }
    let score = data.score(&predictions, Protocol::Paper).unwrap();
    assert_eq!(score.samples[3].parsed.as_deref(), Some("coca cola"));
    let values: Vec<(&str, f64)> = score
        .metrics
        .iter()
        .map(|metric| (metric.id.as_str(), metric.value.clone().unwrap()))
        .collect();
    let expected = [
        ("accuracy", 78.0),
        ("accuracy/yes-no", 100.0),
        ("accuracy/number", 60.0),
        ("accuracy/other", 65.0),
        ("accuracy/unanswerable", 100.0),
        ("unanswerable/ap", 100.0),
        ("unanswerable/f1", 100.0),
    ];
    assert_eq!(values, expected);
    // `'s` is what the upload changes.
    let possessive = some(&["mint's", "", "", "", ""]);
    let parsed = |protocol| data.score(&possessive, protocol).unwrap().samples[0].parsed.clone();
    assert_eq!(parsed(Protocol::Paper).as_deref(), Some("mint 's"));
    assert_eq!(parsed(Protocol::Official).as_deref(), Some("mint's"));
}

#[test]
fn every_value_is_the_sum_of_its_ratios() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("val.json"), val().to_string());
    let data = load(root.path(), None).unwrap();
    let mut predictions = some(&["mint", "unanswerable", "Unanswerable.", "coca cola", ""]);
    for missing in 0..=predictions.len() {
        for protocol in Protocol::ALL {
            let score = data.score(&predictions, *protocol).unwrap();
            assert_eq!(score.unanswered(), missing);
            for metric in &score.metrics {
                let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
                match &metric.value {
                    Ok(value) => assert!((value - sum.unwrap()).abs() < 1e-9, "{}", metric.id),
                    Err(_) => assert!(metric.ratios.is_empty(), "{}", metric.id),
                }
            }
        }
        if let Some(prediction) = predictions.get_mut(missing) {
            *prediction = None;
        }
    }
}

#[test]
fn official_questions_keep_blanks_and_get_their_prompts() {
    for place in ["", "Annotations", "annotations"] {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path().join("VizWiz").join(place).join("val.json"),
            val().to_string(),
        );
        write(root.path().join("VizWiz/val/VizWiz_val_00009002.jpg"), b"x");
        let data = load(root.path(), Some("val")).unwrap();
        let suffix = "\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n\
                      Answer the question using a single word or phrase.";
        assert_eq!(
            data.prompt(0, PromptStyle::Paper),
            format!("What flavor is this? {suffix}")
        );
        assert_eq!(data.prompt(1, PromptStyle::LmmsEval), format!("Is this on{suffix}"));
        assert_eq!(data.prompt(1, PromptStyle::VlmEvalKit), "is this on");
        let sample = &data.samples()[1];
        assert_eq!(
            (sample.id.as_str(), sample.source_id.as_str()),
            ("VizWiz_val_00009002", "1")
        );
        assert_eq!(sample.category.as_deref(), Some("yes/no"));
        assert_eq!(sample.reference.as_deref(), Some("yes (8), no (2)"));
        assert_eq!(sample.pictures[0].read(), Ok(b"x".to_vec()));
    }
}

#[test]
fn what_lies_beside_the_benchmarks_folder_is_not_taken_for_it() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("test.json"), "{\"images\": []}");
    write(root.path().join("vizwiz/val.json"), val().to_string());
    assert_eq!(load(root.path(), None).unwrap().provenance().split, "val");
}

#[test]
fn test_is_asked_and_not_scored() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join(LLAVA), llava());
    write(root.path().join("val.json"), val().to_string());
    let data = load(root.path(), None).unwrap();
    assert_eq!(
        (data.provenance().layout, data.provenance().split.as_str()),
        ("LLaVA question file", "test-dev")
    );
    let lines: Vec<Value> = llava()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(data.prompt(1, PromptStyle::Paper), lines[1]["text"].as_str().unwrap());
    assert_eq!(
        (data.samples()[1].id.as_str(), data.samples()[1].source_id.as_str()),
        ("VizWiz_test_00000001", "1")
    );
    let error = data
        .score(&[None, None, None], Protocol::Paper)
        .unwrap_err()
        .to_string();
    assert!(error.contains("on the server only (EvalAI challenge 2185)"), "{error}");
    let bare: Value = (0..3)
        .map(|n| json!({"image": format!("VizWiz_test_{n:08}.jpg"), "question": format!("question {n}? ")}))
        .collect();
    let other = tempfile::tempdir().unwrap();
    write(other.path().join("test.json"), bare.to_string());
    let official = load(other.path(), None).unwrap();
    for (index, (left, right)) in official.samples().iter().zip(data.samples()).enumerate() {
        assert_eq!(
            (&left.id, &left.source_id, &left.reference),
            (&right.id, &right.source_id, &None)
        );
        assert_eq!(
            official.prompt(index, PromptStyle::Paper),
            data.prompt(index, PromptStyle::Paper)
        );
    }
    // Val without answers says which file is missing.
    let mut no_answers = bare;
    no_answers[0]["image"] = json!("x.jpg");
    write(other.path().join("val.json"), no_answers.to_string());
    let data = load(other.path(), Some("val")).unwrap();
    let error = data
        .score(&[None, None, None], Protocol::Official)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the reference answers of VizWiz val (`val.json` with `answers`) not found"),
        "{error}"
    );
}

/// A table of lmms-lab's kind; without labels the answers are empty lists.
fn parquet(path: PathBuf, labelled: bool) {
    let lists: Vec<Series> = ITEMS
        .iter()
        .map(|item| Series::new("".into(), if labelled { answers(item) } else { Vec::new() }))
        .collect();
    let bytes: Vec<Vec<u8>> = ITEMS.iter().map(|item| item.0.as_bytes().to_vec()).collect();
    let fields = [
        Series::new("bytes".into(), bytes),
        Series::new("path".into(), [None::<&str>; 5]),
    ];
    let image = StructChunked::from_series("image".into(), ITEMS.len(), fields.iter()).unwrap();
    let columns = vec![
        Column::new("question_id".into(), ITEMS.map(|item| item.0)),
        image.into_series().into_column(),
        Column::new("question".into(), ITEMS.map(|item| item.1)),
        Column::new("answers".into(), lists),
        Column::new("category".into(), ITEMS.map(|item| item.3)),
    ];
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut frame = DataFrame::new(ITEMS.len(), columns).unwrap();
    ParquetWriter::new(fs::File::create(path).unwrap())
        .finish(&mut frame)
        .unwrap();
}

#[test]
fn parquet_gives_what_the_official_file_gives_but_answerability() {
    let root = tempfile::tempdir().unwrap();
    parquet(root.path().join("vizwiz/data/val-00000-of-00001.parquet"), true);
    let table = load(root.path(), None).unwrap();
    write(root.path().join("other/val.json"), val().to_string());
    let official = load(&root.path().join("other"), None).unwrap();
    assert_eq!(
        (table.provenance().layout, table.provenance().split.as_str()),
        ("lmms-lab Parquet", "val")
    );
    for (left, right) in table.samples().iter().zip(official.samples()) {
        assert_eq!(
            (&left.id, &left.question, &left.category),
            (&right.id, &right.question, &right.category)
        );
        assert_eq!(left.reference, right.reference);
        assert_eq!(left.picture_group(), right.picture_group());
    }
    assert_eq!(
        table.samples()[2].pictures[0].read(),
        Ok(b"VizWiz_val_00009003".to_vec())
    );
    let predictions = some(&["mint", "yes", "unanswerable", "", "2"]);
    let of_table = table.score(&predictions, Protocol::Official).unwrap();
    let of_file = official.score(&predictions, Protocol::Official).unwrap();
    assert_eq!(of_table.metrics[..5], of_file.metrics[..5]);
    let reason = Err("the data do not say which questions are answerable".to_owned());
    assert_eq!(of_table.metric("unanswerable/ap").unwrap().value, reason);
    // The row's number is no position in the organisers' file.
    let error = matched(&*table, &[json!({"question_id": 0, "text": "x"})]).unwrap_err();
    assert!(error.contains("none of its ids is in split `val`"), "{error}");
    let hidden = tempfile::tempdir().unwrap();
    parquet(hidden.path().join("test-00000-of-00001.parquet"), false);
    let hidden = load(hidden.path(), None).unwrap();
    assert_eq!(hidden.provenance().split, "test-dev");
    assert!(hidden.samples().iter().all(|sample| sample.reference.is_none()));
}

#[test]
fn predictions_by_position_must_ask_the_same() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("val.json"), val().to_string());
    let data = load(root.path(), None).unwrap();
    let line = |id: Value, prompt: &str| json!({"question_id": id, "prompt": prompt, "text": "x"});
    let found = matched(
        &*data,
        &[
            line(json!(1), "Is this on\nWhen"),
            line(json!("VizWiz_val_00009001"), "whatever"),
            json!({"question_id": "2", "text": "first"}),
            json!({"question_id": 2, "text": "last"}),
        ],
    );
    let x = Some("x".to_owned());
    assert_eq!(found, Ok(vec![x.clone(), x, Some("last".to_owned()), None, None]));
    let error = matched(&*data, &[line(json!(1), "What is this?\nWhen")]).unwrap_err();
    assert!(
        error.contains("line 1: `prompt` asks `What is this?`, question 1 of split `val` is `is this on`"),
        "{error}"
    );
    let ours = json!({"id": "VizWiz_val_00009005", "answer": "two"});
    assert_eq!(matched(&*data, &[ours]).unwrap()[4].as_deref(), Some("two"));
    let ours = json!({"id": "1", "answer": "two"});
    assert!(matched(&*data, &[ours]).is_err());
}

#[test]
fn faulty_files_are_named() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 7] = [
        (
            |val| val[1]["answerable"] = json!(2),
            "question 1: `answerable` is 2, neither 0 nor 1",
        ),
        (
            |val| val[1]["answer_type"] = json!("maybe"),
            "question 1: answer type `maybe` is none of `yes/no`, ",
        ),
        (
            |val| val[1]["answer_type"] = Value::Null,
            "question 1: missing field `answer_type`",
        ),
        (
            |val| val[1]["answers"] = Value::Null,
            "question 1: no reference answers, the rows before have them",
        ),
        (
            |val| val[0]["answers"] = Value::Null,
            "question 1: reference answers, the rows before have none",
        ),
        (|val| val[1]["answers"] = json!([]), "question 1: no reference answer"),
        (
            |val| val[1]["image"] = json!("sub/VizWiz_val_00009001.jpg"),
            "question 1: picture `VizWiz_val_00009001` stands here for the second time",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let mut val = val();
        edit(&mut val);
        write(root.path().join("val.json"), val.to_string());
        let error = fault(root.path());
        assert!(
            error.starts_with(&format!("`ROOT/val.json`, {expected}")),
            "{error}\nexpected {expected}"
        );
    }
    let root = tempfile::tempdir().unwrap();
    let error = fault(root.path());
    assert!(
        error.starts_with("VizWiz (`llava_test.jsonl`, `test.json`, `val.json`, lmms-lab's"),
        "{error}"
    );
    for (from, to, expected) in [
        (
            "\"question_id\":1",
            "\"question_id\":0",
            "line 2: question id 0 stands here for the second time",
        ),
        (
            "insufficient",
            "missing",
            "line 1: `text` does not end in LLaVA's `When the provided",
        ),
        (
            "\"question_id\":1",
            "\"question_id\":1.5",
            "line 2: `question_id` is neither text nor a whole number",
        ),
    ] {
        write(root.path().join(LLAVA), llava().replacen(from, to, 1));
        let error = fault(root.path());
        assert!(error.contains(expected), "{error}");
    }
    let error = load(root.path(), Some("test")).map(|_| ()).unwrap_err();
    assert!(error.starts_with("unknown split `test`"), "{error}");
}

/// `vizwiz.md`, section 10: the mean of the fourteen items.
#[test]
fn golden_items_score_what_the_scorer_gives() {
    let root = tempfile::tempdir().unwrap();
    let items = vqa_items();
    let records: Value = items
        .iter()
        .map(|item| {
            let answers: Vec<Value> = item.answers.iter().map(|answer| json!({"answer": answer})).collect();
            json!({"image": format!("{}.jpg", item.question_id), "question": "q", "answers": answers,
                   "answer_type": item.answer_type})
        })
        .collect();
    write(root.path().join("val.json"), records.to_string());
    let data = load(root.path(), None).unwrap();
    let predictions: Vec<Option<String>> = items.iter().map(|item| Some(item.prediction.clone())).collect();
    let official = data.score(&predictions, Protocol::Official).unwrap();
    for (sample, item) in official.samples.iter().zip(&items) {
        assert_eq!(
            sample.score,
            Some(item.expected.vizwiz_official / 100.0),
            "{}",
            item.question_id
        );
    }
    let accuracy = official.metric("accuracy").unwrap().value.clone().unwrap();
    assert!((accuracy - 730.0 / 14.0).abs() < 1e-12, "{accuracy}");
    let lmms = data.score(&predictions, Protocol::LmmsEval).unwrap();
    for (sample, item) in lmms.samples.iter().zip(&items) {
        assert_eq!(
            sample.score,
            Some(item.expected.textvqa_m4c / 100.0),
            "{}",
            item.question_id
        );
    }
}
