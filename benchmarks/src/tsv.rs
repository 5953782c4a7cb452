//! Tables as VLMEvalKit publishes them: tab-separated with CSV quoting, a picture in base64 in every row or the `index`
//! of the row that has it (`index.md`, "VLMEvalKit TSV").
//!
//! The files are large and nearly all picture: a row's picture is hashed and dropped when the table is read, and read
//! from its place in the file when it is asked for. Pictures have no names; the hash of its base64 text is a picture's
//! key, so equal pictures are one.

#[cfg(test)]
pub mod fixture;
mod pictures;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use self::pictures::{Cell, TsvPictures, null, picture_cell, with_pictures};
use crate::error::DataError;
use crate::picture::{Picture, PictureStore};

/// The longest row that is read, in bytes: its picture has some megabytes.
const LONGEST_ROW: u64 = 64 << 20;

/// What pandas reads as missing unless told otherwise.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// A table with its texts in memory and its pictures in the file.
#[derive(Debug)]
pub struct Tsv {
    path: Arc<Path>,
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    line: u64,
    /// By column, `None` where pandas has a missing value and for the picture.
    cells: Vec<Option<String>>,
    picture: Picture,
}

/// A file of which no row is longer than [`LONGEST_ROW`]: to CSV, all that follows a quote which is never closed is one
/// row.
#[derive(Debug)]
struct OneRow {
    file: File,
    /// What may still be read of the row.
    left: u64,
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct TsvRow<'a> {
    table: &'a Tsv,
    row: &'a Row,
}

/// The table files in `folder`, sorted; none where it is not there.
///
/// # Errors
///
/// A folder that cannot be listed to its end.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
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
    Ok(paths)
}

/// The table in `folder` that is called `name`, compared without case; `None` where there is none.
///
/// # Errors
///
/// As [`files`].
pub fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    let has_name = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().eq_ignore_ascii_case(name))
    };
    Ok(files(folder)?.into_iter().find(has_name))
}

/// The names of a table's columns.
///
/// # Errors
///
/// A file that cannot be read.
pub fn columns(path: &Path) -> Result<Vec<String>, DataError> {
    open(path).map(|(_, columns)| columns)
}

/// The cell as pandas gives it: `None` where it is missing.
pub fn present(cell: Option<String>) -> Option<String> {
    cell.filter(|text| !MISSING.contains(&text.as_str()))
}

impl Tsv {
    /// Reads all but the pictures. `name` says in messages what the table should be; beside `index` and `image` it
    /// must have the columns `needed`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or lacks a column; a row that is cut, has no `index` or that of an earlier one, is
    /// not UTF-8, has several pictures, or names a row that has none.
    pub fn read(path: &Path, name: &str, needed: &[&str]) -> Result<Self, DataError> {
        let (mut reader, columns) = open(path)?;
        let column = |wanted: &str| {
            let found = columns.iter().position(|column| column == wanted);
            found.ok_or_else(|| DataError::File {
                path: path.to_owned(),
                what: format!("no column `{wanted}`; this is not {name}"),
            })
        };
        let (index, image) = (column("index")?, column("image")?);
        for wanted in needed {
            column(wanted)?;
        }
        // Of CRLF the reader counts the second half with the record after it.
        let behind = 2_u64.saturating_sub(reader.position().line());
        let mut positions = Vec::new();
        let mut read: Vec<(Row, Cell)> = Vec::new();
        let mut at_index: HashMap<String, usize> = HashMap::new();
        let mut record = ByteRecord::new();
        while next(path, &mut reader, &mut record)? {
            let at = positions.len();
            let position = record.position().cloned().unwrap_or_else(Position::new);
            let line = position.line() + behind;
            positions.push(position);
            let fault = |what: String| fault(path, line, what);
            let cells = texts(&record, &columns, image).map_err(fault)?;
            let own = cells.get(index).and_then(Option::as_deref);
            let own = own.ok_or_else(|| fault("`index` is missing".to_owned()))?;
            if at_index.insert(whole(own).to_owned(), at).is_some() {
                let what = format!("`index` {own} stands in an earlier row too; delete one of the two");
                return Err(fault(what));
            }
            let cell = picture_cell(record.get(image).unwrap_or_default()).map_err(fault)?;
            let picture = Picture::absent(format!("{}, row {at}", path.display()), null(path, at));
            read.push((Row { line, cells, picture }, cell));
        }
        let store: Arc<dyn PictureStore> = Arc::new(TsvPictures {
            path: path.to_owned(),
            image,
            positions,
            reader: Mutex::new(reader),
        });
        Ok(Self {
            path: path.into(),
            columns,
            rows: with_pictures(path, read, &at_index, &store)?,
        })
    }

