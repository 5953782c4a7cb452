//! From conversations to token sequences in which several questions share the pictures before them.
//!
//! Prompts come from the crate's own template and tokenizer, the ones that evaluation uses. Questions that are asked for
//! themselves become branches: one after the other behind their common beginning, each seeing that beginning and
//! itself, at the positions it would have alone. So a picture is seen once for all its questions.

use std::collections::HashMap;
use std::error::Error;

use model_adapters::template::{ConvTemplate, PICTURE};
use model_adapters::tokenizer::{PromptToken, Tokenizer};

use crate::pictures::Pictures;
use crate::places::{self, Words};
use crate::records::{Asked, Record};

/// One question with its answer behind a shared beginning, or a whole conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its tokens, each with whether the model learns to say it.
    pub tokens: Vec<(PromptToken, bool)>,
}

/// One record, tokenised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Rows of the picture cache, in the order of their markers.
    pub pictures: Vec<usize>,
    /// What all branches share.
    pub prefix: Vec<PromptToken>,
    /// The branches.
    pub branches: Vec<Branch>,
    /// What its first answer says of each place of the picture.
    pub words: Words,
}

/// Turns text into tokens as evaluation does, each text once.
pub struct Wording<'a> {
    tokenizer: &'a Tokenizer,
    template: ConvTemplate,
    image_token: Option<u32>,
    end: u32,
    prompts: HashMap<String, Vec<PromptToken>>,
}

impl<'a> Wording<'a> {
    /// With the tokenizer of the checkpoint to be.
    pub fn new(
        tokenizer: &'a Tokenizer,
        template: ConvTemplate,
        image_token: Option<u32>,
    ) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            tokenizer,
            template,
            image_token,
            end: tokenizer.eos().ok_or("the tokenizer has no end token")?,
            prompts: HashMap::new(),
        })
    }

    /// The tokens of a record.
    pub fn sample(&mut self, record: &Record, pictures: &Pictures) -> Result<Sample, Box<dyn Error>> {
        let rows = record
            .pictures
            .iter()
            .map(|path| pictures.row(path).ok_or_else(|| format!("no picture `{path}`")));
        let rows: Vec<usize> = rows.collect::<Result<_, _>>()?;
        let exchanges = record.exchanges()?;
        let conversations: Vec<&[[&str; 2]]> = match record.asked {
            Asked::Together => vec![exchanges.as_slice()],
            Asked::Alone => exchanges.chunks(1).collect(),
            Asked::InPairs => exchanges.chunks(2).collect(),
        };
        // The first question of a record marks its pictures; the others stand behind the same.
        let marks = format!("{PICTURE}\n").repeat(rows.len());
        let mut whole = Vec::with_capacity(conversations.len());
        for conversation in conversations {
            whole.push(self.conversation(conversation, &marks)?);
        }
        for tokens in &whole {
            let marked = tokens
                .iter()
                .filter(|(token, _)| matches!(token, PromptToken::Picture(_)))
                .count();
            if marked != rows.len() {
                return Err(format!("{marked} pictures are marked and {} given", rows.len()).into());
            }
        }
        let shared = if whole.len() > 1 { shared_length(&whole) } else { 0 };
        Ok(Sample {
            pictures: rows,
            words: places::words(record, self.tokenizer)?,
            prefix: whole
                .first()
                .map_or(&[][..], |tokens| &tokens[..shared])
                .iter()
                .map(|(token, _)| *token)
                .collect(),
            branches: whole
                .into_iter()
                .map(|mut tokens| Branch {
                    tokens: tokens.split_off(shared),
                })
                .collect(),
        })
    }

    /// Questions and answers one after the other; answers and the end tokens behind them are learnt.
    fn conversation(
        &mut self,
        exchanges: &[[&str; 2]],
        marks: &str,
    ) -> Result<Vec<(PromptToken, bool)>, Box<dyn Error>> {
        let mut tokens: Vec<(PromptToken, bool)> = Vec::new();
        for (number, [question, answer]) in exchanges.iter().enumerate() {
            if number == 0 {
                let message = if question.contains(PICTURE) {
                    (*question).to_owned()
                } else {
                    format!("{marks}{question}")
                };
                tokens.extend(self.prompt(&message)?.iter().map(|token| (*token, false)));
            } else {
                let more = self.text(&format!("USER: {question} ASSISTANT:"))?;
                tokens.extend(more.map(|token| (token, false)));
            }
            tokens.extend(self.text(answer)?.map(|token| (token, true)));
            tokens.push((PromptToken::Text(self.end), true));
        }
        Ok(tokens)
    }

    fn prompt(&mut self, message: &str) -> Result<&[PromptToken], Box<dyn Error>> {
        if !self.prompts.contains_key(message) {
            let prompt = self
                .tokenizer
                .encode_prompt(&self.template.render(message), self.image_token)?;
            self.prompts.insert(message.to_owned(), prompt);
        }
        Ok(self.prompts.get(message).map_or(&[], Vec::as_slice))
    }

    /// A text that stands behind other text: no begin token.
    fn text(&mut self, text: &str) -> Result<impl Iterator<Item = PromptToken> + use<>, Box<dyn Error>> {
        let begin = self.tokenizer.bos();
        let ids = self.tokenizer.encode(text)?;
        let skipped = usize::from(begin.is_some() && ids.first().copied() == begin);
        Ok(ids.into_iter().skip(skipped).map(PromptToken::Text))
    }
}

/// Tokens that all conversations begin with. Each keeps one at least that is not learnt, so that the place which
/// foretells its first answer is its own.
fn shared_length(whole: &[Vec<(PromptToken, bool)>]) -> usize {
    let Some((first, others)) = whole.split_first() else {
        return 0;
    };
    let mut shared = first.iter().take_while(|(_, learnt)| !learnt).count().saturating_sub(1);
    for other in others {
        let own = other.iter().take_while(|(_, learnt)| !learnt).count().saturating_sub(1);
        let equal = first.iter().zip(other).take_while(|(one, two)| one == two).count();
        shared = shared.min(own).min(equal);
    }
    shared
}
