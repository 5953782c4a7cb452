//! A table of texts under a header row: the first sheet of a workbook, or a file of tab-separated values.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use calamine::{Data, Reader, Xlsx};

use crate::error::DataError;

/// The longest file of tab-separated values that is read, in bytes: predictions without pictures have megabytes.
const LARGEST_TABLE: u64 = 256 << 20;

/// A table, read whole.
#[derive(Debug)]
pub struct Sheet {
    header: Vec<String>,
    rows: Vec<(usize, Vec<Option<String>>)>,
}

impl Sheet {
    /// Reads the first sheet of a workbook (`.xlsx`).
    pub fn workbook(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        Self::parse_workbook(BufReader::new(file), path)
    }

    /// Reads the first sheet of a workbook that messages call `path`.
    pub fn parse_workbook(content: impl Read + Seek, path: &Path) -> Result<Self, DataError> {
        let fault = |what: String| DataError::File {
            path: path.to_owned(),
            what,
        };
        let broken = |error: calamine::XlsxError| fault(format!("not readable as a spreadsheet: {error}"));
        let mut workbook = Xlsx::new(content).map_err(broken)?;
        let range = workbook
            .worksheet_range_at(0)
            .ok_or_else(|| fault("holds no sheet".to_owned()))?
            .map_err(broken)?;
        let first = range.start().map_or(0, |(row, _)| row as usize);
        let rows = range.rows().map(|row| row.iter().map(text).collect::<Vec<_>>());
        Ok(Self::new(rows.enumerate().map(|(n, cells)| (first + n + 1, cells))))
    }

    /// Reads tab-separated values, quoted as in CSV where a cell holds a tab or a line end (pandas' `to_csv`).
    pub fn tab_separated(path: &Path) -> Result<Self, DataError> {
        let unreadable = |error: std::io::Error| DataError::unreadable(path, &error);
        let mut content = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let read = file
            .take(LARGEST_TABLE + 1)
            .read_to_end(&mut content)
            .map_err(unreadable)?;
        if read as u64 > LARGEST_TABLE {
            return Err(DataError::File {
                path: path.to_owned(),
                what: format!("longer than {LARGEST_TABLE} bytes; does it hold pictures? leave that column out"),
            });
        }
        let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&content);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .has_headers(false)
            .from_reader(content);
        let mut rows = Vec::new();
        for (n, record) in reader.records().enumerate() {
            let record = record.map_err(|error| DataError::Record {
                path: path.to_owned(),
                record: format!("row {}", n + 1),
                what: tab_fault(&error),
            })?;
            let cells = record.iter().map(|cell| (!cell.is_empty()).then(|| cell.to_owned()));
            rows.push((n + 1, cells.collect()));
        }
        Ok(Self::new(rows.into_iter()))
    }

    fn new(mut rows: impl Iterator<Item = (usize, Vec<Option<String>>)>) -> Self {
        let header = rows.next().map(|(_, cells)| cells).unwrap_or_default();
        Self {
            header: header.into_iter().map(Option::unwrap_or_default).collect(),
            rows: rows.filter(|(_, cells)| cells.iter().any(Option::is_some)).collect(),
        }
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The rows below the header that are not empty, each with its number in the sheet, from 1.
    pub fn rows(&self) -> &[(usize, Vec<Option<String>>)] {
        &self.rows
    }

    /// Whether it has the column.
    pub fn has(&self, name: &str) -> bool {
        self.header.iter().any(|column| column == name)
    }

    /// The cell of a row in the column; `None` where it is empty or there is no such column.
    pub fn cell(&self, cells: &[Option<String>], name: &str) -> Option<String> {
        let column = self.header.iter().position(|column| column == name)?;
        cells.get(column)?.clone()
    }
}

/// A cell as text; `None` where it is empty.
fn text(cell: &Data) -> Option<String> {
    match cell {
        Data::Empty | Data::Error(_) => None,
        Data::String(text) => (!text.is_empty()).then(|| text.clone()),
        other => Some(other.to_string()),
    }
}

fn tab_fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, the header has {expected_len}; is the file cut off?")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8; save the file as UTF-8".to_owned(),
        _ => format!("not readable as tab-separated values: {error}"),
    }
}
