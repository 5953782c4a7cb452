//! VizWiz from LLaVA's question file and from the organisers' JSON files.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::layout::{Assembly, Label, Name, Row, picture_folders, stem};
use super::{PROMPT_SUFFIX, Split, VizwizData};
use crate::error::DataError;
use crate::json_document;
use crate::jsonl::{JsonLines, Record, id_text};

/// LLaVA's question file.
pub(super) const LLAVA_QUESTIONS: &str = "llava_test.jsonl";

/// Where the organisers' files lie.
const OFFICIAL_FOLDERS: [&str; 3] = ["", "Annotations", "annotations"];

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: Value,
    image: String,
    text: String,
}

/// A question of the organisers' file; those of test have nothing after `question`.
#[derive(Deserialize)]
struct Question {
    image: String,
    question: String,
    answers: Option<Vec<Answer>>,
    answer_type: Option<String>,
    answerable: Option<u8>,
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
}

/// LLaVA's question file, which has test only; `None` where it is not in `folder`.
pub(super) fn llava(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<VizwizData>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if split != Split::TestDev || !path.is_file() {
        return Ok(None);
    }
    let mut pictures = picture_folders(folder, split, images);
    let mut assembly = Assembly::default();
    let mut lines = JsonLines::open(&path)?;
    while let Some(Record { line, value }) = lines.next::<QuestionLine>()? {
        let fault = |what: String| DataError::line(&path, line, what);
        let position = id_text(&value.question_id);
        let position = position.ok_or_else(|| fault("`question_id` is neither text nor a whole number".to_owned()))?;
        let question = value.text.strip_suffix(PROMPT_SUFFIX);
        let question = question.ok_or_else(|| {
            fault(format!(
                "`text` does not end in LLaVA's `{}`",
                PROMPT_SUFFIX.trim_start().replace('\n', "\\n")
            ))
        })?;
        let row = Row {
            position: Some(position),
            name: Name::Picture(stem(&value.image).map_err(fault)?),
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

/// The organisers' file of the split; `None` where it is not in `folder`.
pub(super) fn official(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<VizwizData>, DataError> {
    let name = format!("{}.json", split.stem());
    let mut places = OFFICIAL_FOLDERS.iter().map(|sub| folder.join(sub).join(&name));
    let Some(path) = places.find(|path| path.is_file()) else {
        return Ok(None);
    };
    let (questions, file) = json_document::read::<Vec<Question>>(&path)?;
    let mut pictures = picture_folders(folder, split, images);
    let mut assembly = Assembly::default();
    for (position, question) in questions.into_iter().enumerate() {
        let fault = |what: String| DataError::Record {
            path: path.clone(),
            record: format!("question {position}"),
            what,
        };
        let answerable = match question.answerable {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(other) => return Err(fault(format!("`answerable` is {other}, neither 0 nor 1"))),
        };
        let label = match question.answers {
            Some(answers) => Some(Label {
                answers: answers.into_iter().map(|answer| answer.answer).collect(),
                answer_type: Some(
                    question
                        .answer_type
                        .ok_or_else(|| fault("missing field `answer_type`".to_owned()))?,
                ),
                answerable,
            }),
            None => None,
        };
        let row = Row {
            position: Some(position.to_string()),
            name: Name::Picture(stem(&question.image).map_err(fault)?),
            question: question.question,
            picture: pictures.picture(&question.image, &question.image),
            label,
        };
        assembly.add(row).map_err(fault)?;
    }
    let folders = pictures.folders().to_vec();
    Ok(Some(assembly.finish("official", split, folder, vec![file], folders)))
}
