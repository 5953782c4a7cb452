//! GQA from the Parquet files of `lmms-lab/GQA` on Hugging Face, questions in one config, pictures in another, and from
//! config `gqa` of `lmms-lab/LMMs-Eval-Lite`, which has the same columns.
//!
//! Which questions entail which, and the steps of the reasoning, are not read from it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{Found, Place};
use super::question_file::Row;
use super::{DEFAULT_SPLIT, LITE_SPLIT, Types};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::parquet::{SplitPictures, TextColumns, shards, source_file};
use crate::picture::{Picture, PictureStore};

const COLUMNS: [&str; 9] = [
    "id",
    "imageId",
    "question",
    "answer",
    "isBalanced",
    "groups.global",
    "types.structural",
    "types.semantic",
    "types.detailed",
];

/// LMMs-Eval-Lite's questions; `None` where they are not in the folder. Their pictures are in the same file, or those
/// of `lmms-lab/GQA`, from which lmms-eval takes them.
pub(super) fn lmms_eval_lite(place: &Place<'_>) -> Result<Option<Found>, DataError> {
    // Every config of that set has files of this name.
    if place.split != LITE_SPLIT || place.folder.file_name() != Some(OsStr::new("gqa")) {
        return Ok(None);
    }
    let Some(paths) = shards(place.folder, "lite")? else {
        return Ok(None);
    };
    let whole = Place {
        split: DEFAULT_SPLIT,
        ..*place
    };
    let split = SplitPictures::new(place.picture_folders());
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    let mut stored = stored_pictures(&whole, &mut files)?;
    for path in paths {
        let before = rows.len();
        add_rows(&path, &mut rows)?;
        if let Some(store) = split.open_if_pictured(&path)? {
            let store: Arc<dyn PictureStore> = Arc::new(store);
            for (at, row) in rows.iter().skip(before).enumerate() {
                let picture = || Picture::stored(format!("{}.jpg", row.image_id), store.clone(), at);
                stored.entry(row.image_id.clone()).or_insert_with(picture);
            }
        }
        files.push(source_file(&path)?);
    }
    Ok(Some(with_pictures(
        place,
        "LMMs-Eval-Lite Parquet",
        rows,
        &stored,
        files,
    )))
}

/// The set of lmms-lab; `None` where it is not in the folder.
pub(super) fn lmms_lab(place: &Place<'_>) -> Result<Option<Found>, DataError> {
    let Some(paths) = config(place, "instructions")? else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        add_rows(&path, &mut rows)?;
        files.push(source_file(&path)?);
    }
    let stored = stored_pictures(place, &mut files)?;
    Ok(Some(with_pictures(place, "lmms-lab Parquet", rows, &stored, files)))
}

/// Gives each row its stored picture, else that of the folders.
fn with_pictures(
    place: &Place<'_>,
    layout: &'static str,
    rows: Vec<Row>,
    stored: &HashMap<String, Picture>,
    files: Vec<SourceFile>,
) -> Found {
    let mut folders = place.picture_folders();
    let pictures = rows.iter().map(|row| {
        let name = format!("{}.jpg", row.image_id);
        stored
            .get(&row.image_id)
            .cloned()
            .unwrap_or_else(|| folders.picture(&name, &name))
    });
    Found {
        layout,
        pictures: pictures.collect(),
        rows,
        files,
        beside: None,
    }
}

/// The files of a config, `testdev_balanced_<kind>/testdev-*.parquet`.
fn config(place: &Place<'_>, kind: &str) -> Result<Option<Vec<PathBuf>>, DataError> {
    let tier = place.tier();
    let split = tier.split('_').next().unwrap_or_default();
    shards(&place.folder.join(format!("{tier}_{kind}")), split)
}

