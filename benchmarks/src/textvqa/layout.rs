//! The layouts in which TextVQA lies (`textvqa.md`, section 2), in order of precedence.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_textvqa_val_v051_ocr.jsonl`; references from `TextVQA_0.5.1_val.json` where it is there |
//! | official | `TextVQA_0.5.1_val.json`; OCR tokens from `TextVQA_Rosetta_OCR_v0.2_val.json` where it is there |
//! | lmms-lab Parquet | `validation-*.parquet` in `data/`, `default/` or the folder itself |
//! | VLMEvalKit | `TextVQA_VAL.tsv`; it names no picture, so sample ids are `row/<n>`, and has no OCR tokens |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ANNOTATION, LLAVA_QUESTIONS, SPLIT, Textvqa, TextvqaData, json_files, parquet_files, sample_id, tsv_file};
use crate::benchmark::{Benchmark, Provenance, SourceFile};
use crate::error::DataError;
use crate::picture::Picture;
use crate::sample::{Sample, SampleId};
use crate::soft_accuracy::References;
use crate::source::DataSource;
use crate::task::UnknownName;

/// Where pictures lie, in the benchmark's folder and under `--images`.
pub(super) const PICTURE_FOLDERS: [&str; 3] = ["train_images", "images", ""];

/// How many references a question must have; the evaluator asserts it.
const REFERENCES: usize = 10;

/// A question as any layout gives it.
pub(super) struct Row {
    /// The file and the record in it, for messages.
    pub(super) place: (Arc<Path>, String),
    pub(super) source_id: String,
    /// The annotation's own number, where the layout has it.
    pub(super) number: Option<String>,
    /// `None` where the layout does not name pictures.
    pub(super) image_id: Option<String>,
    pub(super) question: String,
    /// OCR tokens joined by `, `.
    pub(super) ocr: Option<String>,
    pub(super) picture: Picture,
    /// `None` where the layout has no references.
    pub(super) answers: Option<Vec<String>>,
}

impl Row {
    fn fault(&self, what: impl Into<String>) -> DataError {
        DataError::Record {
            path: self.place.0.to_path_buf(),
            record: self.place.1.clone(),
            what: what.into(),
        }
    }
}

/// What the rows were read from.
pub(super) struct Origin<'a> {
    pub(super) layout: &'static str,
    pub(super) folder: &'a Path,
    pub(super) files: Vec<SourceFile>,
    pub(super) picture_folders: Vec<PathBuf>,
}

/// Finds TextVQA under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<TextvqaData, DataError> {
    if let Some(split) = source.split.as_deref().filter(|split| *split != SPLIT) {
        return Err(UnknownName::new("split", split, &[SPLIT]).into());
    }
    let folders = source.folders(Textvqa.task().id())?;
    for folder in &folders {
        for read in [
            json_files::llava,
            json_files::official,
            parquet_files::lmms_lab,
            tsv_file::vlmevalkit,
        ] {
            if let Some(data) = read(folder, source.images.as_deref())? {
                return Ok(data);
            }
        }
    }
    Err(DataError::NotFound {
        what: format!(
            "TextVQA (`{LLAVA_QUESTIONS}`, `{ANNOTATION}`, lmms-lab's Parquet files or `{}`)",
            tsv_file::FILE
        ),
        searched: folders,
        remedy: Textvqa.data_hint().to_owned(),
    })
}

/// Makes the dataset of rows in the order of the source.
pub(super) fn assemble(rows: Vec<Row>, origin: Origin) -> Result<TextvqaData, DataError> {
    let mut references = rows.iter().any(|row| row.answers.is_some()).then(References::default);
    let mut samples = Vec::with_capacity(rows.len());
    let mut ocr = Vec::with_capacity(rows.len());
    let mut by_id = HashMap::with_capacity(rows.len());
    let mut by_number = HashMap::new();
    let mut records = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let id = match &row.image_id {
            Some(image_id) => SampleId::new(sample_id(image_id, &row.question)),
            None => SampleId::row(index),
        };
        if let Some(earlier) = by_id.insert(id.to_string(), index) {
            let first = records.get(earlier).map_or("", String::as_str);
            return Err(row.fault(format!("asks the same as {first} (`{id}`); delete one of the two")));
        }
        let reference = match &mut references {
            Some(references) => {
                add(references, row.answers.as_deref().unwrap_or_default()).map_err(|what| row.fault(what))?;
                Some(references.shown(index))
            }
            None => None,
        };
        if let Some(number) = row.number {
            by_number.insert(number, index);
        }
        ocr.push(row.ocr);
        records.push(row.place.1);
        samples.push(Sample {
            id,
            source_id: row.source_id,
            pictures: vec![row.picture],
            question: row.question,
            category: None,
            reference,
            scoring_group: index,
        });
    }
    Ok(TextvqaData {
        samples,
        ocr,
        references,
        by_id,
        by_number,
        folder: origin.folder.to_owned(),
        provenance: Provenance {
            layout: origin.layout,
            split: SPLIT.to_owned(),
            files: origin.files,
            picture_folders: origin.picture_folders,
        },
    })
}

fn add(references: &mut References, answers: &[String]) -> Result<(), String> {
    if answers.len() != REFERENCES {
        let n = answers.len();
        return Err(format!(
            "{n} reference answers; the evaluator takes exactly {REFERENCES}"
        ));
    }
    references.push(answers.iter().map(String::as_str))
}
