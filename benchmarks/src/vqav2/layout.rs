//! The layouts in which VQAv2 lies (`vqav2.md`, section 2), in order of precedence. Of a folder with several splits
//! `test-dev` is taken, else `val`.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_vqav2_mscoco_test-dev2015.jsonl` |
//! | official | `v2_OpenEnded_mscoco_<split>_questions.json`, also in `Questions/` or `questions/`; with it |
//! | | `v2_mscoco_val2014_annotations.json`, also in `Annotations/` or `annotations/` |
//! | lmms-lab Parquet | `testdev-*.parquet`, `validation-*.parquet` in `data/`, `default/` or the folder itself |
//! | LMMs-Eval-Lite | `lite-*.parquet` in `vqav2_val/`, or in `vqav2/` itself |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{AnswerType, Labels, Split, Vqav2, Vqav2Data, json_files, parquet_files};
use crate::benchmark::{Benchmark, Provenance, SourceFile};
use crate::error::DataError;
use crate::picture::Picture;
use crate::sample::{Sample, SampleId};
use crate::source::{DataSource, PictureFolders};

/// A question as any layout gives it.
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) question: String,
    pub(super) picture: Picture,
    /// `None` where the layout has none.
    pub(super) label: Option<Label>,
}

/// A question's annotation.
pub(super) struct Label {
    pub(super) question_type: String,
    pub(super) answer_type: String,
    pub(super) answers: Vec<String>,
}

/// Rows on their way to a dataset.
#[derive(Default)]
pub(super) struct Assembly {
    samples: Vec<Sample>,
    by_id: HashMap<u64, usize>,
    labels: Option<Labels>,
    question_types: HashMap<String, usize>,
}

/// Finds VQAv2 under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<Vqav2Data, DataError> {
    let folders = source.folders(Vqav2.task().id())?;
    let splits = match &source.split {
        Some(split) => vec![Split::parse(split)?],
        None => Split::ALL.to_vec(),
    };
    for folder in &folders {
        for split in &splits {
            for read in [json_files::llava, json_files::official, parquet_files::lmms_lab] {
                if let Some(data) = read(folder, *split, source.images.as_deref())? {
                    return Ok(data);
                }
            }
        }
    }
    let of_split = source
        .split
        .as_ref()
        .map(|split| format!(" {split}"))
        .unwrap_or_default();
    Err(DataError::NotFound {
        what: format!(
            "VQAv2{of_split} (`{}`, `{}` or lmms-lab's Parquet files)",
            json_files::LLAVA_QUESTIONS,
            json_files::questions(Split::Val)
        ),
        searched: folders,
        remedy: Vqav2.data_hint().to_owned(),
    })
}

/// Where pictures lie, in the benchmark's folder and under `--images`.
pub(super) fn picture_folders(folder: &Path, split: Split, images: Option<&Path>) -> PictureFolders {
    PictureFolders::new(folder, &[split.coco(), "images", ""], images)
}

/// What COCO calls a picture.
pub(super) fn picture_name(split: Split, image_id: u64) -> String {
    format!("COCO_{}_{image_id:012}.jpg", split.coco())
}

impl Assembly {
    /// Adds a question; faults are in words for a message.
    pub(super) fn add(&mut self, row: Row) -> Result<(), String> {
        let index = self.samples.len();
        if self.by_id.insert(row.id, index).is_some() {
            return Err(format!("question id {} stands here for the second time", row.id));
        }
        if index == 0 && row.label.is_some() {
            self.labels = Some(Labels::default());
        }
        let mut category = None;
        let mut reference = None;
        match (&mut self.labels, row.label) {
            (None, None) => {}
            (Some(labels), Some(label)) => {
                labels.references.push(label.answers.iter().map(String::as_str))?;
                labels.answer_types.push(AnswerType::parse(&label.answer_type)?);
                let next = self.question_types.len();
                let number = *self.question_types.entry(label.question_type.clone()).or_insert(next);
                if number == next {
                    labels.question_type_names.push(label.question_type);
                }
                labels.question_types.push(number);
                category = Some(label.answer_type);
                reference = Some(labels.references.shown(index));
            }
            (Some(_), None) => return Err("no reference answers, the rows before have them".to_owned()),
            (None, Some(_)) => return Err("reference answers, the rows before have none".to_owned()),
        }
        self.samples.push(Sample {
            id: SampleId::new(row.id.to_string()),
            source_id: row.id.to_string(),
            pictures: vec![row.picture],
            question: row.question,
            category,
            reference,
            scoring_group: index,
        });
        Ok(())
    }

    /// The dataset.
    pub(super) fn finish(
        self,
        layout: &'static str,
        split: Split,
        folder: &Path,
        files: Vec<SourceFile>,
        picture_folders: Vec<PathBuf>,
    ) -> Vqav2Data {
        Vqav2Data {
            split,
            folder: folder.to_owned(),
            samples: self.samples,
            by_id: self.by_id,
            labels: self.labels,
            provenance: Provenance {
                layout,
                split: split.id().to_owned(),
                files,
                picture_folders,
            },
        }
    }
}
