//! Conversation templates (`prompting.md` section 1).

/// How a user's message becomes the text that a model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvTemplate {
    /// LLaVA-1.5, VILA v1, VILA1.5 3B and 13B.
    VicunaV1,
    /// The chat template of llava-hf files: no system text.
    LlavaHf,
}
