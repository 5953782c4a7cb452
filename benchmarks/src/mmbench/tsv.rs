//! MMBench from the organisers' TSV or VLMEvalKit's: tab-separated with CSV quoting, a picture in base64 in every row
//! or the `index` of the row that has it.
//!
//! The files are large and nearly all picture: a row's picture is skipped when the questions are read, and read from
//! its place in the file when it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use sha2::{Digest, Sha256};

use super::MmBenchData;
use super::layout::{Candidate, Placed, assemble, present, row, split_of_name};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::picture::{Picture, PictureError, PictureStore};

/// The longest `image` cell that names another row.
const LONGEST_REFERENCE: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The TSV files of known names in `folder`.
pub(super) fn find(folder: &Path) -> Result<Vec<Candidate>, DataError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.map_err(|error| DataError::unreadable(folder, &error))?.path();
        if path
            .extension()
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("tsv"))
        {
            paths.push(path);
        }
    }
    paths.sort();
    let candidates = paths.into_iter().filter_map(|path| {
        Some(Candidate {
            split: split_of_name(&path)?,
            paths: vec![path],
        })
    });
    Ok(candidates.collect())
}

/// What an `image` cell holds.
enum Cell {
    /// A picture: its key, and the row (from 0) that it lies in.
    Picture {
        key: String,
        row: usize,
    },
    /// The `index` of the row that holds it.
    Of(String),
    Missing,
}

/// Reads the rows of a file.
pub(super) fn read(candidate: &Candidate, _: &Path, _: Option<&Path>) -> Result<MmBenchData, DataError> {
    let path = candidate.paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let (mut reader, header) = open(path)?;
    let column = |name: &str| header.iter().position(|column| column == name);
    let labelled = column("answer").is_some();
    let image = column("image").ok_or_else(|| DataError::File {
        path: path.to_owned(),
        what: "no column `image`; this is not MMBench's TSV".to_owned(),
    })?;
    let mut positions = Vec::new();
    let mut read: Vec<(Placed, Cell)> = Vec::new();
    let mut record = ByteRecord::new();
    while next(path, &mut reader, &mut record)? {
        let at = positions.len();
        let position = record.position().cloned().unwrap_or_else(Position::new);
        let name = format!("line {}", position.line());
        positions.push(position);
        let fault = |what: String| DataError::Record {
            path: path.to_owned(),
            record: name.clone(),
            what,
        };
        if record.len() > header.len() {
            let (cells, columns) = (record.len(), header.len());
            return Err(fault(format!(
                "{cells} cells for {columns} columns; is a tab or a quote not escaped?"
            )));
        }
        let cell = |name: &str| {
            let cell = record.get(column(name)?)?;
            Some(String::from_utf8_lossy(cell).into_owned())
        };
        let row = row(cell, labelled).map_err(fault)?;
        let cell = picture_cell(record.get(image).unwrap_or_default(), at).map_err(fault)?;
        let picture = Picture::absent(String::new(), null(path, at));
        let placed = Placed {
            path: path.to_owned(),
            record: name,
            row,
            picture,
        };
        read.push((placed, cell));
    }
    let store: Arc<dyn PictureStore> = Arc::new(TsvPictures {
        path: path.to_owned(),
        image,
        positions,
        reader: Mutex::new(reader),
    });
    let rows = with_pictures(path, read, &store)?;
    assemble(rows, "TSV", candidate.split, vec![source_file(path)?], &[])
}

fn open(path: &Path) -> Result<(Reader<File>, Vec<String>), DataError> {
    let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(b'\t')
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 20)
        .from_reader(file);
    let mut record = ByteRecord::new();
    next(path, &mut reader, &mut record)?;
    let columns = record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned());
    Ok((reader, columns.collect()))
}

fn next(path: &Path, reader: &mut Reader<File>, record: &mut ByteRecord) -> Result<bool, DataError> {
    reader.read_byte_record(record).map_err(|error| DataError::File {
        path: path.to_owned(),
        what: format!("not readable as TSV: {error}"),
    })
}

fn picture_cell(cell: &[u8], row: usize) -> Result<Cell, String> {
    if cell.starts_with(b"[") && cell.ends_with(b"]") {
        return Err("several pictures in one cell; MMBench has one a row".to_owned());
    }
    if cell.len() <= LONGEST_REFERENCE {
        let text = present(Some(String::from_utf8_lossy(cell).into_owned()));
        return Ok(text.map_or(Cell::Missing, Cell::Of));
    }
    Ok(Cell::Picture {
        key: format!("{:x}", Sha256::digest(cell)),
        row,
    })
}

/// Gives each row its own picture or that of the row it names.
fn with_pictures(
    path: &Path,
    read: Vec<(Placed, Cell)>,
    store: &Arc<dyn PictureStore>,
) -> Result<Vec<Placed>, DataError> {
    let mut of_index: HashMap<String, Picture> = HashMap::new();
    let mut of_key: HashMap<String, Picture> = HashMap::new();
    for (placed, cell) in &read {
        if let Cell::Picture { key, row } = cell {
            // Rotations repeat their picture; one copy of it is enough.
            let picture = of_key.entry(key.clone());
            let picture = picture.or_insert_with(|| Picture::stored(key.as_str(), store.clone(), *row));
            of_index.insert(placed.row.index.to_string(), picture.clone());
        }
    }
    let rows = read.into_iter().enumerate().map(|(at, (mut placed, cell))| {
        let index = match &cell {
            Cell::Picture { .. } => placed.row.index.to_string(),
            Cell::Of(index) => index.strip_suffix(".0").unwrap_or(index).to_owned(),
            Cell::Missing => {
                let key = format!("question {}", placed.row.number);
                placed.picture = Picture::absent(key, null(path, at));
                return Ok(placed);
            }
        };
        match of_index.get(&index) {
            Some(picture) => placed.picture = picture.clone(),
            None => {
                let what = format!("`image` names row `{index}`, which holds no picture; take the whole file");
                return Err(DataError::Record {
                    path: path.to_owned(),
                    record: placed.record,
                    what,
                });
            }
        }
        Ok(placed)
    });
    rows.collect()
}

fn null(path: &Path, row: usize) -> PictureError {
    PictureError::NullInTable {
        file: path.display().to_string(),
        row,
    }
}

/// The pictures of a file, found again by the places of their rows.
#[derive(Debug)]
struct TsvPictures {
    path: PathBuf,
    /// The column that holds them.
    image: usize,
    positions: Vec<Position>,
    reader: Mutex<Reader<File>>,
}

impl PictureStore for TsvPictures {
    fn read(&self, row: usize) -> Result<Vec<u8>, PictureError> {
        let unreadable = |reason: String| PictureError::Unreadable {
            path: self.path.display().to_string(),
            reason: format!("row {row}: {reason}"),
        };
        let position = self.positions.get(row).ok_or_else(|| null(&self.path, row))?;
        let mut record = ByteRecord::new();
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .seek(position.clone())
            .map_err(|error| unreadable(error.to_string()))?;
        reader
            .read_byte_record(&mut record)
            .map_err(|error| unreadable(error.to_string()))?;
        let cell = record.get(self.image).ok_or_else(|| null(&self.path, row))?;
        BASE64
            .decode(cell.trim_ascii())
            .map_err(|error| unreadable(error.to_string()))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
