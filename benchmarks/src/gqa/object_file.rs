//! A JSON file that is one object of records by id, read record by record: GQA's largest holds gigabytes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::benchmark::SourceFile;
use crate::error::DataError;

/// Hands every id and record of the file at `path` to `each`, whose fault is reported with its place.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    each: impl FnMut(String, T) -> Result<(), String>,
) -> Result<SourceFile, DataError> {
    let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
    let mut reader = Hashed {
        file,
        hasher: Sha256::new(),
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 20, &mut reader));
    let visitor = Records {
        each,
        record: PhantomData,
    };
    json.deserialize_map(visitor)
        .and_then(|()| json.end())
        .map_err(|error| DataError::File {
            path: path.to_owned(),
            what: if error.is_eof() {
                "cut off in the middle of the object; copy the file again".to_owned()
            } else {
                error.to_string()
            },
        })?;
    Ok(SourceFile {
        path: path.to_owned(),
        sha256: format!("{:x}", reader.hasher.finalize()),
    })
}

/// The files of the object called `stem`: `<stem>.json`, or where it is too large for one, `<stem>/<stem>_*.json`.
pub(super) fn parts(folder: &Path, stem: &str) -> Option<Vec<PathBuf>> {
    let whole = folder.join(format!("{stem}.json"));
    if whole.is_file() {
        return Some(vec![whole]);
    }
    let folder = folder.join(stem);
    let entries = std::fs::read_dir(&folder).into_iter().flatten();
    let mut parts: Vec<(Option<usize>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let part = name.strip_prefix(stem)?.strip_prefix('_')?.strip_suffix(".json")?;
            Some((part.parse().ok(), folder.join(&name)))
        })
        .collect();
    parts.sort();
    (!parts.is_empty()).then(|| parts.into_iter().map(|(_, path)| path).collect())
}

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

struct Records<T, F> {
    each: F,
    record: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: FnMut(String, T) -> Result<(), String>> Visitor<'de> for Records<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of records by question id")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((id, record)) = map.next_entry()? {
            (self.each)(id, record).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn read_text(content: &[u8]) -> Result<(Vec<(String, u64)>, String), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.json");
        fs::write(&path, content).unwrap();
        let mut found = Vec::new();
        let each = |id, number| {
            found.push((id, number));
            if number == 13 { Err("not 13".to_owned()) } else { Ok(()) }
        };
        let file = read::<u64>(&path, each).map_err(|error| error.to_string());
        let file = file.map_err(|error| error.replace(&path.display().to_string(), "FILE"))?;
        Ok((found, file.sha256))
    }

    #[test]
    fn records_come_in_file_order_with_the_hash_of_the_whole() {
        let content = b"{\"b\": 1,\n \"a\": 2, \"b\": 3}\n\n";
        let (found, hash) = read_text(content).unwrap();
        assert_eq!(found, [("b", 1), ("a", 2), ("b", 3)].map(|(id, n)| (id.to_owned(), n)));
        assert_eq!(hash, format!("{:x}", Sha256::digest(content)));
    }

    #[test]
    fn faults_are_one_line_with_their_place() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "`FILE`: cut off in the middle of the object; copy the file again"),
            (
                b"{\"a\": 1",
                "`FILE`: cut off in the middle of the object; copy the file again",
            ),
            (
                b"[1]",
                "`FILE`: invalid type: sequence, expected an object of records by question id at line 1",
            ),
            (b"{\"a\": 1}\n{}", "`FILE`: trailing characters at line 2"),
            (
                b"{\"a\": \"x\"}",
                "`FILE`: invalid type: string \"x\", expected u64 at line 1 column 9",
            ),
            (b"{\"a\": 1,\n\"b\": 13}", "`FILE`: not 13 at line 2"),
        ];
        for (content, expected) in cases {
            let error = read_text(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_large_object_may_be_a_folder_of_numbered_parts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(parts(folder.path(), "train"), None);
        let place = folder.path().join("train");
        fs::create_dir(&place).unwrap();
        assert_eq!(parts(folder.path(), "train"), None);
        for name in ["train_10.json", "train_2.json", "val_0.json", "train_0.txt"] {
            fs::write(place.join(name), "{}").unwrap();
        }
        let found = [place.join("train_2.json"), place.join("train_10.json")];
        assert_eq!(parts(folder.path(), "train").as_deref(), Some(&found[..]));
        let whole = folder.path().join("train.json");
        fs::write(&whole, "{}").unwrap();
        assert_eq!(parts(folder.path(), "train"), Some(vec![whole]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(content: Vec<u8>) {
            let _ = read_text(&content);
        }
    }
}
