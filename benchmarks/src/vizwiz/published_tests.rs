//! VizWiz's published files: prompts, and the upload that LLaVA made of its answers.

use std::collections::HashSet;
use std::fs;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Vizwiz;
use super::tests::{LLAVA, load, texts};
use crate::benchmark::Benchmark;
use crate::export::Export;
use crate::matching::match_predictions;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::PromptStyle;
use crate::vqa_text::Normaliser;

/// A record of LLaVA's upload.
#[derive(Deserialize)]
struct Upload {
    answer: String,
}

/// `vizwiz.md`, section 10.
#[test]
fn the_published_files_give_the_published_upload() {
    let Some(folder) = reference_data::folder("the_published_files_give_the_published_upload") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let data = load(&folder, None).unwrap();
    assert_eq!(
        (data.samples().len(), data.provenance().split.as_str()),
        (Vizwiz.default_size(), "test-dev")
    );
    assert!(data.provenance().files[0].sha256.starts_with("25b71577dafc1e40"));
    let pictures: HashSet<String> = data.samples().iter().map(|sample| sample.picture_group()).collect();
    assert_eq!(pictures.len(), 8000);
    let questions_where = |differs: fn(&str) -> bool| data.samples().iter().filter(|s| differs(&s.question)).count();
    let trailing = questions_where(|question| question.trim_end() != question);
    let leading = questions_where(|question| question.trim_start() != question);
    assert_eq!((trailing, leading), (421, 4));
    let questions = fs::read_to_string(folder.join("vizwiz").join(LLAVA)).unwrap();
    for (index, line) in questions.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(data.prompt(index, PromptStyle::Paper), line["text"].as_str().unwrap());
    }
    let file = PredictionFile::read(&folder.join("vizwiz/answers/llava-v1.5-13b.jsonl")).unwrap();
    assert!(file.sha256.starts_with("06bfe5300f0f9661"));
    let answers: Vec<String> = texts(match_predictions(&*data, &file).unwrap())
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let given: Vec<Option<String>> = answers.iter().cloned().map(Some).collect();
    let Export::File(exported) = data.export(&given).unwrap() else {
        panic!("a folder")
    };
    let published = fs::read(folder.join("vizwiz/answers_upload/llava-v1.5-13b.json")).unwrap();
    assert!(format!("{:x}", Sha256::digest(&published)).starts_with("671422ba1f9ee08a"));
    assert!(exported == published);
    let upload: Vec<Upload> = serde_json::from_slice(&exported).unwrap();
    let hashes = [
        (
            Normaliser::EvalAi,
            "bae44452ea2b966cf1ec202df48e27e9353e7098c72d4938dd92c2f52b37b2b3",
        ),
        (
            Normaliser::VqaOfficial,
            "4d3cc63851e2d365ee0c4f259b4eb346c3c0cb7fea6552d195f3acca4ecd4bd6",
        ),
    ];
    for (normaliser, expected) in hashes {
        let lines: String = answers.iter().map(|answer| normaliser.apply(answer) + "\n").collect();
        assert_eq!(format!("{:x}", Sha256::digest(lines)), expected, "{normaliser:?}");
    }
    let distinct: HashSet<&str> = upload.iter().map(|record| record.answer.as_str()).collect();
    assert_eq!(distinct.len(), 2056);
    let frequent = [
        ("unanswerable", 2361),
        ("yes", 350),
        ("no", 239),
        ("black", 152),
        ("white", 138),
        ("blue", 117),
    ];
    for (answer, expected) in frequent {
        assert_eq!(
            upload.iter().filter(|record| record.answer == answer).count(),
            expected,
            "{answer}"
        );
    }
}
