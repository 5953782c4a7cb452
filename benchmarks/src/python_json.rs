//! JSON as Python's `json.dump` writes it, in which LLaVA's converters leave their files: `", "` and `": "` between
//! the parts, everything outside printable ASCII escaped, no final newline.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::error::DataError;

/// `indent` of `json.dump`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indent {
    /// `indent=None`: one line.
    None,
    /// `indent=2`: a line for each member.
    Two,
    /// `indent=4`.
    Four,
}

/// The bytes of `value`, read back and compared before they are returned.
///
/// # Errors
///
/// [`DataError::Unfaithful`] where they read back as anything else.
pub fn dump<T: Serialize + DeserializeOwned + PartialEq>(value: &T, indent: Indent) -> Result<Vec<u8>, DataError> {
    let ours = |error: serde_json::Error| DataError::Unfaithful(error.to_string());
    let mut bytes = Vec::new();
    let formatter = Python {
        indent,
        depth: 0,
        filled: false,
    };
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        .map_err(ours)?;
    let read: T = serde_json::from_slice(&bytes).map_err(ours)?;
    if read != *value {
        return Err(DataError::Unfaithful("the JSON holds other values".to_owned()));
    }
    Ok(bytes)
}

struct Python {
    indent: Indent,
    depth: usize,
    /// Whether the array or object that ends next has a member.
    filled: bool,
}

impl Python {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.filled && self.indent != Indent::None {
            self.new_line(out)?;
        }
        out.write_all(bracket)
    }

    fn member<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        match self.indent {
            Indent::None if first => Ok(()),
            Indent::None => out.write_all(b" "),
            Indent::Two | Indent::Four => self.new_line(out),
        }
    }

    fn new_line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        out.write_all(b"\n")?;
        let step: &[u8] = if self.indent == Indent::Four { b"    " } else { b"  " };
        (0..self.depth).try_for_each(|_| out.write_all(step))
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.member(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.member(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    /// `repr`: as Rust's own but for at least two digits in an exponent, and its sign.
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        let text = format!("{value:?}");
        match text.split_once('e') {
            Some((digits, exponent)) => match exponent.strip_prefix('-') {
                Some(exponent) => write!(out, "{digits}e-{exponent:0>2}"),
                None => write!(out, "{digits}e+{exponent:0>2}"),
            },
            None => write!(out, "{text}"),
        }
    }

    /// `ensure_ascii`, which escapes U+007F too; serde_json itself escapes quotes, backslashes and what is below the
    /// space as Python does.
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                write!(out, "{c}")?;
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn text(value: &Value, indent: Indent) -> String {
        String::from_utf8(dump(value, indent).unwrap()).unwrap()
    }

    /// Expected: Python 3.11, `json.dumps(value)` and `json.dumps(value, indent=2)`.
    #[test]
    fn json_is_pythons() {
        let cases = [
            (json!([]), "[]", "[]"),
            (json!({}), "{}", "{}"),
            (
                json!([{"a": 1, "b": [true, null]}, {}]),
                "[{\"a\": 1, \"b\": [true, null]}, {}]",
                "[\n  {\n    \"a\": 1,\n    \"b\": [\n      true,\n      null\n    ]\n  },\n  {}\n]",
            ),
            (
                json!([0.1, -0.0, 1e-4, 1e-5, 1.5e-7, 1e15, 1e16, 1.25e100]),
                "[0.1, -0.0, 0.0001, 1e-05, 1.5e-07, 1000000000000000.0, 1e+16, 1.25e+100]",
                "[\n  0.1,\n  -0.0,\n  0.0001,\n  1e-05,\n  1.5e-07,\n  1000000000000000.0,\n  1e+16,\n  1.25e+100\n]",
            ),
            (
                json!(["\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é\u{2028}😀"]),
                r#"["\"\\/\b\f\n\r\t\u0001\u001f\u007f\u00e9\u2028\ud83d\ude00"]"#,
                "[\n  \"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u00e9\\u2028\\ud83d\\ude00\"\n]",
            ),
        ];
        for (value, one_line, indented) in cases {
            assert_eq!(text(&value, Indent::None), one_line);
            assert_eq!(text(&value, Indent::Two), indented);
            assert_eq!(text(&value, Indent::Four), indented.replace("  ", "    "));
        }
    }

    #[test]
    fn what_reads_back_otherwise_is_refused() {
        // No JSON text stands for it.
        let error = dump(&vec![f64::NAN], Indent::None).unwrap_err();
        assert!(matches!(error, DataError::Unfaithful(_)), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_ascii_and_reads_back(texts: BTreeMap<String, Vec<String>>) {
            for indent in [Indent::None, Indent::Two, Indent::Four] {
                let bytes = dump(&texts, indent).unwrap();
                prop_assert!(bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
                prop_assert_eq!(&serde_json::from_slice::<BTreeMap<String, Vec<String>>>(&bytes).unwrap(), &texts);
            }
        }
    }
}
