//! Parquet tables as the lmms-lab sets on Hugging Face have them: a few columns of text and an `image` column,
//! `struct<bytes: binary, path: string>`.
//!
//! Columns are taken by name, others may be there, any value may be null. Pictures are never held all at once: of all
//! the tables of a split the rows about the one that was asked for last are kept.

mod lists;
#[cfg(test)]
mod tests;

pub use lists::TextLists;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::{
    BinaryChunked, Column, DataType, FileMetadata, FileMetadataRef, ParallelStrategy, ParquetReader, PolarsResult,
    SerReader, StringChunked,
};
use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::picture::{PictureError, PictureStore};
use crate::source::PictureFolders;

/// The column with the pictures.
const IMAGE: &str = "image";

/// How many rows' pictures are held: one row group as Hugging Face's `datasets` writes them for pictures.
const WINDOW: usize = 100;

/// Columns of a table as text.
#[derive(Debug)]
pub struct TextColumns {
    /// How many rows the table has.
    pub rows: usize,
    columns: Vec<(&'static str, StringChunked)>,
}

impl TextColumns {
    /// Reads those of `names` that the table at `path` has. `types.semantic` is the field `semantic` of a struct
    /// `types`.
    pub fn read(path: &Path, names: &[&'static str]) -> Result<Self, DataError> {
        let fault = |error| DataError::File {
            path: path.to_owned(),
            what: format!("not readable as Parquet: {}", first_line(&error)),
        };
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        let mut reader = ParquetReader::new(file);
        let rows = reader.num_rows().map_err(fault)?;
        let schema = reader.schema().map_err(fault)?;
        let present: Vec<&'static str> = names
            .iter()
            .copied()
            .filter(|name| schema.contains(column(name)))
            .collect();
        if present.is_empty() {
            return Ok(Self {
                rows,
                columns: Vec::new(),
            });
        }
        let mut projection: Vec<String> = present.iter().map(|name| column(name).to_owned()).collect();
        projection.sort();
        projection.dedup();
        let frame = reader
            .with_columns(Some(projection))
            .read_parallel(ParallelStrategy::None)
            .finish()
            .map_err(fault)?;
        let mut columns = Vec::with_capacity(present.len());
        for name in present {
            let whole = frame.column(column(name)).map_err(fault)?;
            let values = match name.split_once('.') {
                None => as_text(whole).map_err(fault)?,
                Some((_, field)) => {
                    let Some(values) = field_as_text(whole, field) else {
                        continue;
                    };
                    values
                }
            };
            columns.push((name, values));
        }
        Ok(Self { rows, columns })
    }

    /// Whether the table has that column.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| *column == name)
    }

    /// The value in row `row` (from 0), `None` where it is null or the column absent.
    pub fn get(&self, name: &str, row: usize) -> Option<&str> {
        // polars panics beyond the end.
        let (_, values) = self
            .columns
            .iter()
            .find(|(column, _)| *column == name && row < self.rows)?;
        values.get(row)
    }
}

/// What the tables of one split share, so that it does not grow with their number: the folders in which pictures lie
/// that a table only names, and the pictures that are held.
#[derive(Debug, Clone)]
pub struct SplitPictures {
    folders: Arc<Mutex<PictureFolders>>,
    window: Arc<Mutex<Option<Window>>>,
}

/// The pictures of a table.
#[derive(Debug)]
pub struct ParquetPictures {
    path: Arc<Path>,
    metadata: FileMetadataRef,
    split: SplitPictures,
}

/// Rows `start`, `start + 1`, … of the image column of a table.
#[derive(Debug)]
struct Window {
    table: Arc<Path>,
    start: usize,
    bytes: Option<BinaryChunked>,
    paths: Option<StringChunked>,
}

impl SplitPictures {
    /// Pictures that a table only names are looked for in `folders`.
    pub fn new(folders: PictureFolders) -> Self {
        Self {
            folders: Arc::new(Mutex::new(folders)),
            window: Arc::default(),
        }
    }

