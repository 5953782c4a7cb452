//! The layouts in which GQA lies (`gqa.md`, section 2), in order of precedence; one with right answers comes before
//! one without.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava_gqa_testdev_balanced.jsonl`, answers from the next one |
//! | official | `{tier}_questions.json` or the folder `{tier}_questions`, in `data/`, `questions1.2/` or the folder itself |
//! | lmms-lab Parquet | `{tier}_instructions/*.parquet`, pictures in `{tier}_images/*.parquet` |
//! | LMMs-Eval-Lite | `lite-*.parquet` in `gqa/`; pictures in it, or as in lmms-lab's set |
//! | VLMEvalKit | `GQA_TestDev_Balanced.tsv`; it has no question ids, so sample ids are `row/<n>` |
//!
//! A split is called as its tier with `-` for `_`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::question_file::{QuestionFile, Row, stem};
use super::{
    DEFAULT_SIZE, DEFAULT_SPLIT, Entailed, Gqa, GqaData, LITE_SPLIT, PROMPT_SUFFIX, Question, choices, grounding,
    parquet_files, tsv_file,
};
use crate::benchmark::{Benchmark, Provenance, SourceFile};
use crate::error::DataError;
use crate::jsonl::{self, Record};
use crate::picture::Picture;
use crate::python_text;
use crate::sample::{Sample, SampleId};
use crate::source::{DataSource, PictureFolders};
use crate::task::UnknownName;

/// The splits of version 1.2. Those of test, challenge and submission have hidden answers.
const SPLITS: [&str; 12] = [
    DEFAULT_SPLIT,
    "testdev-all",
    "val-balanced",
    "val-all",
    "train-balanced",
    "train-all",
    "test-balanced",
    "test-all",
    "challenge-balanced",
    "challenge-all",
    "submission-all",
    LITE_SPLIT,
];

/// Those that are looked for where none is asked for.
const DEFAULT_SPLITS: [&str; 4] = [DEFAULT_SPLIT, "testdev-all", "val-balanced", LITE_SPLIT];

/// Where question files lie.
const QUESTION_FOLDERS: [&str; 5] = ["data", "", "data/questions1.2", "questions1.2", "questions"];

/// Where choices and scene graphs lie, after the folder of the questions.
const SIDE_FOLDERS: [&str; 6] = ["", "data", "eval", "data/eval", "sceneGraphs", "data/sceneGraphs"];

/// Where pictures lie, in the benchmark's folder and under `--images`.
const PICTURE_FOLDERS: [&str; 3] = ["data/images", "images", ""];

/// Where to look, and for which split.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    pub(super) images: Option<&'a Path>,
    pub(super) split: &'static str,
}

impl Place<'_> {
    /// What file names call the split.
    pub(super) fn tier(&self) -> String {
        self.split.replace('-', "_")
    }

    pub(super) fn picture_folders(&self) -> PictureFolders {
        PictureFolders::new(self.folder, &PICTURE_FOLDERS, self.images)
    }

    /// Where files lie that belong to the questions in `beside`.
    fn side_folders(&self, beside: PathBuf) -> Vec<PathBuf> {
        let others = SIDE_FOLDERS.map(|sub| self.folder.join(sub));
        std::iter::once(beside).chain(others).collect()
    }

    fn question_folders(&self) -> Vec<PathBuf> {
        QUESTION_FOLDERS.iter().map(|sub| self.folder.join(sub)).collect()
    }
}

/// What was read, before it is made a dataset.
pub(super) struct Found {
    pub(super) layout: &'static str,
    pub(super) rows: Vec<Row>,
    /// The picture of each row.
    pub(super) pictures: Vec<Picture>,
    pub(super) files: Vec<SourceFile>,
    /// Where the official questions lie, if they are among what was read.
    pub(super) beside: Option<PathBuf>,
}

