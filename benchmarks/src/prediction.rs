//! Prediction files: our own `predictions.jsonl` and those of other programs, recognised by content.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// By what a prediction names its sample.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PredictionKey {
    /// Our own sample id.
    Sample(String),
    /// The id that the source gives, numbers as their decimal text.
    Question(String),
}

/// What was predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredictionOutcome {
    /// An answer, as it is scored.
    Answer(String),
    /// The sample failed; the reason.
    Failed(String),
}

/// One line of a prediction file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// Which sample it is about.
    pub key: PredictionKey,
    /// The prompt that was asked, where the file holds it.
    pub prompt: Option<String>,
    /// What came of it.
    pub outcome: PredictionOutcome,
    /// The line in its file, from 1.
    pub line: usize,
}

/// A prediction file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionFile {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The format that was recognised, in words.
    pub format: &'static str,
    /// Its lines in file order.
    pub predictions: Vec<Prediction>,
}

impl PredictionFile {
    /// Reads a prediction file of any known format.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let _ = path;
        unimplemented!()
    }
}
