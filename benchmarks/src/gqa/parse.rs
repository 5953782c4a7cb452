//! The forms in which answers are compared (`gqa.md`, sections 5 and 8).

use crate::python_text;
use crate::task::Protocol;

/// What becomes of a model's answer before it is compared.
pub(super) fn prediction(answer: &str, protocol: Protocol) -> String {
    match protocol {
        // LLaVA's `convert_gqa_for_eval.py`; a leading space stays, and is wrong.
        Protocol::Paper => answer.trim_end_matches('.').to_lowercase(),
        Protocol::Official | Protocol::LmmsEval | Protocol::VlmEvalKit => reference(answer, protocol),
    }
}

/// What becomes of a right answer before it is compared.
pub(super) fn reference(answer: &str, protocol: Protocol) -> String {
    match protocol {
        Protocol::Paper | Protocol::Official => answer.to_owned(),
        Protocol::LmmsEval => {
            let text = python_text::strip(answer).to_lowercase();
            text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
        }
        Protocol::VlmEvalKit => python_text::strip(answer).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_converted_as_each_scorer_converts_them() {
        // Answer; then LLaVA, official, lmms-eval, VLMEvalKit.
        let cases = [
            ("Yes", ["yes", "Yes", "yes", "yes"]),
            ("Yes...", ["yes", "Yes...", "yes", "yes..."]),
            (".", ["", ".", "", "."]),
            ("", ["", "", "", ""]),
            (" left", [" left", " left", "left", "left"]),
            ("left. ", ["left. ", "left. ", "left", "left."]),
            ("T-shirt", ["t-shirt", "T-shirt", "tshirt", "t-shirt"]),
            ("91.5 best", ["91.5 best", "91.5 best", "915 best", "91.5 best"]),
            ("ΑΣ", ["α\u{3c2}", "ΑΣ", "α\u{3c2}", "α\u{3c2}"]),
        ];
        for (answer, expected) in cases {
            let found = Protocol::ALL.iter().map(|protocol| prediction(answer, *protocol));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{answer}");
        }
        let references = ["T-shirt.", "T-shirt.", "tshirt", "t-shirt."];
        for (protocol, expected) in Protocol::ALL.iter().zip(references) {
            assert_eq!(reference(" T-shirt.".trim_start(), *protocol), expected);
        }
    }

    proptest! {
        #[test]
        fn a_converted_answer_stays_as_it_is(answer: String) {
            for protocol in Protocol::ALL {
                let once = prediction(&answer, *protocol);
                if *protocol != Protocol::LmmsEval {
                    prop_assert_eq!(prediction(&once, *protocol), once);
                }
            }
        }
    }
}
