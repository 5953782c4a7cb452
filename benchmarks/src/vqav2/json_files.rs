//! VQAv2 from LLaVA's question file and from the organisers' JSON files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::layout::{Assembly, Label, Row, picture_folders, picture_name};
use super::{PROMPT_SUFFIX, Split, Vqav2Data};
use crate::error::DataError;
use crate::json_document;
use crate::jsonl::{JsonLines, Record, id_text};

/// LLaVA's question file of what is asked.
pub(super) const LLAVA_QUESTIONS: &str = "llava_vqav2_mscoco_test-dev2015.jsonl";

/// Where the organisers' question files lie.
pub(super) const QUESTION_FOLDERS: [&str; 3] = ["", "Questions", "questions"];

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: Value,
    image: String,
    text: String,
}

/// The organisers' question file.
#[derive(Deserialize)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question_id: u64,
    image_id: u64,
    question: String,
}

/// The organisers' annotation file.
#[derive(Deserialize)]
struct Annotations {
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    question_id: u64,
    question_type: String,
    answer_type: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
}

/// The name of the organisers' question file.
pub(super) fn questions(split: Split) -> String {
    format!("v2_OpenEnded_mscoco_{}_questions.json", split.subtype())
}

/// The name of the organisers' annotation file.
pub(super) fn annotations(split: Split) -> String {
    format!("v2_mscoco_{}_annotations.json", split.subtype())
}

/// LLaVA's question file, which has test-dev only; `None` where it is not in `folder`.
pub(super) fn llava(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<Vqav2Data>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if split != Split::TestDev || !path.is_file() {
        return Ok(None);
    }
    let mut pictures = picture_folders(folder, split, images);
    let mut assembly = Assembly::default();
    let mut lines = JsonLines::open(&path)?;
    while let Some(Record { line, value }) = lines.next::<QuestionLine>()? {
        let fault = |what: String| DataError::line(&path, line, what);
        let id = id_text(&value.question_id).and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| fault("`question_id` is no whole number".to_owned()))?;
        let question = value.text.strip_suffix(PROMPT_SUFFIX);
        let question = question.ok_or_else(|| {
            fault(format!(
                "`text` does not end in LLaVA's `{}`",
                PROMPT_SUFFIX.trim_start()
            ))
        })?;
        let row = Row {
            id,
            question: question.to_owned(),
            picture: pictures.picture(&value.image, &value.image),
            label: None,
        };
        assembly.add(row).map_err(fault)?;
    }
    let files = vec![lines.into_source_file()];
    let folders = pictures.folders().to_vec();
    Ok(Some(assembly.finish(
        "LLaVA question file",
        split,
        folder,
        files,
        folders,
    )))
}

/// The organisers' questions, with their annotations where they are there; `None` where the questions are not in
/// `folder`.
pub(super) fn official(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<Vqav2Data>, DataError> {
    if split == Split::ValLite {
        return Ok(None);
    }
    let Some(path) = find(folder, QUESTION_FOLDERS, &questions(split)) else {
        return Ok(None);
    };
    let (questions, file) = json_document::read::<Questions>(&path)?;
    let mut files = vec![file];
    let mut labels = None;
    let annotations = find(folder, ["", "Annotations", "annotations"], &annotations(split));
    if let Some(path) = annotations {
        let (read, file) = json_document::read::<Annotations>(&path)?;
        let (asked, labelled) = (questions.questions.len(), read.annotations.len());
        if asked != labelled {
            let what = format!("{labelled} annotations for {asked} questions; take the files of one split");
            return Err(DataError::File { path, what });
        }
        let by_id: HashMap<u64, Annotation> = read.annotations.into_iter().map(|a| (a.question_id, a)).collect();
        labels = Some((by_id, path));
        files.push(file);
    }
    let mut pictures = picture_folders(folder, split, images);
    let mut assembly = Assembly::default();
    for question in questions.questions {
        let id = question.question_id;
        let fault = |what: String| DataError::Record {
            path: path.clone(),
            record: format!("question {id}"),
            what,
        };
        let label = match &mut labels {
            Some((by_id, file)) => {
                let annotation = by_id.remove(&id);
                Some(
                    annotation
                        .ok_or_else(|| fault(format!("asked twice, or no annotation in `{}`", file.display())))?,
                )
            }
            None => None,
        };
        let picture = picture_name(split, question.image_id);
        let row = Row {
            id,
            question: question.question,
            picture: pictures.picture(&picture, &picture),
            label: label.map(|label| Label {
                question_type: label.question_type,
                answer_type: label.answer_type,
                answers: label.answers.into_iter().map(|answer| answer.answer).collect(),
            }),
        };
        assembly.add(row).map_err(fault)?;
    }
    let layout = if labels.is_some() {
        "official questions and annotations"
    } else {
        "official questions"
    };
    Ok(Some(assembly.finish(
        layout,
        split,
        folder,
        files,
        pictures.folders().to_vec(),
    )))
}

/// The file called `name` in the first of the places that has it.
pub(super) fn find(folder: &Path, places: [&str; 3], name: &str) -> Option<PathBuf> {
    places
        .iter()
        .map(|place| folder.join(place).join(name))
        .find(|path| path.is_file())
}
