//! The layouts in which MME lies (`mme.md`, section 2), in order of precedence; one with labels comes before one
//! without.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_mme.jsonl`, labels from one of the next two |
//! | official release | `MME_Benchmark_release_version/<subtask>/`, or the subtasks' folders in the folder itself |
//! | evaluation tool | `eval_tool/Your_Results/<subtask>.txt` |
//! | lmms-lab Parquet | `data/test-*.parquet` |
//! | VLMEvalKit | `MME.tsv` |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::truth::{Truth, text_stem};
use super::{ALL, Mme, MmeData, Question, RELEASE_SUFFIX, SUFFIX, Subtask, parquet_files, tsv_file};
use crate::benchmark::{Benchmark, Dataset, Provenance, SourceFile, Version};
use crate::error::DataError;
use crate::jsonl::{self, Record};
use crate::picture::{Picture, PictureError};
use crate::python_text;
use crate::sample::{Sample, SampleId};
use crate::source::{DataSource, PictureFolders};

/// LLaVA's question file.
const LLAVA_QUESTIONS: &str = "llava_mme.jsonl";

/// Where subtasks' folders with pictures lie, in the benchmark's folder and under `--images`.
pub(super) const PICTURE_FOLDERS: [&str; 2] = ["MME_Benchmark_release_version", ""];

/// The fewest landmark questions of a redistributed copy: two pictures of 200 are missing in it.
const FEWEST_LANDMARK: usize = 396;

/// A question as any layout gives it.
pub(super) struct Row {
    /// The file and the record in it, for messages.
    pub(super) place: (Arc<Path>, String),
    pub(super) source_id: String,
    pub(super) subtask: Subtask,
    /// The picture's file, without folder.
    pub(super) file: String,
    pub(super) picture: Picture,
    /// As the release spells it, with its `Please answer yes or no.`
    pub(super) question: String,
    pub(super) positive: Option<bool>,
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

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: String,
    text: String,
}

/// Finds MME under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<MmeData, DataError> {
    let folders = source.folders(Mme.task().id())?;
    let mut unlabelled = None;
    for folder in &folders {
        for read in [llava, official, parquet_files::lmms_lab, tsv_file::vlmevalkit] {
            let Some(data) = read(folder, source.images.as_deref())? else {
                continue;
            };
            if data.unlabelled.is_none() {
                return of_split(data, source);
            }
            unlabelled = unlabelled.or(Some(data));
        }
    }
    match unlabelled {
        Some(data) => of_split(data, source),
        None => Err(DataError::NotFound {
            what: format!(
                "MME (`{LLAVA_QUESTIONS}`, the release's folders, lmms-lab's Parquet files or `{}`)",
                tsv_file::FILE
            ),
            searched: folders,
            remedy: Mme.data_hint().to_owned(),
        }),
    }
}

/// The labels of every release under `source`: each place of official files, Parquet, TSV.
pub(super) fn versions(source: &DataSource) -> Result<Vec<Version>, DataError> {
    let images = source.images.as_deref();
    let mut found = Vec::new();
    for folder in source.folders(Mme.task().id())? {
        let of_truth = |truth: Result<Truth, DataError>| of_truth(truth?, &folder, images);
        found.extend(Truth::everywhere(&folder).into_iter().map(of_truth));
        found.extend(parquet_files::lmms_lab(&folder, images).transpose());
        found.extend(tsv_file::vlmevalkit(&folder, images).transpose());
    }
    let boxed = |data: Result<MmeData, DataError>| data.map(|data| -> Box<dyn Dataset> { Box::new(data) });
    Ok(found.into_iter().map(boxed).collect())
}

fn of_split(data: MmeData, source: &DataSource) -> Result<MmeData, DataError> {
    let found = &data.provenance.split;
    let Some(wanted) = source.split.as_ref().filter(|wanted| *wanted != found) else {
        return Ok(data);
    };
    let counts = Subtask::all().filter_map(|subtask| {
        let labelled = |question: &&Question| question.subtask == subtask && question.positive.is_some();
        let count = data.questions.iter().filter(labelled).count();
        (count != subtask.size()).then(|| format!("{} has {count} of {}", subtask.id(), subtask.size()))
    });
    let counts: Vec<String> = counts.collect();
    Err(DataError::Mismatch(format!(
        "split `{wanted}` of MME is not in `{}`, which holds `{found}` ({}{}); name that or leave out `--split`",
        source.root.display(),
        data.provenance.layout,
        counts.iter().map(|count| format!(", {count}")).collect::<String>(),
    )))
}

