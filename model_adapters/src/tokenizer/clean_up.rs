//! The clean-up of spaces that transformers does behind decoding where `clean_up_tokenization_spaces` is true
//! (`prompting.md` section 5). It changes scored text: `a . b` becomes `a. b`.

/// What is replaced, in this order.
const REPLACEMENTS: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// `text` without the spaces that stand before punctuation and English contractions.
pub(super) fn clean_up(text: String) -> String {
    REPLACEMENTS
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_up_in_the_order_of_transformers() {
        let cases = [
            ("Yes ,", "Yes,"),
            ("a . b", "a. b"),
            ("is it ? no !", "is it? no!"),
            ("rock ' n ' roll", "rock'n'roll"),
            ("do n't I 'm it 's we 've they 're", "don't I'm it's we've they're"),
            ("  .", " ."),
            ("a ' s", "a's"),
        ];
        for (text, clean) in cases {
            assert_eq!(clean_up(text.to_owned()), clean, "{text}");
        }
    }
}
