//! GQA's layouts on the invented files of [`fixture`](super::fixture), and what is said about faulty ones.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::fixture::{
    answers, fault, golden, golden_answers, llava_questions, load, load_split, official, source, write,
};
use super::{Gqa, PROMPT_SUFFIX};
use crate::benchmark::{Benchmark, Dataset};
use crate::task::{PromptStyle, Protocol};

const QUESTIONS: &str = "testdev_balanced_questions.json";
const LLAVA: &str = "llava_gqa_testdev_balanced.jsonl";

fn replace(path: &Path, from: &str, to: &str) {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.contains(from), "{from}");
    fs::write(path, content.replacen(from, to, 1)).unwrap();
}

fn ids(data: &dyn Dataset) -> Vec<&str> {
    data.samples().iter().map(|sample| sample.id.as_str()).collect()
}

fn value(data: &dyn Dataset, id: &str) -> Result<f64, String> {
    let score = data.score(&golden_answers(data), Protocol::Paper).unwrap();
    score.metric(id).unwrap().value.clone()
}

#[test]
fn every_layout_gives_the_same_samples() {
    type Make = fn(&Path);
    let cases: [(&str, &str, Make); 5] = [
        ("official question file", "testdev-balanced-10", |root| official(root)),
        ("official question file", "testdev-balanced-10", |root| {
            official(&root.join("GQA/data/questions1.2"))
        }),
        ("official question file", "testdev-balanced-10", |root| {
            let questions = golden().questions;
            let folder = root.join("gqa/data/testdev_balanced_questions");
            for (n, (id, question)) in questions.into_iter().enumerate() {
                let part = folder.join(format!("testdev_balanced_questions_{n}.json"));
                write(part, json!({id: question}).to_string());
            }
        }),
        (
            "LLaVA question file with official answers",
            "testdev-balanced-9",
            |root| {
                llava_questions(root);
                official(root);
            },
        ),
        (
            "LLaVA question file with official answers",
            "testdev-balanced-9",
            |root| {
                llava_questions(&root.join("gqa"));
                official(&root.join("gqa/data"));
            },
        ),
    ];
    let questions = golden().questions;
    for (layout, split, make) in cases {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let data = load(root.path()).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            (layout, split)
        );
        for (index, sample) in data.samples().iter().enumerate() {
            let question = &questions[sample.id.as_str()];
            assert_eq!(sample.source_id, sample.id.as_str());
            assert_eq!(sample.question, question["question"]);
            assert_eq!(sample.reference.as_deref(), question["answer"].as_str());
            assert_eq!(sample.category.as_deref(), question["types"]["structural"].as_str());
            assert_eq!((sample.pictures[0].key(), sample.scoring_group), ("n0.jpg", index));
            for style in PromptStyle::ALL {
                assert_eq!(
                    data.prompt(index, *style),
                    format!("{}{PROMPT_SUFFIX}", sample.question)
                );
            }
        }
        if layout.starts_with("LLaVA") {
            assert_eq!(ids(&*data), ["9", "8", "7", "6", "5", "4", "3", "2", "1"]);
        }
        assert!(
            (value(&*data, "accuracy").unwrap() - 600.0 / 9.0).abs() < 1e-9,
            "{layout}"
        );
    }
}

#[test]
fn questions_without_answers_load_and_say_what_scoring_needs() {
    let root = tempfile::tempdir().unwrap();
    llava_questions(&root.path().join("gqa"));
    let data = load(root.path()).unwrap();
    assert_eq!(data.provenance().layout, "LLaVA question file without answers");
    assert!(data.samples().iter().all(|sample| sample.reference.is_none()));
    let error = data.score(&vec![None; 9], Protocol::Paper).unwrap_err().to_string();
    let place = root.path().join("gqa/data").join(QUESTIONS);
    assert!(
        error.starts_with(&format!(
            "GQA's right answers not found; looked for `{}`",
            place.display()
        )),
        "{error}"
    );
    assert!(error.contains("; put the question file of GQA 1.2 there"), "{error}");
    // They are the default even beside labelled questions of another split.
    let mut questions = golden().questions;
    write(
        root.path().join("gqa/val_balanced_questions.json"),
        Value::Object(questions.clone()).to_string(),
    );
    assert_eq!(load(root.path()).unwrap().provenance().split, "testdev-balanced-9");
    for question in questions.values_mut() {
        question.as_object_mut().unwrap().remove("answer");
    }
    write(
        root.path().join("gqa/test_all_questions.json"),
        Value::Object(questions).to_string(),
    );
    let hidden = load_split(root.path(), Some("test-all")).unwrap();
    assert_eq!(hidden.provenance().split, "test-all");
    assert!(hidden.score(&vec![None; 10], Protocol::Paper).is_err());
}

