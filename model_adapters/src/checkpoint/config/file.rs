//! A JSON object on disk whose values are asked for by key and type; every complaint names file and key.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::checkpoint::error::{CheckpointError, quoted};

/// Widths, counts and lengths above this are refused: products of two of them stay far from overflow.
const LARGEST_SIZE: u64 = 1 << 24;

/// One JSON object: a whole file, or an object inside it.
#[derive(Debug, Clone)]
pub(in crate::checkpoint) struct ConfigFile {
    path: PathBuf,
    /// The keys that lead here from the top of the file, each with a full stop behind it.
    inside: String,
    keys: Map<String, Value>,
}

impl ConfigFile {
    /// Reads the file; it must be there.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|error| CheckpointError::unreadable(path, &error))?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| CheckpointError::file(path, format!("is not JSON: {error}")))?;
        let Value::Object(keys) = value else {
            return Err(CheckpointError::file(
                path,
                format!("must hold a JSON object, not {}", kind_of(&value)),
            ));
        };
        Ok(Self {
            path: path.to_owned(),
            inside: String::new(),
            keys,
        })
    }

    /// An object that a published file would hold, in the place of one that is not there; complaints name `path`.
    pub fn published(path: &Path, value: Value) -> Self {
        let keys = match value {
            Value::Object(keys) => keys,
            _ => Map::new(),
        };
        Self {
            path: path.to_owned(),
            inside: String::new(),
            keys,
        }
    }

    /// Reads the file if it is there.
    pub fn read_if_present(path: &Path) -> Result<Option<Self>, CheckpointError> {
        match Self::read(path) {
            Err(CheckpointError::Unreadable { .. }) if is_absent(path) => Ok(None),
            read => read.map(Some),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about this file.
    pub fn fault(&self, what: impl Into<String>) -> CheckpointError {
        CheckpointError::file(&self.path, what)
    }

    /// An error about the value of `key`.
    pub fn fault_at(&self, key: &str, what: impl AsRef<str>) -> CheckpointError {
        self.fault(format!("`{}{key}` {}", self.inside, what.as_ref()))
    }

    /// The error of a value that is known to exist but not supported, or not known at all.
    pub fn refused(&self, key: &str, value: &str, wanted: &str) -> CheckpointError {
        self.fault_at(key, format!("is {}: {wanted}", quoted(value)))
    }

    /// The whole object.
    pub fn json(&self) -> Value {
        Value::Object(self.keys.clone())
    }

    /// The value of `key`; null counts as absent, as it does in the references' configuration classes.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// The value that `read` finds at `key`; an error where there is none.
    pub fn required<'a, T>(
        &'a self,
        key: &str,
        read: impl FnOnce(&'a Self, &str) -> Result<Option<T>, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        read(self, key)?.ok_or_else(|| self.fault_at(key, "is missing"))
    }

    /// An object.
    pub fn object(&self, key: &str) -> Result<Option<Self>, CheckpointError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Value::Object(keys) = value else {
            return Err(self.wrong_type(key, "an object", value));
        };
        Ok(Some(Self {
            path: self.path.clone(),
            inside: format!("{}{key}.", self.inside),
            keys: keys.clone(),
        }))
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A whole number, negative or not.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, CheckpointError> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// A count, width or length: 1 to 2²⁴.
    pub fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let Some(number) = self.integer(key)? else {
            return Ok(None);
        };
        match u64::try_from(number)
            .ok()
            .filter(|number| (1..=LARGEST_SIZE).contains(number))
        {
            Some(size) => Ok(usize::try_from(size).ok()),
            None => Err(self.fault_at(key, format!("is {number}: must be 1 to {LARGEST_SIZE}"))),
        }
    }

    /// A positive number.
    pub fn positive(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        let Some(number) = self.typed(key, "a number", Value::as_f64)? else {
            return Ok(None);
        };
        if number > 0.0 && number.is_finite() {
            Ok(Some(number))
        } else {
            Err(self.fault_at(key, format!("is {number}: must be positive")))
        }
    }

    /// The strings of a list.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>, CheckpointError> {
        self.typed(key, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong_type(key, wanted, value)),
        }
    }

    /// The error of a value of another type than `wanted`.
    pub fn wrong_type(&self, key: &str, wanted: &str, value: &Value) -> CheckpointError {
        self.fault_at(key, format!("must be {wanted}, not {}", quoted(&value.to_string())))
    }
}

fn is_absent(path: &Path) -> bool {
    matches!(fs::metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
impl ConfigFile {
    /// The object `value` as if it had been read from `config.json`.
    pub fn of(value: Value) -> Self {
        let Value::Object(keys) = value else {
            panic!("not an object: {value}")
        };
        Self {
            path: PathBuf::from("config.json"),
            inside: String::new(),
            keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_values_are_named_with_file_and_key() {
        let file = ConfigFile::of(json!({
            "text": "a", "half": 0.5, "zero": 0, "minus": -2, "huge": 16_777_217, "list": [1], "inner": {"text": 1},
        }));
        let inner = file.object("inner").unwrap().unwrap();
        let cases = [
            (
                file.size("text").map(|_| ()),
                "`text` must be a whole number, not `\"a\"`",
            ),
            (
                file.size("half").map(|_| ()),
                "`half` must be a whole number, not `0.5`",
            ),
            (file.size("zero").map(|_| ()), "`zero` is 0: must be 1 to 16777216"),
            (file.size("minus").map(|_| ()), "`minus` is -2: must be 1 to 16777216"),
            (
                file.size("huge").map(|_| ()),
                "`huge` is 16777217: must be 1 to 16777216",
            ),
            (file.positive("zero").map(|_| ()), "`zero` is 0: must be positive"),
            (
                file.positive("text").map(|_| ()),
                "`text` must be a number, not `\"a\"`",
            ),
            (file.flag("zero").map(|_| ()), "`zero` must be true or false, not `0`"),
            (
                file.strings("list").map(|_| ()),
                "`list` must be a list of strings, not `[1]`",
            ),
            (file.object("text").map(|_| ()), "`text` must be an object, not `\"a\"`"),
            (
                inner.string("text").map(|_| ()),
                "`inner.text` must be a string, not `1`",
            ),
            (
                inner.required("width", ConfigFile::size).map(|_| ()),
                "`inner.width` is missing",
            ),
        ];
        for (outcome, wanted) in cases {
            assert_eq!(outcome.unwrap_err().to_string(), format!("`config.json`: {wanted}"));
        }
    }

    #[test]
    fn null_counts_as_absent() {
        let file = ConfigFile::of(json!({"scaling": null, "minus": -2}));
        assert!(file.object("scaling").unwrap().is_none());
        assert_eq!(file.size("scaling").unwrap(), None);
        assert_eq!(file.integer("minus").unwrap(), Some(-2));
    }
}
