//! How an MME answer is read (`mme.md`, sections 5 and 8).

use crate::python_text;
use crate::task::Protocol;
use crate::yes_no;

/// How many characters the scorers look at.
const WINDOW: usize = 4;

/// What an answer says under a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Yes,
    No,
    /// Neither, which is wrong for both questions.
    Other,
}

impl Reading {
    /// As the table of samples shows it.
    pub(super) fn parsed(self) -> Option<String> {
        match self {
            Self::Yes => Some("yes".to_owned()),
            Self::No => Some("no".to_owned()),
            Self::Other => None,
        }
    }
}

/// Reads an answer as the protocol's scorer does.
pub(super) fn read(answer: &str, protocol: Protocol) -> Reading {
    match protocol {
        Protocol::Paper | Protocol::Official => read_window(&answer.to_lowercase()),
        Protocol::LmmsEval => read_lmms_eval(answer),
        Protocol::VlmEvalKit => match yes_no::vlmevalkit(answer) {
            Some(true) => Reading::Yes,
            Some(false) => Reading::No,
            None => Reading::Other,
        },
    }
}

/// `eval_tool/calculation.py`. Nothing is stripped: `  yes` has the window `  ye`; `Norway` reads as no. A line end
/// stands for one character here as the space does that has to replace it in the tool's files.
fn read_window(lowered: &str) -> Reading {
    let window: String = lowered.chars().take(WINDOW).collect();
    if window.contains("yes") {
        Reading::Yes
    } else if window.contains("no") {
        Reading::No
    } else {
        Reading::Other
    }
}

fn read_lmms_eval(answer: &str) -> Reading {
    let text = python_text::strip(&answer.to_lowercase()).replace('.', "");
    match text.as_str() {
        "y" => Reading::Yes,
        "n" => Reading::No,
        _ => read_window(&text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        mme_parse: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        text: String,
        official_field: String,
        official_with_trailing_newline: String,
        lmms: String,
        vlmevalkit: String,
    }

    fn shown(reading: Reading) -> String {
        reading.parsed().unwrap_or_else(|| "other".to_owned())
    }

    #[test]
    fn answers_are_read_as_the_reference_scorers_read_them() {
        let vectors: Vectors = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
        assert_eq!(vectors.mme_parse.len(), 31);
        for vector in vectors.mme_parse {
            let text = &vector.text;
            for protocol in [Protocol::Paper, Protocol::Official] {
                assert_eq!(shown(read(text, protocol)), vector.official_field, "{text:?}");
                let line = format!("{text}\n");
                assert_eq!(
                    shown(read(&line, protocol)),
                    vector.official_with_trailing_newline,
                    "{text:?}"
                );
            }
            assert_eq!(shown(read(text, Protocol::LmmsEval)), vector.lmms, "{text:?}");
            let expected = match vector.vlmevalkit.as_str() {
                "Unknown" => "other".to_owned(),
                word => word.to_lowercase(),
            };
            assert_eq!(shown(read(text, Protocol::VlmEvalKit)), expected, "{text:?}");
        }
    }

    #[test]
    fn line_ends_count_as_one_character() {
        let cases = [
            ("\nyes", Reading::Yes),
            ("\r\nyes", Reading::Other),
            ("no\r", Reading::No),
            ("\n\nno", Reading::No),
            ("\n\n\nno", Reading::Other),
        ];
        for (answer, expected) in cases {
            assert_eq!(read(answer, Protocol::Paper), expected, "{answer:?}");
            let replaced = answer.replace(['\n', '\r'], " ");
            assert_eq!(read(&replaced, Protocol::Paper), expected, "{answer:?}");
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