    /// Whether there is a column of that name.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// The rows in the order of the file.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = TsvRow<'_>> {
        self.rows.iter().map(|row| TsvRow { table: self, row })
    }
}

impl<'a> TsvRow<'a> {
    /// The cell, `None` where there is no such column or pandas reads the cell as missing.
    pub fn cell(&self, column: &str) -> Option<&'a str> {
        let at = self.table.columns.iter().position(|name| name == column)?;
        self.row.cells.get(at)?.as_deref()
    }

    /// The cell that must be there.
    ///
    /// # Errors
    ///
    /// That it is missing.
    pub fn needed(&self, column: &str) -> Result<&'a str, String> {
        self.cell(column).ok_or_else(|| format!("`{column}` is missing"))
    }

    /// The table's own name of the row; `7` where some writers spell it `7.0`.
    ///
    /// # Errors
    ///
    /// That it is missing, which [`Tsv::read`] refuses.
    pub fn index(&self) -> Result<&'a str, String> {
        self.needed("index").map(whole)
    }

    /// The picture, from the first row that shows the same.
    pub fn picture(&self) -> Picture {
        self.row.picture.clone()
    }

    /// The file and the line in it, for messages.
    pub fn place(&self) -> (Arc<Path>, String) {
        (self.table.path.clone(), format!("line {}", self.row.line))
    }

    /// What is wrong with the row.
    pub fn fault(&self, what: impl Into<String>) -> DataError {
        fault(&self.table.path, self.row.line, what.into())
    }
}

fn fault(path: &Path, line: u64, what: String) -> DataError {
    DataError::Record {
        path: path.to_owned(),
        record: format!("line {line}"),
        what,
    }
}

impl OneRow {
    /// Another row begins.
    fn begin(&mut self) {
        self.left = LONGEST_ROW;
    }
}

impl Read for OneRow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("a row without end; is a quote not closed?")),
        }
        Ok(read)
    }
}

impl Seek for OneRow {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn open(path: &Path) -> Result<(Reader<OneRow>, Vec<String>), DataError> {
    let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(b'\t')
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 20)
        .from_reader(OneRow { file, left: 0 });
    let mut record = ByteRecord::new();
    next(path, &mut reader, &mut record)?;
    let columns = record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned());
    Ok((reader, columns.collect()))
}

fn next(path: &Path, reader: &mut Reader<OneRow>, record: &mut ByteRecord) -> Result<bool, DataError> {
    let line = reader.position().line();
    reader.get_mut().begin();
    reader
        .read_byte_record(record)
        .map_err(|error| fault(path, line, format!("not readable as TSV: {error}")))
}

/// The cells of a record but that of the picture.
fn texts(record: &ByteRecord, columns: &[String], image: usize) -> Result<Vec<Option<String>>, String> {
    let (cells, expected) = (record.len(), columns.len());
    if cells > expected {
        return Err(format!(
            "{cells} cells for {expected} columns; is a tab or a quote not escaped?"
        ));
    }
    if cells < expected {
        return Err(format!(
            "{cells} cells for {expected} columns; the file is cut, or a quote not escaped"
        ));
    }
    let texts = record.iter().zip(columns).enumerate().map(|(at, (cell, column))| {
        if at == image {
            return Ok(None);
        }
        let text = String::from_utf8(cell.to_vec()).map_err(|_| format!("`{column}` is not UTF-8"))?;
        Ok(present(Some(text)))
    });
    texts.collect()
}

/// A whole number without the `.0` of writers that know no others.
fn whole(text: &str) -> &str {
    text.strip_suffix(".0")
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
        .unwrap_or(text)
}
