//! What is handed to an organiser's server or tool, as plain data. Each benchmark's format is in its own `export`;
//! LLaVA's answer file, which all have, is [`llava`].

pub mod llava;

use crate::error::DataError;
use crate::sample::Sample;

/// A submission, read back and compared with the answers before anybody gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// One file: its bytes.
    File(Vec<u8>),
    /// A folder of files.
    Folder(Vec<ExportFile>),
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Its name in the folder.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The answers beside `samples`, for a reader that needs all of them: `reader` says which.
///
/// # Errors
///
/// A sample without an answer.
pub fn complete<'a>(
    samples: &[Sample],
    answers: &'a [Option<String>],
    reader: &str,
) -> Result<Vec<&'a str>, DataError> {
    let found: Vec<&str> = answers.iter().map_while(Option::as_deref).collect();
    let Some(first) = samples.get(found.len()) else {
        return Ok(found);
    };
    let unanswered = samples.len().saturating_sub(answers.iter().flatten().count());
    Err(DataError::Mismatch(format!(
        "{unanswered} of {} samples have no answer (first: `{}`); {reader} needs every one: resume the run or \
         complete the answer file",
        samples.len(),
        first.id,
    )))
}
