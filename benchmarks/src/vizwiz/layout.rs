//! The layouts in which VizWiz lies (`vizwiz.md`, section 2), in order of precedence. Of a folder with both splits
//! `test-dev` is taken.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_test.jsonl`, the questions of test |
//! | official | `test.json`, `val.json` in the folder, `Annotations/` or `annotations/` |
//! | lmms-lab Parquet | `test-*.parquet`, `val-*.parquet` in `data/`, `default/` or the folder itself |
//! | VLMEvalKit | `VizWiz.tsv`: val where it has answers; it names no picture, so sample ids are `row/<n>` |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{AnswerType, Labels, Split, Vizwiz, VizwizData, json_files, parquet_files, tsv_file};
use crate::benchmark::{Benchmark, Provenance, SourceFile};
use crate::error::DataError;
use crate::picture::Picture;
use crate::sample::{Sample, SampleId};
use crate::source::{DataSource, PictureFolders};

/// A question as any layout gives it.
pub(super) struct Row {
    /// Its position in the organisers' file, where the layout has it.
    pub(super) position: Option<String>,
    pub(super) name: Name,
    pub(super) question: String,
    pub(super) picture: Picture,
    /// `None` where the layout has none.
    pub(super) label: Option<Label>,
}

/// What the layout calls a question.
pub(super) enum Name {
    /// As its picture, without folder and suffix.
    Picture(String),
    /// In a way of its own.
    Own(String),
}

/// A question's annotation.
pub(super) struct Label {
    pub(super) answers: Vec<String>,
    /// `None` where the layout does not say.
    pub(super) answer_type: Option<String>,
    /// `None` where the layout does not say.
    pub(super) answerable: Option<bool>,
}

/// Rows on their way to a dataset.
#[derive(Default)]
pub(super) struct Assembly {
    samples: Vec<Sample>,
    by_id: HashMap<String, usize>,
    by_position: HashMap<String, usize>,
    labels: Option<Labels>,
}

/// Finds VizWiz under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<VizwizData, DataError> {
    let folders = source.folders(Vizwiz.task().id())?;
    let splits = match &source.split {
        Some(split) => vec![Split::parse(split)?],
        None => Split::ALL.to_vec(),
    };
    for folder in &folders {
        for split in &splits {
            for read in [
                json_files::llava,
                json_files::official,
                parquet_files::lmms_lab,
                tsv_file::vlmevalkit,
            ] {
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
            "VizWiz{of_split} (`{}`, `test.json`, `val.json`, lmms-lab's Parquet files or `{}`)",
            json_files::LLAVA_QUESTIONS,
            tsv_file::FILE
        ),
        searched: folders,
        remedy: Vizwiz.data_hint().to_owned(),
    })
}

/// Where pictures lie, in the benchmark's folder and under `--images`.
pub(super) fn picture_folders(folder: &Path, split: Split, images: Option<&Path>) -> PictureFolders {
    PictureFolders::new(folder, &[split.stem(), "images", ""], images)
}

/// A picture's name without folder and suffix.
pub(super) fn stem(name: &str) -> Result<String, String> {
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
    stem.map(str::to_owned)
        .ok_or_else(|| format!("`{name}` names no picture"))
}

impl Assembly {
    /// Adds a question; faults are in words for a message.
    pub(super) fn add(&mut self, row: Row) -> Result<(), String> {
        let index = self.samples.len();
        let (id, source_id) = match row.name {
            Name::Picture(stem) => (SampleId::new(stem.as_str()), stem),
            Name::Own(name) => (SampleId::row(index), name),
        };
        if self.by_id.insert(id.to_string(), index).is_some() {
            return Err(format!("picture `{id}` stands here for the second time"));
        }
        if let Some(position) = &row.position
            && self.by_position.insert(position.clone(), index).is_some()
        {
            return Err(format!("question id {position} stands here for the second time"));
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
                let answer_type = label.answer_type.as_deref().map(AnswerType::parse);
                labels.answer_types.push(answer_type.transpose()?);
                labels.answerable.push(label.answerable);
                category = label.answer_type;
                reference = Some(labels.references.shown(index));
            }
            (Some(_), None) => return Err("no reference answers, the rows before have them".to_owned()),
            (None, Some(_)) => return Err("reference answers, the rows before have none".to_owned()),
        }
        self.samples.push(Sample {
            source_id: row.position.unwrap_or(source_id),
            id,
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
    ) -> VizwizData {
        VizwizData {
            split,
            folder: folder.to_owned(),
            samples: self.samples,
            by_id: self.by_id,
            by_position: self.by_position,
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
