//! A small text file, read whole: MME's questions, right answers and results.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;

/// The largest file that is read, in bytes. MME's largest result file has some hundred kilobytes.
const LARGEST: u64 = 64 << 20;

/// The text without its byte-order mark.
///
/// # Errors
///
/// A file that cannot be read, is too large, or is not UTF-8.
pub fn read(path: &Path) -> Result<(String, SourceFile), DataError> {
    let unreadable = |error| DataError::unreadable(path, &error);
    let fault = |what: String| DataError::File {
        path: path.to_owned(),
        what,
    };
    let mut content = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(LARGEST + 1).read_to_end(&mut content).map_err(unreadable)?;
    if read as u64 > LARGEST {
        return Err(fault(format!("larger than {LARGEST} bytes; no file of this kind is")));
    }
    let file = SourceFile {
        path: path.to_owned(),
        sha256: format!("{:x}", Sha256::digest(&content)),
    };
    let text = String::from_utf8(content).map_err(|_| fault("not UTF-8; save the file as UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok((text, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_without_its_mark_and_the_hash_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("color.txt");
        std::fs::write(&path, "\u{feff}caf\u{e9}\r\n").unwrap();
        let (text, file) = read(&path).unwrap();
        assert_eq!(text, "caf\u{e9}\r\n");
        assert_eq!(file.sha256, format!("{:x}", Sha256::digest("\u{feff}caf\u{e9}\r\n")));
    }

    #[test]
    fn other_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("color.txt");
        let fault = || {
            read(&path)
                .unwrap_err()
                .to_string()
                .replace(&path.display().to_string(), "FILE")
        };
        assert!(fault().starts_with("cannot read `FILE`: "), "{}", fault());
        std::fs::write(&path, b"caf\xe9").unwrap();
        assert_eq!(fault(), "`FILE`: not UTF-8; save the file as UTF-8");
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(fault(), "`FILE`: larger than 67108864 bytes; no file of this kind is");
    }
}
