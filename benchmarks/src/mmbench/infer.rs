//! Which letter an answer gives: the organisers' two published rule sets (`mmbench.md`, section 5).

use super::Letter;
use crate::python_text;

/// What both harnesses write in place of an answer that could not be had.
const FAILED: &str = "Failed to obtain answer via API";

/// Refusals that the later rules read as "no option".
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// What may stand around a letter in the early rules, in the order in which it is tried.
const AROUND: [(&str, &str); 12] = [
    ("", "."),
    ("", ","),
    ("", ":"),
    ("", ")"),
    ("", ")."),
    ("(", ")"),
    ("(", ")."),
    (":", ""),
    (":", ","),
    (":", "."),
    (":", ")"),
    (":", ")."),
];

/// Letters that the early rules look for, whichever are offered.
const EARLY: [Letter; 5] = [Letter::A, Letter::B, Letter::C, Letter::D, Letter::E];

/// What the later rules take for white space around a letter.
const MARKS: [char; 14] = ['.', '(', ')', '[', ']', ',', ':', ';', '!', '*', '#', '{', '}', ' '];

/// The organisers' early code, which lmms-eval carries on.
pub(super) fn early(answer: &str, options: &[String]) -> Option<Letter> {
    if answer.contains(FAILED) {
        return None;
    }
    let tokens: Vec<&str> = python_text::split(answer).collect();
    let bare = single(&EARLY, |letter| tokens.contains(&letter.id()));
    // In more than three words `A` may be the article.
    if let Some(letter) = bare
        && !(letter == Letter::A && tokens.len() > 3)
    {
        return Some(letter);
    }
    let dressed = AROUND.iter().find_map(|(before, after)| {
        single(&EARLY, |letter| {
            tokens.contains(&format!("{before}{}{after}", letter.id()).as_str())
        })
    });
    dressed.or_else(|| by_text(&answer.to_lowercase(), options))
}

/// VLMEvalKit at e8e78f05.
pub(super) fn later(answer: &str, options: &[String]) -> Option<Letter> {
    if answer.contains(FAILED) {
        return None;
    }
    if REFUSALS.iter().any(|refusal| answer.contains(refusal)) {
        return Some(Letter::Z);
    }
    let offered = Letter::OPTIONS.get(..options.len()).unwrap_or(&Letter::OPTIONS);
    let spaced = answer.replace(MARKS, " ");
    let tokens: Vec<&str> = python_text::split(&spaced).collect();
    let first = |letter: Letter| tokens.iter().position(|token| *token == letter.id());
    if let Some(letter) = single(offered, |letter| first(letter).is_some()) {
        if first(letter).is_some_and(|at| at + 5 > tokens.len()) {
            return Some(letter);
        }
    } else if first(Letter::Z).is_some() && offered.iter().all(|letter| first(*letter).is_none()) {
        return Some(Letter::Z);
    }
    if let Some(letter) = answer_is(answer).filter(|letter| offered.contains(letter)) {
        return Some(letter);
    }
    let lower = answer.to_lowercase();
    let length: usize = options.iter().map(|option| option.chars().count()).sum();
    if lower.chars().count() > 2 * length {
        return None;
    }
    by_text(&lower, options)
}

/// The one of `letters` for which `found` holds.
fn single(letters: &[Letter], found: impl Fn(Letter) -> bool) -> Option<Letter> {
    let mut matching = letters.iter().copied().filter(|letter| found(*letter));
    let first = matching.next()?;
    matching.next().is_none().then_some(first)
}

/// The one option whose text stands in the answer.
fn by_text(answer: &str, options: &[String]) -> Option<Letter> {
    let lower: Vec<String> = options.iter().map(|option| option.to_lowercase()).collect();
    let mut matching = Letter::OPTIONS
        .iter()
        .zip(lower)
        .filter(|(_, option)| answer.contains(option.as_str()));
    let (first, _) = matching.next()?;
    matching.next().is_none().then_some(*first)
}

