//! Yes or no out of free text as VLMEvalKit finds it, for every yes/no set of its.

use crate::python_text;
use crate::vqa_text::{delete_lone_stops, punctuation_pass};

/// VLMEvalKit's `YOrN_Extraction`: after its punctuation pass exactly one of the two words must be there; `None`
/// is its `Unknown`.
pub fn vlmevalkit(answer: &str) -> Option<bool> {
    let text = delete_lone_stops(&punctuation_pass(&answer.to_lowercase()));
    let has = |wanted| python_text::split(&text).any(|word| word == wanted);
    match (has("yes"), has("no")) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_the_words_must_be_there() {
        let cases = [
            ("Yes.", Some(true)),
            ("the answer is NO!", Some(false)),
            ("yes or no", None),
            ("not sure", None),
            ("", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(vlmevalkit(answer), expected, "{answer}");
        }
    }
}
