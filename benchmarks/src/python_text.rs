//! Text as Python 3 sees it, where the reference scorers depend on it and Rust differs.
//!
//! Both tables were made with Python 3.11 (Unicode 14): `str.isspace` and `unicodedata.category(c) == 'Nd'`.

/// The zeros of Unicode's decimal digits; the nine code points after each are its 1 to 9.
const ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
    0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50,
    0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950,
    0x1FBF0,
];

/// What `str.split()` and `str.strip()` take for white space: the Unicode property and the four separators
/// U+001C to U+001F.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text.strip()`
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text.split()`
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// `text.capitalize()`: the first character in title case, the rest lower-cased. Exact but for `ŉ` and Greek letters
/// with iota subscript at the start, whose title case Rust does not know.
pub fn capitalize(text: &str) -> String {
    let Some(first) = text.chars().next() else {
        return String::new();
    };
    let lower = text.to_lowercase();
    let rest = lower
        .get(first.to_lowercase().map(char::len_utf8).sum()..)
        .unwrap_or_default();
    match first {
        'Ǆ'..='ǆ' => format!("ǅ{rest}"),
        'Ǉ'..='ǉ' => format!("ǈ{rest}"),
        'Ǌ'..='ǌ' => format!("ǋ{rest}"),
        'Ǳ'..='ǳ' => format!("ǲ{rest}"),
        // Georgian has capitals and yet no title case.
        'ა'..='ჺ' | 'ჽ'..='ჿ' => format!("{first}{rest}"),
        _ => {
            let mut title = first.to_uppercase();
            let head = title.next().unwrap_or(first);
            let tail: String = title.flat_map(char::to_lowercase).collect();
            format!("{head}{tail}{rest}")
        }
    }
}

/// `\d` of a text pattern: general category Nd, which is less than [`char::is_numeric`].
pub fn is_decimal(c: char) -> bool {
    let code = u32::from(c);
    let following = ZEROS.partition_point(|zero| *zero <= code);
    following
        .checked_sub(1)
        .and_then(|nearest| ZEROS.get(nearest))
        .is_some_and(|zero| code - zero < 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_pythons() {
        // vqa-normalisation.json, `whitespace`.
        let spaces = (0x09..=0x0D)
            .chain(0x1C..=0x20)
            .chain([0x85, 0xA0, 0x1680])
            .chain(0x2000..=0x200A)
            .chain([0x2028, 0x2029, 0x202F, 0x205F, 0x3000]);
        let expected: Vec<char> = spaces.filter_map(char::from_u32).collect();
        let found: Vec<char> = ('\0'..=char::MAX).filter(|c| is_space(*c)).collect();
        assert_eq!(found, expected);
        assert_eq!(strip("\u{1c} a b\u{a0}\n"), "a b");
        assert_eq!(split(" a\u{1f}\tb\u{a0}").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn capitalize_is_pythons() {
        // Python 3.11.
        let cases = [
            ("", ""),
            ("what is IBM's?", "What is ibm's?"),
            (" what", " what"),
            ("İSTANBUL", "İstanbul"),
            ("ßtraße", "Sstraße"),
            ("éCOLE ", "École "),
            ("ΟΔΟΣ", "Οδος"),
            ("ﬁX", "Fix"),
            ("ǆX", "ǅx"),
            ("აX", "აx"),
            ("9A", "9a"),
        ];
        for (text, expected) in cases {
            assert_eq!(capitalize(text), expected, "{text}");
        }
    }

    #[test]
    fn decimal_digits_are_category_nd() {
        assert!(ZEROS.is_sorted());
        let cases = [("0123456789", true), ("٠٩０９𝟎𝟿", true), ("/:a²½Ⅷ①〇", false)];
        for (text, expected) in cases {
            for c in text.chars() {
                assert_eq!(is_decimal(c), expected, "{c}");
            }
        }
        assert_eq!(('\0'..=char::MAX).filter(|c| is_decimal(*c)).count(), 660);
        assert!(('\0'..=char::MAX).filter(|c| is_decimal(*c)).all(char::is_numeric));
    }
}