#[test]
fn pictures_are_found_where_the_layout_puts_them_then_under_images() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    replace(&root.path().join(QUESTIONS), "\"imageId\":\"n0\"", "\"imageId\":\"n1\"");
    write(root.path().join("data/images/n0.jpg"), b"n0");
    write(root.path().join("elsewhere/images/n1.jpg"), b"n1");
    let mut source = source(root.path());
    source.images = Some(root.path().join("elsewhere"));
    let data = Gqa.load(&source).unwrap();
    for sample in data.samples() {
        let picture = &sample.pictures[0];
        assert_eq!(
            picture.read().unwrap(),
            picture.key().trim_end_matches(".jpg").as_bytes()
        );
    }
}

#[test]
fn choices_beside_the_questions_make_validity_known() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    let undefined = value(&*load(root.path()).unwrap(), "validity");
    assert_eq!(
        undefined,
        Err("no choices file; GQA has them for train and val only".to_owned())
    );
    let questions = golden().questions;
    let choices = |id: &String| {
        (
            id.clone(),
            json!({"valid": ["yes", "red", "off white"], "plausible": ["red"]}),
        )
    };
    let mut all: serde_json::Map<String, Value> = questions.keys().map(choices).collect();
    let path = root.path().join("testdev_balanced_choices.json");
    write(path.clone(), Value::Object(all.clone()).to_string());
    let data = load(root.path()).unwrap();
    assert_eq!(data.provenance().files.len(), 2);
    // Predicted: yes, yes, red and off white; red.
    assert!((value(&*data, "validity").unwrap() - 400.0 / 9.0).abs() < 1e-9);
    assert!((value(&*data, "plausibility").unwrap() - 100.0 / 9.0).abs() < 1e-9);
    // What two things have in common is a colour, a material or a shape.
    replace(&root.path().join(QUESTIONS), "twoSameMaterialC", "twoCommon");
    let predictions = golden_answers(&*data);
    let data = load(root.path()).unwrap();
    let at = data
        .samples()
        .iter()
        .position(|sample| sample.id.as_str() == "8")
        .unwrap();
    for (answer, expected) in [("yes", 4.0), ("Shape.", 5.0)] {
        let mut answers = predictions.clone();
        answers[at] = Some(answer.to_owned());
        let score = data.score(&answers, Protocol::Paper).unwrap();
        let validity = score.metric("validity").unwrap().value.clone().unwrap();
        assert!((validity - 100.0 * expected / 9.0).abs() < 1e-9, "{answer}");
    }
    all.remove("7");
    write(path, Value::Object(all).to_string());
    assert_eq!(
        fault(root.path()),
        "`ROOT/testdev_balanced_choices.json`: no choices of 1 balanced questions; take the file that belongs to the \
         questions"
    );
}

#[test]
fn ids_are_compared_as_text_the_last_line_wins_and_others_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    let data = load(root.path()).unwrap();
    let line = |id: Value, text: &str| json!({"question_id": id, "text": text});
    let lines = [
        line(json!("3"), "blue"),
        line(json!(3), "Red."),
        line(json!("777"), "of another tier"),
    ];
    let found = answers(&*data, &lines).unwrap();
    let at = ids(&*data).iter().position(|id| *id == "3").unwrap();
    assert_eq!(found[at].as_deref(), Some("Red."));
    assert_eq!(found.iter().flatten().count(), 1);
    let error = answers(&*data, &[line(json!("777"), "")]).unwrap_err();
    assert!(
        error.contains("none of its ids is in split `testdev-balanced-10` (first: `777`)"),
        "{error}"
    );
    let error = answers(&*data, &[json!({"id": "777", "answer": ""})]).unwrap_err();
    assert!(error.contains("none of its ids"), "{error}");
    let ours = [json!({"id": "3", "answer": "red"}), json!({"id": "777", "answer": ""})];
    assert!(
        answers(&*data, &ours)
            .unwrap_err()
            .contains("line 2: `777` is not in split")
    );
}

#[test]
fn splits_are_called_as_their_tiers() {
    let root = tempfile::tempdir().unwrap();
    let questions = Value::Object(golden().questions).to_string();
    for tier in ["train_balanced", "testdev_all"] {
        write(root.path().join(format!("{tier}_questions.json")), &questions);
    }
    assert_eq!(load(root.path()).unwrap().provenance().split, "testdev-all");
    let train = load_split(root.path(), Some("train-balanced")).unwrap();
    assert_eq!(train.provenance().split, "train-balanced");
    let fault = |split| load_split(root.path(), Some(split)).map(|_| ()).unwrap_err();
    let error = fault("val-all");
    assert!(
        error.starts_with("GQA (`val_all_questions.json`) not found; looked for `ROOT`; unpack GQA's"),
        "{error}"
    );
    let error = fault("val_all");
    assert!(
        error.starts_with("unknown split of GQA `val_all`; did you mean `val-all`?"),
        "{error}"
    );
    official(root.path());
    let error = fault("testdev-balanced");
    let expected = "split `testdev-balanced` of GQA has 12578 questions, `ROOT` has 10 (official question file); take";
    assert!(error.starts_with(expected), "{error}");
    // An incomplete file is found by the name that it gets.
    let data = load_split(root.path(), Some("testdev-balanced-10")).unwrap();
    assert_eq!(data.provenance().split, "testdev-balanced-10");
    let error = fault("testdev-balanced-11");
    assert!(
        error.contains("`testdev-balanced-11` of GQA has 11 questions, `ROOT` has 10"),
        "{error}"
    );
}

