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
    replace_marks(text, |text| has_commas_in_number(text, false))
}

/// The same pass with lmms-eval's comma test `(?<=\d)(\,)+(?=\d)`, which takes several commas in a row.
pub fn punctuation_pass_of_lmms_eval(text: &str) -> String {
    replace_marks(text, |text| has_commas_in_number(text, true))
}

fn replace_marks(text: &str, deletes_all: impl Fn(&str) -> bool) -> String {
    let position = |byte: u8| PUNCTUATION.iter().position(|mark| *mark as u32 == u32::from(byte));
    if !text.bytes().any(|byte| position(byte).is_some()) {
        return text.to_owned();
    }
    let mut deleted = [deletes_all(text); PUNCTUATION.len()];
    for pair in text.as_bytes().windows(2) {
        let mark = match pair {
            [mark, b' '] | [b' ', mark] => position(*mark),
            _ => None,
        };
        if let Some(deleted) = mark.and_then(|mark| deleted.get_mut(mark)) {
            *deleted = true;
        }
    }
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

/// The scorers' `(?!<=\d)(\.)(?!\d)`: deletes full stops that no digit follows, the first 32 of them. The group
/// before the stop is a misspelt look-behind that always succeeds, so `3.` becomes `3`.
pub fn delete_stops(text: &str) -> String {
    delete_stops_where(text, |_, after| !after.is_some_and(is_decimal))
}

/// VLMEvalKit's `(?<!\d)\.(?!\d)`: deletes full stops with no digit on either side, the first 32 of them.
pub fn delete_lone_stops(text: &str) -> String {
    let is_digit = |c: Option<char>| c.is_some_and(is_decimal);
    delete_stops_where(text, |before, after| !is_digit(before) && !is_digit(after))
}

fn delete_stops_where(text: &str, deletes: impl Fn(Option<char>, Option<char>) -> bool) -> String {
    let mut left = MOST_STOPS;
    let mut before = None;
    let mut chars = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        if c == '.' && left > 0 && deletes(before, chars.peek().copied()) {
            left -= 1;
        } else {
            kept.push(c);
        }
        before = Some(c);
    }
    kept
}

/// `(\d)(,)(\d)`, or with `runs` several commas between the digits.
fn has_commas_in_number(text: &str, runs: bool) -> bool {
    text.match_indices(',').any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let tail = text.get(at + 1..).unwrap_or_default();
        let tail = if runs { tail.trim_start_matches(',') } else { tail };
        before.is_some_and(is_decimal) && tail.chars().next().is_some_and(is_decimal)
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
    fn only_lmms_eval_takes_a_run_of_commas_for_a_number() {
        let cases = [
            ("1,,000-2", "1  000 2", "10002"),
            ("1,000-2", "10002", "10002"),
            ("1,, 0-2", "1 0 2", "1 0 2"),
        ];
        for (text, official, lmms_eval) in cases {
            assert_eq!(punctuation_pass(text), official, "{text}");
            assert_eq!(punctuation_pass_of_lmms_eval(text), lmms_eval, "{text}");
        }
    }

    #[test]
    fn lone_stops_go_and_decimal_points_stay() {
        let cases = [("no.", "no"), ("1.5", "1.5"), ("1. .5 a.b", "1. .5 ab"), ("..", "")];
        for (text, expected) in cases {
            assert_eq!(delete_lone_stops(text), expected, "{text}");
        }
        let cases = [("3.", "3"), ("1.5", "1.5"), ("1. .5 a.b", "1 .5 ab"), ("٣.٤", "٣.٤")];
        for (text, expected) in cases {
            assert_eq!(delete_stops(text), expected, "{text}");
        }
        for delete in [delete_stops, delete_lone_stops] {
            assert_eq!(delete(&".".repeat(40)), ".".repeat(8));
        }
    }

    proptest! {
        #[test]
        fn text_without_marks_is_kept(text in "[a-z0-9' \n]*") {
            prop_assert_eq!(punctuation_pass(&text), text.clone());
            prop_assert_eq!(delete_lone_stops(&text), text);
        }
    }
}
