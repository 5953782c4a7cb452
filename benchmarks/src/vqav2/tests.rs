//! VQAv2 from files to samples and scores.

use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::*;
use serde_json::{Value, json};

use super::Vqav2;
use crate::benchmark::{Benchmark, Dataset};
use crate::golden_vectors::{Expected, vqa_items};
use crate::matching::match_predictions;
use crate::metric::{Ratio, Score};
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol};

const QUESTIONS: &str = "v2_OpenEnded_mscoco_val2014_questions.json";
const ANNOTATIONS: &str = "v2_mscoco_val2014_annotations.json";
const LLAVA: &str = "llava_vqav2_mscoco_test-dev2015.jsonl";

/// The golden items as the organisers' files; items 1 and 2 show one picture.
fn official() -> (Value, Value) {
    let items = vqa_items();
    let questions: Vec<Value> = items
        .iter()
        .map(|item| {
            let image_id = item.question_id.max(2);
            let question = format!("Q{}?", item.question_id);
            json!({"image_id": image_id, "question": question, "question_id": item.question_id})
        })
        .collect();
    let annotations: Vec<Value> = items
        .iter()
        .map(|item| {
            let answers: Vec<Value> = item
                .answers
                .iter()
                .enumerate()
                .map(|(n, answer)| json!({"answer": answer, "answer_confidence": "yes", "answer_id": n + 1}))
                .collect();
            json!({"question_type": item.question_type, "multiple_choice_answer": "x", "answers": answers,
                   "image_id": 1, "answer_type": item.answer_type, "question_id": item.question_id})
        })
        .collect();
    let about = json!({"version": "2.0"});
    (
        json!({"info": about, "data_subtype": "val2014", "questions": questions}),
        json!({"info": about, "annotations": annotations}),
    )
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn golden(root: &Path) {
    let (questions, annotations) = official();
    write(root.join(QUESTIONS), questions.to_string());
    write(root.join(ANNOTATIONS), annotations.to_string());
}

fn llava(root: &Path) {
    let line = |n: u64| {
        let text = format!("Is it {n}?\nAnswer the question using a single word or phrase.");
        let id = 900_001_000 + n;
        json!({"question_id": id, "image": "COCO_test2015_000000900001.jpg", "text": text, "category": "default"})
    };
    let lines: String = (0..3).map(|n| format!("{}\n", line(n))).collect();
    write(root.join(LLAVA), lines);
}

fn source(root: &Path, split: Option<&str>) -> DataSource {
    DataSource {
        root: root.to_owned(),
        images: None,
        split: split.map(str::to_owned),
        grades: None,
    }
}

/// Messages name the folder `ROOT`.
fn load(root: &Path, split: Option<&str>) -> Result<Box<dyn Dataset>, String> {
    let shown = root.display().to_string();
    let data = Vqav2.load(&source(root, split));
    data.map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

fn fault(root: &Path) -> String {
    load(root, None).map(|_| ()).unwrap_err()
}

fn predictions() -> Vec<Option<String>> {
    vqa_items().into_iter().map(|item| Some(item.prediction)).collect()
}

fn value(score: &Score, id: &str) -> f64 {
    score.metric(id).unwrap().value.clone().unwrap()
}

/// `vqa_summary` of the golden vectors, which is rounded as the scorer prints it.
#[derive(serde::Deserialize)]
struct Summary {
    overall: f64,
    #[serde(rename = "perQuestionType")]
    question_types: std::collections::HashMap<String, f64>,
    #[serde(rename = "perAnswerType")]
    answer_types: std::collections::HashMap<String, f64>,
}

#[test]
fn golden_items_score_what_the_scorers_give() {
    let root = tempfile::tempdir().unwrap();
    golden(root.path());
    let data = load(root.path(), None).unwrap();
    let summaries: Value = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
    type Column = fn(&Expected) -> f64;
    let cases: [(Protocol, &str, Column); 2] = [
        (Protocol::Official, "official_raw", |expected| expected.official_raw),
        (Protocol::Paper, "official_on_evalai_output", |expected| {
            expected.official_on_evalai_output
        }),
    ];
    for (protocol, name, column) in cases {
        let score = data.score(&predictions(), protocol).unwrap();
        for (sample, item) in score.samples.iter().zip(vqa_items()) {
            assert_eq!(
                sample.score,
                Some(column(&item.expected) / 100.0),
                "{name}: {}",
                item.question_id
            );
        }
        let summary: Summary = serde_json::from_value(summaries["vqa_summary"][name].clone()).unwrap();
        let close = |id: &str, expected: f64| {
            let value = value(&score, id);
            assert!((value - expected).abs() < 0.005, "{name}: {id}: {value}");
        };
        close("accuracy", summary.overall);
        assert_eq!((summary.question_types.len(), summary.answer_types.len()), (5, 3));
        for (kind, expected) in summary.question_types {
            close(&format!("question-type/{kind}"), expected);
        }
        for (kind, expected) in summary.answer_types {
            close(&format!("accuracy/{}", kind.replace('/', "-")), expected);
        }
        assert_eq!((score.answered, score.empty, score.unparsed), (14, 1, 0));
    }
    let lmms = data.score(&predictions(), Protocol::LmmsEval).unwrap();
    for (sample, item) in lmms.samples.iter().zip(vqa_items()) {
        assert_eq!(
            sample.score,
            Some(item.expected.lmms_vqav2 / 100.0),
            "{}",
            item.question_id
        );
    }
    assert!((value(&lmms, "accuracy") - 80.7143).abs() < 5e-5);
    let error = data
        .score(&predictions(), Protocol::VlmEvalKit)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("VLMEvalKit has no VQAv2"), "{error}");
    assert!(data.can_ask(PromptStyle::VlmEvalKit).is_err());
}

#[test]
fn metrics_have_the_ids_of_the_command_line_and_ratios_that_add_up() {
    let root = tempfile::tempdir().unwrap();
    golden(root.path());
    let data = load(root.path(), None).unwrap();
    for protocol in [Protocol::Paper, Protocol::Official, Protocol::LmmsEval] {
        let mut answers = predictions();
        for missing in 0..answers.len() {
            let score = data.score(&answers, protocol).unwrap();
            let ids: Vec<&str> = score.metrics.iter().map(|metric| metric.id.as_str()).collect();
            let expected = [
                "accuracy",
                "accuracy/yes-no",
                "accuracy/number",
                "accuracy/other",
                "question-type/how many",
                "question-type/is the",
                "question-type/what",
                "question-type/what letter",
                "question-type/what time",
            ];
            assert_eq!(ids, expected);
            for metric in &score.metrics {
                let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
                match &metric.value {
                    Ok(value) => assert!((value - sum.unwrap()).abs() < 1e-9, "{}", metric.id),
                    Err(reason) => assert_eq!((reason.as_str(), metric.n), ("no answered sample", 0)),
                }
            }
            answers[missing] = None;
        }
    }
}

#[test]
fn the_official_layout_in_all_its_places() {
    for (questions, annotations) in [("", ""), ("Questions", "Annotations"), ("questions", "annotations")] {
        let root = tempfile::tempdir().unwrap();
        let (asked, labels) = official();
        write(
            root.path().join("VQA_v2").join(questions).join(QUESTIONS),
            asked.to_string(),
        );
        write(
            root.path().join("VQA_v2").join(annotations).join(ANNOTATIONS),
            labels.to_string(),
        );
        write(root.path().join("VQA_v2/val2014/COCO_val2014_000000000002.jpg"), b"x");
        let data = load(root.path(), Some("val")).unwrap();
        let provenance = data.provenance();
        assert_eq!(
            (provenance.layout, provenance.files.len()),
            ("official questions and annotations", 2)
        );
        assert_eq!(provenance.split, "val");
        let sample = &data.samples()[3];
        assert_eq!((sample.id.as_str(), sample.category.as_deref()), ("4", Some("number")));
        assert_eq!(sample.reference.as_deref(), Some("2 (5), 3 (2), two (1), 4 (1), 1 (1)"));
        let groups: Vec<String> = data
            .samples()
            .iter()
            .take(3)
            .map(|sample| sample.picture_group())
            .collect();
        assert_eq!(groups[0], groups[1]);
        assert_ne!(groups[1], groups[2]);
        assert_eq!(data.samples()[1].pictures[0].read(), Ok(b"x".to_vec()));
        let expected = "Q4?\nAnswer the question using a single word or phrase.";
        assert_eq!(data.prompt(3, PromptStyle::Paper), expected);
        assert_eq!(data.prompt(3, PromptStyle::LmmsEval), expected);
    }
}

#[test]
fn test_dev_is_asked_and_not_scored() {
    let root = tempfile::tempdir().unwrap();
    golden(root.path());
    llava(root.path());
    let data = load(root.path(), None).unwrap();
    assert_eq!(
        (data.provenance().layout, data.provenance().split.as_str()),
        ("LLaVA question file", "test-dev")
    );
    assert_eq!(data.samples()[2].id.as_str(), "900001002");
    assert_eq!(data.samples()[2].question, "Is it 2?");
    assert_eq!(data.samples()[2].reference, None);
    assert_eq!(
        data.prompt(2, PromptStyle::Paper),
        "Is it 2?\nAnswer the question using a single word or phrase."
    );
    let error = data
        .score(&[None, None, None], Protocol::Paper)
        .unwrap_err()
        .to_string();
    assert!(error.contains("on the server only (EvalAI challenge 830)"), "{error}");
    // The organisers' file gives the same ids and pictures.
    let (mut official, _) = official();
    official["questions"] = json!([{"image_id": 900_001, "question": "Is it 2?", "question_id": 900_001_002}]);
    let other = tempfile::tempdir().unwrap();
    write(
        other.path().join("v2_OpenEnded_mscoco_test-dev2015_questions.json"),
        official.to_string(),
    );
    let other = load(other.path(), Some("test-dev")).unwrap();
    assert_eq!(other.samples()[0].id, data.samples()[2].id);
    assert_eq!(other.samples()[0].picture_group(), data.samples()[2].picture_group());
}

#[test]
fn val_questions_without_annotations_say_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join(QUESTIONS), official().0.to_string());
    let data = load(root.path(), None).unwrap();
    assert_eq!(data.provenance().layout, "official questions");
    let error = data.score(&predictions(), Protocol::Official).unwrap_err().to_string();
    let expected = "the reference answers of VQAv2 val (`v2_mscoco_val2014_annotations.json`) not found; looked for";
    assert!(error.starts_with(expected), "{error}");
}

