//! Tables as VLMEvalKit publishes them: tab-separated with CSV quoting, a picture in base64 in every row or the `index`
//! of the row that has it (`index.md`, "VLMEvalKit TSV").
//!
//! The files are large and nearly all picture: a row's picture is hashed and dropped when the table is read, and read
//! from its place in the file when it is asked for. Pictures have no names; the hash of its base64 text is a picture's
//! key, so equal pictures are one.

#[cfg(test)]
pub mod fixture;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::picture::{Picture, PictureError, PictureStore};
use crate::python_list;

/// The longest `image` cell that names another row.
const LONGEST_REFERENCE: usize = 64;

/// What pandas reads as missing unless told otherwise.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct TsvRow<'a> {
    table: &'a Tsv,
    row: &'a Row,
}

/// What an `image` cell holds.
enum Cell {
    /// A picture of this key.
    Picture(String),
    /// The `index` of the row that has it.
    Of(String),
    Missing,
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

fn picture_cell(cell: &[u8]) -> Result<Cell, String> {
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
fn with_pictures(
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

#[cfg(test)]
mod tests {
    use super::fixture::{in_base64, picture, table};
    use super::*;

    const COLUMNS: [&str; 3] = ["index", "image", "question"];

    fn read(content: impl AsRef<[u8]>) -> Result<(tempfile::TempDir, Tsv), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.tsv");
        std::fs::write(&path, content).unwrap();
        let table = Tsv::read(&path, "some table", &["question"]);
        table
            .map(|table| (folder, table))
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    fn rows(cells: &[[&str; 3]]) -> String {
        table(COLUMNS, cells.iter().map(|row| row.map(str::to_owned)))
    }

    #[test]
    fn pictures_are_found_in_every_form() {
        let (cat, dog) = (in_base64("cat"), in_base64("dog"));
        let list = format!("['{dog}']");
        let short = format!("['{}']", BASE64.encode("owl"));
        let content = rows(&[
            ["7.0", &cat, "What is\n\"this\"?"],
            ["8", "7", "And\tthis?"],
            ["9", &list, "nan"],
            ["10", &dog, "NA "],
            ["x", "9.0", "NA"],
            ["11", "NaN", "None"],
            ["12", &short, "?"],
            ["13", &cat, "last"],
        ]);
        for content in [
            content.clone(),
            format!("\u{feff}{}", content.replace("\n", "\r\n").replace("is\r", "is")),
        ] {
            let (_folder, table) = read(content).unwrap();
            let rows: Vec<TsvRow<'_>> = table.rows().collect();
            let shown = ["cat", "cat", "dog", "dog", "dog", "", "owl", "cat"];
            for (row, name) in rows.iter().zip(shown).rev() {
                let expected = match name {
                    "" => Err("picture missing in `FILE`, row 5".to_owned()),
                    "owl" => Ok(b"owl".to_vec()),
                    name => Ok(picture(name)),
                };
                let path = table.path.display().to_string();
                let read = row
                    .picture()
                    .read()
                    .map_err(|error| error.to_string().replace(&path, "FILE"));
                assert_eq!(read, expected, "{row:?}");
            }
            let keys: Vec<String> = rows.iter().map(|row| row.picture().key().to_owned()).collect();
            assert_eq!((&keys[0], &keys[2], &keys[2]), (&keys[7], &keys[3], &keys[4]));
            assert_ne!(keys[0], keys[2]);
            let questions: Vec<Option<&str>> = rows.iter().map(|row| row.cell("question")).collect();
            let expected = [
                Some("What is\n\"this\"?"),
                Some("And\tthis?"),
                None,
                Some("NA "),
                None,
                None,
                Some("?"),
                Some("last"),
            ];
            assert_eq!(questions, expected);
            assert_eq!((rows[0].index(), rows[4].index()), (Ok("7"), Ok("x")));
            assert_eq!((rows[0].cell("image"), rows[0].cell("absent")), (None, None));
            assert_eq!(rows[1].place().1, "line 4");
        }
    }

    #[test]
    fn faults_name_line_and_remedy() {
        let cat = in_base64("cat");
        let whole = rows(&[["7", &cat, "a"], ["8", "7", "b"]]);
        let cases = [
            (String::new(), "`FILE`: no column `index`; this is not some table"),
            (
                whole.replace("image", "picture"),
                "`FILE`: no column `image`; this is not some table",
            ),
            (
                whole.replace("question", "text"),
                "`FILE`: no column `question`; this is not some table",
            ),
            (
                whole.replace("8\t7", "8\t9"),
                "`FILE`, line 3: `image` names row `9`, which holds no picture",
            ),
            (
                whole.replace("8\t7", "8\t8"),
                "`FILE`, line 3: `image` names row `8`, which holds no picture",
            ),
            (
                whole.replace("8\t7", "7\t7"),
                "`FILE`, line 3: `index` 7 stands in an earlier row too",
            ),
            (whole.replace("8\t7", "\t7"), "`FILE`, line 3: `index` is missing"),
            (
                whole.replace("\tb", ""),
                "`FILE`, line 3: 2 cells for 3 columns; the file is cut",
            ),
            (
                whole.replace("\tb", "\tb\tc"),
                "`FILE`, line 3: 4 cells for 3 columns; is a tab",
            ),
            (
                whole.replace("8\t7", "8\t['a', 'b']"),
                "`FILE`, line 3: several pictures in one cell, 2;",
            ),
            (
                whole.replace("8\t7", "8\t[]"),
                "`FILE`, line 3: an empty list of pictures",
            ),
            (
                whole.replace("8\t7", "8\t[a]"),
                "`FILE`, line 3: `image`: `a]` where the list should",
            ),
        ];
        for (content, expected) in cases {
            let error = read(&content).map(|(_, table)| table.rows.len()).unwrap_err();
            assert!(error.starts_with(expected), "{content}: {error}");
        }
        let error = read(
            whole
                .replace('b', "\u{1}")
                .into_bytes()
                .iter()
                .map(|b| if *b == 1 { 0xff } else { *b })
                .collect::<Vec<u8>>(),
        );
        assert_eq!(
            error.map(|(_, table)| table.rows.len()),
            Err("`FILE`, line 3: `question` is not UTF-8".to_owned())
        );
    }

    #[test]
    fn broken_base64_is_a_fault_of_its_picture_alone() {
        let content = rows(&[["1", &"!".repeat(80), "a"], ["2", &in_base64("cat"), "b"]]);
        let (_folder, table) = read(content).unwrap();
        let pictures: Vec<Picture> = table.rows().map(|row| row.picture()).collect();
        let error = pictures[0].read().unwrap_err().to_string();
        assert!(error.contains("row 0: Invalid symbol 33"), "{error}");
        assert_eq!(pictures[1].read(), Ok(picture("cat")));
    }

    #[test]
    fn a_table_is_found_by_name_without_case() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tsv", "pope.TSV", "POPE.txt"] {
            std::fs::write(folder.path().join(name), "index\timage\n").unwrap();
        }
        assert_eq!(files(folder.path()).unwrap().len(), 2);
        let path = folder.path().join("pope.TSV");
        assert_eq!(columns(&path).unwrap(), ["index", "image"]);
        assert_eq!(find(folder.path(), "POPE.tsv").unwrap(), Some(path));
        assert_eq!(find(folder.path(), "MME.tsv").unwrap(), None);
        assert_eq!(find(&folder.path().join("absent"), "POPE.tsv").unwrap(), None);
    }
}
