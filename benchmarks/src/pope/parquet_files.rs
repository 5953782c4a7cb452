//! POPE from the Parquet files of `lmms-lab/POPE` on Hugging Face.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::layout::{PICTURE_FOLDERS, Row, assemble, category, positive, stem};
use super::{Category, PopeData};
use crate::error::DataError;
use crate::parquet::{ParquetPictures, SplitPictures, TextColumns, shards, shards_in, source_file};
use crate::picture::{Picture, PictureError, PictureStore};
use crate::python_text;
use crate::source::PictureFolders;

/// Where the Parquet files of lmms-lab's config `default` lie, and those of `Full`.
const DEFAULT_FOLDERS: [&str; 3] = ["data", "default", ""];
const FULL_FOLDERS: [&str; 3] = ["Full", "data", ""];

const COLUMNS: [&str; 5] = ["question_id", "question", "answer", "image_source", "category"];

/// Either config; `None` where neither is in `folder`.
pub(super) fn lmms_lab(folder: &Path, images: Option<&Path>) -> Result<Option<PopeData>, DataError> {
    let Some(parts) = parts(folder)? else {
        return Ok(None);
    };
    let split = SplitPictures::new(PictureFolders::new(folder, &PICTURE_FOLDERS, images));
    let mut rows = Vec::new();
    let mut files = Vec::with_capacity(parts.len());
    let mut pictures = HashMap::new();
    for (category, path) in parts {
        let store = Arc::new(split.open(&path)?);
        add_rows(&path, category, &store, &mut pictures, &mut rows)?;
        files.push(source_file(&path)?);
    }
    assemble(rows, None, "lmms-lab Parquet", files, &split.folders()).map(Some)
}

/// A file, and the category of its rows where its name tells it.
type Part = (Option<Category>, PathBuf);

/// The Parquet files in order.
fn parts(folder: &Path) -> Result<Option<Vec<Part>>, DataError> {
    if let Some(paths) = shards_in(folder, &DEFAULT_FOLDERS, "test")? {
        return Ok(Some(paths.into_iter().map(|path| (None, path)).collect()));
    }
    for sub in FULL_FOLDERS {
        let place = folder.join(sub);
        let mut files = Vec::new();
        let mut absent = Vec::new();
        for category in Category::ALL {
            match shards(&place, category.id())? {
                Some(paths) => files.extend(paths.into_iter().map(|path| (Some(category), path))),
                None => absent.push(place.join(format!("{}-00000-of-00001.parquet", category.id()))),
            }
        }
        if files.is_empty() {
            continue;
        }
        if !absent.is_empty() {
            return Err(DataError::NotFound {
                what: "a category of POPE".to_owned(),
                searched: absent,
                remedy: "the score is over all three categories; download it from lmms-lab/POPE".to_owned(),
            });
        }
        return Ok(Some(files));
    }
    Ok(None)
}

/// Adds the rows of one Parquet file. `pictures` holds by key the row that a picture is read from: each picture
/// stands in about eighteen rows, and one of them is enough.
fn add_rows(
    path: &Path,
    split: Option<Category>,
    store: &Arc<ParquetPictures>,
    pictures: &mut HashMap<String, Picture>,
    rows: &mut Vec<Row>,
) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    for needed in ["question", "answer"] {
        if !columns.has(needed) {
            return Err(DataError::File {
                path: path.to_owned(),
                what: format!("no column `{needed}`; this is not lmms-lab's POPE"),
            });
        }
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
            columns
                .get(column, row)
                .ok_or_else(|| fault(format!("`{column}` is null")))
        };
        let category = match split {
            Some(category) => category,
            None => category(python_text::strip(text("category")?)).map_err(fault)?,
        };
        let name = picture_name(&columns, store, row);
        let stem = name.as_deref().and_then(stem);
        let key = match name {
            Some(name) => Ok(name),
            None => store.read(row).map(|bytes| format!("{:x}", Sha256::digest(bytes))),
        };
        let picture = match key {
            Ok(key) => pictures
                .entry(key)
                .or_insert_with_key(|key| Picture::stored(key.as_str(), store.clone() as Arc<dyn PictureStore>, row))
                .clone(),
            Err(reason) => absent(path, row, reason),
        };
        rows.push(Row {
            source_id: columns
                .get("question_id", row)
                .map_or_else(|| row.to_string(), str::to_owned),
            category,
            stem,
            picture,
            question: text("question")?.to_owned(),
            // lmms-eval lower-cases and strips the label before it compares.
            positive: positive(python_text::strip(&text("answer")?.to_lowercase())).map_err(fault)?,
            place: (place.clone(), record),
        });
    }
    Ok(())
}

/// What a row calls its picture: `image_source`, a COCO name without suffix, else the struct's `path`.
fn picture_name(columns: &TextColumns, store: &ParquetPictures, row: usize) -> Option<String> {
    let Some(source) = columns.get("image_source", row) else {
        let name = store.name(row).ok()??;
        return Some(Path::new(&name).file_name()?.to_str()?.to_owned());
    };
    let has_suffix = [".jpg", ".jpeg", ".png"].iter().any(|suffix| source.ends_with(suffix));
    Some(if has_suffix {
        source.to_owned()
    } else {
        format!("{source}.jpg")
    })
}

