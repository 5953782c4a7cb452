//! The forms in which answers are compared (`gqa.md`, sections 5 and 8).

use crate::task::Protocol;
use crate::vqa_text::Normaliser;

/// What becomes of the two sides of a comparison; `None` leaves one as it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forms {
    prediction: Option<Normaliser>,
    reference: Option<Normaliser>,
}

impl Forms {
    /// Those of a protocol. LLaVA's `convert_gqa_for_eval.py` leaves a leading space, which is wrong then.
    pub(super) const fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Paper => Self {
                prediction: Some(Normaliser::GqaLlava),
                reference: None,
            },
            Protocol::Official => Self {
                prediction: None,
                reference: None,
            },
            Protocol::LmmsEval => Self::both(Normaliser::GqaLmmsEval),
            Protocol::VlmEvalKit => Self::both(Normaliser::GqaVlmEvalKit),
        }
    }

    /// The same on both sides.
    pub(super) const fn both(normaliser: Normaliser) -> Self {
        Self {
            prediction: Some(normaliser),
            reference: Some(normaliser),
        }
    }

    /// What is compared of a model's answer.
    pub(super) fn prediction(self, answer: &str) -> String {
        apply(self.prediction, answer)
    }

    /// What is compared of a right answer.
    pub(super) fn reference(self, answer: &str) -> String {
        apply(self.reference, answer)
    }
}

fn apply(normaliser: Option<Normaliser>, answer: &str) -> String {
    normaliser.map_or_else(|| answer.to_owned(), |normaliser| normaliser.apply(answer))
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
            let found = Protocol::ALL
                .iter()
                .map(|protocol| Forms::of(*protocol).prediction(answer));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{answer}");
        }
        let references = ["T-shirt.", "T-shirt.", "tshirt", "t-shirt."];
        for (protocol, expected) in Protocol::ALL.iter().zip(references) {
            assert_eq!(Forms::of(*protocol).reference(" T-shirt.".trim_start()), expected);
        }
    }

    proptest! {
        #[test]
        fn a_converted_answer_stays_as_it_is(answer: String) {
            for protocol in Protocol::ALL {
                let forms = Forms::of(*protocol);
                let once = forms.prediction(&answer);
                if *protocol != Protocol::LmmsEval {
                    prop_assert_eq!(forms.prediction(&once), once);
                }
            }
        }
    }
}
