//! MMBench from the Parquet files of `lmms-lab/MMBench_EN` (the files of 2023-07-12) and of the configs `en`, `cn` and
//! `cc` of `lmms-lab/MMBench` (the later ones) on Hugging Face. `cc` has neither hints nor L2 groups.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::MmBenchData;
use super::layout::{Candidate, Placed, assemble, row};
use super::split::Split;
use crate::error::DataError;
use crate::parquet::{ParquetPictures, SplitPictures, TextColumns, shards, source_file};
use crate::picture::{Picture, PictureStore};
use crate::source::PictureFolders;

const FOLDERS: [&str; 6] = ["data", "en", "cn", "cc", "default", ""];
const PICTURE_FOLDERS: [&str; 2] = ["images", ""];

/// The name of the L2 column tells the two English sets apart.
const EARLY_COLUMN: &str = "l2-category";
const LATER_COLUMN: &str = "L2-category";

const COLUMNS: [&str; 11] = [
    "index",
    "question",
    "hint",
    "answer",
    "A",
    "B",
    "C",
    "D",
    "category",
    EARLY_COLUMN,
    LATER_COLUMN,
];

/// The splits of either set.
pub(super) fn find(folder: &Path) -> Result<Vec<Candidate>, DataError> {
    let mut candidates = Vec::new();
    for place in FOLDERS.map(|sub| folder.join(sub)) {
        let config = place.file_name().and_then(OsStr::to_str).unwrap_or_default();
        for name in ["dev", "test"] {
            let Some(paths) = shards(&place, name)? else {
                continue;
            };
            let Some(first) = paths.first() else {
                continue;
            };
            let columns = TextColumns::read(first, &[EARLY_COLUMN, LATER_COLUMN, "A"])?;
            // Other sets have splits of these names too.
            if !columns.has("A") {
                continue;
            }
            let split = match (config, name) {
                ("cn", "dev") => Split::DevCn,
                ("cn", _) => Split::TestCn,
                ("cc", "test") => Split::Cc,
                (_, "dev") if columns.has(EARLY_COLUMN) => Split::Dev,
                (_, "dev") if columns.has(LATER_COLUMN) => Split::DevEn,
                (_, "test") if columns.has(EARLY_COLUMN) => Split::Test,
                (_, "test") if columns.has(LATER_COLUMN) => Split::TestEn,
                _ => continue,
            };
            candidates.push(Candidate { split, paths });
        }
    }
    Ok(candidates)
}

/// Reads the rows of a split.
pub(super) fn read(candidate: &Candidate, folder: &Path, images: Option<&Path>) -> Result<MmBenchData, DataError> {
    let split = SplitPictures::new(PictureFolders::new(folder, &PICTURE_FOLDERS, images));
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    for path in &candidate.paths {
        let store = Arc::new(split.open(path)?);
        add_rows(path, candidate.split.is_labelled(), &store, &mut rows)?;
        files.push(source_file(path)?);
    }
    assemble(rows, "lmms-lab Parquet", candidate.split, files, &split.folders())
}

fn add_rows(
    path: &Path,
    labelled: bool,
    store: &Arc<ParquetPictures>,
    rows: &mut Vec<Placed>,
) -> Result<(), DataError> {
    let columns = TextColumns::read(path, &COLUMNS)?;
    for at in 0..columns.rows {
        let record = format!("row {at}");
        let row = row(|column| columns.get(column, at).map(str::to_owned), labelled);
        let row = row.map_err(|what| DataError::Record {
            path: path.to_owned(),
            record: record.clone(),
            what,
        })?;
        let picture = match store.read(at) {
            Ok(bytes) => {
                let key = format!("{:x}", Sha256::digest(bytes));
                Picture::stored(key, store.clone() as Arc<dyn PictureStore>, at)
            }
            Err(reason) => Picture::absent(format!("question {}", row.number), reason),
        };
        rows.push(Placed {
            path: PathBuf::from(path),
            record,
            row,
            picture,
        });
    }
    Ok(())
}
