//! TextVQA's published files: prompts, and the answers as they are compared.

use std::collections::HashSet;
use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::tests::{load, texts};
use super::{LLAVA_QUESTIONS, Textvqa};
use crate::benchmark::Benchmark;
use crate::matching::match_predictions;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::PromptStyle;
use crate::vqa_text::Normaliser;

/// `textvqa.md`, section 10.
#[test]
fn the_published_files_give_the_published_hashes() {
    let Some(folder) = reference_data::folder("the_published_files_give_the_published_hashes") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let data = load(&folder).unwrap();
    assert_eq!(
        (data.samples().len(), data.provenance().layout),
        (Textvqa.default_size(), "LLaVA question file")
    );
    assert!(data.provenance().files[0].sha256.starts_with("9f60db6fb89e3692"));
    let questions = fs::read_to_string(folder.join("textvqa").join(LLAVA_QUESTIONS)).unwrap();
    let mut pictures = HashSet::new();
    for (index, line) in questions.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(data.prompt(index, PromptStyle::Paper), line["text"].as_str().unwrap());
        pictures.insert(data.samples()[index].picture_group());
    }
    assert_eq!(pictures.len(), 3166);
    let file = PredictionFile::read(&folder.join("textvqa/answers/llava-v1.5-13b.jsonl")).unwrap();
    assert!(file.sha256.starts_with("ef16ee01e2924316"));
    let answers: Vec<String> = texts(match_predictions(&*data, &file).unwrap())
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let hashes = [
        (
            Normaliser::EvalAi,
            "f5f617b8b41956425c40722080828f7cd313d022953e80e171b91ec7dcea2bbd",
        ),
        (
            Normaliser::VqaOfficial,
            "419e02a284294a27ad1a9d04ea2a3c45d019bbf848b8a90a734ed83796664131",
        ),
        (
            Normaliser::VlmEvalKit,
            "8010af75cfb00a3ef1faab23275d915260b6a4f013a256b05cc7c2e7f5a97fc8",
        ),
    ];
    for (normaliser, expected) in hashes {
        let lines: String = answers.iter().map(|answer| normaliser.apply(answer) + "\n").collect();
        assert_eq!(format!("{:x}", Sha256::digest(lines)), expected, "{normaliser:?}");
    }
    let normal: Vec<String> = answers.iter().map(|answer| Normaliser::EvalAi.apply(answer)).collect();
    let distinct: HashSet<&String> = normal.iter().collect();
    assert_eq!(
        (distinct.len(), normal.iter().filter(|text| text.is_empty()).count()),
        (3133, 16)
    );
}