/// Finds GQA under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<GqaData, DataError> {
    let splits: &[&'static str] = match &source.split {
        None => &DEFAULT_SPLITS,
        Some(wanted) => match SPLITS.iter().position(|split| *split == whole(wanted)) {
            Some(at) => SPLITS.get(at..=at).unwrap_or_default(),
            None => return Err(UnknownName::new("split of GQA", wanted, &SPLITS).into()),
        },
    };
    let folders = source.folders(Gqa.task().id())?;
    for split in splits {
        let mut unlabelled = None;
        for folder in &folders {
            let place = Place {
                folder,
                images: source.images.as_deref(),
                split,
            };
            for read in [
                llava,
                official,
                parquet_files::lmms_lab,
                parquet_files::lmms_eval_lite,
                tsv_file::vlmevalkit,
            ] {
                let Some(found) = read(&place)? else {
                    continue;
                };
                let data = assemble(&place, found)?;
                if data.unlabelled.is_none() {
                    return of_split(data, source);
                }
                unlabelled = unlabelled.or(Some(data));
            }
        }
        if let Some(data) = unlabelled {
            return of_split(data, source);
        }
    }
    let tier = |split: &&str| format!("`{}.json`", stem(&split.replace('-', "_")));
    Err(DataError::NotFound {
        what: format!("GQA ({})", splits.iter().map(tier).collect::<Vec<_>>().join(", ")),
        searched: folders,
        remedy: Gqa.data_hint().to_owned(),
    })
}

/// The complete split of an incomplete one, which [`assemble`] names by its size.
fn whole(split: &str) -> &str {
    match split
        .strip_prefix(DEFAULT_SPLIT)
        .and_then(|rest| rest.strip_prefix('-'))
    {
        Some(size) if size.parse::<usize>().is_ok() => DEFAULT_SPLIT,
        _ => split,
    }
}

/// Refuses an incomplete split that was asked for by the name of the complete one, or of one of another size.
fn of_split(data: GqaData, source: &DataSource) -> Result<GqaData, DataError> {
    let found = &data.provenance.split;
    match &source.split {
        Some(wanted) if wanted != found => Err(DataError::Mismatch(format!(
            "split `{wanted}` of GQA has {} questions, `{}` has {} ({}); take the whole file or leave out `--split`",
            wanted
                .rsplit_once('-')
                .and_then(|(_, size)| size.parse().ok())
                .unwrap_or(DEFAULT_SIZE),
            source.root.display(),
            data.samples.len(),
            data.provenance.layout,
        ))),
        _ => Ok(data),
    }
}

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: Value,
    image: String,
    text: String,
}

/// LLaVA's question file, joined with the official one where that is there too.
fn llava(place: &Place<'_>) -> Result<Option<Found>, DataError> {
    let path = place.folder.join(format!("llava_gqa_{}.jsonl", place.tier()));
    if !path.is_file() {
        return Ok(None);
    }
    let (lines, file) = jsonl::read::<QuestionLine>(&path)?;
    let official = QuestionFile::read(&place.question_folders(), &place.tier())?;
    let mut files = vec![file];
    let (layout, beside) = match &official {
        Some(official) => (
            "LLaVA question file with official answers",
            Some(official.folder.clone()),
        ),
        None => ("LLaVA question file without answers", None),
    };
    let mut answered = official.map(|official| {
        files.extend(official.files);
        let balanced = official.rows.into_iter().filter(|row| row.balanced);
        balanced
            .map(|row| (row.id.clone(), row))
            .collect::<HashMap<String, Row>>()
    });
    let mut folders = place.picture_folders();
    let mut rows = Vec::with_capacity(lines.len());
    let mut pictures = Vec::with_capacity(lines.len());
    for Record { line, value } in lines {
        let fault = |what: String| DataError::line(&path, line, what);
        let id = jsonl::id_text(&value.question_id)
            .ok_or_else(|| fault("`question_id` is neither text nor a whole number".to_owned()))?;
        let question = value.text.strip_suffix(PROMPT_SUFFIX).ok_or_else(|| {
            fault(format!(
                "`text` does not end in LLaVA's `{}`",
                PROMPT_SUFFIX.trim_start()
            ))
        })?;
        let asked = Row {
            id,
            image_id: image_id(&value.image).to_owned(),
            question: question.to_owned(),
            balanced: true,
            ..Row::default()
        };
        let row = match &mut answered {
            None => asked,
            Some(answered) => join(asked, answered).map_err(fault)?,
        };
        pictures.push(folders.picture(&value.image, &value.image));
        rows.push(row);
    }
    if let Some(left) = answered.filter(|left| !left.is_empty()) {
        return Err(DataError::File {
            path,
            what: format!(
                "{} questions of the official file are not asked here; take the whole file",
                left.len()
            ),
        });
    }
    Ok(Some(Found {
        layout,
        rows,
        pictures,
        files,
        beside,
    }))
}

