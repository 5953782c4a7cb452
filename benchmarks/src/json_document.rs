//! A JSON file that is one document, read as a stream: VQAv2's annotations are 170 MB and more.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A file whose SHA-256 is taken while it is read.
struct Hashed {
    file: File,
    hasher: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Reads the document at `path`; a byte-order mark is tolerated.
///
/// # Errors
///
/// A file that cannot be read, is no JSON, or has not the form of `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, SourceFile), DataError> {
    let unreadable = |error| DataError::unreadable(path, &error);
    let file = File::open(path).map_err(unreadable)?;
    let hashed = Hashed {
        file,
        hasher: Sha256::new(),
    };
    let mut reader = BufReader::with_capacity(1 << 18, hashed);
    if reader.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut document = serde_json::Deserializer::from_reader(&mut reader);
    let value = T::deserialize(&mut document).and_then(|value| document.end().map(|()| value));
    let value = value.map_err(|error| fault(path, error))?;
    let file = SourceFile {
        path: path.to_owned(),
        sha256: format!("{:x}", reader.into_inner().hasher.finalize()),
    };
    Ok((value, file))
}

fn fault(path: &Path, error: serde_json::Error) -> DataError {
    if error.is_io() {
        return DataError::unreadable(path, &error.into());
    }
    let what = if error.is_eof() {
        "cut off in the middle; copy the file again".to_owned()
    } else {
        error.to_string()
    };
    DataError::File {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    type Document = HashMap<String, Vec<u32>>;

    fn document(content: &[u8]) -> Result<(Document, SourceFile), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, content).unwrap();
        read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_document_is_read_and_hashed_whole() {
        let content = b"\xEF\xBB\xBF{\"a\": [1,\n2]}\r\n\n";
        let (value, file) = document(content).unwrap();
        assert_eq!(value["a"], [1, 2]);
        assert_eq!(file.sha256, format!("{:x}", Sha256::digest(content)));
        let long = format!("{{\"a\": [{}1]}}   ", "7, ".repeat(200_000));
        let (value, file) = document(long.as_bytes()).unwrap();
        assert_eq!(value["a"].len(), 200_001);
        assert_eq!(file.sha256, format!("{:x}", Sha256::digest(long.as_bytes())));
    }

    #[test]
    fn faults_name_the_place() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "`FILE`: cut off in the middle; copy the file again"),
            (b"{\"a\": [1", "`FILE`: cut off in the middle; copy the file again"),
            (b"{\"a\": [1]} {", "`FILE`: trailing characters at line 1 column 12"),
            (
                b"{\n\"a\": \"b\"}",
                "`FILE`: invalid type: string \"b\", expected a sequence at line 2 column ",
            ),
            (
                b"{\"a\": [1]}\n{\"a\": [1]}",
                "`FILE`: trailing characters at line 2 column 1",
            ),
        ];
        for (content, expected) in cases {
            let error = document(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = read::<Document>(Path::new("/nonexistent/x.json"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot read `/nonexistent/x.json`: "), "{error}");
    }
}
