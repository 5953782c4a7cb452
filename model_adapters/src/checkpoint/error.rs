//! What is wrong with a checkpoint: always the user's to mend, always one line that names the file.

use std::path::PathBuf;

/// A fault of a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file that cannot be opened or read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file that is readable but not what it should be.
    #[error("`{path}`: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
}
