//! TextVQA from files to samples and scores.

use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::*;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ANNOTATION, LLAVA_QUESTIONS, ROSETTA, Textvqa, asked};
use crate::benchmark::{Benchmark, Dataset};
use crate::golden_vectors::vqa_items;
use crate::matching::match_predictions;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol};

/// Number, picture, question, OCR tokens: the first two show one picture, the last has no token.
const ROWS: [(u32, &str, &str, &[&str]); 3] = [
    (34602, "0a0a0a0a0a0a0a0a", "what word is on the mug?", &["ACME", "CO"]),
    (34603, "0a0a0a0a0a0a0a0a", "what brand is IBM's?", &["ACME", "CO"]),
    (34604, "0b0b0b0b0b0b0b0b", "qué dice?", &[]),
];

const IDS: [&str; 3] = [
    "0a0a0a0a0a0a0a0a/2a98efe7",
    "0a0a0a0a0a0a0a0a/6bfac7cc",
    "0b0b0b0b0b0b0b0b/3989c1d5",
];

fn answers(n: usize) -> Vec<String> {
    let mut answers = vec![format!("acme{n}"); 8];
    answers.extend(["Acne".to_owned(), "the co".to_owned()]);
    answers
}

fn annotation() -> Value {
    let data: Vec<Value> = ROWS
        .iter()
        .enumerate()
        .map(|(n, row)| json!({"question_id": row.0, "image_id": row.1, "question": row.2, "answers": answers(n)}))
        .collect();
    json!({"dataset_type": "val", "data": data})
}

fn rosetta() -> Value {
    let data: Vec<Value> = ROWS
        .iter()
        .map(|row| json!({"image_id": row.1, "ocr_tokens": row.3, "ocr_info": []}))
        .collect();
    json!({"data": data})
}

fn llava() -> String {
    let line = |row: &(u32, &str, &str, &[&str])| {
        let question = crate::python_text::capitalize(row.2);
        let tokens = row.3.join(", ");
        let text =
            format!("{question}\nReference OCR token: {tokens}\nAnswer the question using a single word or phrase.");
        json!({"question_id": row.1, "image": format!("{}.jpg", row.1), "text": text, "category": "default"})
    };
    ROWS.iter().map(|row| format!("{}\n", line(row))).collect()
}

fn parquet(path: PathBuf) {
    let texts = |values: Vec<String>| Series::new("".into(), values);
    let lists: Vec<Series> = (0..ROWS.len()).map(|n| texts(answers(n))).collect();
    let tokens: Vec<Series> = ROWS
        .iter()
        .map(|row| texts(row.3.iter().map(|token| (*token).to_owned()).collect()))
        .collect();
    let bytes: Vec<Vec<u8>> = ROWS.iter().map(|row| row.1.as_bytes().to_vec()).collect();
    let fields = [
        Series::new("bytes".into(), bytes),
        Series::new("path".into(), [None::<&str>; 3]),
    ];
    let image = StructChunked::from_series("image".into(), ROWS.len(), fields.iter()).unwrap();
    let columns = vec![
        Column::new("image_id".into(), ROWS.map(|row| row.1)),
        Column::new("question_id".into(), ROWS.map(|row| row.0 as i32)),
        Column::new("question".into(), ROWS.map(|row| row.2)),
        Column::new("answers".into(), lists),
        Column::new("ocr_tokens".into(), tokens),
        image.into_series().into_column(),
    ];
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut frame = DataFrame::new(ROWS.len(), columns).unwrap();
    ParquetWriter::new(fs::File::create(path).unwrap())
        .finish(&mut frame)
        .unwrap();
}

fn source(root: &Path) -> DataSource {
    DataSource {
        root: root.to_owned(),
        images: None,
        split: None,
        grades: None,
    }
}

