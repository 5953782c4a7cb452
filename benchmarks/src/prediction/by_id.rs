//! Answers as one JSON object, `{"v1_0": "answer", …}`: what MM-Vet's grader takes and LLaVA's converter for it writes.

use std::path::Path;

use serde_json::Value;

use super::json_lines::TELLING;
use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;
use crate::json_object::Members;

/// The file, `None` if it is something else: more than one object, or one line of JSON Lines.
pub(super) fn read(path: &Path) -> Result<Option<PredictionFile>, DataError> {
    let Ok((Members(members), SourceFile { path, sha256 })) = json_document::read::<Members<Value>>(path) else {
        return Ok(None);
    };
    if members.is_empty() || members.iter().any(|(id, _)| TELLING.contains(&id.as_str())) {
        return Ok(None);
    }
    let mut predictions = Vec::with_capacity(members.len());
    for (n, (id, answer)) in members.into_iter().enumerate() {
        let Value::String(answer) = answer else {
            return Err(DataError::Record {
                path,
                record: format!("member {}", n + 1),
                what: format!("`{id}` is not text; an object of answers goes from ids to texts"),
            });
        };
        predictions.push(Prediction {
            key: PredictionKey::Question(id),
            prompt: None,
            outcome: PredictionOutcome::Answer(answer),
            line: n + 1,
        });
    }
    Ok(Some(PredictionFile {
        path,
        sha256,
        format: "answers by id",
        predictions,
    }))
}