    /// Where pictures are looked for, in that order.
    pub fn folders(&self) -> Vec<PathBuf> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.folders().to_vec()
    }

    /// The pictures of the table at `path`, one of the split's.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is no Parquet, or has no column of pictures.
    pub fn open(&self, path: &Path) -> Result<ParquetPictures, DataError> {
        self.open_if_pictured(path)?.ok_or_else(|| DataError::File {
            path: path.to_owned(),
            what: format!("no column `{IMAGE}`; take the set with pictures"),
        })
    }

    /// As [`open`](Self::open), `None` where the table has no column of pictures.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is no Parquet.
    pub fn open_if_pictured(&self, path: &Path) -> Result<Option<ParquetPictures>, DataError> {
        let fault = |what| DataError::File {
            path: path.to_owned(),
            what,
        };
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        let mut reader = ParquetReader::new(file);
        let schema = reader.schema();
        let schema = schema.map_err(|error| fault(format!("not readable as Parquet: {}", first_line(&error))))?;
        if !schema.contains(IMAGE) {
            return Ok(None);
        }
        let metadata = reader.get_metadata();
        let metadata = metadata.map_err(|error| fault(format!("not readable as Parquet: {}", first_line(&error))))?;
        Ok(Some(ParquetPictures {
            path: path.into(),
            metadata: metadata.clone(),
            split: self.clone(),
        }))
    }
}

impl ParquetPictures {
    /// The name that row `row` gives its picture, if any.
    pub fn name(&self, row: usize) -> Result<Option<String>, PictureError> {
        self.with_row(row, |window, at| {
            let name = window.paths.as_ref().and_then(|paths| paths.get(at));
            name.map(str::to_owned)
        })
    }

    fn null(&self, row: usize) -> PictureError {
        PictureError::NullInTable {
            file: self.path.display().to_string(),
            row,
        }
    }

    /// Runs `take` on the window that holds `row` and the row's place in it.
    fn with_row<T>(&self, row: usize, take: impl FnOnce(&Window, usize) -> T) -> Result<T, PictureError> {
        if row >= self.metadata.num_rows {
            return Err(self.null(row));
        }
        let mut held = self.split.window.lock().unwrap_or_else(PoisonError::into_inner);
        let start = row - row % WINDOW;
        let window = match held.take() {
            Some(window) if window.start == start && window.table == self.path => window,
            _ => self.read_window(start).map_err(|reason| PictureError::Unreadable {
                path: self.path.display().to_string(),
                reason,
            })?,
        };
        Ok(take(held.insert(window), row - start))
    }

    /// The file as if it had only the row groups with rows of the window at `start`, and how many rows are before
    /// them. polars goes through the pages of every row group before a slice.
    fn groups_of(&self, start: usize) -> (FileMetadata, usize) {
        let mut before = 0;
        let mut at = 0;
        let mut groups = Vec::new();
        for group in &self.metadata.row_groups {
            let end = at + group.num_rows();
            if end <= start {
                before = end;
            } else if at < start + WINDOW {
                groups.push(group.clone());
            }
            at = end;
        }
        let metadata = FileMetadata {
            num_rows: groups.iter().map(|group| group.num_rows()).sum(),
            row_groups: groups,
            ..FileMetadata::clone(&self.metadata)
        };
        (metadata, before)
    }

    fn read_window(&self, start: usize) -> Result<Window, String> {
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        let (metadata, before) = self.groups_of(start);
        let mut reader = ParquetReader::new(file);
        reader.set_metadata(Arc::new(metadata));
        let frame = reader
            .with_slice(Some((start - before, WINDOW)))
            .with_columns(Some(vec![IMAGE.to_owned()]))
            .read_parallel(ParallelStrategy::None)
            .finish()
            .map_err(|error| first_line(&error))?;
        let image = frame.column(IMAGE).map_err(|error| first_line(&error))?;
        if matches!(image.dtype(), DataType::Binary) {
            let bytes = image.binary().map_err(|error| first_line(&error))?.clone();
            return Ok(Window {
                table: self.path.clone(),
                start,
                bytes: Some(bytes),
                paths: None,
            });
        }
        let fields = image.struct_().map_err(|error| first_line(&error))?;
        let bytes = fields.field_by_name("bytes").ok();
        let paths = fields.field_by_name("path").ok();
        Ok(Window {
            table: self.path.clone(),
            start,
            bytes: bytes.and_then(|field| field.binary().ok().cloned()),
            paths: paths.and_then(|field| field.str().ok().cloned()),
        })
    }
}