/// Takes the official row of a question that LLaVA asks.
fn join(asked: Row, answered: &mut HashMap<String, Row>) -> Result<Row, String> {
    let id = &asked.id;
    let row = answered
        .remove(id)
        .ok_or_else(|| format!("question {id} is not in the official file, or stands here for the second time"))?;
    if python_text::strip(&row.question) != python_text::strip(&asked.question) || row.image_id != asked.image_id {
        return Err(format!(
            "question {id} is `{}` about `{}`, in the official file `{}` about `{}`; take files that belong together",
            asked.question, asked.image_id, row.question, row.image_id,
        ));
    }
    Ok(row)
}

fn image_id(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(id, _)| id)
}

/// The official question file alone.
fn official(place: &Place<'_>) -> Result<Option<Found>, DataError> {
    let Some(official) = QuestionFile::read(&place.question_folders(), &place.tier())? else {
        return Ok(None);
    };
    let mut folders = place.picture_folders();
    let pictures = official.rows.iter().map(|row| {
        let name = format!("{}.jpg", row.image_id);
        folders.picture(&name, &name)
    });
    Ok(Some(Found {
        layout: "official question file",
        pictures: pictures.collect(),
        rows: official.rows,
        files: official.files,
        beside: Some(official.folder),
    }))
}

/// Makes the dataset of rows in the order of the source.
fn assemble(place: &Place<'_>, found: Found) -> Result<GqaData, DataError> {
    let mut files = found.files;
    let fault = |what: String| DataError::File {
        path: files
            .first()
            .map_or_else(|| place.folder.to_owned(), |file| file.path.clone()),
        what,
    };
    let mut by_id: HashMap<String, usize> = HashMap::with_capacity(found.rows.len());
    for (index, row) in found.rows.iter().enumerate() {
        if by_id.insert(row.id.clone(), index).is_some() {
            return Err(fault(format!("question {} stands here for the second time", row.id)));
        }
    }
    let labelled = found.rows.iter().filter(|row| row.answer.is_some()).count();
    if labelled > 0 && labelled < found.rows.len() {
        let (lacking, all) = (found.rows.len() - labelled, found.rows.len());
        return Err(DataError::File {
            path: place.folder.to_owned(),
            what: format!("{lacking} of {all} questions have no `answer`; copy the question file again"),
        });
    }
    if found.rows.is_empty() {
        return Err(fault("no question; copy the file again".to_owned()));
    }
    let size = found.rows.len();
    let side_folders = found
        .beside
        .map(|beside| place.side_folders(beside))
        .unwrap_or_default();
    let grounding = grounding::read(&side_folders, &place.tier(), &found.rows)?;
    let mut samples = Vec::with_capacity(size);
    let mut questions = Vec::with_capacity(size);
    for (index, (row, picture)) in found.rows.into_iter().zip(found.pictures).enumerate() {
        questions.push(Question {
            answer: row.answer.clone(),
            balanced: row.balanced,
            types: row.types,
            global_group: row.global_group,
            words: python_text::split(&row.question).count(),
            steps: row.steps,
            entailed: row.entailed.map(|ids| entailed(&row.id, &ids, &by_id)),
            choices: None,
            grounding: grounding.values.get(index).copied().flatten(),
        });
        samples.push(Sample {
            id: SampleId::new(row.id.as_str()),
            source_id: row.index.unwrap_or(row.id),
            pictures: vec![picture],
            question: row.question,
            category: row.types.map(|types| types.structural.id().to_owned()),
            reference: row.answer,
            scoring_group: index,
        });
    }
    files.extend(grounding.files);
    files.extend(choices::add(&side_folders, &place.tier(), &by_id, &mut questions)?);
    let split = if place.split == DEFAULT_SPLIT && size != DEFAULT_SIZE {
        format!("{DEFAULT_SPLIT}-{size}")
    } else {
        place.split.to_owned()
    };
    let question_file = |folder: &PathBuf| folder.join(format!("{}.json", stem(&place.tier())));
    let searched = place.question_folders();
    Ok(GqaData {
        provenance: Provenance {
            layout: found.layout,
            split,
            files,
            picture_folders: place.picture_folders().folders().to_vec(),
        },
        samples,
        questions,
        grounding: grounding.grounding,
        by_id,
        unlabelled: (labelled == 0).then(|| searched.iter().map(question_file).collect()),
    })
}

fn entailed(id: &str, ids: &[String], by_id: &HashMap<String, usize>) -> Entailed {
    let mut entailed = Entailed::default();
    for other in ids.iter().filter(|other| *other != id) {
        match by_id.get(other) {
            Some(index) => entailed.within.push(*index),
            None => entailed.outside += 1,
        }
    }
    entailed
}
