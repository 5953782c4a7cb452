//! Text to token ids and back, as the references' tokenizers do it (`prompting.md` sections 3 to 5).

#[cfg(test)]
mod adversarial;
mod clean_up;
mod huggingface;
mod model_file;
#[cfg(test)]
mod oracle;
mod prompt;
#[cfg(test)]
mod real_vocabulary;
mod sentencepiece;
mod settings;
mod slow;
mod strip;
mod wire;

use std::fmt;
use std::path::Path;

pub use prompt::PromptToken;
pub(crate) use strip::trim;

use huggingface::FastTokenizer;
use model_file::ModelFile;
use sentencepiece::SentencePiece;
use settings::Settings;
use slow::SlowLlama;

/// What is wrong with tokenizer files or with ids; one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

impl TokenizerError {
    fn file(path: &Path, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        let line: Vec<&str> = what.split_whitespace().collect();
        Self(format!("`{}`: {}", path.display(), line.join(" ")))
    }
}

/// A file that holds a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VocabularyFile {
    /// `tokenizer.model`, read as transformers' slow `LlamaTokenizer` does.
    TokenizerModel,
    /// `tokenizer.json`, read as transformers' fast classes do.
    TokenizerJson,
}

impl VocabularyFile {
    const fn name(self) -> &'static str {
        match self {
            Self::TokenizerModel => "tokenizer.model",
            Self::TokenizerJson => "tokenizer.json",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::TokenizerModel => Self::TokenizerJson,
            Self::TokenizerJson => Self::TokenizerModel,
        }
    }
}

/// What the files of a tokenizer leave open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// The file that is taken where both are there. LLaVA and VILA read `tokenizer.model`, llava-hf reads
    /// `tokenizer.json`: after a picture their ids differ by a `▁`.
    pub first: VocabularyFile,
    /// `legacy` where `tokenizer_config.json` does not state it: false for VILA, true for LLaVA.
    pub legacy: bool,
    /// Special tokens that the model's builder adds, such as `<im_start>`.
    pub extra: Vec<String>,
}

impl Default for OpenOptions {
    /// As VILA does.
    fn default() -> Self {
        Self {
            first: VocabularyFile::TokenizerModel,
            legacy: false,
            extra: Vec::new(),
        }
    }
}

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {
    class: Class,
    source: String,
}

#[derive(Debug)]
enum Class {
    Slow(Box<SlowLlama>),
    Fast(Box<FastTokenizer>),
}

impl Tokenizer {
    /// Reads the tokenizer of `folder`: `tokenizer.model` if it is there, else `tokenizer.json`.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        Self::open_with(folder, &OpenOptions::default())
    }

    /// Reads the tokenizer of `folder`.
    pub fn open_with(folder: &Path, options: &OpenOptions) -> Result<Self, TokenizerError> {
        let candidates = [options.first, options.first.other()];
        let Some(file) = candidates.into_iter().find(|file| folder.join(file.name()).exists()) else {
            let [first, second] = candidates.map(VocabularyFile::name);
            let folder = folder.display();
            return Err(TokenizerError(format!(
                "no tokenizer in `{folder}`: looked for `{first}` and `{second}`"
            )));
        };
        let path = folder.join(file.name());
        let settings = Settings::read(folder)?;
        let class = match file {
            VocabularyFile::TokenizerModel => {
                let bytes = std::fs::read(&path).map_err(|error| TokenizerError::file(&path, error))?;
                let slow = ModelFile::parse(&bytes)
                    .and_then(SentencePiece::new)
                    .and_then(|model| SlowLlama::new(model, &settings, options.legacy, &options.extra));
                Class::Slow(Box::new(slow.map_err(|what| TokenizerError::file(&path, what))?))
            }
            VocabularyFile::TokenizerJson => {
                Class::Fast(Box::new(FastTokenizer::open(&path, &settings, &options.extra)?))
            }
        };
        let description = match &class {
            Class::Slow(slow) => slow.description(),
            Class::Fast(fast) => fast.description(),
        };
        Ok(Self {
            class,
            source: format!("{}, {description}", file.name()),
        })
    }

    /// Which file it came from and how it is read, for `inspect`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Distinct tokens, added ones included (`len(tokenizer)` in the references).
    pub fn len(&self) -> usize {
        match &self.class {
            Class::Slow(slow) => slow.len(),
            Class::Fast(fast) => fast.len(),
        }
    }

    /// The token that begins a text, where the tokenizer has one.
    pub fn bos(&self) -> Option<u32> {
        match &self.class {
            Class::Slow(slow) => slow.bos(),
            Class::Fast(fast) => fast.bos(),
        }
    }

    /// The token that ends a text, where the tokenizer has one. What ends generation is the checkpoint's to say.
    pub fn eos(&self) -> Option<u32> {
        match &self.class {
            Class::Slow(slow) => slow.eos(),
            Class::Fast(fast) => fast.eos(),
        }
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids of `text` with the tokenizer's own BOS rule.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match &self.class {
            Class::Slow(slow) => Ok(slow.encode(text)),
            Class::Fast(fast) => fast.encode(text),
        }
    }

    /// Ids of a prompt whose pictures are marked `<image>`: split at the markers, each piece tokenised by itself
    /// (LLaVA `tokenizer_image_token`), or in one go where the tokenizer has an `image_token` of its own
    /// (llava-hf).
    pub fn encode_prompt(&self, prompt: &str, image_token: Option<u32>) -> Result<Vec<PromptToken>, TokenizerError> {
        match image_token {
            None => prompt::piece_by_piece(prompt, self.bos(), |piece| self.encode(piece)),
            Some(id) => prompt::in_one_go(prompt, id, |whole| self.encode(whole)),
        }
    }

    /// The text of generated ids: special tokens skipped, white space stripped at both ends as Python does.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        Ok(trim(&self.text(ids)?).to_owned())
    }

    /// As [`Tokenizer::decode`], nothing stripped.
    pub fn text(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        match &self.class {
            Class::Slow(slow) => slow.text(ids),
            Class::Fast(fast) => fast.text(ids),
        }
    }
}
