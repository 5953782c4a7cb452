//! The layouts in which POPE's questions and labels lie (`pope.md`, section 2), in order of precedence.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_pope_test.jsonl`, labels in `coco/`; joined by category, picture and question |
//! | official | `coco_pope_{random,popular,adversarial}.json` in `coco/`, `output/coco/` or the folder itself |
//! | lmms-lab Parquet | `data/test-*.parquet`, else `Full/{random,popular,adversarial}-*.parquet` |
//! | VLMEvalKit | `POPE.tsv`; it names no picture, so sample ids are `row/<n>` |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::label_files::LLAVA_QUESTIONS;
use super::{Category, Pope, PopeData, Question, QuestionIds, label_files, object, parquet_files, tsv_file};
use crate::benchmark::{Benchmark, Dataset, Provenance, SourceFile, Version};
use crate::error::DataError;
use crate::picture::Picture;
use crate::sample::{Sample, SampleId};
use crate::source::DataSource;

/// Where pictures lie, in the benchmark's folder and under `--images`.
pub(super) const PICTURE_FOLDERS: [&str; 4] = ["val2014", "coco/val2014", "images", ""];

/// A question as any layout gives it.
pub(super) struct Row {
    /// The file and the record in it, for messages.
    pub(super) place: (Arc<Path>, String),
    pub(super) source_id: String,
    pub(super) category: Category,
    /// The picture's name without folder and suffix, where the layout has one.
    pub(super) stem: Option<String>,
    pub(super) picture: Picture,
    pub(super) question: String,
    pub(super) positive: bool,
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

/// Finds POPE under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<PopeData, DataError> {
    let folders = source.folders(Pope.task().id())?;
    let mut found = Vec::new();
    for folder in &folders {
        for read in [
            label_files::llava,
            label_files::official,
            parquet_files::lmms_lab,
            tsv_file::vlmevalkit,
        ] {
            let Some(data) = read(folder, source.images.as_deref())? else {
                continue;
            };
            let split = &data.provenance.split;
            match &source.split {
                Some(wanted) if wanted != split => found.push(format!("`{split}` ({})", data.provenance.layout)),
                _ => return Ok(data),
            }
        }
    }
    if let Some(wanted) = &source.split
        && !found.is_empty()
    {
        let (root, found) = (source.root.display(), found.join(", "));
        return Err(DataError::Mismatch(format!(
            "split `{wanted}` of POPE is not in `{root}`, which holds {found}; name that or leave out `--split`"
        )));
    }
    Err(DataError::NotFound {
        what: format!(
            "POPE (`{LLAVA_QUESTIONS}`, `coco_pope_*.json`, lmms-lab's Parquet files or `{}`)",
            tsv_file::FILE
        ),
        searched: folders,
        remedy: Pope.data_hint().to_owned(),
    })
}

/// The labels of every release under `source`: each place of label files, Parquet, TSV.
pub(super) fn versions(source: &DataSource) -> Result<Vec<Version>, DataError> {
    let images = source.images.as_deref();
    let mut found = Vec::new();
    for folder in source.folders(Pope.task().id())? {
        found.extend(label_files::official_everywhere(&folder, images));
        found.extend(parquet_files::lmms_lab(&folder, images).transpose());
        found.extend(tsv_file::vlmevalkit(&folder, images).transpose());
    }
    let boxed = |data: Result<PopeData, DataError>| data.map(|data| -> Box<dyn Dataset> { Box::new(data) });
    Ok(found.into_iter().map(boxed).collect())
}

/// Makes the dataset of rows in the order of the source.
pub(super) fn assemble(
    rows: Vec<Row>,
    own_ids: Option<HashMap<String, usize>>,
    layout: &'static str,
    files: Vec<SourceFile>,
    picture_folders: &[PathBuf],
) -> Result<PopeData, DataError> {
    let has = |category| rows.iter().any(|row| row.category == category);
    if let Some(absent) = Category::ALL.into_iter().find(|category| !has(*category)) {
        let id = absent.id();
        return Err(DataError::File {
            path: files.into_iter().next().map(|file| file.path).unwrap_or_default(),
            what: format!("no {id} question here or in the files beside it; the score is over all three categories"),
        });
    }
    let ids = sample_ids(&rows)?;
    let mut by_id: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    let mut positions: [Vec<usize>; 3] = Default::default();
    for (index, (row, id)) in rows.iter().zip(&ids).enumerate() {
        if let Some(earlier) = by_id.insert(id.as_str().to_owned(), index) {
            let first = rows.get(earlier).map_or("", |row| row.place.1.as_str());
            return Err(row.fault(format!("asks the same as {first} (`{id}`); delete one of the two")));
        }
        for (category, positions) in Category::ALL.iter().zip(&mut positions) {
            if *category == row.category {
                positions.push(index);
            }
        }
    }
    let split = format!("coco-{}", rows.len());
    let questions = rows.iter().map(|row| Question {
        category: row.category,
        positive: row.positive,
    });
    let questions = questions.collect();
    let samples = rows.into_iter().zip(ids).enumerate().map(|(index, (row, id))| Sample {
        id,
        source_id: row.source_id,
        pictures: vec![row.picture],
        question: row.question,
        category: Some(row.category.id().to_owned()),
        reference: Some(if row.positive { "yes" } else { "no" }.to_owned()),
        scoring_group: index,
    });
    Ok(PopeData {
        samples: samples.collect(),
        questions,
        by_id,
        ids: own_ids.map_or(QuestionIds::Restarting(positions), QuestionIds::Own),
        provenance: Provenance {
            layout,
            split,
            files,
            picture_folders: picture_folders.to_vec(),
        },
    })
}

/// `<category>/<image stem>/<object>`, or `row/<n>` where no row has the fields for it.
fn sample_ids(rows: &[Row]) -> Result<Vec<SampleId>, DataError> {
    let named: Vec<Option<String>> = rows
        .iter()
        .map(|row| {
            let (stem, object) = (row.stem.as_deref()?, object(&row.question)?);
            Some(format!("{}/{stem}/{object}", row.category.id()))
        })
        .collect();
    if named.iter().all(Option::is_none) {
        return Ok((0..rows.len()).map(SampleId::row).collect());
    }
    rows.iter()
        .zip(named)
        .map(|(row, id)| {
            let what = "no sample id can be made: `Is there a … in the image?` or the picture's name expected";
            id.map(SampleId::new).ok_or_else(|| row.fault(what))
        })
        .collect()
}

pub(super) fn category(text: &str) -> Result<Category, String> {
    let known = "`random`, `popular`, `adversarial`";
    Category::parse(text).ok_or_else(|| format!("unknown category `{text}`; POPE has {known}"))
}

/// The original takes every label but `no` for a yes; the files hold no third one, so it would be a fault.
pub(super) fn positive(label: &str) -> Result<bool, String> {
    match label {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("label `{label}` is neither `yes` nor `no`")),
    }
}

pub(super) fn stem(name: &str) -> Option<String> {
    Some(Path::new(name).file_stem()?.to_str()?.to_owned())
}
