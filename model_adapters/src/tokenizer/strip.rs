//! White space as Python's `str.strip` sees it.

/// Unicode white space and the four separators U+001C to U+001F, which Rust leaves out.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&letter)
}

/// `text` without white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_python_strips() {
        let cases = [
            ("\u{1C}\u{1D}\u{1E}\u{1F}a b\u{1F}", "a b"),
            ("\u{85}\u{A0}\u{3000}a\u{2028}\t\n", "a"),
            ("\u{200B}a\u{FEFF}", "\u{200B}a\u{FEFF}"),
            ("\u{1B}a\0", "\u{1B}a\0"),
            (" \u{1F} ", ""),
        ];
        for (text, stripped) in cases {
            assert_eq!(trim(text), stripped, "{text:?}");
        }
    }
}
