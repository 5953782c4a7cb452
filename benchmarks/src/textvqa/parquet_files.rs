//! TextVQA from the Parquet files of `lmms-lab/textvqa` on Hugging Face.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::TextvqaData;
use super::layout::{Origin, PICTURE_FOLDERS, Row, assemble};
use crate::error::DataError;
use crate::parquet::{SplitPictures, TextColumns, TextLists, shards_in, source_file};
use crate::picture::{Picture, PictureStore};
use crate::source::PictureFolders;

/// Where the files lie.
const FOLDERS: [&str; 3] = ["data", "default", ""];

/// The split's name there.
const SPLIT: &str = "validation";

const COLUMNS: [&str; 3] = ["image_id", "question_id", "question"];

/// The split's files; `None` where there are none in `folder`.
pub(super) fn lmms_lab(folder: &Path, images: Option<&Path>) -> Result<Option<TextvqaData>, DataError> {
    let Some(paths) = shards_in(folder, &FOLDERS, SPLIT)? else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    let mut files = Vec::with_capacity(paths.len());
    let mut pictures = HashMap::new();
    let split = SplitPictures::new(PictureFolders::new(folder, &PICTURE_FOLDERS, images));
    for path in &paths {
        add_rows(path, Arc::new(split.open(path)?), &mut pictures, &mut rows)?;
        files.push(source_file(path)?);
    }
    let origin = Origin {
        layout: "lmms-lab Parquet",
        folder,
        files,
        picture_folders: split.folders(),
    };
    assemble(rows, origin).map(Some)
}

/// Adds the rows of one file. `pictures` holds by picture id the row that it is read from.
fn add_rows(
    path: &Path,
    store: Arc<dyn PictureStore>,
    pictures: &mut HashMap<String, Picture>,
    rows: &mut Vec<Row>,
) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    let answers = TextLists::read(path, "answers", "answer")?;
    let tokens = TextLists::read(path, "ocr_tokens", "token")?;
    let place: Arc<Path> = path.into();
    for row in 0..columns.rows {
        let record = format!("row {row}");
        let text = |column: &'static str| {
            columns.get(column, row).ok_or_else(|| DataError::Record {
                path: path.to_owned(),
                record: record.clone(),
                what: format!("`{column}` is null or absent; this is not lmms-lab's TextVQA"),
            })
        };
        let image_id = text("image_id")?.to_owned();
        let picture = pictures
            .entry(image_id.clone())
            .or_insert_with(|| Picture::stored(format!("{image_id}.jpg"), store.clone(), row))
            .clone();
        let number = text("question_id")?.to_owned();
        rows.push(Row {
            question: text("question")?.to_owned(),
            source_id: number.clone(),
            number: Some(number),
            image_id: Some(image_id),
            ocr: tokens
                .as_ref()
                .and_then(|tokens| tokens.get(row))
                .map(|tokens| tokens.join(", ")),
            picture,
            answers: answers.as_ref().and_then(|answers| answers.get(row)),
            place: (place.clone(), record),
        });
    }
    Ok(())
}
