//! MME's questions and right answers from the official files (`mme.md`, section 2).
//!
//! The release has a text file a picture, two lines `question<TAB>Yes|No`; its evaluation tool has a text file a
//! subtask, lines `picture<TAB>question<TAB>Yes|No`, to which a result folder adds a fourth field, the response.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Subtask;
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::python_text;
use crate::text_file;

/// Where the release's subtask folders lie.
const RELEASE_FOLDERS: [&str; 2] = ["MME_Benchmark_release_version", ""];

/// Where the evaluation tool's files lie.
const TOOL_FOLDERS: [&str; 4] = [
    "eval_tool/Your_Results",
    "MME_Benchmark_release_version/eval_tool/Your_Results",
    "Your_Results",
    "",
];

/// The official questions with their answers.
pub(super) struct Truth {
    /// In words.
    pub(super) layout: &'static str,
    pub(super) rows: Vec<TruthRow>,
    pub(super) files: Vec<SourceFile>,
}

/// One question.
pub(super) struct TruthRow {
    /// The file and the line in it, for messages.
    pub(super) place: (Arc<Path>, usize),
    pub(super) subtask: Subtask,
    /// The picture's file.
    pub(super) picture: String,
    /// The name of the picture's text file without `.txt`, by which LLaVA's converter looks the answer up.
    pub(super) stem: String,
    /// As the release spells it, with its `Please answer yes or no.`
    pub(super) question: String,
    /// Whether the right answer is yes.
    pub(super) positive: bool,
}

impl Truth {
    /// Reads the release or else the evaluation tool's files; `None` where neither is in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, DataError> {
        match release(folder)? {
            Some(truth) => Ok(Some(truth)),
            None => tool(folder),
        }
    }

    /// Those of every place in `folder`, which may hold several releases.
    pub(super) fn everywhere(folder: &Path) -> Vec<Result<Self, DataError>> {
        let releases = RELEASE_FOLDERS.iter().map(|sub| release_at(&folder.join(sub)));
        let tools = TOOL_FOLDERS.iter().map(|sub| tool_at(&folder.join(sub)));
        releases.chain(tools).filter_map(Result::transpose).collect()
    }

    /// Where [`read`](Self::read) looks.
    pub(super) fn searched(folder: &Path) -> Vec<PathBuf> {
        let [release, _] = RELEASE_FOLDERS;
        let [tool, ..] = TOOL_FOLDERS;
        vec![folder.join(release), folder.join(tool)]
    }

    /// How many questions a subtask has.
    pub(super) fn count(&self, subtask: Subtask) -> usize {
        self.rows.iter().filter(|row| row.subtask == subtask).count()
    }
}

/// The name of the text file that LLaVA's converter expects for a picture: cut at the first dot.
pub(super) fn text_stem(picture: &str) -> &str {
    picture.split('.').next().unwrap_or_default()
}

fn release(folder: &Path) -> Result<Option<Truth>, DataError> {
    let mut places = RELEASE_FOLDERS.iter().map(|sub| release_at(&folder.join(sub)));
    places.find_map(Result::transpose).transpose()
}

fn release_at(base: &Path) -> Result<Option<Truth>, DataError> {
    let mut truth = Truth {
        layout: "official release",
        rows: Vec::with_capacity(super::ALL),
        files: Vec::new(),
    };
    for subtask in Subtask::all() {
        add_release_subtask(&base.join(subtask.id()), subtask, &mut truth)?;
    }
    Ok((!truth.rows.is_empty()).then_some(truth))
}

