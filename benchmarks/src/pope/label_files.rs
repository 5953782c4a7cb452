//! POPE from JSON Lines: the official label files, alone or with LLaVA's question file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::layout::{PICTURE_FOLDERS, Row, assemble, category, positive, stem};
use super::{Category, PROMPT_SUFFIX, PopeData, RANDOM_2023_05, RANDOM_2023_10, repaired};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::jsonl::{self, Record};
use crate::source::PictureFolders;

/// LLaVA's question file.
pub(super) const LLAVA_QUESTIONS: &str = "llava_pope_test.jsonl";

/// Where label files lie.
const LABEL_FOLDERS: [&str; 3] = ["coco", "output/coco", ""];

/// A line of an official label file.
#[derive(Deserialize)]
struct LabelLine {
    question_id: Value,
    image: String,
    text: String,
    label: String,
}

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct QuestionLine {
    question_id: Value,
    image: String,
    text: String,
    category: String,
}

/// LLaVA's question file, joined with the labels; `None` where it is not in `folder`.
pub(super) fn llava(folder: &Path, images: Option<&Path>) -> Result<Option<PopeData>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let Some(labels) = Labels::read(folder)? else {
        return Err(DataError::NotFound {
            what: "POPE's label files `coco_pope_{random,popular,adversarial}.json`".to_owned(),
            searched: LABEL_FOLDERS.map(|sub| folder.join(sub)).to_vec(),
            remedy: "put those of AoiDragon/POPE at e3e39262 into `coco/` beside LLaVA's questions".to_owned(),
        });
    };
    let (lines, file) = jsonl::read::<QuestionLine>(&path)?;
    labels.check_counts(&path, &lines)?;
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let place: Arc<Path> = path.into();
    let mut rows = Vec::with_capacity(lines.len());
    let mut ids = HashMap::with_capacity(lines.len());
    for (index, Record { line, value }) in lines.into_iter().enumerate() {
        let fault = |what: String| DataError::line(&place, line, what);
        let category = category(&value.category).map_err(fault)?;
        let source_id = id(&value.question_id).map_err(fault)?;
        if ids.insert(source_id.clone(), index).is_some() {
            return Err(fault(format!(
                "question id {source_id} stands here for the second time"
            )));
        }
        let Some(question) = value.text.strip_suffix(PROMPT_SUFFIX) else {
            return Err(fault(format!(
                "`text` does not end in LLaVA's `{}`",
                PROMPT_SUFFIX.trim_start()
            )));
        };
        let positive = labels.of(category, &value.image, question).ok_or_else(|| {
            let label_file = labels.path(category).display();
            fault(format!(
                "`{question}` about `{}` has no label in `{label_file}`",
                value.image
            ))
        })?;
        rows.push(Row {
            place: (place.clone(), format!("line {line}")),
            source_id,
            category,
            stem: stem(&value.image),
            picture: pictures.picture(&value.image, &value.image),
            question: question.to_owned(),
            positive,
        });
    }
    let files = std::iter::once(file).chain(labels.into_files()).collect();
    let layout = "LLaVA question file with official labels";
    assemble(rows, Some(ids), layout, files, pictures.folders()).map(Some)
}

/// The label files alone; `None` where none is in `folder`.
pub(super) fn official(folder: &Path, images: Option<&Path>) -> Result<Option<PopeData>, DataError> {
    let labels = Labels::read(folder)?;
    labels.map(|labels| of_labels(labels, folder, images)).transpose()
}

/// The label files of every place in `folder`, which may hold several releases.
pub(super) fn official_everywhere(folder: &Path, images: Option<&Path>) -> Vec<Result<PopeData, DataError>> {
    let read = |paths| of_labels(Labels::read_at(paths)?, folder, images);
    Labels::places(folder).map(read).collect()
}

fn of_labels(labels: Labels, folder: &Path, images: Option<&Path>) -> Result<PopeData, DataError> {
    let mut pictures = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let mut rows = Vec::new();
    for file in &labels.files {
        let place: Arc<Path> = file.source.path.as_path().into();
        for Record { line, value } in &file.lines {
            rows.push(Row {
                place: (place.clone(), format!("line {line}")),
                source_id: id(&value.question_id).map_err(|what| DataError::line(&place, *line, what))?,
                category: file.category,
                stem: stem(&value.image),
                picture: pictures.picture(&value.image, &value.image),
                question: value.text.clone(),
                positive: positive(&value.label).map_err(|what| DataError::line(&place, *line, what))?,
            });
        }
    }
    assemble(
        rows,
        None,
        "official label files",
        labels.into_files().collect(),
        pictures.folders(),
    )
}

