//! What is wrong with data that a user handed us: what, where, what to do. Always one line.

use std::path::{Path, PathBuf};

use crate::task::UnknownName;

/// A fault in the user's data or in how they were named.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file that cannot be opened or read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// One record of a file that is not what it should be.
    #[error("`{path}`, {record}: {what}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record: "line 12", "row 3".
        record: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// A file that is readable but not what it should be.
    #[error("`{path}`: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// Data that are not there.
    #[error("{what} not found; looked for {}; {remedy}", list(searched))]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        searched: Vec<PathBuf>,
        /// What to do.
        remedy: String,
    },
    /// Files that do not belong together.
    #[error("{0}")]
    Mismatch(String),
    /// An export that does not read back as what went into it: a fault of ours, nothing that a user can mend.
    #[error("the export does not read back as the answers that went into it: {0}")]
    Unfaithful(String),
    /// A name that is not in its list.
    #[error(transparent)]
    Name(#[from] UnknownName),
}

impl DataError {
    /// A file that the system would not let us read.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    /// A fault in line `line` (from 1) of `path`.
    pub fn line(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self::Record {
            path: path.to_owned(),
            record: format!("line {line}"),
            what: what.into(),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    quoted.join(", ")
}
