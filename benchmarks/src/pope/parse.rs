//! How a POPE answer is read (`pope.md`, sections 5 and 8).

use crate::python_text;
use crate::task::Protocol;
use crate::yes_no;

/// What an answer says under a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Yes,
    No,
    /// Neither. Only the two harnesses know it; always wrong, and to VLMEvalKit also a negative prediction.
    Neither,
}

impl Reading {
    /// As the table of samples shows it.
    pub(super) fn parsed(self) -> Option<String> {
        match self {
            Self::Yes => Some("yes".to_owned()),
            Self::No => Some("no".to_owned()),
            Self::Neither => None,
        }
    }
}

/// Reads an answer as the protocol's scorer does.
pub(super) fn read(answer: &str, protocol: Protocol) -> Reading {
    match protocol {
        Protocol::Paper | Protocol::Official => read_official(answer),
        Protocol::LmmsEval => match lmms_prediction(answer).as_str() {
            "yes" => Reading::Yes,
            "no" => Reading::No,
            _ => Reading::Neither,
        },
        Protocol::VlmEvalKit => match yes_no::vlmevalkit(answer) {
            Some(true) => Reading::Yes,
            Some(false) => Reading::No,
            None => Reading::Neither,
        },
    }
}

/// LLaVA's `eval_pope.py` and the official `evaluate.py`, one rule: whatever is not a no is a yes. Words are cut at
/// spaces alone, so `No` before a newline is no word; `NO` and `Nope` are none either.
fn read_official(answer: &str) -> Reading {
    let sentence = answer.split('.').next().unwrap_or_default().replace(',', "");
    if sentence.split(' ').any(|word| matches!(word, "No" | "no" | "not")) {
        Reading::No
    } else {
        Reading::Yes
    }
}

/// What lmms-eval compares with the label.
fn lmms_prediction(answer: &str) -> String {
    python_text::strip(&answer.to_lowercase()).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        pope_parse: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        text: String,
        llava_official: String,
        lmms_prediction: String,
        vlmevalkit: String,
    }

    #[test]
    fn answers_are_read_as_the_reference_scorers_read_them() {
        let vectors: Vectors = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
        assert_eq!(vectors.pope_parse.len(), 35);
        for Vector {
            text,
            llava_official,
            lmms_prediction: lmms,
            vlmevalkit,
        } in vectors.pope_parse
        {
            for protocol in [Protocol::Paper, Protocol::Official] {
                assert_eq!(read(&text, protocol).parsed(), Some(llava_official.clone()), "{text:?}");
            }
            assert_eq!(lmms_prediction(&text), lmms, "{text:?}");
            let expected = match vlmevalkit.as_str() {
                "Yes" => Reading::Yes,
                "No" => Reading::No,
                _ => Reading::Neither,
            };
            assert_eq!(read(&text, Protocol::VlmEvalKit), expected, "{text:?}");
        }
    }

    #[test]
    fn lmms_eval_takes_the_bare_words_only() {
        let cases = [
            ("Yes", Reading::Yes),
            (" NO\n", Reading::No),
            ("no.", Reading::Neither),
            ("", Reading::Neither),
        ];
        for (answer, expected) in cases {
            assert_eq!(read(answer, Protocol::LmmsEval), expected, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer: String) {
            for protocol in Protocol::ALL {
                read(&answer, *protocol);
            }
        }
    }
}