fn add_release_subtask(folder: &Path, subtask: Subtask, truth: &mut Truth) -> Result<(), DataError> {
    let nested = folder.join("questions_answers_YN");
    let (texts, pictures) = if nested.is_dir() {
        (nested, folder.join("images"))
    } else {
        (folder.to_owned(), folder.to_owned())
    };
    let mut pictures: HashMap<String, String> = names(&pictures)
        .into_iter()
        .filter_map(|name| match name.rsplit_once('.')? {
            (_, "txt") => None,
            (stem, _) => Some((stem.to_owned(), name)),
        })
        .collect();
    for name in names(&texts) {
        let Some(stem) = name.strip_suffix(".txt") else {
            continue;
        };
        let (text, file) = text_file::read(&texts.join(&name))?;
        let path: Arc<Path> = file.path.as_path().into();
        let picture = pictures
            .remove(stem)
            .unwrap_or_else(|| format!("{stem}.{}", subtask.picture_suffix()));
        for (line, text) in lines(&text) {
            let fields: Vec<&str> = text.split('\t').collect();
            let [question, label] = fields.as_slice() else {
                return Err(DataError::line(&path, line, "not `question<TAB>Yes|No`"));
            };
            truth.rows.push(TruthRow {
                place: (path.clone(), line),
                subtask,
                picture: picture.clone(),
                stem: stem.to_owned(),
                question: (*question).to_owned(),
                positive: positive(label).map_err(|what| DataError::line(&path, line, what))?,
            });
        }
        truth.files.push(file);
    }
    Ok(())
}

fn tool(folder: &Path) -> Result<Option<Truth>, DataError> {
    let mut places = TOOL_FOLDERS.iter().map(|sub| tool_at(&folder.join(sub)));
    places.find_map(Result::transpose).transpose()
}

fn tool_at(base: &Path) -> Result<Option<Truth>, DataError> {
    let path = |subtask: Subtask| base.join(format!("{}.txt", subtask.id()));
    if !Subtask::all().any(|subtask| path(subtask).is_file()) {
        return Ok(None);
    }
    let mut truth = Truth {
        layout: "evaluation tool's files",
        rows: Vec::with_capacity(super::ALL),
        files: Vec::new(),
    };
    for subtask in Subtask::all() {
        let path = path(subtask);
        if !path.is_file() {
            return Err(DataError::NotFound {
                what: format!("MME's subtask {}", subtask.id()),
                searched: vec![path],
                remedy: "the totals are over all fourteen; unpack the evaluation zip of MME again".to_owned(),
            });
        }
        add_tool_file(&path, subtask, &mut truth)?;
    }
    Ok(Some(truth))
}

fn add_tool_file(path: &Path, subtask: Subtask, truth: &mut Truth) -> Result<(), DataError> {
    let (text, file) = text_file::read(path)?;
    let place: Arc<Path> = path.into();
    for (line, text) in lines(&text) {
        let fields: Vec<&str> = text.split('\t').collect();
        let ([picture, question, label] | [picture, question, label, _]) = fields.as_slice() else {
            return Err(DataError::line(path, line, "not `picture<TAB>question<TAB>Yes|No`"));
        };
        truth.rows.push(TruthRow {
            place: (place.clone(), line),
            subtask,
            picture: (*picture).to_owned(),
            stem: text_stem(picture).to_owned(),
            question: (*question).to_owned(),
            positive: positive(label).map_err(|what| DataError::line(path, line, what))?,
        });
    }
    truth.files.push(file);
    Ok(())
}

/// Whether a label says yes; case does not matter to the official scorer.
pub(super) fn positive(label: &str) -> Result<bool, String> {
    match python_text::strip(label).to_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("label `{label}` is neither `Yes` nor `No`")),
    }
}

/// Visible names in a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Lines with their number from 1, stripped, without the blank ones.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let stripped = text
        .lines()
        .enumerate()
        .map(|(n, line)| (n + 1, python_text::strip(line)));
    stripped.filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_looked_up_by_what_stands_before_its_first_dot() {
        for (picture, stem) in [("0001.jpg", "0001"), ("tt.0001.v2.jpg", "tt"), ("x", "x"), (".jpg", "")] {
            assert_eq!(text_stem(picture), stem);
        }
    }
}