fn add_rows(path: &Path, rows: &mut Vec<Row>) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    for needed in ["id", "imageId", "question"] {
        if !columns.has(needed) {
            return Err(DataError::File {
                path: path.to_owned(),
                what: format!("no column `{needed}`; this is not lmms-lab's GQA"),
            });
        }
    }
    for row in 0..columns.rows {
        let fault = |what: String| DataError::Record {
            path: path.to_owned(),
            record: format!("row {row}"),
            what,
        };
        let text = |column| {
            let value = columns.get(column, row).map(str::to_owned);
            value.ok_or_else(|| fault(format!("`{column}` is null")))
        };
        let types = columns
            .get("types.structural", row)
            .zip(columns.get("types.semantic", row));
        let detailed = columns.get("types.detailed", row).unwrap_or_default();
        let types = types.map(|(structural, semantic)| Types::parse(structural, semantic, detailed));
        rows.push(Row {
            id: text("id")?,
            index: None,
            image_id: text("imageId")?,
            question: text("question")?,
            answer: columns.get("answer", row).map(str::to_owned),
            balanced: columns.get("isBalanced", row) != Some("false"),
            types: types.transpose().map_err(fault)?,
            global_group: columns.get("groups.global", row).map(str::to_owned),
            steps: None,
            entailed: None,
            pointers: Vec::new(),
        });
    }
    Ok(())
}