/// The letter after the first `answer is` that has one, in any case and with asterisks before it.
fn answer_is(answer: &str) -> Option<Letter> {
    let lower = answer.to_ascii_lowercase();
    lower.match_indices("answer").find_map(|(at, word)| {
        let rest = lower.get(at + word.len()..)?;
        let rest = after_space(rest)?.strip_prefix("is")?;
        let rest = after_space(rest)?.trim_start_matches('*');
        Letter::OPTIONS
            .into_iter()
            .find(|letter| rest.starts_with(&letter.id().to_ascii_lowercase()))
    })
}

/// What follows one or more white spaces.
fn after_space(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(python_text::is_space);
    (rest.len() < text.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        mmbench_infer: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        prediction: String,
        choices: BTreeMap<String, String>,
        lmms: Option<String>,
        vlmevalkit: Option<String>,
    }

    fn options(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn answers_are_read_as_the_reference_rules_read_them() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
        assert_eq!(golden.mmbench_infer.len(), 38);
        for case in golden.mmbench_infer {
            let options: Vec<String> = case.choices.into_values().collect();
            let id = |letter: Option<Letter>| letter.map(|letter| letter.id().to_owned());
            assert_eq!(id(early(&case.prediction, &options)), case.lmms, "{}", case.prediction);
            assert_eq!(
                id(later(&case.prediction, &options)),
                case.vlmevalkit,
                "{}",
                case.prediction
            );
        }
    }

    #[test]
    fn rules_apply_in_their_order() {
        let four = options(&["a cat", "a cat and a dog", "7", "none"]);
        let cases: [(&str, Option<Letter>, Option<Letter>); 14] = [
            // One option is part of another.
            ("a cat", Some(Letter::A), Some(Letter::A)),
            ("a cat and a dog", None, None),
            ("it is 7", Some(Letter::C), Some(Letter::C)),
            // The article, and the letter beyond it.
            ("A dog is here", None, Some(Letter::A)),
            ("A dog is (D) here", Some(Letter::D), None),
            ("B. or C:", Some(Letter::B), None),
            ("(C). (B)", Some(Letter::B), None),
            (
                "the ANSWER  is **d, of course, as everybody can see",
                None,
                Some(Letter::D),
            ),
            (
                "the answer is unclear; the answer is B as everybody knows well",
                Some(Letter::B),
                Some(Letter::B),
            ),
            ("I can't process this file.", None, Some(Letter::Z)),
            ("Z, I think", None, Some(Letter::Z)),
            ("Z or B", Some(Letter::B), Some(Letter::B)),
            ("e", None, None),
            ("", None, None),
        ];
        for (answer, expected_early, expected_later) in cases {
            assert_eq!(early(answer, &four), expected_early, "early: {answer}");
            assert_eq!(later(answer, &four), expected_later, "later: {answer}");
        }
    }

    #[test]
    fn a_long_answer_is_not_matched_by_text_later() {
        let two = options(&["cat", "dog"]);
        assert_eq!(later("it is a cat.", &two), Some(Letter::A));
        assert_eq!(later("it is a cat..", &two), None);
        assert_eq!(early("it is a cat..", &two), Some(Letter::A));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer: String, texts: Vec<String>) {
            let _ = early(&answer, &texts);
            let _ = later(&answer, &texts);
        }

        #[test]
        fn a_bare_offered_letter_is_itself(n in 1_usize..=4, at in 0_usize..4, dress in 0_usize..4) {
            prop_assume!(at < n);
            let texts = options(&["mug", "cup", "jar", "pot"][..n]);
            let letter = Letter::OPTIONS[at];
            let answer = [letter.id().to_owned(), format!("{}.", letter.id()), format!("({})", letter.id()),
                format!("{}\n", letter.id())][dress].clone();
            prop_assert_eq!(early(&answer, &texts), Some(letter));
            prop_assert_eq!(later(&answer, &texts), Some(letter));
        }
    }
}
