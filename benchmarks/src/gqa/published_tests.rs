//! GQA with LLaVA's real question and answer files; the right answers are not among them.

use sha2::{Digest, Sha256};

use super::fixture::{load, texts};
use super::parse::Forms;
use super::{DEFAULT_SIZE, DEFAULT_SPLIT, PROMPT_SUFFIX};
use crate::matching::match_predictions;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::{PromptStyle, Protocol};

#[test]
fn llava_15_13b_answers_are_converted_as_llava_converts_them() {
    let Some(folder) = reference_data::folder("llava_15_13b_answers_are_converted_as_llava_converts_them") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let data = load(&folder).unwrap();
    assert_eq!(data.provenance().layout, "LLaVA question file without answers");
    assert_eq!(
        (data.samples().len(), data.provenance().split.as_str()),
        (DEFAULT_SIZE, DEFAULT_SPLIT)
    );
    assert!(data.provenance().files[0].sha256.starts_with("515aab3142889269"));
    let pictures: std::collections::HashSet<String> =
        data.samples().iter().map(|sample| sample.picture_group()).collect();
    assert_eq!(pictures.len(), 398);
    let path = folder.join("gqa/answers/llava_gqa_testdev_balanced/llava-v1.5-13b.jsonl");
    let file = PredictionFile::read(&path).unwrap();
    assert!(file.sha256.starts_with("133b71a901ded411"), "{}", file.sha256);
    for (index, prediction) in file.predictions.iter().enumerate() {
        assert_eq!(data.locate(prediction), Ok(index));
        let asked = prediction.prompt.as_deref();
        assert_eq!(asked, Some(&*data.prompt(index, PromptStyle::Paper)));
        assert!(!data.samples()[index].question.contains(PROMPT_SUFFIX));
    }
    let answers = texts(match_predictions(&*data, &file).unwrap());
    let hash = |protocol: Protocol| {
        let lines = answers
            .iter()
            .map(|answer| format!("{}\n", Forms::of(protocol).prediction(answer.as_deref().unwrap())));
        format!("{:x}", Sha256::digest(lines.collect::<String>()))
    };
    let expected = [
        (
            Protocol::Paper,
            "403c65ec304cc0a2275fb0cf2a11e13ebe580431f2bafea2f0ad8075a5014f76",
        ),
        (
            Protocol::LmmsEval,
            "bbc3cc7b89050f90b64a2a4f1267b71d8947d60a10af3ca7b5a231d07e767d85",
        ),
    ];
    for (protocol, expected) in expected {
        assert_eq!(hash(protocol), expected, "{protocol}");
    }
    let error = data.score(&answers, Protocol::Paper).unwrap_err().to_string();
    assert!(
        error.starts_with("GQA's right answers not found; looked for `"),
        "{error}"
    );
    assert!(error.contains("gqa/data/testdev_balanced_questions.json`"), "{error}");
}