/// The pictures of the other config by id; none where it is absent.
fn stored_pictures(place: &Place<'_>, files: &mut Vec<SourceFile>) -> Result<HashMap<String, Picture>, DataError> {
    let mut pictures = HashMap::new();
    let split = SplitPictures::new(place.picture_folders());
    for path in config(place, "images")?.unwrap_or_default() {
        let store = Arc::new(split.open(&path)?);
        let columns = TextColumns::read(&path, &["id"])?;
        for row in 0..columns.rows {
            let Some(id) = columns.get("id", row) else {
                return Err(DataError::Record {
                    path,
                    record: format!("row {row}"),
                    what: "`id` is absent or null; this is not the picture set of lmms-lab's GQA".to_owned(),
                });
            };
            let store = store.clone() as Arc<dyn PictureStore>;
            pictures.insert(id.to_owned(), Picture::stored(format!("{id}.jpg"), store, row));
        }
        files.push(source_file(&path)?);
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use polars::prelude::*;

    use super::*;
    use crate::gqa::fixture::{fault, golden, golden_answers, load};
    use crate::task::Protocol;

    const QUESTIONS: &str = "testdev_balanced_instructions/testdev-00000-of-00001.parquet";
    const PICTURES: &str = "testdev_balanced_images/testdev-00000-of-00001.parquet";

    fn save(path: &Path, rows: usize, columns: Vec<Column>) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut frame = DataFrame::new(rows, columns).unwrap();
        ParquetWriter::new(File::create(path).unwrap())
            .finish(&mut frame)
            .unwrap();
    }

    fn fields(name: &str, rows: usize, fields: Vec<Series>) -> Column {
        let fields = StructChunked::from_series(name.into(), rows, fields.iter()).unwrap();
        fields.into_series().into_column()
    }

    /// The toy set as lmms-lab has GQA, without the columns in `absent`.
    fn questions(path: &Path, absent: &[&str]) {
        let records: Vec<(String, serde_json::Value)> = golden().questions.into_iter().collect();
        let texts = |pointer: &str| -> Vec<Option<String>> {
            let text = records
                .iter()
                .map(|(_, record)| record.pointer(pointer)?.as_str().map(str::to_owned));
            text.collect()
        };
        let n = records.len();
        let series = |name: &str, pointer: &str| Series::new(name.into(), texts(pointer));
        let balanced: Vec<bool> = records.iter().map(|(_, record)| record["isBalanced"] == true).collect();
        let columns = vec![
            Column::new(
                "id".into(),
                records.iter().map(|(id, _)| id.clone()).collect::<Vec<String>>(),
            ),
            series("imageId", "/imageId").into_column(),
            series("question", "/question").into_column(),
            series("answer", "/answer").into_column(),
            Column::new("isBalanced".into(), balanced),
            fields(
                "groups",
                n,
                vec![series("global", "/groups/global"), series("local", "/groups/local")],
            ),
            fields(
                "types",
                n,
                vec![
                    series("detailed", "/types/detailed"),
                    series("semantic", "/types/semantic"),
                    series("structural", "/types/structural"),
                ],
            ),
        ];
        let kept = columns
            .into_iter()
            .filter(|column| !absent.contains(&column.name().as_str()));
        save(path, n, kept.collect());
    }

    fn pictures(path: &Path, id: &str) {
        let bytes = Series::new("bytes".into(), vec![b"picture".to_vec()]);
        let image = fields(
            "image",
            1,
            vec![bytes, Series::new("path".into(), vec![None::<String>])],
        );
        save(path, 1, vec![Column::new("id".into(), vec![id]), image]);
    }

    #[test]
    fn questions_and_pictures_are_joined() {
        let root = tempfile::tempdir().unwrap();
        questions(&root.path().join("gqa").join(QUESTIONS), &[]);
        let data = load(root.path()).unwrap();
        assert!(!data.samples()[0].pictures[0].is_present());
        pictures(&root.path().join("gqa").join(PICTURES), "n0");
        let data = load(root.path()).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            ("lmms-lab Parquet", "testdev-balanced-10")
        );
        assert_eq!(data.provenance().files.len(), 2);
        for sample in data.samples() {
            assert_eq!(sample.pictures[0].key(), "n0.jpg");
            assert_eq!(sample.pictures[0].read(), Ok(b"picture".to_vec()));
        }
        let expected = golden().expected;
        let score = data.score(&golden_answers(&*data), Protocol::Official).unwrap();
        for (id, name) in [
            ("accuracy", "accuracy"),
            ("accuracy/open", "open"),
            ("distribution", "distribution"),
        ] {
            let value = score.metric(id).unwrap().value.clone().unwrap();
            assert!(
                (value - expected[name].as_f64().unwrap()).abs() < 1e-12,
                "{id}: {value}"
            );
        }
        let consistency = score.metric("consistency").unwrap().value.clone();
        assert_eq!(
            consistency,
            Err("the data do not tell which questions are entailed".to_owned())
        );
    }

    #[test]
    fn lmms_eval_lite_takes_its_own_pictures_or_those_of_the_whole_set() {
        let root = tempfile::tempdir().unwrap();
        let lite = root.path().join("gqa/lite-00000-of-00001.parquet");
        questions(&lite, &[]);
        let data = load(root.path()).unwrap();
        let found = data.provenance();
        assert_eq!(
            (found.layout, found.split.as_str()),
            ("LMMs-Eval-Lite Parquet", "testdev-balanced-lite")
        );
        assert!(!data.samples()[0].pictures[0].is_present());
        pictures(&root.path().join("gqa").join(PICTURES), "n0");
        let data = load(&root.path().join("gqa")).unwrap();
        assert_eq!(data.samples()[3].pictures[0].read(), Ok(b"picture".to_vec()));
        assert!(data.score(&golden_answers(&*data), Protocol::LmmsEval).is_ok());
        // A file with a picture in every row.
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("gqa")).unwrap();
        let bytes = Series::new("bytes".into(), vec![b"own".to_vec()]);
        let image = fields("image", 1, vec![bytes]);
        let text = |name: &str, text: &str| Column::new(name.into(), vec![text.to_owned()]);
        let columns = vec![
            text("id", "7"),
            text("imageId", "n7"),
            text("question", "Why?"),
            text("answer", "so"),
            image,
        ];
        save(&root.path().join("gqa/lite-00000-of-00001.parquet"), 1, columns);
        let data = load(root.path()).unwrap();
        assert_eq!(data.samples()[0].pictures[0].read(), Ok(b"own".to_vec()));
        assert_eq!(data.samples()[0].pictures[0].key(), "n7.jpg");
    }

    #[test]
    fn nested_columns_may_be_absent() {
        let root = tempfile::tempdir().unwrap();
        questions(&root.path().join(QUESTIONS), &["types", "groups", "isBalanced"]);
        let data = load(root.path()).unwrap();
        let score = data.score(&golden_answers(&*data), Protocol::Official).unwrap();
        assert_eq!(score.metric("accuracy").unwrap().value, Ok(50.0));
        assert!(score.metric("accuracy/open").unwrap().value.is_err());
        assert!(data.samples().iter().all(|sample| sample.category.is_none()));
    }

    #[test]
    fn faulty_files_are_named() {
        for absent in ["id", "imageId", "question"] {
            let root = tempfile::tempdir().unwrap();
            questions(&root.path().join(QUESTIONS), &[absent]);
            let expected = format!("`ROOT/{QUESTIONS}`: no column `{absent}`; this is not lmms-lab's GQA");
            assert_eq!(fault(root.path()), expected);
        }
        let root = tempfile::tempdir().unwrap();
        questions(&root.path().join(QUESTIONS), &[]);
        questions(&root.path().join(PICTURES), &[]);
        let error = fault(root.path());
        assert!(
            error.starts_with(&format!("`ROOT/{PICTURES}`: no column `image`")),
            "{error}"
        );
    }
}
