//! What the papers' question files ask, for whoever has questions and no files: the texts of [`Dataset::prompt`] in
//! [`PromptStyle::Paper`]. MM-Vet asks the question alone.
//!
//! [`Dataset::prompt`]: crate::Dataset::prompt
//! [`PromptStyle::Paper`]: crate::PromptStyle::Paper

/// As VQAv2 asks.
pub fn vqav2(question: &str) -> String {
    crate::vqav2::paper_prompt(question)
}

/// As GQA asks.
pub fn gqa(question: &str) -> String {
    crate::gqa::paper_prompt(question)
}

/// As VizWiz asks.
pub fn vizwiz(question: &str) -> String {
    crate::vizwiz::paper_prompt(question)
}

/// As TextVQA asks where an OCR program has read these tokens.
pub fn textvqa(question: &str, tokens: &[&str]) -> String {
    crate::textvqa::paper_prompt(question, &tokens.join(", "))
}

/// As POPE asks.
pub fn pope(question: &str) -> String {
    crate::pope::paper_prompt(question)
}

/// As MME asks, of a question with or without the release's `Please answer yes or no.`
pub fn mme(question: &str) -> String {
    crate::mme::paper_prompt(question)
}

/// As MMBench asks in English, of a question without hint; at most four options.
pub fn mmbench(question: &str, options: &[&str]) -> String {
    crate::mmbench::paper_prompt(question, options)
}
