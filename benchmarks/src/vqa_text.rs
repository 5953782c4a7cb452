//! Answers as the VQA-style scorers compare them: nine normalisers (`vqa-normalisation.json`, `steps`).
//!
//! Sources: GT-Vision-Lab/VQA `vqaEval.py`, LLaVA's `m4c_evaluator.py`, lmms-eval's `vqa_eval_metric.py`,
//! VLMEvalKit's `vqa_eval.py`, the VizWiz API's `vqaEval.py`; for GQA the converter and comparisons of `gqa.md`.

mod contractions;
mod steps;

pub use steps::{delete_lone_stops, punctuation_pass};

use self::contractions::{VIZWIZ, VQA, words_pass};
use self::steps::{delete_stops, punctuation_pass_of_lmms_eval};
use crate::python_text;

/// What is made of an answer before it is compared, or uploaded to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normaliser {
    /// TextVQA's EvalAI processor, which LLaVA's converters also apply before an upload.
    EvalAi,
    /// The VQA scorer where the references differ.
    VqaOfficial,
    /// The VQA scorer where the references are one and the same text: white space only.
    VqaOfficialUnanimous,
    /// lmms-eval for VQAv2.
    LmmsEvalVqav2,
    /// VLMEvalKit for TextVQA and VizWiz.
    VlmEvalKit,
    /// The VizWiz scorer, for predictions alone.
    VizwizOfficial,
    /// LLaVA's converter for GQA.
    GqaLlava,
    /// lmms-eval for GQA.
    GqaLmmsEval,
    /// VLMEvalKit for GQA.
    GqaVlmEvalKit,
}

impl Normaliser {
    /// Those of the scorers of open answers with several references.
    pub const VQA: &'static [Self] = &[
        Self::EvalAi,
        Self::VqaOfficial,
        Self::VqaOfficialUnanimous,
        Self::LmmsEvalVqav2,
        Self::VlmEvalKit,
        Self::VizwizOfficial,
    ];
    /// Those of GQA's scorers.
    pub const GQA: &'static [Self] = &[Self::GqaLlava, Self::GqaLmmsEval, Self::GqaVlmEvalKit];

    /// Its name in tables and on disk.
    pub const fn id(self) -> &'static str {
        match self {
            Self::EvalAi => "evalai",
            Self::VqaOfficial => "vqa-official",
            Self::VqaOfficialUnanimous => "vqa-official-unanimous",
            Self::LmmsEvalVqav2 => "lmms-eval-vqav2",
            Self::VlmEvalKit => "vlmevalkit",
            Self::VizwizOfficial => "vizwiz-official",
            Self::GqaLlava => "gqa-llava",
            Self::GqaLmmsEval => "gqa-lmms-eval",
            Self::GqaVlmEvalKit => "gqa-vlmevalkit",
        }
    }

    /// The answer in the form that is compared.
    pub fn apply(self, answer: &str) -> String {
        match self {
            Self::EvalAi => eval_ai(answer),
            Self::VqaOfficial => words_pass(&delete_stops(&punctuation_pass(&one_line(answer))), &VQA),
            Self::VqaOfficialUnanimous => one_line(answer),
            Self::LmmsEvalVqav2 => {
                let text = punctuation_pass_of_lmms_eval(&one_line(answer));
                words_pass(&delete_stops(&text), &VQA)
            }
            Self::VlmEvalKit => words_pass(&delete_lone_stops(&punctuation_pass(&one_line(answer))), &VQA),
            Self::VizwizOfficial => words_pass(&delete_stops(&punctuation_pass(&one_line(answer))), &VIZWIZ),
            Self::GqaLlava => answer.trim_end_matches('.').to_lowercase(),
            Self::GqaLmmsEval => {
                let lower = python_text::strip(answer).to_lowercase();
                lower.replace(|c: char| c.is_ascii_punctuation(), "")
            }
            Self::GqaVlmEvalKit => python_text::strip(answer).to_lowercase(),
        }
    }
}

