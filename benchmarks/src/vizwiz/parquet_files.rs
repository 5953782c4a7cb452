//! VizWiz from the Parquet files of `lmms-lab/VizWiz-VQA` on Hugging Face.

use std::path::Path;
use std::sync::Arc;

use super::layout::{Assembly, Label, Name, Row, picture_folders, stem};
use super::{Split, VizwizData};
use crate::error::DataError;
use crate::parquet::{SplitPictures, TextColumns, TextLists, shards_in, source_file};
use crate::picture::{Picture, PictureStore};

/// Where the files lie.
const FOLDERS: [&str; 3] = ["data", "default", ""];

const COLUMNS: [&str; 3] = ["question_id", "question", "category"];

/// The split's files; `None` where there are none in `folder`.
pub(super) fn lmms_lab(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<VizwizData>, DataError> {
    let Some(paths) = shards_in(folder, &FOLDERS, split.stem())? else {
        return Ok(None);
    };
    let mut assembly = Assembly::default();
    let mut files = Vec::with_capacity(paths.len());
    let pictures = SplitPictures::new(picture_folders(folder, split, images));
    for path in &paths {
        let store = pictures.open(path)?;
        add_rows(path, Arc::new(store), &mut assembly)?;
        files.push(source_file(path)?);
    }
    let folders = pictures.folders();
    Ok(Some(assembly.finish("lmms-lab Parquet", split, folder, files, folders)))
}

/// Adds the rows of one file.
fn add_rows(path: &Path, store: Arc<dyn PictureStore>, assembly: &mut Assembly) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    let answers = TextLists::read(path, "answers", "answer")?;
    for row in 0..columns.rows {
        let fault = |what: String| DataError::Record {
            path: path.to_owned(),
            record: format!("row {row}"),
            what,
        };
        let text = |column: &'static str| {
            let value = columns.get(column, row);
            value.ok_or_else(|| fault(format!("`{column}` is null or absent; this is not lmms-lab's VizWiz")))
        };
        let stem = stem(text("question_id")?).map_err(fault)?;
        let label = match answers.as_ref().and_then(|answers| answers.get(row)) {
            Some(answers) if !answers.is_empty() => Some(Label {
                answers,
                answer_type: Some(text("category")?.to_owned()),
                answerable: None,
            }),
            _ => None,
        };
        let question = Row {
            position: None,
            question: text("question")?.to_owned(),
            picture: Picture::stored(format!("{stem}.jpg"), store.clone(), row),
            name: Name::Picture(stem),
            label,
        };
        assembly.add(question).map_err(fault)?;
    }
    Ok(())
}
