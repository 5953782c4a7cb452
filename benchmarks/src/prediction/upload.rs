//! What evaluation servers take: one JSON array of objects, an answer each.
//!
//! VQAv2, TextVQA (EvalAI): `question_id` and `answer`. VizWiz: `image`, the picture's file name, and `answer`.
//! GQA: `questionId` and `prediction`.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome, id, text};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;

/// The members that make up a record.
#[derive(Debug)]
struct Form {
    name: &'static str,
    id: &'static str,
    answer: &'static str,
    key: fn(String) -> PredictionKey,
}

const FORMS: [Form; 3] = [
    Form {
        name: "EvalAI answers",
        id: "question_id",
        answer: "answer",
        key: PredictionKey::Question,
    },
    Form {
        name: "GQA answers",
        id: "questionId",
        answer: "prediction",
        key: PredictionKey::Question,
    },
    Form {
        name: "VizWiz answers",
        id: "image",
        answer: "answer",
        key: PredictionKey::Picture,
    },
];

/// Reads the array.
pub(super) fn read(path: &Path) -> Result<PredictionFile, DataError> {
    let mut form = None;
    let mut predictions = Vec::new();
    let file = json_document::elements(path, |number, mut record: Map<String, Value>| {
        let fault = |what: String| DataError::Record {
            path: path.to_owned(),
            record: format!("record {number}"),
            what,
        };
        let Some(found) = FORMS.iter().find(|form| record.contains_key(form.id)) else {
            let what = "no id; expected `question_id` and `answer`, `questionId` and `prediction` (GQA), or `image` \
                        and `answer` (VizWiz)";
            return Err(fault(what.to_owned()));
        };
        let expected: &Form = form.get_or_insert(found);
        if found.name != expected.name {
            let what = format!("one of {}, the records before are {}", found.name, expected.name);
            return Err(fault(what));
        }
        let key = (found.key)(id(found.id, record.get(found.id)).map_err(fault)?);
        let answer = record.remove(found.answer);
        let answer = answer.ok_or_else(|| fault(format!("`{}` without `{}`", found.id, found.answer)))?;
        predictions.push(Prediction {
            key,
            prompt: None,
            outcome: PredictionOutcome::Answer(text(found.answer, answer).map_err(fault)?),
            line: number,
        });
        Ok(())
    })?;
    let SourceFile { path, sha256 } = file;
    match form {
        Some(form) => Ok(PredictionFile {
            path,
            sha256,
            format: form.name,
            predictions,
        }),
        None => Err(DataError::File {
            path,
            what: "an empty array; it holds no prediction".to_owned(),
        }),
    }
}
