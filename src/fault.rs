//! What stops a command. All but the last are the user's to mend and print as one line.

use std::io;
use std::path::{Path, PathBuf};

use benchmarks::{DataError, UnknownName};
use model_adapters::AdapterError;
use model_adapters::checkpoint::CheckpointError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The benchmark's data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A name that is not in its list.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// The checkpoint's files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Anything else that the user can mend: what, where, what to do.
    #[error("{0}")]
    User(String),
    /// A file that could not be read or written.
    #[error("cannot {action} `{path}`: {reason}", path = path.display())]
    File {
        /// "read", "write", "create".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Whoever read our output went away.
    #[error("broken pipe")]
    BrokenPipe,
    /// Ours: no input should cause it.
    #[error("{0}")]
    Bug(String),
}

impl Fault {
    /// A file that could not be read.
    pub fn read(path: &Path, error: &io::Error) -> Self {
        Self::file("read", path, error)
    }

    /// A file that could not be written.
    pub fn write(path: &Path, error: &io::Error) -> Self {
        Self::file("write", path, error)
    }

    /// A file on which `action` failed.
    pub fn file(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    /// Output that could not be written to stdout.
    pub fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::User(format!("cannot write to stdout: {error}"))
        }
    }
}

impl From<AdapterError> for Fault {
    fn from(error: AdapterError) -> Self {
        match error {
            AdapterError::User(what) => Self::User(what),
            AdapterError::Torch(what) => Self::Bug(what),
        }
    }
}