/// LLaVA's question file with the labels beside it; `None` where it is not in `folder`.
fn llava(folder: &Path, images: Option<&Path>) -> Result<Option<MmeData>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let (lines, file) = jsonl::read::<QuestionLine>(&path)?;
    let labels = Truth::read(folder)?.map(Labels::new).transpose()?;
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let place: Arc<Path> = path.into();
    let mut rows = Vec::with_capacity(lines.len());
    for Record { line, value } in lines {
        let fault = |what: String| DataError::line(&place, line, what);
        let subtask = Subtask::parse(value.question_id.split('/').next().unwrap_or_default()).map_err(fault)?;
        let file = value.question_id.rsplit('/').next().unwrap_or_default().to_owned();
        let asked = python_text::strip(&value.text.replace(SUFFIX, "")).to_owned();
        let (question, positive) = match &labels {
            Some(labels) => labels.of(subtask, &file, &asked).map_err(fault)?,
            None => (release_spelling(&asked, " "), None),
        };
        rows.push(Row {
            place: (place.clone(), format!("line {line}")),
            picture: picture(&mut pictures, subtask, &file),
            source_id: value.question_id,
            subtask,
            file,
            question,
            positive,
        });
    }
    if let Some(labels) = &labels {
        labels.check_landmark(&place, &rows)?;
    }
    let (layout, truth_files) = match labels {
        Some(labels) => ("LLaVA question file with official labels", labels.files),
        None => ("LLaVA question file without labels", Vec::new()),
    };
    let files = std::iter::once(file).chain(truth_files).collect();
    assemble(rows, layout, files, pictures.folders(), folder).map(Some)
}

/// The release or the evaluation tool's files alone; `None` where neither is in `folder`.
fn official(folder: &Path, images: Option<&Path>) -> Result<Option<MmeData>, DataError> {
    let truth = Truth::read(folder)?;
    truth.map(|truth| of_truth(truth, folder, images)).transpose()
}

fn of_truth(truth: Truth, folder: &Path, images: Option<&Path>) -> Result<MmeData, DataError> {
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let rows = truth.rows.into_iter().map(|row| Row {
        place: (row.place.0, format!("line {}", row.place.1)),
        source_id: format!("{}/{}", row.subtask.id(), row.picture),
        subtask: row.subtask,
        picture: picture(&mut pictures, row.subtask, &row.picture),
        file: row.picture,
        question: row.question,
        positive: Some(row.positive),
    });
    let rows = rows.collect();
    assemble(rows, truth.layout, truth.files, pictures.folders(), folder)
}

/// The official labels as LLaVA's converter looks them up.
struct Labels {
    /// By subtask, text file and question.
    index: HashMap<(Subtask, String, String), bool>,
    landmark: usize,
    files: Vec<SourceFile>,
}

impl Labels {
    fn new(truth: Truth) -> Result<Self, DataError> {
        let landmark = truth.count(Subtask::Landmark);
        let mut index = HashMap::with_capacity(truth.rows.len());
        for row in truth.rows {
            let question = row.question.clone();
            if index
                .insert((row.subtask, row.stem, row.question), row.positive)
                .is_some()
            {
                let what = format!("`{question}` is asked of the same picture for the second time");
                return Err(DataError::line(&row.place.0, row.place.1, what));
            }
        }
        Ok(Self {
            index,
            landmark,
            files: truth.files,
        })
    }

    /// The release's spelling of a question and its label. No label for a landmark picture that the labels lack
    /// as a redistributed copy does.
    fn of(&self, subtask: Subtask, file: &str, asked: &str) -> Result<(String, Option<bool>), String> {
        let stem = text_stem(file);
        for spaces in [" ", "  "] {
            let key = (subtask, stem.to_owned(), release_spelling(asked, spaces));
            if let Some(positive) = self.index.get(&key) {
                return Ok((key.2, Some(*positive)));
            }
        }
        if subtask == Subtask::Landmark && (FEWEST_LANDMARK..subtask.size()).contains(&self.landmark) {
            return Ok((release_spelling(asked, " "), None));
        }
        Err(format!(
            "`{asked}` about `{}/{file}` has no label in the official files; take those that belong to the questions",
            subtask.id()
        ))
    }

    /// Refuses more questions without a label than the labels lack.
    fn check_landmark(&self, questions: &Path, rows: &[Row]) -> Result<(), DataError> {
        let lacking = Subtask::Landmark.size().saturating_sub(self.landmark);
        let without = rows.iter().filter(|row| row.positive.is_none()).count();
        if without <= lacking {
            return Ok(());
        }
        Err(DataError::File {
            path: questions.to_owned(),
            what: format!(
                "{without} landmark questions have no label, and the official files lack {lacking}; take those that \
                 belong to the questions"
            ),
        })
    }
}

/// A question as the release has it.
fn release_spelling(asked: &str, spaces: &str) -> String {
    if asked.contains(RELEASE_SUFFIX) {
        asked.to_owned()
    } else {
        format!("{asked}{spaces}{RELEASE_SUFFIX}")
    }
}