#[test]
fn answers_are_compared_in_any_of_the_forms() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    let data = load(root.path()).unwrap();
    let mut answers = golden_answers(&*data);
    answers.iter_mut().flatten().for_each(|answer| answer.push('-'));
    let accuracy = |normaliser| {
        let score = data.score_normalised(&answers, normaliser).unwrap();
        score.metric("accuracy").unwrap().value.clone().unwrap()
    };
    let found: Vec<f64> = data
        .normalisers()
        .iter()
        .map(|normaliser| accuracy(*normaliser))
        .collect();
    assert!(found[0] == 0.0 && found[1] > 50.0 && found[2] == 0.0, "{found:?}");
}

#[test]
fn faulty_files_are_named() {
    type Edit = fn(&Path);
    let cases: [(Edit, &str); 10] = [
        (
            |root| {
                replace(
                    &root.join(QUESTIONS),
                    "\"structural\":\"query\"",
                    "\"structural\":\"ask\"",
                )
            },
            "`ROOT/testdev_balanced_questions.json`, question 3: unknown structural type `ask`; GQA has query, ",
        ),
        (
            |root| replace(&root.join(QUESTIONS), "\"isBalanced\"", "\"balanced\""),
            "`ROOT/testdev_balanced_questions.json`: missing field `isBalanced` at line 1 column ",
        ),
        (
            |root| replace(&root.join(QUESTIONS), "\"answer\":\"yes\"", "\"reply\":\"yes\""),
            "`ROOT`: 1 of 9 questions have no `answer`; copy the question file again",
        ),
        (
            |root| fs::write(root.join(QUESTIONS), "{\"1\": {").unwrap(),
            "`ROOT/testdev_balanced_questions.json`: cut off in the middle, at line ",
        ),
        (
            |root| replace(&root.join(LLAVA), "\"question_id\":\"7\"", "\"question_id\":\"77\""),
            "`ROOT/llava_gqa_testdev_balanced.jsonl`, line 3: question 77 is not in the official file, or stands",
        ),
        (
            |root| replace(&root.join(LLAVA), "\"question_id\":\"7\"", "\"question_id\":9"),
            "`ROOT/llava_gqa_testdev_balanced.jsonl`, line 3: question 9 is not in the official file, or stands",
        ),
        (
            |root| replace(&root.join(LLAVA), "Who is", "What is"),
            "`ROOT/llava_gqa_testdev_balanced.jsonl`, line 4: question 6 is `What is holding the bat?` about `n0`, in \
             the official file `Who is holding the bat?` about `n0`; take files that belong together",
        ),
        (
            |root| replace(&root.join(LLAVA), "?\\nAnswer", "? Answer"),
            "`ROOT/llava_gqa_testdev_balanced.jsonl`, line 1: `text` does not end in LLaVA's `Answer the question",
        ),
        (
            |root| {
                let path = root.join(LLAVA);
                let content = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = content.lines().collect();
                fs::write(&path, lines[2..].join("\n")).unwrap();
            },
            "`ROOT/llava_gqa_testdev_balanced.jsonl`: 2 questions of the official file are not asked here; take the",
        ),
        (
            |root| {
                fs::remove_file(root.join(LLAVA)).unwrap();
                fs::write(root.join(QUESTIONS), "{}").unwrap();
            },
            "`ROOT/testdev_balanced_questions.json`: no question; copy the file again",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        llava_questions(root.path());
        official(root.path());
        edit(root.path());
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let root = tempfile::tempdir().unwrap();
    let question = golden().questions["1"].to_string();
    write(
        root.path().join(QUESTIONS),
        format!("{{\"1\": {question}, \"1\": {question}}}"),
    );
    assert_eq!(
        fault(root.path()),
        "`ROOT/testdev_balanced_questions.json`: question 1 stands here for the second time"
    );
}

#[test]
fn nothing_there_says_what_to_download() {
    let root = tempfile::tempdir().unwrap();
    let error = fault(root.path());
    assert!(error.starts_with("GQA (`testdev_balanced_questions.json`, "), "{error}");
    assert!(
        error.contains("looked for `ROOT`; unpack GQA's `questions1.2.zip`"),
        "{error}"
    );
}

#[test]
fn doubled_spaces_are_no_words() {
    let root = tempfile::tempdir().unwrap();
    official(root.path());
    let words = || {
        let data = load(root.path()).unwrap();
        let score = data.score(&golden_answers(&*data), Protocol::Official).unwrap();
        let ids = score.metrics.iter().map(|metric| (metric.id.to_string(), metric.n));
        ids.filter(|(id, _)| id.starts_with("words/")).collect::<Vec<_>>()
    };
    let expected = words();
    replace(
        &root.path().join(QUESTIONS),
        "Who is holding the bat?",
        " Who  is holding   the bat? ",
    );
    assert_eq!(words(), expected);
}
