//! Text to token ids and back, as the references' tokenizers do it (`prompting.md` sections 3 to 5).

use std::path::Path;

/// What is wrong with tokenizer files or with ids; one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

/// One position of a prompt before splicing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptToken {
    /// A token of the vocabulary.
    Text(u32),
    /// All rows of the picture with that number (from 0, in prompt order).
    Picture(usize),
}

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Reads the tokenizer of `folder`: `tokenizer.model` if it is there, else `tokenizer.json`.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let _ = folder;
        unimplemented!()
    }

    /// Which file it came from and how it is read, for `inspect`.
    pub fn source(&self) -> &str {
        unimplemented!()
    }

    /// Distinct tokens, added ones included (`len(tokenizer)` in the references).
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Ids of `text` with the tokenizer's own BOS rule.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let _ = text;
        unimplemented!()
    }

    /// Ids of a prompt whose pictures are marked `<image>`: split at the markers, each piece tokenised by itself
    /// (LLaVA `tokenizer_image_token`), or in one go where the tokenizer has an `image_token` of its own
    /// (llava-hf).
    pub fn encode_prompt(&self, prompt: &str, image_token: Option<u32>) -> Result<Vec<PromptToken>, TokenizerError> {
        let _ = (prompt, image_token);
        unimplemented!()
    }

    /// The text of generated ids: special tokens skipped, white space stripped at both ends as Python does.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let _ = ids;
        unimplemented!()
    }
}
