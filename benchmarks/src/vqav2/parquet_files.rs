//! VQAv2 from the Parquet files of `lmms-lab/VQAv2` on Hugging Face, and from config `vqav2_val` of
//! `lmms-lab/LMMs-Eval-Lite`, which has the same columns.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::layout::{Assembly, Label, Row, picture_folders, picture_name};
use super::{Split, Vqav2Data};
use crate::error::DataError;
use crate::parquet::{SplitPictures, TextColumns, TextLists, shards_in, source_file};
use crate::picture::{Picture, PictureStore};

/// Where the files lie.
const FOLDERS: [&str; 3] = ["data", "default", ""];

/// The config of LMMs-Eval-Lite.
const LITE: &str = "vqav2_val";

const COLUMNS: [&str; 5] = ["question_id", "image_id", "question", "question_type", "answer_type"];

/// The split's files; `None` where there are none in `folder`.
pub(super) fn lmms_lab(folder: &Path, split: Split, images: Option<&Path>) -> Result<Option<Vqav2Data>, DataError> {
    // Every config of LMMs-Eval-Lite has files of the same name.
    let own = ["vqav2", LITE].map(OsStr::new).map(Some).contains(&folder.file_name());
    let (name, places) = match split {
        Split::TestDev => ("testdev", &FOLDERS[..]),
        Split::Val => ("validation", &FOLDERS[..]),
        Split::ValLite if own => ("lite", &[LITE, ""][..]),
        Split::ValLite => ("lite", &[LITE][..]),
    };
    let Some(paths) = shards_in(folder, places, name)? else {
        return Ok(None);
    };
    let mut assembly = Assembly::default();
    let mut files = Vec::with_capacity(paths.len());
    let mut pictures = HashMap::new();
    let stored = SplitPictures::new(picture_folders(folder, split, images));
    for path in &paths {
        let store = stored.open(path)?;
        add_rows(path, split, Arc::new(store), &mut pictures, &mut assembly)?;
        files.push(source_file(path)?);
    }
    let layout = match split {
        Split::TestDev | Split::Val => "lmms-lab Parquet",
        Split::ValLite => "LMMs-Eval-Lite Parquet",
    };
    Ok(Some(assembly.finish(layout, split, folder, files, stored.folders())))
}

/// Adds the rows of one file. `pictures` holds by id the row that a picture is read from.
fn add_rows(
    path: &Path,
    split: Split,
    store: Arc<dyn PictureStore>,
    pictures: &mut HashMap<u64, Picture>,
    assembly: &mut Assembly,
) -> Result<(), DataError> {
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
            value.ok_or_else(|| fault(format!("`{column}` is null or absent; this is not lmms-lab's VQAv2")))
        };
        let number = |column: &'static str| {
            let number = text(column)?.parse::<u64>();
            number.map_err(|_| fault(format!("`{column}` is no whole number")))
        };
        let image_id = number("image_id")?;
        let picture = pictures
            .entry(image_id)
            .or_insert_with(|| Picture::stored(picture_name(split, image_id), store.clone(), row))
            .clone();
        let label = match answers.as_ref().and_then(|answers| answers.get(row)) {
            Some(answers) if !answers.is_empty() => Some(Label {
                question_type: text("question_type")?.to_owned(),
                answer_type: text("answer_type")?.to_owned(),
                answers,
            }),
            _ => None,
        };
        let question = Row {
            id: number("question_id")?,
            question: text("question")?.to_owned(),
            picture,
            label,
        };
        assembly.add(question).map_err(fault)?;
    }
    Ok(())
}
