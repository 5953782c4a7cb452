//! JSON Lines: one object a line, faults named by file and line, the file's SHA-256 taken in the same pass.
//!
//! A byte-order mark, CRLF line ends, blank lines and a missing final newline are tolerated; files that are JSON
//! Lines despite the suffix `.json` (POPE's labels) are read here too.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;

/// The longest line that is read, in bytes. A question or an answer has some kilobytes, a picture in base64 some
/// megabytes; a longer line means a file of another kind, which must not fill the memory.
const LONGEST_LINE: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One record and the line it stood in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// The line, from 1.
    pub line: usize,
    /// What it holds.
    pub value: T,
}

/// A JSON Lines file that is being read.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    reader: BufReader<File>,
    hasher: Sha256,
    line: usize,
    longest: u64,
    buffer: Vec<u8>,
}

impl JsonLines {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 16, file),
            hasher: Sha256::new(),
            line: 0,
            longest: LONGEST_LINE,
            buffer: Vec::new(),
        })
    }

    /// The next record, `None` at the end of the file.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Record<T>>, DataError> {
        while self.read_line()? {
            let mut text = self.buffer.as_slice();
            if self.line == 1 {
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            let text = text.trim_ascii();
            if !text.is_empty() {
                // serde would take a list for a struct.
                if !text.starts_with(b"{") {
                    return Err(DataError::line(&self.path, self.line, "not a JSON object"));
                }
                let value = serde_json::from_slice(text)
                    .map_err(|error| DataError::line(&self.path, self.line, fault(&error)))?;
                return Ok(Some(Record { line: self.line, value }));
            }
        }
        Ok(None)
    }

    /// The file as the manifest records it. Call it when [`next`](Self::next) has given `None`.
    pub fn into_source_file(self) -> SourceFile {
        SourceFile {
            path: self.path,
            sha256: format!("{:x}", self.hasher.finalize()),
        }
    }

    fn read_line(&mut self) -> Result<bool, DataError> {
        self.buffer.clear();
        let read = Read::take(&mut self.reader, self.longest + 1)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| DataError::unreadable(&self.path, &error))?;
        self.line += usize::from(read > 0);
        if read as u64 > self.longest {
            let what = format!("longer than {} bytes; is this a JSON Lines file?", self.longest);
            return Err(DataError::line(&self.path, self.line, what));
        }
        self.hasher.update(&self.buffer);
        Ok(read > 0)
    }
}

/// Reads every record of a file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(Vec<Record<T>>, SourceFile), DataError> {
    let mut lines = JsonLines::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = lines.next()? {
        records.push(record);
    }
    Ok((records, lines.into_source_file()))
}

/// An id, which some files hold as text and others as a whole number. `None` for anything else.
pub fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) if id.is_i64() || id.is_u64() => Some(id.to_string()),
        _ => None,
    }
}

/// serde_json's words with the column only: to it every line is line 1.
fn fault(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "cut off in the middle of an object; copy the file again or delete the line".to_owned();
    }
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or(&words);
    format!("{words} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Object = BTreeMap<String, String>;

    fn write(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn byte_order_mark_crlf_and_blank_lines_are_tolerated() {
        let (_folder, path) = write(b"\xEF\xBB\xBF{\"a\": \"1\"}\r\n\r\n   \n{\"a\": \"2\"}\r\n{\"a\": \"3\"}");
        let (records, file) = read::<Object>(&path).unwrap();
        let seen: Vec<(usize, &str)> = records.iter().map(|r| (r.line, r.value["a"].as_str())).collect();
        assert_eq!(seen, [(1, "1"), (4, "2"), (5, "3")]);
        assert_eq!(file.path, path);
    }

    #[test]
    fn the_hash_is_that_of_the_whole_file() {
        let (_folder, path) = write(b"");
        let (records, file) = read::<Object>(&path).unwrap();
        assert!(records.is_empty());
        assert_eq!(
            file.sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let (_folder, path) = write(b"\xEF\xBB\xBF{}\r\n\n");
        let expected = format!("{:x}", Sha256::digest(b"\xEF\xBB\xBF{}\r\n\n"));
        assert_eq!(read::<Object>(&path).unwrap().1.sha256, expected);
    }

    #[test]
    fn faults_name_file_line_and_column() {
        let cases: &[(&[u8], &str)] = &[
            (
                b"{\"a\": \"1\"}\n{\"a\": 2}\n",
                "line 2: invalid type: integer `2`, expected a string at column 7",
            ),
            (b"{}\n\n[1]\n", "line 3: not a JSON object"),
            (
                b"{\"a\": \"1\n",
                "line 1: cut off in the middle of an object; copy the file again or delete the line",
            ),
            (b"{} {}\n", "line 1: trailing characters at column 4"),
            (b"{\"a\": \"\xFF\"}\n", "line 1: invalid unicode code point at column 8"),
            (b"{'a': 1}\n", "line 1: key must be a string at column 2"),
        ];
        for (content, expected) in cases {
            let (_folder, path) = write(content);
            let error = read::<Object>(&path).unwrap_err().to_string();
            assert_eq!(error, format!("`{}`, {expected}", path.display()));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let (_folder, path) = write(&[b'{'; 4096]);
        let mut lines = JsonLines::open(&path).unwrap();
        lines.longest = 100;
        let error = lines.next::<Object>().unwrap_err().to_string();
        assert!(
            error.ends_with("line 1: longer than 100 bytes; is this a JSON Lines file?"),
            "{error}"
        );
        assert!(lines.buffer.capacity() < 1024);
    }

    #[test]
    fn an_absent_file_is_named() {
        let error = read::<Object>(Path::new("/nonexistent/x.jsonl"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot read `/nonexistent/x.jsonl`: "), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec(any::<String>(), 0..20), crlf: bool) {
            let end = if crlf { "\r\n" } else { "\n" };
            let content: String = texts.iter().map(|t| format!("{}{end}", serde_json::json!({ "a": t }))).collect();
            let (_folder, path) = write(content.as_bytes());
            let (records, _) = read::<Object>(&path).unwrap();
            let read: Vec<String> = records.into_iter().map(|record| record.value["a"].clone()).collect();
            prop_assert_eq!(read, texts);
        }

        #[test]
        fn no_bytes_make_it_panic(content: Vec<u8>) {
            let (_folder, path) = write(&content);
            let _ = read::<Object>(&path);
        }
    }
}
