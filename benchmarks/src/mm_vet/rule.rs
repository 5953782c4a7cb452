//! Grading by rule, where no language model is at hand: what share of the reference the answer holds.
//!
//! Our own, not the organisers': it knows neither meaning nor negation. It serves to see two checkpoints side by side,
//! and its scores are marked as not comparable with any by GPT-4.

use crate::judge::{Finding, Verdict};

/// What the grade file calls this grader.
pub(super) const NAME: &str = "rule";

/// Parts up to this many words are there as a whole or not at all; of longer ones each word counts.
const PHRASE: usize = 3;

const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// The best of the `<OR>` alternatives, each the mean of its `<AND>` parts, in tenths as the organisers' grader gives.
pub(super) fn grade(reference: &str, answer: &str) -> Verdict {
    let answer = words(answer);
    let best = reference
        .split("<OR>")
        .map(|alternative| {
            let parts: Vec<f64> = alternative
                .split("<AND>")
                .map(|part| share(&words(part), &answer))
                .collect();
            parts.iter().sum::<f64>() / parts.len() as f64
        })
        .fold(0.0, f64::max);
    let tenths = (best * 10.0).round() / 10.0;
    Verdict {
        content: format!("{tenths:.1}"),
        finding: Some(Finding::Score(tenths)),
    }
}

/// How much of `part` is in `answer`, from 0 to 1.
fn share(part: &[String], answer: &[String]) -> f64 {
    if part.is_empty() {
        return 0.0;
    }
    if part.len() <= PHRASE {
        return f64::from(answer.windows(part.len()).any(|window| window == part));
    }
    let mut left: Vec<&String> = answer.iter().collect();
    let held = part.iter().filter(|word| {
        let place = left.iter().position(|other| other == word);
        place.map(|place| left.swap_remove(place)).is_some()
    });
    held.count() as f64 / part.len() as f64
}

/// Lower-case words; numbers in digits, with sign and decimals.
fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.to_lowercase().chars().collect();
    let at = |index: Option<usize>| index.and_then(|index| characters.get(index)).copied();
    let is_digit = |index: Option<usize>| at(index).is_some_and(|c| c.is_ascii_digit());
    let belongs = |index: usize, c: char| match c {
        '-' => is_digit(Some(index + 1)) && !at(index.checked_sub(1)).is_some_and(char::is_alphanumeric),
        '.' => is_digit(index.checked_sub(1)) && is_digit(Some(index + 1)),
        c => c.is_alphanumeric(),
    };
    let kept: String = characters
        .iter()
        .enumerate()
        .map(|(index, &c)| if belongs(index, c) { c } else { ' ' })
        .collect();
    let digits = |word: &str| match NUMBERS.iter().position(|number| *number == word) {
        Some(number) => number.to_string(),
        None => word.to_owned(),
    };
    kept.split_whitespace().map(digits).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_earn_the_share_that_they_hold() {
        for (reference, answer, score) in [
            ("7", "The answer is 7.", 1.0),
            ("7", "The answer is 17.", 0.0),
            ("3<OR>three", "There are three of them", 1.0),
            ("-1<AND>-5", "x = -1 or x = -5", 1.0),
            ("-1<AND>-5", "x is 1 or -5", 0.5),
            ("red<AND>blue<AND>green", "A red and a green one", 0.7),
            ("red circle", "a blue circle that is red", 0.0),
            ("red circle", "A Red  circle!", 1.0),
            ("2.5", "about 2.5 m", 1.0),
            ("2.5", "2 or 5", 0.0),
            ("the cat sits on the mat", "a cat on a mat", 0.5),
            ("left-hand", "the left hand", 1.0),
            ("yes", "", 0.0),
            ("", "anything", 0.0),
        ] {
            assert_eq!(
                grade(reference, answer).finding,
                Some(Finding::Score(score)),
                "{reference}: {answer}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_grade_is_a_number_from_0_to_1_and_reads_back(reference: String, answer: String) {
            let verdict = grade(&reference, &answer);
            let Some(Finding::Score(score)) = verdict.finding else { panic!("no score") };
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert_eq!(super::super::grader::parse(&verdict.content), Some(score));
        }
    }
}
