//! What the organisers' grader asks GPT-4, and how it reads the replies (`mm-vet.md`, section 5).
//!
//! No network here: a [`Grading`] says what to send next and takes the reply.

use crate::judge::{Call, Finding, Judgement, Verdict};
use crate::python_text;

/// The instruction, the table's header and its seven worked rows (MM-Vet, Apache-2.0).
const FIXED: &str = include_str!("grader-prompt.txt");

/// Ends the prompt of every call but the first.
const RETRY: &str = "\nPredict the correctness of the answer (digit): ";

/// Temperatures of the retries. What the last of them says is stored and never read.
const RETRIES: [f64; 5] = [0.0, 0.5, 1.0, 1.5, 2.0];

/// How long a reply may be, in tokens.
const TOKENS: u32 = 3;

/// What the grader is asked about one answer. Fields are not escaped: newlines and `|` pass through.
fn grader_prompt(question: &str, reference: &str, answer: &str) -> String {
    let reference = reference.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ");
    format!("{FIXED}\n{question} | {reference} | {answer} | ")
}

/// The score in a reply: what stands before the first space is a number from 0 to 1.
pub(super) fn parse(reply: &str) -> Option<f64> {
    let score = python_float(first_piece(reply))?;
    (0.0..=1.0).contains(&score).then_some(score)
}

fn first_piece(reply: &str) -> &str {
    python_text::strip(reply.split(' ').next().unwrap_or_default())
}

/// `float(text)` as far as a reply of three tokens can go: no digits of other scripts, `_` between
/// digits.
fn python_float(text: &str) -> Option<f64> {
    let digits = text.as_bytes();
    let mut plain = String::with_capacity(text.len());
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'_' => {
                let digit = |at: Option<usize>| at.and_then(|at| digits.get(at)).is_some_and(u8::is_ascii_digit);
                if !digit(at.checked_sub(1)) || !digit(at.checked_add(1)) {
                    return None;
                }
            }
            b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E' => plain.push(char::from(*byte)),
            _ => return None,
        }
    }
    plain.parse().ok()
}

/// Asking about one answer: a call, and up to five more where a reply holds no score.
#[derive(Debug, Clone)]
pub(super) struct Grading {
    prompt: String,
    calls: usize,
}

impl Grading {
    /// About `answer` to `question`.
    pub(super) fn new(question: &str, reference: &str, answer: &str) -> Self {
        Self {
            prompt: grader_prompt(question, reference, answer),
            calls: 0,
        }
    }
}

impl Judgement for Grading {
    fn call(&self) -> Call {
        let retry = self.calls.checked_sub(1);
        Call {
            message: self.prompt.clone(),
            temperature: retry.and_then(|retry| RETRIES.get(retry)).copied().unwrap_or(0.0),
            max_tokens: TOKENS,
        }
    }

    /// What is kept is the piece that was read, or the whole of the last reply, which is not read.
    fn reply(&mut self, content: &str) -> Option<Verdict> {
        let exhausted = self.calls >= RETRIES.len();
        let score = if exhausted { None } else { parse(content) };
        if exhausted || score.is_some() {
            return Some(Verdict {
                content: if exhausted { content } else { first_piece(content) }.to_owned(),
                finding: score.map(Finding::Score),
            });
        }
        if self.calls == 0 {
            self.prompt.push_str(RETRY);
        }
        self.calls += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        mmvet_grade: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        replies: Vec<String>,
        expected: Expected,
    }

    #[derive(Deserialize)]
    struct Expected {
        score: f64,
        calls: usize,
        temperatures: Vec<f64>,
        content: String,
    }

    /// Text, score, and temperatures of the calls; a reply that is missing repeats the last one.
    fn judge(replies: &[String]) -> (Verdict, Vec<f64>) {
        let mut judgement = Grading::new("q", "r", "a");
        let mut temperatures = Vec::new();
        loop {
            temperatures.push(judgement.call().temperature);
            let reply = replies.get(temperatures.len() - 1).or(replies.last()).unwrap();
            if let Some(verdict) = judgement.reply(reply) {
                return (verdict, temperatures);
            }
        }
    }

    #[test]
    fn replies_are_read_as_the_organisers_read_them() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
        assert_eq!(golden.mmvet_grade.len(), 16);
        for Case { replies, expected } in golden.mmvet_grade {
            let (verdict, temperatures) = judge(&replies);
            let score = verdict.finding.unwrap_or(Finding::Score(0.0));
            assert_eq!(score, Finding::Score(expected.score), "{replies:?}");
            assert_eq!(verdict.content, expected.content, "{replies:?}");
            assert_eq!(temperatures, expected.temperatures, "{replies:?}");
            assert_eq!(temperatures.len(), expected.calls, "{replies:?}");
        }
    }

    #[test]
    fn a_used_up_judgement_has_no_score() {
        let (verdict, temperatures) = judge(&["x".to_owned()]);
        assert_eq!(
            (verdict.finding, verdict.content.as_str(), temperatures.len()),
            (None, "x", 6)
        );
    }

    #[test]
    fn scores_are_numbers_from_0_to_1() {
        let cases = [
            ("0.5", Some(0.5)),
            ("1_0", None),
            ("0.1_5", Some(0.15)),
            ("1e-1", Some(0.1)),
            ("-0.0", Some(-0.0)),
            ("1.0\nbecause", None),
            ("\n0.4", Some(0.4)),
            (" 0.4", None),
            ("nan", None),
            ("inf", None),
            ("1.01", None),
            ("-0.1", None),
            ("0.6.", None),
            (".", None),
            ("_1", None),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(parse(reply), expected, "{reply}");
        }
    }

    #[test]
    fn the_prompt_is_the_organisers_with_the_fields_as_they_are() {
        let digest = format!("{:x}", Sha256::digest(FIXED));
        assert_eq!(
            digest,
            "d1b3e0a5b4e72c888b77164489d705bba4dd149934fff564dfba6443d81afe3f"
        );
        let prompt = grader_prompt("What is x?\n", "-1<AND>-5<OR>y", "x | 3\nor 4");
        let fields = "What is x?\n | -1 <AND> -5 <OR> y | x | 3\nor 4 | ";
        assert_eq!(prompt.strip_prefix(FIXED), Some(format!("\n{fields}").as_str()));
        let mut judgement = Grading::new("q", "r", "a");
        assert_eq!(judgement.call().max_tokens, 3);
        let first = judgement.call().message;
        for _ in 0..5 {
            assert_eq!(judgement.reply("?"), None);
            assert_eq!(judgement.call().message, format!("{first}{RETRY}"));
        }
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(reply: String) {
            let _ = parse(&reply);
        }

        #[test]
        fn every_tenth_is_read(tenths in 0_u8..=10) {
            let score = f64::from(tenths) / 10.0;
            prop_assert_eq!(parse(&format!("{score:?}")), Some(score));
        }
    }
}