/// The three official label files.
struct Labels {
    files: Vec<LabelFile>,
    /// By category, picture and repaired question: whether the answer is yes.
    index: HashMap<(Category, String, String), bool>,
}

struct LabelFile {
    category: Category,
    source: SourceFile,
    lines: Vec<Record<LabelLine>>,
}

impl Labels {
    /// Those of the first place; `None` where no label file lies in any.
    fn read(folder: &Path) -> Result<Option<Self>, DataError> {
        Self::places(folder).next().map(Self::read_at).transpose()
    }

    /// The places in `folder` where some label file lies.
    fn places(folder: &Path) -> impl Iterator<Item = [(Category, PathBuf); 3]> {
        let paths = move |sub: &&str| {
            let place = folder.join(sub);
            Category::ALL.map(|category| (category, place.join(format!("coco_pope_{}.json", category.id()))))
        };
        let places = LABEL_FOLDERS.iter().map(paths);
        places.filter(|paths| paths.iter().any(|(_, path)| path.is_file()))
    }

    fn read_at(paths: [(Category, PathBuf); 3]) -> Result<Self, DataError> {
        let mut files = Vec::with_capacity(paths.len());
        let mut index = HashMap::new();
        for (category, path) in paths {
            if !path.is_file() {
                return Err(DataError::NotFound {
                    what: format!("POPE's {} label file", category.id()),
                    searched: vec![path],
                    remedy: "the score is over all three categories; download it from AoiDragon/POPE".to_owned(),
                });
            }
            let (lines, source) = jsonl::read::<LabelLine>(&path)?;
            for Record { line, value } in &lines {
                let fault = |what: String| DataError::line(&path, *line, what);
                let positive = positive(&value.label).map_err(fault)?;
                let key = (category, value.image.clone(), repaired(&value.text));
                if index.insert(key, positive).is_some() {
                    let what = format!(
                        "`{}` about `{}` stands here for the second time",
                        value.text, value.image
                    );
                    return Err(fault(what));
                }
            }
            files.push(LabelFile {
                category,
                source,
                lines,
            });
        }
        Ok(Self { files, index })
    }

    fn of(&self, category: Category, image: &str, question: &str) -> Option<bool> {
        let key = (category, image.to_owned(), repaired(question));
        self.index.get(&key).copied()
    }

    fn path(&self, category: Category) -> &Path {
        let file = self.files.iter().find(|file| file.category == category);
        file.map_or(Path::new(""), |file| &file.source.path)
    }

    fn into_files(self) -> impl Iterator<Item = SourceFile> {
        self.files.into_iter().map(|file| file.source)
    }

    /// LLaVA's scorer pairs by position and cuts the longer list: the newer random labels with LLaVA's questions
    /// give a random F1 of 0.4565 where 0.8714 is right.
    fn check_counts(&self, questions: &Path, lines: &[Record<QuestionLine>]) -> Result<(), DataError> {
        for Record { line, value } in lines {
            category(&value.category).map_err(|what| DataError::line(questions, *line, what))?;
        }
        for file in &self.files {
            let id = file.category.id();
            let asked = lines.iter().filter(|line| line.value.category == id).count();
            let labelled = file.lines.len();
            if asked == labelled {
                continue;
            }
            let remedy = match (file.category, asked, labelled) {
                (Category::Random, RANDOM_2023_05, RANDOM_2023_10) => {
                    format!("take that of AoiDragon/POPE at e3e39262, which has {RANDOM_2023_05}")
                }
                (Category::Random, RANDOM_2023_10, RANDOM_2023_05) => {
                    format!("take that of AoiDragon/POPE at 109985c, which has {RANDOM_2023_10}")
                }
                _ => "take the label file that belongs to the questions".to_owned(),
            };
            return Err(DataError::File {
                path: file.source.path.clone(),
                what: format!(
                    "{labelled} labels for the {asked} {id} questions in `{}`; {remedy}",
                    questions.display()
                ),
            });
        }
        Ok(())
    }
}

fn id(value: &Value) -> Result<String, String> {
    jsonl::id_text(value).ok_or_else(|| "`question_id` is neither text nor a whole number".to_owned())
}
