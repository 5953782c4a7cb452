//! MME from the Parquet files of `lmms-lab/MME` on Hugging Face.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::layout::{PICTURE_FOLDERS, Row, assemble};
use super::truth::positive;
use super::{MmeData, Subtask, picture_key};
use crate::error::DataError;
use crate::parquet::{ParquetPictures, SplitPictures, TextColumns, shards_in, source_file};
use crate::picture::{Picture, PictureStore};
use crate::source::PictureFolders;

/// Where the files of config `default` lie.
const FOLDERS: [&str; 3] = ["data", "default", ""];

const COLUMNS: [&str; 4] = ["question_id", "question", "answer", "category"];

/// The set of lmms-lab; `None` where it is not in `folder`.
pub(super) fn lmms_lab(folder: &Path, images: Option<&Path>) -> Result<Option<MmeData>, DataError> {
    let Some(paths) = shards_in(folder, &FOLDERS, "test")? else {
        return Ok(None);
    };
    let split = SplitPictures::new(PictureFolders::new(folder, &PICTURE_FOLDERS, images));
    let (mut rows, mut pictures) = (Vec::new(), HashMap::new());
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let store = Arc::new(split.open(&path)?);
        add_rows(&path, &store, &mut pictures, &mut rows)?;
        files.push(source_file(&path)?);
    }
    assemble(rows, "lmms-lab Parquet", files, &split.folders(), folder).map(Some)
}

/// Adds the rows of one file. `pictures` holds by key the row that a picture is read from: it stands in two.
fn add_rows(
    path: &Path,
    store: &Arc<ParquetPictures>,
    pictures: &mut HashMap<String, Picture>,
    rows: &mut Vec<Row>,
) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    if let Some(absent) = COLUMNS.iter().find(|name| !columns.has(name)) {
        return Err(DataError::File {
            path: path.to_owned(),
            what: format!("no column `{absent}`; this is not lmms-lab's MME"),
        });
    }
    let place: Arc<Path> = path.into();
    for row in 0..columns.rows {
        let record = format!("row {row}");
        let fault = |what: String| DataError::Record {
            path: path.to_owned(),
            record: record.clone(),
            what,
        };
        let text = |column| {
            let value = columns.get(column, row);
            value.ok_or_else(|| fault(format!("`{column}` is null")))
        };
        let question_id = text("question_id")?;
        let subtask = Subtask::parse(text("category")?).map_err(fault)?;
        let key = picture_key(question_id).filter(|key| key.starts_with(subtask.id()));
        let key = key.ok_or_else(|| fault(format!("`question_id` `{question_id}` is no picture of its `category`")))?;
        let file = key.rsplit('/').next().unwrap_or_default().to_owned();
        let picture = pictures
            .entry(key)
            .or_insert_with_key(|key| Picture::stored(key.as_str(), store.clone() as Arc<dyn PictureStore>, row))
            .clone();
        rows.push(Row {
            source_id: question_id.to_owned(),
            subtask,
            file,
            picture,
            question: text("question")?.to_owned(),
            positive: Some(positive(text("answer")?).map_err(fault)?),
            place: (place.clone(), record),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use polars::prelude::*;

    use super::*;
    use crate::mme::fixture::{fault, ids, load, rows};

    const ALL_COLUMNS: [&str; 6] = ["question_id", "question", "answer", "category", "extra", "image"];

    /// A table of lmms-lab's kind with those of the fixture's rows that `keep` takes.
    fn table(path: &Path, columns: &[&str], keep: impl Fn(usize) -> bool) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let rows: Vec<_> = rows().into_iter().enumerate().filter(|(n, _)| keep(*n)).collect();
        let texts = |text: fn(&crate::mme::fixture::FixtureRow) -> String| -> Vec<String> {
            rows.iter().map(|(_, row)| text(row)).collect()
        };
        let bytes: Vec<Vec<u8>> = texts(|row| row.picture()).into_iter().map(String::into_bytes).collect();
        let paths: Vec<Option<String>> = rows.iter().map(|_| None).collect();
        let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), paths)];
        let image = StructChunked::from_series("image".into(), rows.len(), fields.iter()).unwrap();
        let all = [
            Column::new("question_id".into(), texts(|row| row.picture())),
            Column::new("question".into(), texts(|row| row.question.clone())),
            Column::new("answer".into(), texts(|row| row.label().to_owned())),
            Column::new("category".into(), texts(|row| row.subtask.id().to_owned())),
            Column::new("extra".into(), texts(|_| String::new())),
            image.into_series().into_column(),
        ];
        let kept = all
            .into_iter()
            .filter(|column| columns.contains(&column.name().as_str()));
        let mut frame = DataFrame::new(rows.len(), kept.collect()).unwrap();
        ParquetWriter::new(File::create(path).unwrap())
            .finish(&mut frame)
            .unwrap();
    }

    #[test]
    fn parquet_shards_give_the_same_samples_with_their_pictures() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("MME/data");
        table(&data.join("test-00000-of-00002.parquet"), &ALL_COLUMNS, |n| n < 9);
        table(&data.join("test-00001-of-00002.parquet"), &ALL_COLUMNS, |n| n >= 9);
        let data = load(root.path()).unwrap();
        assert_eq!(ids(&*data), rows().iter().map(|row| row.id()).collect::<Vec<_>>());
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            ("lmms-lab Parquet", "all-28")
        );
        for (sample, row) in data.samples().iter().zip(rows()) {
            assert_eq!(sample.pictures[0].key(), row.picture());
            assert_eq!(sample.pictures[0].read(), Ok(row.picture().into_bytes()));
            assert_eq!(
                (sample.question.as_str(), sample.reference.as_deref()),
                (&*row.question, Some(row.label()))
            );
        }
    }

    #[test]
    fn faulty_parquet_files_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("test-00000-of-00001.parquet");
        for absent in ["question_id", "question", "answer", "category", "image"] {
            let columns: Vec<&str> = ALL_COLUMNS.into_iter().filter(|name| *name != absent).collect();
            table(&path, &columns, |_| true);
            let error = fault(root.path());
            let expected = format!("`ROOT/test-00000-of-00001.parquet`: no column `{absent}`");
            assert!(error.starts_with(&expected), "{error}");
        }
        table(&path, &ALL_COLUMNS, |n| n != 3);
        let error = fault(root.path());
        assert!(
            error.starts_with(
                "`ROOT/test-00000-of-00001.parquet`, row 2: number of questions about `count/900002.jpg`: 1"
            ),
            "{error}"
        );
    }
}