/// The picture of a subtask. Files of several subtasks share their name, so what is found must lie in a folder of
/// the subtask's own.
fn picture(pictures: &mut PictureFolders, subtask: Subtask, file: &str) -> Picture {
    let id = subtask.id();
    let key = format!("{id}/{file}");
    let names = if subtask.is_nested() {
        [format!("{id}/images/{file}"), key.clone()]
    } else {
        [key.clone(), format!("{id}/images/{file}")]
    };
    let mut reason = PictureError::Missing { name: key.clone() };
    for name in &names {
        match pictures.find(name) {
            Ok(path) if is_of(&path, id) => return Picture::file(key, path),
            Ok(_) | Err(PictureError::Missing { .. }) => {}
            Err(other) => reason = other,
        }
    }
    Picture::absent(key, reason)
}

/// Whether a picture lies in the subtask's folder or in the `images` of it.
fn is_of(path: &Path, subtask: &str) -> bool {
    let folders = path.ancestors().skip(1).filter_map(Path::file_name);
    folders
        .take(2)
        .find(|name| *name != "images")
        .is_some_and(|name| name == subtask)
}

/// Makes the dataset of rows in the order of the source.
pub(super) fn assemble(
    rows: Vec<Row>,
    layout: &'static str,
    files: Vec<SourceFile>,
    picture_folders: &[PathBuf],
    folder: &Path,
) -> Result<MmeData, DataError> {
    let has = |subtask| rows.iter().any(|row| row.subtask == subtask);
    if let Some(absent) = Subtask::all().find(|subtask| !has(*subtask)) {
        return Err(DataError::File {
            path: folder.to_owned(),
            what: format!(
                "no question of MME's subtask {}; the totals are over all fourteen",
                absent.id()
            ),
        });
    }
    let pairs = pairs(&rows)?;
    let mut numbered: Vec<(usize, usize)> = vec![(0, 0); rows.len()];
    let mut by_picture = HashMap::with_capacity(pairs.len());
    for (number, pair) in pairs.into_iter().enumerate() {
        for (position, index) in pair.into_iter().enumerate() {
            if let Some(place) = numbered.get_mut(index) {
                *place = (number, position + 1);
            }
        }
        if let Some(row) = rows.get(pair[0]) {
            by_picture.insert(format!("{}/{}", row.subtask.id(), row.file), pair);
        }
    }
    let labelled = rows.iter().filter(|row| row.positive.is_some()).count();
    let size = if labelled == 0 { rows.len() } else { labelled };
    let split = match size {
        ALL => "all".to_owned(),
        n => format!("all-{n}"),
    };
    let mut data = MmeData {
        provenance: Provenance {
            layout,
            split,
            files,
            picture_folders: picture_folders.to_vec(),
        },
        samples: Vec::with_capacity(rows.len()),
        questions: Vec::with_capacity(rows.len()),
        by_id: HashMap::with_capacity(rows.len()),
        by_picture,
        unlabelled: (labelled == 0).then(|| Truth::searched(folder)),
    };
    for (index, (row, (pair, position))) in rows.into_iter().zip(numbered).enumerate() {
        let id = SampleId::new(format!("{}/{}/{position}", row.subtask.id(), row.file));
        data.by_id.insert(id.as_str().to_owned(), index);
        data.questions.push(Question {
            subtask: row.subtask,
            pair,
            positive: row.positive,
        });
        data.samples.push(Sample {
            id,
            source_id: row.source_id,
            pictures: vec![row.picture],
            question: row.question,
            category: Some(row.subtask.id().to_owned()),
            reference: row.positive.map(|yes| if yes { "Yes" } else { "No" }.to_owned()),
            scoring_group: pair,
        });
    }
    Ok(data)
}

/// The two questions about each picture, in the order of the source, the one to be answered yes first.
fn pairs(rows: &[Row]) -> Result<Vec<[usize; 2]>, DataError> {
    let mut numbers: HashMap<(Subtask, &str), usize> = HashMap::with_capacity(rows.len() / 2);
    let mut groups: Vec<Vec<usize>> = Vec::with_capacity(rows.len() / 2);
    for (index, row) in rows.iter().enumerate() {
        let number = *numbers.entry((row.subtask, row.file.as_str())).or_insert(groups.len());
        match groups.get_mut(number) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    let mut pairs = Vec::with_capacity(groups.len());
    for group in groups {
        let members: Vec<&Row> = group.iter().filter_map(|index| rows.get(*index)).collect();
        let ([first, second], [first_row, second_row]) = (group.as_slice(), members.as_slice()) else {
            let Some(row) = members.last() else { continue };
            let (count, name) = (group.len(), format!("{}/{}", row.subtask.id(), row.file));
            let what = format!("number of questions about `{name}`: {count}; MME asks two of each picture");
            return Err(row.fault(what));
        };
        if first_row.positive.is_some() != second_row.positive.is_some() {
            return Err(second_row.fault("one of the two questions about its picture has a label, the other has none"));
        }
        if super::bare(&first_row.question) == super::bare(&second_row.question) {
            return Err(second_row.fault("asks the same as the other question about its picture"));
        }
        let second_is_yes = (first_row.positive, second_row.positive) == (Some(false), Some(true));
        pairs.push(if second_is_yes {
            [*second, *first]
        } else {
            [*first, *second]
        });
    }
    Ok(pairs)
}
