//! Questions that repeat an earlier one to the letter: same pictures, same tokens, same script, same limits. Greedy answers are a
//! function of these, so the earlier answer is given again. POPE asks 43 % of its questions more than once.

use std::collections::HashMap;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::request::{Generated, GenerationLimits, SampleFailure, Script};
use crate::runner::pictures::ContentHash;
use crate::tokenizer::PromptToken;

/// What an answer is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuestionHash([u8; 32]);

impl QuestionHash {
    /// Of a question about `pictures`.
    pub fn of(pictures: &[ContentHash], tokens: &[PromptToken], script: Script, limits: GenerationLimits) -> Self {
        let mut hasher = Sha256::new();
        hasher.update((pictures.len() as u64).to_le_bytes());
        for picture in pictures {
            hasher.update(picture);
        }
        hasher.update(format!("{script:?}"));
        hasher.update((limits.max_new_tokens as u64).to_le_bytes());
        for token in tokens {
            let (kind, number) = match *token {
                PromptToken::Text(id) => (0_u8, u64::from(id)),
                PromptToken::Picture(number) => (1, number as u64),
            };
            hasher.update([kind]);
            hasher.update(number.to_le_bytes());
        }
        Self(hasher.finalize().into())
    }
}

/// The outcome of a question.
pub type Outcome = Result<Generated, SampleFailure>;

/// What is known of a question that was asked before.
enum Known {
    /// It is being answered; these ids wait for the same answer.
    Asked { waiting: Vec<String> },
    /// It was answered, as the question of this id.
    Answered { id: Rc<str>, outcome: Outcome },
}

/// Every question asked so far.
#[derive(Default)]
pub struct Repeats {
    known: HashMap<QuestionHash, Known>,
}

/// What to do with a question.
pub enum Turn {
    /// It is new: ask it.
    Ask,
    /// An equal one is being answered: [`Repeats::answered`] will give its id back.
    Wait,
    /// An equal one, of that id, had this outcome.
    Repeat { id: Rc<str>, outcome: Outcome },
}

impl Repeats {
    /// Notes that question `id` is to be asked.
    pub fn turn(&mut self, question: QuestionHash, id: &str) -> Turn {
        match self.known.get_mut(&question) {
            None => {
                self.known.insert(question, Known::Asked { waiting: Vec::new() });
                Turn::Ask
            }
            Some(Known::Asked { waiting }) => {
                waiting.push(id.to_owned());
                Turn::Wait
            }
            Some(Known::Answered { id, outcome }) => Turn::Repeat {
                id: Rc::clone(id),
                outcome: outcome.clone(),
            },
        }
    }

    /// Notes the outcome of a question that was asked as `id`; gives the ids that waited for it.
    pub fn answered(&mut self, question: QuestionHash, id: &str, outcome: &Outcome) -> Vec<String> {
        let answered = Known::Answered {
            id: id.into(),
            outcome: outcome.clone(),
        };
        match self.known.insert(question, answered) {
            Some(Known::Asked { waiting }) => waiting,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GenerationLimits = GenerationLimits { max_new_tokens: 4 };

    #[test]
    fn only_equal_pictures_tokens_scripts_and_limits_are_a_repetition() {
        let tokens = [PromptToken::Text(1), PromptToken::Picture(0), PromptToken::Text(2)];
        let known = QuestionHash::of(&[[7; 32]], &tokens, Script::Short, LIMITS);
        assert_eq!(known, QuestionHash::of(&[[7; 32]], &tokens, Script::Short, LIMITS));
        let others = [
            QuestionHash::of(&[[8; 32]], &tokens, Script::Short, LIMITS),
            QuestionHash::of(&[], &tokens, Script::Short, LIMITS),
            QuestionHash::of(&[[7; 32], [7; 32]], &tokens, Script::Short, LIMITS),
            QuestionHash::of(&[[7; 32]], &tokens[..2], Script::Short, LIMITS),
            QuestionHash::of(&[[7; 32]], &tokens.map(|_| PromptToken::Text(1)), Script::Short, LIMITS),
            QuestionHash::of(
                &[[7; 32]],
                &tokens,
                Script::Short,
                GenerationLimits { max_new_tokens: 5 },
            ),
            QuestionHash::of(&[[7; 32]], &tokens, Script::Open, LIMITS),
        ];
        assert!(others.iter().all(|other| *other != known));
    }

    #[test]
    fn a_repetition_waits_for_the_answer_or_has_it_at_once() {
        let mut repeats = Repeats::default();
        let question = QuestionHash::of(&[], &[PromptToken::Text(1)], Script::Short, LIMITS);
        assert!(matches!(repeats.turn(question, "a"), Turn::Ask));
        assert!(matches!(repeats.turn(question, "b"), Turn::Wait));
        let outcome: Outcome = Err(SampleFailure("why".to_owned()));
        assert_eq!(repeats.answered(question, "a", &outcome), ["b"]);
        let Turn::Repeat { id, outcome: again } = repeats.turn(question, "c") else {
            panic!("the answer is known");
        };
        assert_eq!((&*id, again), ("a", outcome));
    }
}
