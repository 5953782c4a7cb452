//! GQA's official question files, version 1.2 (`gqa.md`, section 2).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Types, object_file};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;

/// A question as any layout gives it.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) id: String,
    /// The layout's own name of the row, where that is not `id`.
    pub(super) index: Option<String>,
    pub(super) image_id: String,
    pub(super) question: String,
    pub(super) answer: Option<String>,
    pub(super) balanced: bool,
    pub(super) types: Option<Types>,
    pub(super) global_group: Option<String>,
    pub(super) steps: Option<usize>,
    /// Ids of entailed questions, `None` where the layout does not tell.
    pub(super) entailed: Option<Vec<String>>,
    /// Ids of the objects to which the question and its full answer point.
    pub(super) pointers: Vec<String>,
}

/// A tier's questions.
pub(super) struct QuestionFile {
    /// The folder in which they lie; what belongs to them may lie there too.
    pub(super) folder: PathBuf,
    pub(super) rows: Vec<Row>,
    pub(super) files: Vec<SourceFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    question: String,
    image_id: String,
    answer: Option<String>,
    is_balanced: bool,
    groups: Option<Groups>,
    entailed: Option<Vec<String>>,
    types: Option<TypeNames>,
    semantic: Option<Vec<Step>>,
    annotations: Option<Annotations>,
}

/// Objects by the words that name them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    #[serde(default)]
    question: BTreeMap<String, String>,
    #[serde(default)]
    full_answer: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Groups {
    global: Option<String>,
}

#[derive(Deserialize)]
struct TypeNames {
    structural: String,
    semantic: String,
    detailed: String,
}

#[derive(Deserialize)]
struct Step {
    operation: String,
    argument: String,
}

impl Step {
    /// Whether the official scorer counts it: what asks for existence or a name is no step of the reasoning.
    fn counts(&self) -> bool {
        let text = format!("{}: {}", self.operation, self.argument);
        !["exist", "query: name", "choose name"]
            .iter()
            .any(|free| text.contains(free))
    }
}

impl QuestionFile {
    /// Reads the questions of `tier` from the first of `folders` that has them; `None` where none has.
    pub(super) fn read(folders: &[PathBuf], tier: &str) -> Result<Option<Self>, DataError> {
        let stem = stem(tier);
        let found = folders
            .iter()
            .find_map(|folder| Some((folder, object_file::parts(folder, &stem)?)));
        let Some((folder, parts)) = found else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            files.push(read_part(&part, &mut rows)?);
        }
        Ok(Some(Self {
            folder: folder.clone(),
            rows,
            files,
        }))
    }
}

/// The name of a tier's question file without suffix.
pub(super) fn stem(tier: &str) -> String {
    format!("{tier}_questions")
}

fn read_part(path: &Path, rows: &mut Vec<Row>) -> Result<SourceFile, DataError> {
    json_document::members(path, |id, record: Record| {
        let types = record
            .types
            .map(|types| Types::parse(&types.structural, &types.semantic, &types.detailed));
        let fault = |what| DataError::Record {
            path: path.to_owned(),
            record: format!("question {id}"),
            what,
        };
        let pointed = record.annotations.unwrap_or_default();
        rows.push(Row {
            types: types.transpose().map_err(fault)?,
            id,
            index: None,
            image_id: record.image_id,
            question: record.question,
            answer: record.answer,
            balanced: record.is_balanced,
            global_group: record.groups.and_then(|groups| groups.global),
            steps: record
                .semantic
                .map(|steps| steps.iter().filter(|step| step.counts()).count()),
            entailed: record.entailed,
            pointers: pointed
                .question
                .into_values()
                .chain(pointed.full_answer.into_values())
                .collect(),
        });
        Ok(())
    })
}
