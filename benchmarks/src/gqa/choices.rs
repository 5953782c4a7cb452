//! Answers that make sense to a question, for validity and plausibility (`gqa.md`, section 6).
//!
//! `{tier}_choices.json` exists for train and val only.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Question, object_file};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;

/// What the lists are where a question asks what two things have in common.
pub(super) const COMMON: [&str; 3] = ["color", "material", "shape"];

/// The candidates for one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Choices {
    /// Answers of the right kind.
    pub(super) valid: Vec<String>,
    /// Answers that are seen of such things.
    pub(super) plausible: Vec<String>,
}

/// Adds the choices in the first of `folders` that has them to the questions, which `by_id` finds. Gives the files, none where there are none.
pub(super) fn add(
    folders: &[PathBuf],
    tier: &str,
    by_id: &HashMap<String, usize>,
    questions: &mut [Question],
) -> Result<Vec<SourceFile>, DataError> {
    let Some(parts) = object_file::of_tier(folders, tier, "choices") else {
        return Ok(Vec::new());
    };
    let mut files = Vec::with_capacity(parts.len());
    for part in &parts {
        let file = json_document::members(part, |id, choices: Choices| {
            if let Some(question) = by_id.get(&id).and_then(|index| questions.get_mut(*index)) {
                question.choices = Some(choices);
            }
            Ok(())
        });
        files.push(file?);
    }
    let lacking = questions
        .iter()
        .filter(|question| question.balanced && question.choices.is_none())
        .count();
    if let (Some(path), true) = (parts.into_iter().next(), lacking > 0) {
        return Err(DataError::File {
            path,
            what: format!("no choices of {lacking} balanced questions; take the file that belongs to the questions"),
        });
    }
    Ok(files)
}
