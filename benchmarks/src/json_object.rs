//! A file that is one JSON object from ids to values, in the order in which it stands there.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;

/// The members of an object in file order; a name may stand there twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Members<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or_default());
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// Reads the file; `expected` says in words what it should hold.
pub fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<(Vec<(String, T)>, SourceFile), DataError> {
    let read = json_document::read::<Members<T>>(path);
    let (Members(members), file) = read.map_err(|error| match error {
        DataError::File { path, what } => DataError::File {
            path,
            what: format!("expected {expected}: {what}"),
        },
        other => other,
    })?;
    Ok((members, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(content: &str) -> Result<Vec<(String, u8)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object.json");
        std::fs::write(&path, content).unwrap();
        let members = read(&path, "numbers by id");
        members
            .map(|(members, _)| members)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn order_and_repetition_are_kept() {
        let expected = [("b", 1), ("a", 2), ("b", 3)].map(|(id, n)| (id.to_owned(), n));
        assert_eq!(read_text("\u{feff}{\"b\": 1, \"a\": 2, \"b\": 3}").unwrap(), expected);
    }

    #[test]
    fn faults_say_what_was_expected_and_where() {
        let cases = [
            (
                "[1]",
                "`FILE`: expected numbers by id: invalid type: sequence, expected an object at line 1",
            ),
            (
                "{\"a\": 1}\n{\"b\": 2}",
                "`FILE`: expected numbers by id: trailing characters at line 2 column 1",
            ),
            (
                "{\"a\": 1",
                "`FILE`: expected numbers by id: cut off in the middle, at line 1 column 7",
            ),
        ];
        for (content, expected) in cases {
            let error = read_text(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
