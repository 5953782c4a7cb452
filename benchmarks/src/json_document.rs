//! A JSON file that is one document, read as a stream: whole, record by record of its array, or member by member of
//! its object. VQAv2's annotations have 170 MB and more, GQA's largest question files gigabytes.
//!
//! A byte-order mark is tolerated. What no such file holds is refused before it fills the memory.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::de::IoRead;
use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;

/// The largest file that is read whole, in bytes.
const LARGEST_WHOLE: u64 = 1 << 30;

/// The longest stretch without a `"`, in bytes: a text that is longer is none of a benchmark's.
const LONGEST_TEXT: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A file whose SHA-256 is taken while it is read, and whose texts have an end.
#[derive(Debug)]
struct Source {
    file: File,
    hasher: Sha256,
    longest_text: u64,
    /// Bytes since the last `"`.
    text: u64,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.hasher.update(bytes);
        let after_quote = bytes.iter().rev().position(|byte| *byte == b'"');
        self.text = after_quote.map_or(self.text + read as u64, |after| after as u64);
        if self.text > self.longest_text {
            let what = format!("more than {} bytes without a `\"`; is this JSON?", self.longest_text);
            return Err(io::Error::other(what));
        }
        Ok(read)
    }
}

/// Reads the document at `path` whole.
///
/// # Errors
///
/// A file that cannot be read, is too large, is no JSON, or has not the form of `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, SourceFile), DataError> {
    let size = std::fs::metadata(path).map_err(|error| DataError::unreadable(path, &error))?;
    if size.len() > LARGEST_WHOLE {
        return Err(DataError::File {
            path: path.to_owned(),
            what: format!("larger than {LARGEST_WHOLE} bytes; no file of this kind is"),
        });
    }
    stream(path, LONGEST_TEXT, |json| T::deserialize(json))
}

/// Hands each record of the array at `path` to `each`, with its number from 1.
///
/// # Errors
///
/// As [`read`], whatever the size, and the first fault that `each` finds.
pub fn elements<T: DeserializeOwned>(
    path: &Path,
    each: impl FnMut(usize, T) -> Result<(), DataError>,
) -> Result<SourceFile, DataError> {
    let mut stopped = None;
    let elements = Elements {
        each,
        stopped: &mut stopped,
        record: PhantomData,
    };
    let done = stream(path, LONGEST_TEXT, |json| json.deserialize_seq(elements));
    stopped.map_or(done.map(|((), file)| file), Err)
}

/// Hands each name and record of the object at `path` to `each`.
///
/// # Errors
///
/// As [`elements`].
pub fn members<T: DeserializeOwned>(
    path: &Path,
    each: impl FnMut(String, T) -> Result<(), DataError>,
) -> Result<SourceFile, DataError> {
    let mut stopped = None;
    let members = Members {
        each,
        stopped: &mut stopped,
        record: PhantomData,
    };
    let done = stream(path, LONGEST_TEXT, |json| json.deserialize_map(members));
    stopped.map_or(done.map(|((), file)| file), Err)
}

/// Runs `take` on the one document in the file.
fn stream<T>(
    path: &Path,
    longest_text: u64,
    take: impl FnOnce(&mut Deserializer<IoRead<&mut BufReader<Source>>>) -> serde_json::Result<T>,
) -> Result<(T, SourceFile), DataError> {
    let unreadable = |error| DataError::unreadable(path, &error);
    let source = Source {
        file: File::open(path).map_err(unreadable)?,
        hasher: Sha256::new(),
        longest_text,
        text: 0,
    };
    let mut reader = BufReader::with_capacity(1 << 18, source);
    if reader.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut document = Deserializer::from_reader(&mut reader);
    let value = take(&mut document).and_then(|value| document.end().map(|()| value));
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
        let (line, column) = (error.line(), error.column());
        format!("cut off in the middle, at line {line} column {column}; copy the file again")
    } else {
        error.to_string()
    };
    DataError::File {
        path: path.to_owned(),
        what,
    }
}

/// Hands an array's records on as they come. What `each` refuses goes past serde, which carries texts only.
struct Elements<'a, T, F> {
    each: F,
    stopped: &'a mut Option<DataError>,
    record: PhantomData<T>,
}

