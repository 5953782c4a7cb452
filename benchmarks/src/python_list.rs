//! Lists of strings as Python's `repr` writes them, `['a', "it's"]`, read as Python's own parser reads them.
//!
//! What Python would read and no file holds is refused: other elements than plain strings, adjacent strings without
//! a comma (one string to Python), characters by name, halves of surrogate pairs.

use std::str::Chars;

/// What may stand between the parts of a list.
const SPACE: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

/// The strings of a list.
///
/// # Errors
///
/// What is wrong, in words for a message.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_matches(SPACE);
    let mut rest = text
        .strip_prefix('[')
        .ok_or_else(|| format!("`{}` is no list", beginning(text)))?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches(SPACE);
        if let Some(after) = rest.strip_prefix(']') {
            return match after {
                "" => Ok(items),
                _ => Err(format!("`{}` after the end of the list", beginning(after))),
            };
        }
        let (item, after) = string(rest)?;
        items.push(item);
        rest = after.trim_start_matches(SPACE);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with(']') => {}
            None => return Err(format!("no comma or `]` after element {} of the list", items.len())),
        }
    }
}

/// The string that `text` begins with, and what comes after it.
fn string(text: &str) -> Result<(String, &str), String> {
    let mut chars = text.chars();
    let quote = chars.next().filter(|c| matches!(c, '\'' | '"'));
    let quote = quote.ok_or_else(|| format!("`{}` where the list should have a string", beginning(text)))?;
    let mut value = String::new();
    while let Some(c) = chars.next() {
        match c {
            _ if c == quote => return Ok((value, chars.as_str())),
            '\n' | '\r' => break,
            '\\' => escape(&mut chars, &mut value)?,
            _ => value.push(c),
        }
    }
    Err(format!("string `{}` of the list is not closed", beginning(text)))
}

/// Adds what the escape stands for whose backslash has been taken from `chars`.
fn escape(chars: &mut Chars<'_>, value: &mut String) -> Result<(), String> {
    let Some(kind) = chars.next() else {
        return Ok(());
    };
    let one = match kind {
        '\n' => return Ok(()),
        '\\' | '\'' | '"' => kind,
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => by_number(16, &digits(chars, 16, 2), 2)?,
        'u' => by_number(16, &digits(chars, 16, 4), 4)?,
        'U' => by_number(16, &digits(chars, 16, 8), 8)?,
        '0'..='7' => by_number(8, &format!("{kind}{}", digits(chars, 8, 2)), 1)?,
        'N' => return Err("a character by name, `\\N{…}`, in a string of the list".to_owned()),
        // Python leaves the backslash of an escape that it does not know.
        _ => {
            value.push('\\');
            kind
        }
    };
    value.push(one);
    Ok(())
}

/// Takes at most `most` digits from `chars`.
fn digits(chars: &mut Chars<'_>, radix: u32, most: usize) -> String {
    let ahead = chars.as_str().chars().take(most);
    let digits: String = ahead.take_while(|c| c.is_digit(radix)).collect();
    chars.by_ref().take(digits.len()).for_each(drop);
    digits
}

/// The character of that number, which must have `least` digits.
fn by_number(radix: u32, digits: &str, least: usize) -> Result<char, String> {
    let number = u32::from_str_radix(digits, radix).ok();
    let number = number.filter(|_| digits.len() >= least).and_then(char::from_u32);
    number.ok_or_else(|| format!("escape `{digits}` in a string of the list is no character"))
}

fn beginning(text: &str) -> String {
    text.chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `repr` of a list: single quotes unless a string holds them and no double ones.
    fn repr(items: &[String]) -> String {
        let of_item = |item: &String| {
            let single = !item.contains('\'') || item.contains('"');
            let quote = if single { '\'' } else { '"' };
            let mut text = String::from(quote);
            for c in item.chars() {
                match c {
                    '\\' => text += "\\\\",
                    '\n' => text += "\\n",
                    '\r' => text += "\\r",
                    '\t' => text += "\\t",
                    c if c == quote => text.extend(['\\', c]),
                    c if c.is_control() => text += &format!("\\x{:02x}", u32::from(c)),
                    '\u{2000}'..='\u{200f}' => text += &format!("\\u{:04x}", u32::from(c)),
                    '\u{e0000}'.. => text += &format!("\\U{:08x}", u32::from(c)),
                    c => text.push(c),
                }
            }
            text.push(quote);
            text
        };
        format!("[{}]", items.iter().map(of_item).collect::<Vec<_>>().join(", "))
    }

    /// The expected values are what Python 3.11's `ast.literal_eval` gives.
    #[test]
    fn lists_are_read_as_python_reads_them() {
        let cases: [(&str, &[&str]); 14] = [
            ("[]", &[]),
            ("['a', 'b']", &["a", "b"]),
            (" [ 'a' ,\n\t\"b\" , ]\n", &["a", "b"]),
            (
                r#"["it's", 'say "x"', 'both \' and "']"#,
                &["it's", "say \"x\"", "both ' and \""],
            ),
            ("['', ']', ',', '[', '\"']", &["", "]", ",", "[", "\""]),
            (r"['a\\n', 'a\n\t\r']", &["a\\n", "a\n\t\r"]),
            (r"['\a\b\f\v']", &["\x07\x08\x0c\x0b"]),
            (r"['\x41\xe9\u2019\U0001F600g']", &["A\u{e9}\u{2019}\u{1f600}g"]),
            (r"['\0', '\101B', '\1018', '\18']", &["\0", "AB", "A8", "\u{1}8"]),
            (r"['\777']", &["\u{1ff}"]),
            (r"['\d\q\ ']", &["\\d\\q\\ "]),
            ("['a\\\nb']", &["ab"]),
            ("['caf\u{e9} \u{4f60}']", &["caf\u{e9} \u{4f60}"]),
            (r"['\\\'']", &["\\'"]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_strings_is_named() {
        let cases = [
            ("", "`` is no list"),
            ("nan", "`nan` is no list"),
            ("[", "`` where the list should have a string"),
            ("['a'", "no comma or `]` after element 1"),
            ("['a' 'b']", "no comma or `]` after element 1"),
            ("['''a''']", "no comma or `]` after element 1"),
            ("['a'] + ['b']", "` + ['b']` after the end of the list"),
            ("[,]", "`,]` where the list should have a string"),
            ("['a',,'b']", "`,'b']` where the list should have a string"),
            ("[1, 2]", "`1, 2]` where the list should have a string"),
            ("[u'a']", "`u'a']` where the list should have a string"),
            ("['a]", "string `'a]` of the list is not closed"),
            ("['a\nb']", "is not closed"),
            ("['a\\']", "is not closed"),
            ("['a\\", "is not closed"),
            (r"['\x4']", "escape `4` in a string"),
            (r"['\u+041']", "escape `` in a string"),
            (r"['\ud83d\ude00']", "escape `d83d` in a string"),
            (r"['\U00110000']", "escape `00110000` in a string"),
            (r"['\N{DASH}']", "a character by name"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_list_comes_back(items: Vec<String>) {
            prop_assert_eq!(parse(&repr(&items)), Ok(items));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, inner in r#"[\[\]'\\"xuUN0-9a, ]*"#) {
            let _ = parse(&text);
            let _ = parse(&format!("[{inner}]"));
        }
    }
}
