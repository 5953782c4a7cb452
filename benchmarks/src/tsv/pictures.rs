//! The `image` column: what its cells hold, and the pictures read from their places in the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use csv::{ByteRecord, Position, Reader};
use sha2::{Digest, Sha256};

use super::{OneRow, Row, fault, present, whole};
use crate::error::DataError;
use crate::picture::{Picture, PictureError, PictureStore};
use crate::python_list;

/// The longest `image` cell that names another row.
const LONGEST_REFERENCE: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an `image` cell holds.
pub(super) enum Cell {
    /// A picture of this key.
    Picture(String),
    /// The `index` of the row that has it.
    Of(String),
    Missing,
}

/// What the cell holds.
pub(super) fn picture_cell(cell: &[u8]) -> Result<Cell, String> {
    let text = in_base64(cell)?;
    if matches!(text, Cow::Owned(_)) || cell.len() > LONGEST_REFERENCE {
        return Ok(Cell::Picture(format!("{:x}", Sha256::digest(text))));
    }
    let name = present(Some(String::from_utf8_lossy(cell).into_owned()));
    Ok(name.map_or(Cell::Missing, Cell::Of))
}

/// The picture's text: the cell, or what is in the list that the cell is.
fn in_base64(cell: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if !(cell.starts_with(b"[") && cell.ends_with(b"]")) {
        return Ok(Cow::Borrowed(cell));
    }
    let mut pictures = python_list::parse(&String::from_utf8_lossy(cell)).map_err(|what| format!("`image`: {what}"))?;
    match (pictures.pop(), pictures.len()) {
        (Some(one), 0) => Ok(Cow::Owned(one.into_bytes())),
        (Some(_), more) => Err(format!(
            "several pictures in one cell, {}; the benchmark has one a row",
            more + 1
        )),
        (None, _) => Err("an empty list of pictures".to_owned()),
    }
}

/// Gives each row its own picture or that of the row it names.
pub(super) fn with_pictures(
    path: &Path,
    read: Vec<(Row, Cell)>,
    at_index: &HashMap<String, usize>,
    store: &Arc<dyn PictureStore>,
) -> Result<Vec<Row>, DataError> {
    let mut of_key: HashMap<&str, Picture> = HashMap::new();
    let mut stored: Vec<Option<Picture>> = Vec::with_capacity(read.len());
    for (at, (_, cell)) in read.iter().enumerate() {
        stored.push(match cell {
            Cell::Picture(key) => {
                let picture = of_key.entry(key);
                let picture = picture.or_insert_with(|| Picture::stored(key.as_str(), store.clone(), at));
                Some(picture.clone())
            }
            Cell::Of(_) | Cell::Missing => None,
        });
    }
    let rows = read.into_iter().enumerate().map(|(at, (mut row, cell))| {
        let shown = |at: usize| stored.get(at).cloned().flatten();
        match cell {
            Cell::Picture(_) => row.picture = shown(at).unwrap_or(row.picture),
            Cell::Of(index) => {
                let named = at_index.get(whole(&index)).and_then(|at| shown(*at));
                let what = || format!("`image` names row `{index}`, which holds no picture; take the whole file");
                row.picture = named.ok_or_else(|| fault(path, row.line, what()))?;
            }
            Cell::Missing => {}
        }
        Ok(row)
    });
    rows.collect()
}

/// What there is of a picture whose cell is empty.
pub(super) fn null(path: &Path, row: usize) -> PictureError {
    PictureError::NullInTable {
        file: path.display().to_string(),
        row,
    }
}

/// The pictures of a file, found again by the places of their rows.
#[derive(Debug)]
pub(super) struct TsvPictures {
    pub(super) path: PathBuf,
    /// The column that holds them.
    pub(super) image: usize,
    pub(super) positions: Vec<Position>,
    pub(super) reader: Mutex<Reader<OneRow>>,
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
        reader.get_mut().begin();
        reader
            .read_byte_record(&mut record)
            .map_err(|error| unreadable(error.to_string()))?;
        drop(reader);
        let cell = record.get(self.image).ok_or_else(|| null(&self.path, row))?;
        BASE64
            .decode(in_base64(cell).map_err(unreadable)?.trim_ascii())
            .map_err(|error| unreadable(error.to_string()))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
