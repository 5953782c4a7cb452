//! Answers as one JSON object, `{"v1_0": "answer", …}`: what MM-Vet's grader takes and LLaVA's converter for it writes.

use std::ffi::OsStr;
use std::path::Path;

use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::benchmark::SourceFile;
use crate::json_object;

/// The file, `None` if it is something else: its suffix is not `.json`, or it is not one object from ids to texts.
pub(super) fn read(path: &Path) -> Option<PredictionFile> {
    if path.extension() != Some(OsStr::new("json")) {
        return None;
    }
    let (members, SourceFile { path, sha256 }) = json_object::read::<String>(path, "answers by id").ok()?;
    // One line of JSON Lines is such an object too.
    if members.is_empty()
        || members
            .iter()
            .any(|(id, _)| matches!(id.as_str(), "id" | "question_id"))
    {
        return None;
    }
    let predictions = members.into_iter().enumerate().map(|(n, (id, answer))| Prediction {
        key: PredictionKey::Question(id),
        prompt: None,
        outcome: PredictionOutcome::Answer(answer),
        line: n + 1,
    });
    Some(PredictionFile {
        path,
        sha256,
        format: "answers by id",
        predictions: predictions.collect(),
    })
}