/// Commas and question marks go and `'s` is split off before the passes; that leaves the pass no comma to test.
fn eval_ai(answer: &str) -> String {
    let text = answer.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
    let text = one_line(python_text::strip(&text));
    words_pass(&delete_stops(&punctuation_pass(&text)), &VQA)
}

/// Line feeds and tabs as spaces, stripped.
fn one_line(text: &str) -> String {
    python_text::strip(&text.replace(['\n', '\t'], " ")).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// Each with its column among the vectors.
    const COLUMNS: [(&str, Normaliser); 9] = [
        ("evalai", Normaliser::EvalAi),
        ("vqa_official", Normaliser::VqaOfficial),
        ("vqa_official_unanimous", Normaliser::VqaOfficialUnanimous),
        ("lmms_vqav2", Normaliser::LmmsEvalVqav2),
        ("vlmevalkit", Normaliser::VlmEvalKit),
        ("vizwiz_official", Normaliser::VizwizOfficial),
        ("gqa_llava", Normaliser::GqaLlava),
        ("gqa_lmms", Normaliser::GqaLmmsEval),
        ("gqa_vlmevalkit", Normaliser::GqaVlmEvalKit),
    ];

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<HashMap<String, String>>,
    }

    #[test]
    fn every_vector_of_the_reference_scorers_is_met() {
        let file: Vectors = serde_json::from_str(include_str!("../tests/data/vqa-normalisation.json")).unwrap();
        assert_eq!(file.vectors.len(), 124);
        for vector in &file.vectors {
            assert_eq!(vector.len(), 1 + COLUMNS.len());
            let input = &vector["input"];
            for (column, normaliser) in COLUMNS {
                assert_eq!(normaliser.apply(input), vector[column], "{column}: {input:?}");
            }
        }
    }

    #[test]
    fn every_normaliser_is_of_one_kind_and_has_a_name_of_its_own() {
        let listed: Vec<Normaliser> = Normaliser::VQA.iter().chain(Normaliser::GQA).copied().collect();
        assert_eq!(listed, COLUMNS.map(|(_, normaliser)| normaliser));
        let names: std::collections::HashSet<&str> = listed.iter().map(|normaliser| normaliser.id()).collect();
        assert_eq!(names.len(), listed.len());
    }

    #[test]
    fn where_the_normalisers_part() {
        let cases = [
            (Normaliser::EvalAi, "Dog's", "dog 's"),
            (Normaliser::VqaOfficial, "Dog's", "dog's"),
            (Normaliser::EvalAi, "1,000-2,000", "1000 2000"),
            (Normaliser::VqaOfficial, "1,000-2,000", "10002000"),
            (Normaliser::EvalAi, "red,blue", "redblue"),
            (Normaliser::VqaOfficial, "red,blue", "red blue"),
            (Normaliser::VlmEvalKit, "3.", "3."),
            (Normaliser::VqaOfficial, "3.", "3"),
            (Normaliser::VqaOfficial, "the\u{a0}dont", "don't"),
            (Normaliser::VizwizOfficial, "dont", "don\u{2019}t"),
            (Normaliser::VqaOfficialUnanimous, " Oak\n\ttree. ", "Oak  tree."),
        ];
        for (normaliser, text, expected) in cases {
            assert_eq!(normaliser.apply(text), expected, "{normaliser:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_one_panic_or_leaves_blanks_at_the_ends(text: String) {
            for (column, normaliser) in COLUMNS {
                let normal = normaliser.apply(&text);
                if !column.starts_with("gqa") {
                    prop_assert_eq!(python_text::strip(&normal), normal.as_str(), "{}", column);
                }
            }
        }

        #[test]
        fn plain_words_stay_as_they_are(text in "[b-z]{4}( [b-z]{4}){0,3}") {
            prop_assume!(text.split(' ').all(|word| !["none", "zero", "four", "five", "nine"].contains(&word)
                && !VQA.contains_key(word)));
            for (column, normaliser) in COLUMNS {
                prop_assert_eq!(normaliser.apply(&text), text.as_str(), "{}", column);
            }
        }
    }
}
