//! TextVQA from LLaVA's question file and from the official JSON files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::layout::{Origin, PICTURE_FOLDERS, Row, assemble};
use super::{ANNOTATION, INSTRUCTION, LLAVA_QUESTIONS, OCR_PREFIX, ROSETTA, TextvqaData};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;
use crate::jsonl::{self, Record, id_text};
use crate::source::PictureFolders;

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: String,
    image: String,
    text: String,
}

/// An official file: questions or OCR tokens.
#[derive(Deserialize)]
struct Official<T> {
    data: Vec<T>,
}

/// A question of the annotation.
#[derive(Deserialize)]
struct Annotation {
    question_id: Value,
    image_id: String,
    question: String,
    answers: Option<Vec<String>>,
}

/// A picture's OCR tokens.
#[derive(Deserialize)]
struct Tokens {
    image_id: String,
    ocr_tokens: Vec<String>,
}

/// LLaVA's question file, joined with the annotation where there is one; `None` where it is not in `folder`.
pub(super) fn llava(folder: &Path, images: Option<&Path>) -> Result<Option<TextvqaData>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let (lines, file) = jsonl::read::<QuestionLine>(&path)?;
    let annotation = annotation(folder)?;
    let mut files = vec![file];
    let mut labels: Option<HashMap<(String, String), Annotation>> = None;
    if let Some((annotations, file)) = annotation {
        // Where two annotations ask the same the evaluator keeps the later.
        let keyed = annotations.into_iter().map(|annotation| {
            let key = (annotation.image_id.clone(), annotation.question.to_lowercase());
            (key, annotation)
        });
        labels = Some(keyed.collect());
        files.push(file);
    }
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let place: Arc<Path> = path.into();
    let mut rows = Vec::with_capacity(lines.len());
    for Record { line, value } in lines {
        let fault = |what: String| DataError::line(&place, line, what);
        let (question, ocr) = parts(&value.text).ok_or_else(|| {
            fault(format!(
                "`text` is not three lines: a question, `{OCR_PREFIX}…`, `{INSTRUCTION}`"
            ))
        })?;
        let key = (value.question_id, question.to_lowercase());
        let label = match &labels {
            Some(labels) => Some(labels.get(&key).ok_or_else(|| {
                let annotation = folder.join(ANNOTATION);
                fault(format!(
                    "`{question}` about `{}` is not in `{}`; give the annotation that belongs to the questions",
                    key.0,
                    annotation.display()
                ))
            })?),
            None => None,
        };
        rows.push(Row {
            place: (place.clone(), format!("line {line}")),
            source_id: key.0.clone(),
            number: label.and_then(|label| id_text(&label.question_id)),
            image_id: Some(key.0),
            question: question.to_owned(),
            ocr: Some(ocr.to_owned()),
            picture: pictures.picture(&value.image, &value.image),
            answers: label.map(|label| label.answers.clone().unwrap_or_default()),
        });
    }
    let origin = Origin {
        layout: if labels.is_some() {
            "LLaVA question file with the official annotation"
        } else {
            "LLaVA question file"
        },
        folder,
        files,
        picture_folders: pictures.folders().to_vec(),
    };
    assemble(rows, origin).map(Some)
}

/// The annotation; `None` where it is not in `folder`.
pub(super) fn official(folder: &Path, images: Option<&Path>) -> Result<Option<TextvqaData>, DataError> {
    let Some((annotations, file)) = annotation(folder)? else {
        return Ok(None);
    };
    let place: Arc<Path> = file.path.as_path().into();
    let mut files = vec![file];
    let rosetta = folder.join(ROSETTA);
    let mut tokens: Option<HashMap<String, String>> = None;
    if rosetta.is_file() {
        let (read, file) = json_document::read::<Official<Tokens>>(&rosetta)?;
        let joined = read.data.into_iter().map(|t| (t.image_id, t.ocr_tokens.join(", ")));
        tokens = Some(joined.collect());
        files.push(file);
    }
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let mut rows = Vec::with_capacity(annotations.len());
    for (n, annotation) in annotations.into_iter().enumerate() {
        let record = format!("record {n} of `data`");
        let fault = |what: String| DataError::Record {
            path: place.to_path_buf(),
            record: record.clone(),
            what,
        };
        let number = id_text(&annotation.question_id)
            .ok_or_else(|| fault("`question_id` is neither text nor a whole number".to_owned()))?;
        let ocr = match &tokens {
            Some(tokens) => Some(tokens.get(&annotation.image_id).cloned().ok_or_else(|| {
                let (image, rosetta) = (&annotation.image_id, rosetta.display());
                fault(format!("`{rosetta}` has no tokens of picture `{image}`"))
            })?),
            None => None,
        };
        let picture = format!("{}.jpg", annotation.image_id);
        rows.push(Row {
            source_id: number.clone(),
            number: Some(number),
            picture: pictures.picture(&picture, &picture),
            image_id: Some(annotation.image_id),
            question: annotation.question,
            ocr,
            answers: annotation.answers,
            place: (place.clone(), record),
        });
    }
    let origin = Origin {
        layout: "official annotation",
        folder,
        files,
        picture_folders: pictures.folders().to_vec(),
    };
    assemble(rows, origin).map(Some)
}

fn annotation(folder: &Path) -> Result<Option<(Vec<Annotation>, SourceFile)>, DataError> {
    let path = folder.join(ANNOTATION);
    if !path.is_file() {
        return Ok(None);
    }
    let (official, file) = json_document::read::<Official<Annotation>>(&path)?;
    Ok(Some((official.data, file)))
}

/// Question and tokens of LLaVA's prompt.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (question, rest) = text.split_once('\n')?;
    let tokens = rest
        .strip_prefix(OCR_PREFIX)?
        .strip_suffix(INSTRUCTION)?
        .strip_suffix('\n')?;
    (!tokens.contains('\n')).then_some((question, tokens))
}