/// Messages name the folder `ROOT`.
pub(super) fn load(root: &Path) -> Result<Box<dyn Dataset>, String> {
    let shown = root.display().to_string();
    Textvqa
        .load(&source(root))
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

fn fault(root: &Path) -> String {
    load(root).map(|_| ()).unwrap_err()
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

#[test]
fn every_layout_gives_the_same_samples_and_prompts() {
    let layouts = [
        "LLaVA question file with the official annotation",
        "official annotation",
        "lmms-lab Parquet",
    ];
    for layout in layouts {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("TextVQA");
        fs::create_dir(&folder).unwrap();
        match layout {
            "lmms-lab Parquet" => parquet(folder.join("data/validation-00000-of-00001-0ab1.parquet")),
            _ => fs::write(folder.join(ANNOTATION), annotation().to_string()).unwrap(),
        }
        match layout {
            "official annotation" => fs::write(folder.join(ROSETTA), rosetta().to_string()).unwrap(),
            "lmms-lab Parquet" => {}
            _ => fs::write(folder.join(LLAVA_QUESTIONS), llava()).unwrap(),
        }
        let data = load(root.path()).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            (layout, "val")
        );
        let ids: Vec<&str> = data.samples().iter().map(|sample| sample.id.as_str()).collect();
        assert_eq!(ids, IDS, "{layout}");
        let groups: Vec<String> = data.samples().iter().map(|sample| sample.picture_group()).collect();
        assert_eq!(
            groups,
            ["0a0a0a0a0a0a0a0a.jpg", "0a0a0a0a0a0a0a0a.jpg", "0b0b0b0b0b0b0b0b.jpg"]
        );
        assert_eq!(
            data.samples()[1].reference.as_deref(),
            Some("acme1 (8), Acne (1), the co (1)")
        );
        assert_eq!(
            data.prompt(1, PromptStyle::Paper),
            "What brand is ibm's?\nReference OCR token: ACME, CO\nAnswer the question using a single word or phrase."
        );
        assert_eq!(
            data.prompt(2, PromptStyle::Paper),
            "Qué dice?\nReference OCR token: \nAnswer the question using a single word or phrase."
        );
        assert_eq!(
            data.prompt(1, PromptStyle::LmmsEval),
            "What brand is ibm's?\nAnswer the question using a single word or phrase."
        );
        assert!(data.can_ask(PromptStyle::Paper).is_ok());
        let by_number = matched(&*data, &[json!({"question_id": 34604, "text": "x"})]).unwrap();
        assert_eq!(by_number, [None, None, Some("x".to_owned())]);
    }
}

#[test]
fn the_kits_prompt_keeps_the_question_as_it_is_stored() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(ANNOTATION), annotation().to_string()).unwrap();
    let data = load(root.path()).unwrap();
    let expected = "what brand is IBM's?\nAnswer the question using a single word or phrase.";
    assert_eq!(data.prompt(1, PromptStyle::VlmEvalKit), expected);
}

#[test]
fn without_tokens_the_papers_prompt_cannot_be_asked() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(ANNOTATION), annotation().to_string()).unwrap();
    let data = load(root.path()).unwrap();
    let error = data.can_ask(PromptStyle::Paper).unwrap_err().to_string();
    assert!(
        error.starts_with("OCR tokens for the paper's prompt (`TextVQA_Rosetta_OCR_v0.2_val.json` or"),
        "{error}"
    );
    assert!(data.can_ask(PromptStyle::LmmsEval).is_ok());
}

#[test]
fn pictures_in_a_table_are_read_once_for_all_their_questions() {
    let root = tempfile::tempdir().unwrap();
    parquet(root.path().join("validation-00000-of-00001.parquet"));
    let data = load(root.path()).unwrap();
    for (sample, row) in data.samples().iter().zip(ROWS) {
        assert_eq!(sample.pictures[0].read(), Ok(row.1.as_bytes().to_vec()));
    }
}

