//! Prediction files: our own `predictions.jsonl` and those of other programs, recognised by content.
//!
//! | format | id | answer | from |
//! |---|---|---|---|
//! | vila-bench | `id` | `answer`, or `error` for a sample that failed | `predictions.jsonl` of a run |
//! | LLaVA | `question_id`, number or text | `text` | LLaVA's and VILA's answer files, `merge.jsonl` |
//! | lmms-eval | `doc_id`, a row of the split | `resps` or `filtered_resps` | `*_samples_<task>.jsonl` |
//! | POPE | none: the order of the labels | `answer` beside `question` | AoiDragon/POPE's `evaluate.py` takes it |
//! | answers by id | the name of each member | its value, a text | MM-Vet's `results/<model>.json`: one object |
//! | EvalAI | `question_id` | `answer` | VQAv2's and TextVQA's upload: an array of objects |
//! | VizWiz | `image`, a file name | `answer` | VizWiz's upload: an array of objects |
//! | GQA | `questionId` | `prediction` | the organisers' `eval.py` takes it: an array of objects |
//! | table | `index`, or `category` and `image_path` | `prediction` | VLMEvalKit's `.xlsx`, `.tsv`; MMBench's upload |
//! | MME | file's name, picture and question | fourth field | a folder of `<subtask>.txt` |

mod by_id;
mod json_lines;
mod lmms_eval;
mod mme_folder;
#[cfg(test)]
mod round_trip_tests;
mod sheet;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::DataError;
use crate::jsonl::id_text;

/// How much of a file is looked at to tell its format, in bytes.
const OPENING: u64 = 1 << 16;

/// How every ZIP archive begins, and so a workbook.
const ARCHIVE: &[u8] = b"PK\x03\x04";

const UNKNOWN_FORMAT: &str = "no prediction file of a known format; they are JSON Lines, a JSON array or object, \
                              `.xlsx`, and tab-separated values with `index` and `prediction`";

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// By what a prediction names its sample.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PredictionKey {
    /// Our own sample id.
    Sample(String),
    /// The id that the source gives, numbers as their decimal text.
    Question(String),
    /// The row of the split that was asked, from 0: lmms-eval's `doc_id`.
    Row(usize),
    /// The `index` of VLMEvalKit's data.
    Index(String),
    /// The picture's file name, in MME after `<subtask>/`.
    Picture(String),
    /// Nothing but its place among the predictions of its file, from 0.
    Place(usize),
}

impl fmt::Display for PredictionKey {
    /// The id as the file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sample(id) | Self::Question(id) | Self::Index(id) | Self::Picture(id) => f.write_str(id),
            Self::Row(n) | Self::Place(n) => write!(f, "{n}"),
        }
    }
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
    /// The line in its file, from 1; in a file without lines the record.
    pub line: usize,
}

/// A prediction file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionFile {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The format that was recognised, in words.
    pub format: &'static str,
    /// Its lines in file order.
    pub predictions: Vec<Prediction>,
}

impl PredictionFile {
    /// Reads a prediction file of any known format, or a folder of MME's.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, holds no prediction, or has a record of no known format or of another one than
    /// the records before.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return mme_folder::read(path);
        }
        let mut opening = Vec::new();
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        file.take(OPENING)
            .read_to_end(&mut opening)
            .map_err(|error| DataError::unreadable(path, &error))?;
        if opening.starts_with(ARCHIVE) {
            return sheet::workbook(path);
        }
        let text = opening.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&opening);
        let text = text.trim_ascii_start();
        let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match text.first() {
            Some(b'[') => upload::read(path),
            Some(b'{') => match by_id::read(path)? {
                Some(file) => Ok(file),
                None => json_lines::read(path),
            },
            _ if sheet::is_header(String::from_utf8_lossy(first_line).trim_end()) => sheet::tab_separated(path),
            None => json_lines::read(path),
            Some(_) => Err(DataError::line(path, 1, UNKNOWN_FORMAT)),
        }
    }
}

fn id(field: &str, value: Option<&Value>) -> Result<String, String> {
    let id = value.and_then(id_text);
    id.ok_or_else(|| format!("`{field}` is neither text nor a whole number"))
}

fn text(field: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("`{field}` is not text")),
    }
}
