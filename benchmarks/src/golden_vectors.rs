//! The invented VQA items of `golden-vectors.json` with what the reference scorers give for them, for tests.

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vqa_items: Vec<VqaItem>,
}

/// A question with ten answers and a prediction.
#[derive(Deserialize)]
pub struct VqaItem {
    pub question_id: u64,
    pub question_type: String,
    pub answer_type: String,
    pub answers: Vec<String>,
    pub prediction: String,
    pub expected: Expected,
}

/// Scores in per cent.
#[derive(Deserialize)]
pub struct Expected {
    pub official_raw: f64,
    pub official_on_evalai_output: f64,
    pub textvqa_m4c: f64,
    pub lmms_vqav2: f64,
    pub vizwiz_official: f64,
}

/// All fourteen.
pub fn vqa_items() -> Vec<VqaItem> {
    let file: File = serde_json::from_str(include_str!("../tests/data/golden-vectors.json")).unwrap();
    assert_eq!(file.vqa_items.len(), 14);
    file.vqa_items
}
