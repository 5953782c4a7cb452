//! A picture that a sample shows: where it is, and its bytes when they are asked for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a picture's bytes cannot be had. A failure of the sample, not of the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// No file of that name where the layout puts it or under `--images`.
    #[error("picture missing: `{name}`")]
    Missing {
        /// The name that the data give.
        name: String,
    },
    /// The name in the data points outside the data folder.
    #[error("picture path leaves the data folder: `{name}`")]
    LeavesFolder {
        /// The name that the data give.
        name: String,
    },
    /// The row that should hold it has none.
    #[error("picture missing in `{file}`, row {row}")]
    NullInTable {
        /// The table's file.
        file: String,
        /// The row, from 0.
        row: usize,
    },
    /// The file is there but cannot be read.
    #[error("cannot read picture `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// Gives the encoded bytes (JPEG, PNG, …) of pictures that lie inside a larger file, such as a Parquet table.
pub trait PictureStore: fmt::Debug + Send + Sync {
    /// The bytes of the picture in `row`, read anew at each call.
    fn read(&self, row: usize) -> Result<Vec<u8>, PictureError>;
    /// The file that holds the pictures.
    fn path(&self) -> &Path;
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Absent(PictureError),
    Stored { store: Arc<dyn PictureStore>, row: usize },
}

/// A picture: a key that equals another's only if both show the same thing, and a place to read it from.
#[derive(Debug, Clone)]
pub struct Picture {
    key: Arc<str>,
    place: Place,
}

impl Picture {
    /// A picture in a file of its own.
    pub fn file(key: impl Into<Arc<str>>, path: PathBuf) -> Self {
        Self {
            key: key.into(),
            place: Place::File(path),
        }
    }

    /// A picture that was looked for and is not there.
    pub fn absent(key: impl Into<Arc<str>>, reason: PictureError) -> Self {
        Self {
            key: key.into(),
            place: Place::Absent(reason),
        }
    }

    /// A picture in row `row` of `store`.
    pub fn stored(key: impl Into<Arc<str>>, store: Arc<dyn PictureStore>, row: usize) -> Self {
        Self {
            key: key.into(),
            place: Place::Stored { store, row },
        }
    }

    /// The same picture under another key.
    pub fn named(self, key: impl Into<Arc<str>>) -> Self {
        Self {
            key: key.into(),
            ..self
        }
    }

    /// Names the picture within its benchmark, for instance `COCO_val2014_000000310196.jpg`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file to open, where the picture has one of its own.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Absent(_) | Place::Stored { .. } => None,
        }
    }

    /// Whether the picture was found when the data were loaded; says nothing about its content.
    pub fn is_present(&self) -> bool {
        !matches!(self.place, Place::Absent(_))
    }

    /// The encoded bytes (JPEG, PNG, …).
    pub fn read(&self) -> Result<Vec<u8>, PictureError> {
        match &self.place {
            Place::File(path) => std::fs::read(path).map_err(|error| PictureError::Unreadable {
                path: path.display().to_string(),
                reason: error.to_string(),
            }),
            Place::Absent(reason) => Err(reason.clone()),
            Place::Stored { store, row } => store.read(*row),
        }
    }
}