impl PictureStore for ParquetPictures {
    fn read(&self, row: usize) -> Result<Vec<u8>, PictureError> {
        let (bytes, name) = self.with_row(row, |window, at| {
            let bytes = window.bytes.as_ref().and_then(|bytes| bytes.get(at));
            let name = window.paths.as_ref().and_then(|paths| paths.get(at));
            (bytes.map(<[u8]>::to_vec), name.map(str::to_owned))
        })?;
        if let Some(bytes) = bytes {
            return Ok(bytes);
        }
        let name = name.ok_or_else(|| self.null(row))?;
        let mut folders = self.split.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.picture(&name, &name).read()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The files of a split, in order: `<split>-00000-of-00003.parquet`, with or without a hash before the suffix.
/// `None` if `folder` has none.
///
/// # Errors
///
/// A split of which not every file is there.
pub fn shards(folder: &Path, split: &str) -> Result<Option<Vec<PathBuf>>, DataError> {
    let mut found: Vec<(usize, usize, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.map_err(|error| DataError::unreadable(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some((index, count)) = name.and_then(|name| shard_number(name, split)) {
            found.push((count, index, path));
        }
    }
    found.sort();
    let Some((count, _, first)) = found.first() else {
        return Ok(None);
    };
    let complete = found.len() == *count
        && found
            .iter()
            .enumerate()
            .all(|(n, shard)| (*count, n) == (shard.0, shard.1));
    if !complete {
        let what = format!(
            "split `{split}` needs each of its {count} files once, {} are here",
            found.len()
        );
        return Err(DataError::File {
            path: first.clone(),
            what: format!("{what}; download the missing ones or delete those of an older download"),
        });
    }
    Ok(Some(found.into_iter().map(|(_, _, path)| path).collect()))
}

/// As [`shards`], of the first of `places` in `folder` that has any.
///
/// # Errors
///
/// As [`shards`].
pub fn shards_in(folder: &Path, places: &[&str], split: &str) -> Result<Option<Vec<PathBuf>>, DataError> {
    for place in places {
        if let Some(paths) = shards(&folder.join(place), split)? {
            return Ok(Some(paths));
        }
    }
    Ok(None)
}

/// The number of a shard (from 0) and how many there are.
fn shard_number(name: &str, split: &str) -> Option<(usize, usize)> {
    let name = name.strip_prefix(split)?.strip_prefix('-')?.strip_suffix(".parquet")?;
    let (index, rest) = name.split_once("-of-")?;
    let count = rest.split('-').next()?;
    Some((index.parse().ok()?, count.parse().ok()?))
}

/// A file with its SHA-256, read in pieces.
pub fn source_file(path: &Path) -> Result<SourceFile, DataError> {
    let unreadable = |error| DataError::unreadable(path, &error);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        hasher.update(piece.get(..read).unwrap_or_default());
    }
    Ok(SourceFile {
        path: path.to_owned(),
        sha256: format!("{:x}", hasher.finalize()),
    })
}

/// The column that `column.field` is in.
fn column(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// A struct's field as text; `None` where the column is of another kind, or has no such field or none of text.
fn field_as_text(column: &Column, field: &str) -> Option<StringChunked> {
    let field = column.struct_().ok()?.field_by_name(field).ok()?;
    Some(field.cast(&DataType::String).ok()?.str().ok()?.clone())
}

fn as_text(column: &Column) -> PolarsResult<StringChunked> {
    Ok(column.cast(&DataType::String)?.str()?.clone())
}

/// polars explains over several lines; ours are one.
fn first_line(error: &polars::prelude::PolarsError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