/// A picture that shares its key with no other, for there is none to compare with.
fn absent(path: &Path, row: usize, reason: PictureError) -> Picture {
    Picture::absent(format!("{}, row {row}", path.display()), reason)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use polars::prelude::*;

    use super::*;
    use crate::pope::fixture::{IDS, ROWS, fault, ids, load};
    use crate::sample::SampleId;

    /// A table of lmms-lab's kind with these rows of [`ROWS`].
    fn table(path: PathBuf, rows: &[usize], columns: &[&str]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let column = |name: &str, value: fn(&(&str, &str, &str, &str)) -> String| {
            let values: Vec<String> = rows.iter().map(|n| value(&ROWS[*n])).collect();
            Column::new(name.into(), values)
        };
        let ids: Vec<Option<String>> = rows.iter().map(|n| (*n != 1).then(|| n.to_string())).collect();
        let bytes: Vec<Option<Vec<u8>>> = rows
            .iter()
            .map(|n| (*n != 4).then(|| ROWS[*n].1.as_bytes().to_vec()))
            .collect();
        let paths: Vec<Option<String>> = rows.iter().map(|_| None).collect();
        let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), paths)];
        let image = StructChunked::from_series("image".into(), rows.len(), fields.iter()).unwrap();
        let all = [
            Column::new("question_id".into(), ids),
            column("question", |row| row.2.to_owned()),
            column("answer", |row| row.3.to_owned()),
            column("image_source", |row| row.1.to_owned()),
            column("category", |row| row.0.to_owned()),
            column("extra", |_| String::new()),
            image.into_series().into_column(),
        ];
        let kept = all
            .into_iter()
            .filter(|column| columns.contains(&column.name().as_str()))
            .collect();
        let mut frame = DataFrame::new(rows.len(), kept).unwrap();
        let file = File::create(path).unwrap();
        ParquetWriter::new(file)
            .with_row_group_size(Some(2))
            .finish(&mut frame)
            .unwrap();
    }

    const ALL_COLUMNS: [&str; 7] = [
        "question_id",
        "question",
        "answer",
        "image_source",
        "category",
        "extra",
        "image",
    ];

    #[test]
    fn parquet_shards_give_the_same_samples_with_their_pictures() {
        let root = tempfile::tempdir().unwrap();
        table(
            root.path().join("POPE/data/test-00000-of-00002.parquet"),
            &[5, 3, 1],
            &ALL_COLUMNS,
        );
        table(
            root.path().join("POPE/data/test-00001-of-00002.parquet"),
            &[0, 2, 4],
            &ALL_COLUMNS,
        );
        let data = load(root.path()).unwrap();
        assert_eq!(ids(&*data), IDS);
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            ("lmms-lab Parquet", "coco-6")
        );
        assert_eq!(data.provenance().files.len(), 2);
        for (sample, row) in data.samples().iter().zip([5, 3, 1, 0, 2, 4]) {
            assert_eq!(sample.pictures[0].key(), format!("{}.jpg", ROWS[row].1));
            // Row 4 has no bytes of its own; an earlier row shows the same picture.
            assert_eq!(sample.pictures[0].read(), Ok(ROWS[row].1.as_bytes().to_vec()));
        }
        assert_eq!(data.samples()[0].source_id, "5");
        assert_eq!(data.samples()[2].source_id, "2");
    }

    #[test]
    fn parquet_files_by_category_need_no_category_column_and_all_three() {
        let root = tempfile::tempdir().unwrap();
        let columns = ["question", "answer", "image_source", "image"];
        table(
            root.path().join("pope/Full/random-00000-of-00001.parquet"),
            &[0, 1],
            &columns,
        );
        table(
            root.path().join("pope/Full/popular-00000-of-00001-0ab1.parquet"),
            &[2, 3],
            &columns,
        );
        let error = fault(root.path());
        assert!(
            error.contains("looked for `ROOT/pope/Full/adversarial-00000-of-00001.parquet`"),
            "{error}"
        );
        table(
            root.path().join("pope/Full/adversarial-00000-of-00001.parquet"),
            &[4, 5],
            &columns,
        );
        assert_eq!(ids(&*load(root.path()).unwrap()), IDS);
    }

    #[test]
    fn parquet_rows_that_do_not_name_their_picture_are_numbered() {
        let root = tempfile::tempdir().unwrap();
        let columns = ["question", "answer", "category", "image"];
        table(
            root.path().join("test-00000-of-00001.parquet"),
            &[0, 1, 2, 3, 4, 5],
            &columns,
        );
        let data = load(root.path()).unwrap();
        assert_eq!(data.samples()[2].id, SampleId::row(2));
        let keys: Vec<&str> = data.samples().iter().map(|sample| sample.pictures[0].key()).collect();
        assert_eq!(keys[0], keys[2]);
        assert_eq!(keys[3], keys[5]);
        assert_ne!(keys[0], keys[3]);
        assert!(!data.samples()[4].pictures[0].is_present());
    }

    #[test]
    fn faulty_parquet_files_are_named() {
        let cases: [(&[&str], &str); 3] = [
            (
                &["question", "image", "category"],
                "`ROOT/test-00000-of-00001.parquet`: no column `answer`",
            ),
            (
                &["question", "answer", "category"],
                "`ROOT/test-00000-of-00001.parquet`: no column `image`",
            ),
            (
                &["question", "answer", "image"],
                "`ROOT/test-00000-of-00001.parquet`, row 0: `category` is null",
            ),
        ];
        for (columns, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            table(root.path().join("test-00000-of-00001.parquet"), &[0, 1], columns);
            let error = fault(root.path());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