/// A table of lmms-lab's kind with the golden items; `labelled` false leaves the label columns null.
fn parquet(path: PathBuf, labelled: bool) {
    let items = vqa_items();
    let n = items.len();
    let lists: Vec<Series> = items
        .iter()
        .map(|item| {
            let ids: Vec<i64> = (1..=item.answers.len() as i64).collect();
            let fields = [
                Series::new("answer".into(), &item.answers),
                Series::new("answer_id".into(), ids),
            ];
            StructChunked::from_series("".into(), item.answers.len(), fields.iter())
                .unwrap()
                .into_series()
        })
        .collect();
    let null = |name: &str| Column::full_null(name.into(), n, &DataType::Null);
    let column = |name: &str, of: fn(&crate::golden_vectors::VqaItem) -> String| {
        Column::new(name.into(), items.iter().map(of).collect::<Vec<String>>())
    };
    let bytes: Vec<Vec<u8>> = items.iter().map(|item| vec![item.question_id as u8]).collect();
    let fields = [
        Series::new("bytes".into(), bytes),
        Series::new("path".into(), vec![None::<&str>; n]),
    ];
    let image = StructChunked::from_series("image".into(), n, fields.iter()).unwrap();
    let ids: Vec<i64> = items.iter().map(|item| item.question_id as i64).collect();
    let mut columns = vec![
        Column::new(
            "image_id".into(),
            ids.iter().map(|id| *id.max(&2)).collect::<Vec<i64>>(),
        ),
        Column::new("question_id".into(), ids),
        column("question", |item| format!("Q{}?", item.question_id)),
        image.into_series().into_column(),
    ];
    if labelled {
        columns.push(column("question_type", |item| item.question_type.clone()));
        columns.push(column("answer_type", |item| item.answer_type.clone()));
        columns.push(Column::new("answers".into(), lists));
    } else {
        columns.extend(["question_type", "answer_type", "answers"].map(null));
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut frame = DataFrame::new(n, columns).unwrap();
    ParquetWriter::new(fs::File::create(path).unwrap())
        .finish(&mut frame)
        .unwrap();
}

#[test]
fn parquet_gives_what_the_official_files_give() {
    let root = tempfile::tempdir().unwrap();
    parquet(root.path().join("vqav2/data/validation-00000-of-00001.parquet"), true);
    let table = load(root.path(), Some("val")).unwrap();
    let files = tempfile::tempdir().unwrap();
    golden(files.path());
    let official = load(files.path(), None).unwrap();
    assert_eq!(table.provenance().layout, "lmms-lab Parquet");
    for (of_table, of_files) in table.samples().iter().zip(official.samples()) {
        assert_eq!(of_table.id, of_files.id);
        assert_eq!(of_table.question, of_files.question);
        assert_eq!(of_table.category, of_files.category);
        assert_eq!(of_table.reference, of_files.reference);
        assert_eq!(of_table.picture_group(), of_files.picture_group());
    }
    let score = |data: &dyn Dataset| data.score(&predictions(), Protocol::Paper).unwrap();
    assert_eq!(score(&*table), score(&*official));
    // Question 2 shows the picture of question 1.
    assert_eq!(table.samples()[1].pictures[0].read(), Ok(vec![1]));
    let hidden = tempfile::tempdir().unwrap();
    parquet(hidden.path().join("testdev-00000-of-00001.parquet"), false);
    let hidden = load(hidden.path(), None).unwrap();
    assert_eq!(
        (hidden.provenance().split.as_str(), hidden.samples().len()),
        ("test-dev", 14)
    );
    assert!(hidden.samples().iter().all(|sample| sample.reference.is_none()));
}

#[test]
fn lmms_eval_lite_is_a_split_of_its_own() {
    for place in ["vqav2_val", "vqav2", "LMMs-Eval-Lite/vqav2_val"] {
        let root = tempfile::tempdir().unwrap();
        parquet(root.path().join(place).join("lite-00000-of-00001.parquet"), true);
        let root = root.path().join(if place.starts_with("LMMs") { place } else { "" });
        let data = load(&root, None).unwrap();
        let found = data.provenance();
        assert_eq!(
            (found.layout, found.split.as_str()),
            ("LMMs-Eval-Lite Parquet", "val-lite")
        );
        assert_eq!(data.samples()[1].pictures[0].key(), "COCO_val2014_000000000002.jpg");
        assert!(data.score(&predictions(), Protocol::LmmsEval).is_ok());
        assert!(data.remarks()[0].starts_with("val2014, not the papers' test-dev; most of its pictures"));
        assert!(load(&root, Some("val")).is_err());
    }
    // Of another benchmark.
    let root = tempfile::tempdir().unwrap();
    parquet(root.path().join("lite-00000-of-00001.parquet"), true);
    assert!(load(root.path(), None).is_err());
}

#[test]
fn predictions_are_matched_by_number_and_the_last_wins() {
    let root = tempfile::tempdir().unwrap();
    llava(root.path());
    let data = load(root.path(), None).unwrap();
    let matched = |content: &str| {
        let path = root.path().join("answers.jsonl");
        fs::write(&path, content).unwrap();
        let outcomes = match_predictions(&*data, &PredictionFile::read(&path).unwrap());
        outcomes.map_err(|error| error.to_string())
    };
    let content = "{\"question_id\": \"900001002\", \"text\": \"a\"}\n{\"question_id\": 900001001, \"text\": \"b\"}\n\
                   {\"question_id\": 900001002, \"text\": \"c\"}";
    let answer = |text: &str| Some(PredictionOutcome::Answer(text.to_owned()));
    assert_eq!(matched(content), Ok(vec![None, answer("b"), answer("c")]));
    let error = matched("{\"question_id\": \"x\", \"text\": \"a\"}").unwrap_err();
    assert!(
        error.ends_with("line 1: `x` is no VQAv2 question id, which is a whole number"),
        "{error}"
    );
    let error = matched("{\"question_id\": 1, \"text\": \"a\"}").unwrap_err();
    assert!(error.contains("none of its ids is in split `test-dev`"), "{error}");
    let ours = matched("{\"id\": \"900001000\", \"answer\": \"d\"}").unwrap();
    assert_eq!(ours[0], answer("d"));
}

#[test]
fn faulty_files_are_named() {
    type Edit = fn(&mut Value, &mut Value);
    let cases: [(Edit, &str); 6] = [
        (
            |_, labels| _ = labels["annotations"].as_array_mut().unwrap().pop(),
            "`ROOT/v2_mscoco_val2014_annotations.json`: 13 annotations for 14 questions; take the files of one split",
        ),
        (
            |questions, _| questions["questions"][3]["question_id"] = json!(77),
            "`ROOT/v2_OpenEnded_mscoco_val2014_questions.json`, question 77: asked twice, or no annotation in `",
        ),
        (
            |questions, _| questions["questions"][3]["question_id"] = json!("77"),
            "`ROOT/v2_OpenEnded_mscoco_val2014_questions.json`: invalid type: string \"77\", expected u64 at line 1",
        ),
        (
            |_, labels| labels["annotations"][3]["answer_type"] = json!("yes"),
            "`ROOT/v2_OpenEnded_mscoco_val2014_questions.json`, question 4: answer type `yes` is none of `yes/no`, ",
        ),
        (
            |_, labels| labels["annotations"][3]["answers"] = json!([]),
            "`ROOT/v2_OpenEnded_mscoco_val2014_questions.json`, question 4: no reference answer",
        ),
        (
            |questions, _| questions["questions"] = Value::Null,
            "`ROOT/v2_OpenEnded_mscoco_val2014_questions.json`: invalid type: null, expected a sequence at line 1",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let (mut questions, mut labels) = official();
        edit(&mut questions, &mut labels);
        write(root.path().join(QUESTIONS), questions.to_string());
        write(root.path().join(ANNOTATIONS), labels.to_string());
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let root = tempfile::tempdir().unwrap();
    llava(root.path());
    let content = fs::read_to_string(root.path().join(LLAVA)).unwrap();
    for (from, to, expected) in [
        (
            "900001001",
            "900001000",
            "line 2: question id 900001000 stands here for the second time",
        ),
        (
            "?\\nAnswer",
            "? Answer",
            "line 1: `text` does not end in LLaVA's `Answer the question using",
        ),
        ("900001000", "-1", "line 1: `question_id` is no whole number"),
    ] {
        write(root.path().join(LLAVA), content.replacen(from, to, 1));
        let error = fault(root.path());
        assert!(error.contains(expected), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = fault(empty.path());
    assert!(
        error.starts_with("VQAv2 (`llava_vqav2_mscoco_test-dev2015.jsonl`, `v2_OpenEnded_mscoco_val2014"),
        "{error}"
    );
    let error = load(empty.path(), Some("vall")).map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        "unknown split `vall`; did you mean `val`? known: test-dev, val, val-lite"
    );
}

#[test]
fn fewer_references_are_divided_by_their_number() {
    let root = tempfile::tempdir().unwrap();
    let (questions, mut labels) = official();
    labels["annotations"][8]["answers"].as_array_mut().unwrap().truncate(4);
    write(root.path().join(QUESTIONS), questions.to_string());
    write(root.path().join(ANNOTATIONS), labels.to_string());
    let data = load(root.path(), None).unwrap();
    let score = data.score(&predictions(), Protocol::Official).unwrap();
    // red, blue, green, red: each red sees one other, the two others see two.
    let expected = (2.0 / 3.0 + 2.0 * 2.0 / 3.0) / 4.0;
    assert!((score.samples[8].score.unwrap() - expected).abs() < 1e-15);
}
