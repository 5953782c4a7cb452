//! What is wrong with a checkpoint: always the user's to mend, always one line that names the file.

use std::path::{Path, PathBuf};

/// Characters of a name or value from a file that a message repeats at most.
const QUOTED_CHARACTERS: usize = 120;

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

impl CheckpointError {
    /// A file that the system would not give.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    /// A file or folder with the wrong content.
    pub(super) fn file(path: &Path, what: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// `text` in backticks, on one line and of bounded length whatever a hostile file puts there.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * QUOTED_CHARACTERS) + 2);
    shown.push('`');
    for character in text.chars().take(QUOTED_CHARACTERS) {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(QUOTED_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quoted_text_is_one_short_line() {
        let cases = [
            ("a.weight", "`a.weight`".to_owned()),
            ("a\nb\tc", "`a\\nb\\tc`".to_owned()),
            ("\u{2028}", "`\\u{2028}`".to_owned()),
            (&"x".repeat(120), format!("`{}`", "x".repeat(120))),
            (&"x".repeat(121), format!("`{}…`", "x".repeat(120))),
        ];
        for (text, wanted) in cases {
            assert_eq!(quoted(text), wanted);
        }
    }
}
