//! The steps from which the VQA-style answer normalisers are made (`vqa-normalisation.json`, `steps`).

use crate::python_text::is_decimal;

/// The punctuation of the pass, in its order.
const PUNCTUATION: [char; 21] = [
    ';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!',
];

/// How many full stops the scorers delete: `re.UNICODE`, which is 32, stands where the count belongs.
const MOST_STOPS: usize = 32;

/// The punctuation pass of GT-Vision-Lab/VQA's `vqaEval.py` and its copies. A mark that stands beside a space
/// anywhere in the text is deleted everywhere, any other becomes a space; a comma between two digits anywhere
/// makes every mark deleted. The tests always look at the text as it came in.
pub fn punctuation_pass(text: &str) -> String {
    let deletes_all = has_digit_comma_digit(text);
    let deleted =
        PUNCTUATION.map(|mark| deletes_all || text.contains(&format!("{mark} ")) || text.contains(&format!(" {mark}")));
    text.chars()
        .filter_map(
            |c| match PUNCTUATION.iter().zip(deleted).find(|(mark, _)| **mark == c) {
                Some((_, true)) => None,
                Some((_, false)) => Some(' '),
                None => Some(c),
            },
        )
        .collect()
}

/// VLMEvalKit's `(?<!\d)\.(?!\d)`: deletes full stops with no digit on either side, the first 32 of them.
pub fn delete_lone_stops(text: &str) -> String {
    let mut left = MOST_STOPS;
    let mut before = None;
    let mut chars = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let beside_digit = before.is_some_and(is_decimal) || chars.peek().is_some_and(|c| is_decimal(*c));
        if c == '.' && !beside_digit && left > 0 {
            left -= 1;
        } else {
            kept.push(c);
        }
        before = Some(c);
    }
    kept
}

/// `(\d)(,)(\d)`
fn has_digit_comma_digit(text: &str) -> bool {
    text.match_indices(',').any(|(at, comma)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + comma.len()..).and_then(|tail| tail.chars().next());
        before.is_some_and(is_decimal) && after.is_some_and(is_decimal)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_deleted_or_become_spaces() {
        let cases = [
            ("no!", "no "),
            ("no! yes", "no yes"),
            ("a-b - c-d", "ab  cd"),
            ("no,yes", "no yes"),
            ("1,000 no!", "1000 no"),
            ("1,a no!", "1 a no "),
            ("٣,٤!", "٣٤"),
            ("no\t!", "no\t "),
            ("it's 50%", "it's 50%"),
        ];
        for (text, expected) in cases {
            assert_eq!(punctuation_pass(text), expected, "{text}");
        }
    }

    #[test]
    fn lone_stops_go_and_decimal_points_stay() {
        let cases = [("no.", "no"), ("1.5", "1.5"), ("1. .5 a.b", "1. .5 ab"), ("..", "")];
        for (text, expected) in cases {
            assert_eq!(delete_lone_stops(text), expected, "{text}");
        }
        assert_eq!(delete_lone_stops(&".".repeat(40)), ".".repeat(8));
    }

    proptest! {
        #[test]
        fn text_without_marks_is_kept(text in "[a-z0-9' \n]*") {
            prop_assert_eq!(punctuation_pass(&text), text.clone());
            prop_assert_eq!(delete_lone_stops(&text), text);
        }
    }
}