#[test]
fn questions_without_annotation_are_asked_and_not_scored() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(LLAVA_QUESTIONS), llava()).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(data.provenance().layout, "LLaVA question file");
    assert!(data.samples().iter().all(|sample| sample.reference.is_none()));
    let error = data
        .score(&[None, None, None], Protocol::Paper)
        .unwrap_err()
        .to_string();
    let expected = format!(
        "the reference answers of TextVQA's split `val` (`TextVQA_0.5.1_val.json`) not found; looked for `{}`; put",
        root.path().display()
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn predictions_are_matched_by_picture_and_question() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(ANNOTATION), annotation().to_string()).unwrap();
    let data = load(root.path()).unwrap();
    let line =
        |picture: &str, prompt: &str, text: &str| json!({"question_id": picture, "prompt": prompt, "text": text});
    let found = matched(
        &*data,
        &[
            line(ROWS[1].1, "What brand is IBM's?\nReference OCR token: \nAnswer", "b"),
            line(
                ROWS[0].1,
                "OCR tokens: x. Question: What word is on the mug? Short answer:",
                "a",
            ),
            line(ROWS[2].1, "QUÉ dice?\nAnswer", "c"),
        ],
    );
    assert_eq!(found.unwrap(), ["a", "b", "c"].map(|text| Some(text.to_owned())));
    let cases = [
        (
            json!({"question_id": ROWS[0].1, "text": "x"}),
            "`prompt` must say which question was asked",
        ),
        (
            line(ROWS[0].1, "what\nword is on the mug?\nb\nc", "x"),
            "no question can be read from `prompt`",
        ),
        (
            line(ROWS[0].1, "what sort is it?\nb", "x"),
            "none of its ids is in split `val`",
        ),
        (
            line(ROWS[2].1, "what word is on the mug?\nb", "x"),
            "none of its ids is in split `val`",
        ),
    ];
    for (line, expected) in cases {
        let error = matched(&*data, &[line]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let twice = line(ROWS[2].1, "qué dice?\nb", "x");
    let error = matched(&*data, &[twice.clone(), twice]).unwrap_err();
    assert!(
        error.contains("line 2: `0b0b0b0b0b0b0b0b` was answered in line 1 already"),
        "{error}"
    );
}

#[test]
fn questions_are_read_back_from_every_form_of_the_prompt() {
    let cases = [
        ("Q?\nReference OCR token: a, b\nAnswer.", Some("Q?")),
        ("Q?\nReference OCR token: \nAnswer.", Some("Q?")),
        ("Reference OCR token: a\nQ?\nAnswer.", Some("Q?")),
        (
            "Reference OCR token:\nQ? Reference OCR token: \nA",
            Some("Q? Reference OCR token: "),
        ),
        ("Q?\nAnswer.", Some("Q?")),
        ("OCR tokens: a, b. Question: Q\nR? Short answer: x", Some("Q\nR?")),
        ("OCR tokens: a, b. Q?", None),
        ("Q?\nno tokens\nAnswer.", None),
        ("Q\nR?\nReference OCR token: a\nAnswer.", None),
        ("Q?", None),
        ("", None),
    ];
    for (prompt, expected) in cases {
        assert_eq!(asked(prompt), expected, "{prompt:?}");
    }
}

proptest! {
    #[test]
    fn what_is_asked_is_read_back(question in "[^\n]{0,30}", tokens in "[^\n]{0,30}") {
        prop_assume!(!question.starts_with("OCR tokens: ") && !question.starts_with("Reference OCR token:"));
        let prompt = format!("{question}\nReference OCR token: {tokens}\nAnswer.");
        prop_assert_eq!(asked(&prompt), Some(question.as_str()));
    }

    #[test]
    fn no_prompt_makes_it_panic(prompt: String) {
        let _ = asked(&prompt);
    }
}

#[test]
fn faulty_files_are_named_with_record_and_remedy() {
    type Edit = fn(&mut Value, &mut String);
    let cases: [(Edit, &str); 6] = [
        (
            |official, _| official["data"][1]["answers"].as_array_mut().unwrap().truncate(9),
            "`ROOT/llava_textvqa_val_v051_ocr.jsonl`, line 2: 9 reference answers; the evaluator takes exactly 10",
        ),
        (
            |official, _| official["data"][1]["answers"] = Value::Null,
            "`ROOT/llava_textvqa_val_v051_ocr.jsonl`, line 2: 0 reference answers",
        ),
        (
            |official, _| official["data"][1]["question"] = json!("another"),
            "`ROOT/llava_textvqa_val_v051_ocr.jsonl`, line 2: `What brand is ibm's?` about `0a0a0a0a0a0a0a0a` is ",
        ),
        (
            |_, llava| *llava = llava.replacen("\\nReference", "\\nmore\\nReference", 1),
            "`ROOT/llava_textvqa_val_v051_ocr.jsonl`, line 1: `text` is not three lines",
        ),
        (
            |_, llava| *llava = llava.clone() + llava.lines().next().unwrap(),
            "`ROOT/llava_textvqa_val_v051_ocr.jsonl`, line 4: asks the same as line 1 (`0a0a0a0a0a0a0a0a/",
        ),
        (
            |official, _| official["data"] = json!({}),
            "`ROOT/TextVQA_0.5.1_val.json`: invalid type: map, expected a sequence at line 1 column",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let (mut official, mut llava) = (annotation(), llava());
        edit(&mut official, &mut llava);
        fs::write(root.path().join(ANNOTATION), official.to_string()).unwrap();
        fs::write(root.path().join(LLAVA_QUESTIONS), llava).unwrap();
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let root = tempfile::tempdir().unwrap();
    let mut twice = annotation();
    let first = twice["data"][0].clone();
    twice["data"].as_array_mut().unwrap().push(first);
    fs::write(root.path().join(ANNOTATION), twice.to_string()).unwrap();
    let error = fault(root.path());
    assert!(
        error.contains("record 3 of `data`: asks the same as record 0 of `data`"),
        "{error}"
    );
    // With LLaVA's questions the later of two annotations counts, as in the evaluator.
    twice["data"][3]["answers"] = json!(vec!["later"; 10]);
    fs::write(root.path().join(ANNOTATION), twice.to_string()).unwrap();
    fs::write(root.path().join(LLAVA_QUESTIONS), llava()).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(data.samples()[0].reference.as_deref(), Some("later (10)"));
}

#[test]
fn nothing_there_and_other_splits_are_told() {
    let root = tempfile::tempdir().unwrap();
    let error = fault(root.path());
    assert!(
        error.starts_with("TextVQA (`llava_textvqa_val_v051_ocr.jsonl`, `TextVQA_0.5.1_val.json`, "),
        "{error}"
    );
    let mut source = source(root.path());
    source.split = Some("test".to_owned());
    let error = Textvqa.load(&source).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "unknown split `test`; known: val");
}

/// `textvqa.md`, section 10: the mean of the fourteen items.
#[test]
fn golden_items_score_what_the_evaluator_gives() {
    let root = tempfile::tempdir().unwrap();
    let items = vqa_items();
    let data: Vec<Value> = items
        .iter()
        .map(|item| {
            let question = item.question_id.to_string();
            json!({"question_id": item.question_id, "image_id": "i", "question": question, "answers": item.answers})
        })
        .collect();
    fs::write(root.path().join(ANNOTATION), json!({"data": data}).to_string()).unwrap();
    let data = load(root.path()).unwrap();
    let mut answers: Vec<Option<String>> = items.iter().map(|item| Some(item.prediction.clone())).collect();
    for protocol in [Protocol::Paper, Protocol::Official, Protocol::LmmsEval] {
        let score = data.score(&answers, protocol).unwrap();
        for (sample, item) in score.samples.iter().zip(&items) {
            assert_eq!(
                sample.score,
                Some(item.expected.textvqa_m4c / 100.0),
                "{}",
                item.question_id
            );
        }
        let accuracy = score.metric("accuracy").unwrap();
        assert!((accuracy.value.clone().unwrap() - 1130.0 / 14.0).abs() < 1e-12);
        assert_eq!(
            (accuracy.n, score.answered, score.empty, score.unparsed),
            (14, 14, 1, 0)
        );
    }
    // The mean is over what was answered.
    answers[1..].fill(None);
    let score = data.score(&answers, Protocol::Paper).unwrap();
    assert_eq!(
        (score.metric("accuracy").unwrap().value.clone(), score.unanswered()),
        (Ok(100.0), 13)
    );
}

#[test]
fn the_kit_keeps_a_stop_behind_a_digit() {
    let root = tempfile::tempdir().unwrap();
    let mut official = annotation();
    official["data"][0]["answers"] = json!(vec!["3"; 10]);
    fs::write(root.path().join(ANNOTATION), official.to_string()).unwrap();
    let data = load(root.path()).unwrap();
    let answers = [Some("3.".to_owned()), None, None];
    let accuracy = |protocol| data.score(&answers, protocol).unwrap().metrics[0].value.clone();
    assert_eq!(accuracy(Protocol::Paper), Ok(100.0));
    assert_eq!(accuracy(Protocol::VlmEvalKit), Ok(0.0));
    let forms = data.normalisers().iter().map(|normaliser| {
        let score = data.score_normalised(&answers, *normaliser).unwrap();
        score.metrics[0].value.clone().unwrap()
    });
    let expected = [100.0, 100.0, 0.0, 100.0, 0.0, 100.0];
    assert_eq!(forms.collect::<Vec<_>>(), expected, "{:?}", data.normalisers());
}