impl<'de, T, F> Visitor<'de> for Elements<'_, T, F>
where
    T: DeserializeOwned,
    F: FnMut(usize, T) -> Result<(), DataError>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(record) = array.next_element()? {
            number += 1;
            if let Err(fault) = (self.each)(number, record) {
                *self.stopped = Some(fault);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// As [`Elements`], an object's members.
struct Members<'a, T, F> {
    each: F,
    stopped: &'a mut Option<DataError>,
    record: PhantomData<T>,
}

impl<'de, T, F> Visitor<'de> for Members<'_, T, F>
where
    T: DeserializeOwned,
    F: FnMut(String, T) -> Result<(), DataError>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of records by id")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((name, record)) = object.next_entry()? {
            if let Err(fault) = (self.each)(name, record) {
                *self.stopped = Some(fault);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    type Document = HashMap<String, Vec<u32>>;

    /// Runs `read` on a file with that content; messages name it `FILE`.
    fn on<T>(content: &[u8], read: impl FnOnce(&Path) -> Result<T, DataError>) -> Result<T, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, content).unwrap();
        read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    fn document(content: &[u8]) -> Result<(Document, SourceFile), String> {
        on(content, read)
    }

    /// Numbers of an array; 13 is refused.
    fn numbers(content: &[u8]) -> Result<(Vec<(usize, u64)>, String), String> {
        on(content, |path| {
            let mut found = Vec::new();
            let file = elements(path, |number, value: u64| {
                found.push((number, value));
                refuse_13(path, value)
            })?;
            Ok((found, file.sha256))
        })
    }

    /// Numbers of an object; 13 is refused.
    fn named(content: &[u8]) -> Result<(Vec<(String, u64)>, String), String> {
        on(content, |path| {
            let mut found = Vec::new();
            let file = members(path, |name, value: u64| {
                found.push((name, value));
                refuse_13(path, value)
            })?;
            Ok((found, file.sha256))
        })
    }

    fn refuse_13(path: &Path, value: u64) -> Result<(), DataError> {
        match value {
            13 => Err(DataError::line(path, 1, "not 13; take 12")),
            _ => Ok(()),
        }
    }

    fn hash(content: &[u8]) -> String {
        format!("{:x}", Sha256::digest(content))
    }

    #[test]
    fn a_document_is_read_and_hashed_whole() {
        let content = b"\xEF\xBB\xBF{\"a\": [1,\n2]}\r\n\n";
        let (value, file) = document(content).unwrap();
        assert_eq!((value["a"].as_slice(), file.sha256), (&[1, 2][..], hash(content)));
        let long = format!("{{\"a\": [{}1]}}   ", "7, ".repeat(200_000));
        let (value, file) = document(long.as_bytes()).unwrap();
        assert_eq!((value["a"].len(), file.sha256), (200_001, hash(long.as_bytes())));
    }

    #[test]
    fn records_come_in_file_order_with_the_hash_of_the_whole() {
        let content = b"\xEF\xBB\xBF{\"b\": 1,\n \"a\": 2, \"b\": 3}\n\n";
        let expected = [("b", 1), ("a", 2), ("b", 3)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(named(content), Ok((expected.to_vec(), hash(content))));
        let content = b"[5,\n 7]\n";
        assert_eq!(numbers(content), Ok((vec![(1, 5), (2, 7)], hash(content))));
        assert_eq!(numbers(b"[]").unwrap().0, []);
    }

    #[test]
    fn faults_name_the_place() {
        let cut = "`FILE`: cut off in the middle, at line ";
        let cases: [(&[u8], &str); 5] = [
            (b"", cut),
            (
                b"{\"a\": [1",
                "`FILE`: cut off in the middle, at line 1 column 8; copy the file again",
            ),
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
        let cases: [(&[u8], &str); 4] = [
            (b"{\"a\": 1", cut),
            (
                b"[1]",
                "`FILE`: invalid type: sequence, expected an object of records by id at line 1",
            ),
            (b"{\"a\": 1}\n{}", "`FILE`: trailing characters at line 2"),
            (b"{\"a\": 1,\n\"b\": 13, \"c\": 1}", "`FILE`, line 1: not 13; take 12"),
        ];
        for (content, expected) in cases {
            let error = named(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(numbers(b"[1, 13, 2]").unwrap_err(), "`FILE`, line 1: not 13; take 12");
        assert!(numbers(b"[1, 2").unwrap_err().starts_with(cut));
    }

    #[test]
    fn a_text_without_end_is_refused_before_it_fills_the_memory() {
        let read = |content: &str| {
            on(content.as_bytes(), |path| {
                stream(path, 1000, |json| String::deserialize(json))
            })
        };
        assert_eq!(read(&format!("\"{}\"", "a".repeat(900))).unwrap().0.len(), 900);
        let error = read(&format!("\"{}", "a".repeat(1 << 19))).unwrap_err();
        assert_eq!(
            error,
            "cannot read `FILE`: more than 1000 bytes without a `\"`; is this JSON?"
        );
    }

    #[test]
    fn a_file_that_no_benchmark_has_is_not_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        File::create(&path).unwrap().set_len(LARGEST_WHOLE + 1).unwrap();
        let error = read::<Document>(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("larger than 1073741824 bytes; no file of this kind is"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(content: Vec<u8>) {
            let _ = (document(&content), numbers(&content), named(&content));
        }
    }
}
