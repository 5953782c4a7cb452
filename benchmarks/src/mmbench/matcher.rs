//! What a judge is asked about an answer in which no rule finds an option, and how its reply is read (`mmbench.md`,
//! section 5).
//!
//! The organisers' matcher works the same way: question, options, answer and two worked examples, one capital letter
//! back, `E` or `Z` for no option, three tries. The wording here is ours, so that a score with matched answers is not
//! the organisers'. They draw a random letter after the third try; here the answer stays unresolved.

use super::{Letter, Question};
use crate::judge::{Call, Finding, Judgement, Verdict};
use crate::python_text;

/// Which wording was asked, for the match file: another wording is another matcher.
pub(super) const WORDING: &str = "vila-bench 1";

/// The instruction and two worked examples.
const FIXED: &str = "\
You are given a multiple-choice question, its options and the answer that somebody gave in their own words. Reply with \
the letter of the option whose meaning is that of the answer. Reply with Z if no option has that meaning, or if more \
than one has. Your reply is one capital letter and nothing else. Do not judge whether the answer is right.

Question: What lies on the plate?
Options:
A. a loaf of bread
B. a pear
Answer: There is a single piece of fruit on it.
Letter: B

Question: In which season was the photograph taken?
Options:
A. spring
B. winter
C. autumn
Answer: The picture is too dark to say.
Letter: Z

";

/// Temperatures of the three tries: the same call at 0 would mostly give the same reply.
const TRIES: [f64; 3] = [0.0, 0.5, 1.0];

/// How long a reply may be, in tokens: a letter, and what some models put around it.
const TOKENS: u32 = 5;

/// Asking about one answer, three times at most.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    message: String,
    offered: &'static [Letter],
    tried: usize,
}

impl Matching {
    /// About `answer` to `question`, whose text is `text`.
    pub(super) fn new(question: &Question, text: &str, answer: &str) -> Self {
        Self {
            message: format!(
                "{FIXED}Question: {text}\nOptions:\n{}\nAnswer: {answer}\nLetter:",
                question.listed()
            ),
            offered: question.offered(),
            tried: 0,
        }
    }
}

impl Judgement for Matching {
    fn call(&self) -> Call {
        Call {
            message: self.message.clone(),
            temperature: TRIES.get(self.tried).copied().unwrap_or(1.0),
            max_tokens: TOKENS,
        }
    }

    fn reply(&mut self, content: &str) -> Option<Verdict> {
        let letter = parse(content, self.offered);
        self.tried += 1;
        (letter.is_some() || self.tried >= TRIES.len()).then(|| Verdict {
            content: content.to_owned(),
            finding: letter.map(|letter| Finding::Letter(letter.id())),
        })
    }
}

/// The one capital letter that the reply is, a full stop after it allowed; `Z` where it says that no option fits.
fn parse(reply: &str, offered: &[Letter]) -> Option<Letter> {
    let reply = python_text::strip(reply);
    let reply = reply.strip_suffix('.').unwrap_or(reply);
    if let Some(letter) = offered.iter().find(|letter| letter.id() == reply) {
        return Some(*letter);
    }
    [Letter::E, Letter::Z]
        .iter()
        .any(|none| none.id() == reply)
        .then_some(Letter::Z)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(options: &[&str]) -> Question {
        Question {
            base: true,
            hint: Some("never shown".to_owned()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            answer: None,
            ability: None,
        }
    }

    #[test]
    fn the_message_holds_question_options_and_answer() {
        let matching = Matching::new(&question(&["mug", "cat"]), "What is\nit?", "a tabby");
        let call = matching.call();
        assert_eq!(
            call.message.strip_prefix(FIXED),
            Some("Question: What is\nit?\nOptions:\nA. mug\nB. cat\nAnswer: a tabby\nLetter:")
        );
        assert_eq!((call.temperature, call.max_tokens), (0.0, 5));
    }

    #[test]
    fn one_capital_letter_is_read_and_nothing_else() {
        let cases = [
            ("B", Some(Letter::B)),
            (" B.\n", Some(Letter::B)),
            ("Z", Some(Letter::Z)),
            ("E", Some(Letter::Z)),
            // Not offered.
            ("C", None),
            ("b", None),
            ("A B", None),
            ("The answer is B", None),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(parse(reply, &[Letter::A, Letter::B]), expected, "{reply:?}");
        }
    }

    #[test]
    fn after_three_tries_there_is_no_letter() {
        let mut matching = Matching::new(&question(&["mug", "cat"]), "?", "x");
        let mut temperatures = Vec::new();
        let verdict = loop {
            temperatures.push(matching.call().temperature);
            if let Some(verdict) = matching.reply("C or D") {
                break verdict;
            }
        };
        assert_eq!(temperatures, TRIES);
        assert_eq!((verdict.content.as_str(), verdict.finding), ("C or D", None));
        let mut matching = Matching::new(&question(&["mug", "cat"]), "?", "x");
        assert_eq!(matching.reply("?"), None);
        assert_eq!(matching.reply("A").unwrap().finding, Some(Finding::Letter("A")));
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(reply: String) {
            let _ = parse(&reply, &Letter::OPTIONS);
        }
    }
}
