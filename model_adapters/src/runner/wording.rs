//! From generated ids to the text that is scored: where the answer ends, decoding, what is cut off (`prompting.md`
//! sections 4.4, 5 and 6.2).

use crate::profile::GenerateInput;
use crate::request::Generated;
use crate::runner::generate::Generation;
use crate::stop::{Ending, Stop, cut};
use crate::tokenizer::{PromptToken, Tokenizer, TokenizerError};

/// How the answers to one script get their text.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// Decodes.
    pub tokenizer: &'a Tokenizer,
    /// Of the conversation template, where it has one.
    pub stop_string: Option<&'static str>,
    /// What is done about it.
    pub ending: Ending,
    /// What the reference's generation is fed with.
    pub input: GenerateInput,
}

impl Wording<'_> {
    /// What was said in answer to `prompt`.
    ///
    /// # Errors
    ///
    /// An id that the tokenizer does not have.
    pub fn of(&self, prompt: &[PromptToken], generation: Generation) -> Result<Generated, TokenizerError> {
        let Generation {
            ids,
            finish,
            prompt_tokens,
            truncated,
        } = generation;
        let (new_tokens, finish) = match (self.ending.keyword, self.stop_string) {
            (Some(window), Some(string)) => {
                let stop = Stop::new(string, self.tokenizer, window, self.input)?;
                stop.apply(prompt, &ids, finish, |ids| self.tokenizer.text(ids))?
            }
            _ => (ids.len(), finish),
        };
        let mut ids = ids;
        ids.truncate(new_tokens);
        let text = self.tokenizer.decode(&ids)?;
        let text = match self.stop_string.filter(|_| self.ending.cut) {
            Some(string) => cut(&text, string).to_owned(),
            None => text,
        };
        Ok(Generated {
            text,
            prompt_tokens,
            new_tokens,
            ids,
            finish,
            truncated,
            repeats: None,
        })
    }
}
