//! A `tokenizer.json`, run by the `tokenizers` crate as transformers' fast classes run it (`prompting.md` sections
//! 4.3 and 5).
//!
//! Decoding keeps the crate's own rules, for the fast class is the reference of such a folder. Two of them differ
//! from a `tokenizer.model`: a run of byte tokens with a bad byte in it becomes U+FFFD as a whole, one for each
//! byte, and ids that belong to no token vanish (the filler rows of llava-hf embeddings can be generated).

use std::path::Path;

use tokenizers::Tokenizer;

use crate::tokenizer::TokenizerError;
use crate::tokenizer::clean_up::clean_up;
use crate::tokenizer::settings::{AddedToken, Settings};

/// The tokenizer of Llama-3 and llava-hf checkpoints.
#[derive(Debug)]
pub(super) struct FastTokenizer {
    tokenizer: Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: Ends,
    clean_up: bool,
}

/// Who puts begin and end tokens around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The file's post-processor.
    File,
    /// `LlamaTokenizerFast`, which replaces that post-processor by its own two settings.
    Llama { bos: bool, eos: bool },
}

impl FastTokenizer {
    /// Reads `path`; the tokens of `extra` are special ones.
    pub(super) fn open(path: &Path, settings: &Settings, extra: &[String]) -> Result<Self, TokenizerError> {
        let bytes = std::fs::read(path).map_err(|error| TokenizerError::file(path, error))?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| TokenizerError::file(path, error))?;
        // Neither is used when a prompt is tokenised, whatever the file holds.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| TokenizerError::file(path, error))?;
        let special = settings.special_tokens(settings.llama_class, extra);
        for (id, token) in &settings.added {
            add(&mut tokenizer, token);
            if tokenizer.token_to_id(&token.content) != Some(*id) {
                let what = format!(
                    "token `{}` is not {id} here, as `tokenizer_config.json` or `added_tokens.json` has it",
                    token.content
                );
                return Err(TokenizerError::file(path, what));
            }
        }
        for token in special.iter() {
            let known = tokenizer
                .get_added_tokens_decoder()
                .values()
                .any(|known| known.content == token.content);
            if !known {
                add(&mut tokenizer, token);
            }
        }
        let id = |token: &Option<AddedToken>| tokenizer.token_to_id(&token.as_ref()?.content);
        let ends = if settings.llama_class {
            Ends::Llama {
                bos: settings.add_bos.unwrap_or(true),
                eos: settings.add_eos.unwrap_or(false),
            }
        } else {
            Ends::File
        };
        Ok(Self {
            bos: id(&special.bos),
            eos: id(&special.eos),
            ends,
            clean_up: settings.clean_up.unwrap_or(!settings.llama_class),
            tokenizer,
        })
    }

    /// Distinct tokens, added ones included.
    pub(super) fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The token that begins a text.
    pub(super) fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub(super) fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// How it reads its file.
    pub(super) fn description(&self) -> String {
        let clean_up = if self.clean_up { "with" } else { "without" };
        format!("{} tokens, decoded {clean_up} clean-up of spaces", self.len())
    }

    /// Ids of `text` with begin and end tokens as configured.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, self.ends == Ends::File)
            .map_err(|error| TokenizerError(format!("cannot tokenise a text: {error}")))?;
        let mut ids = encoding.get_ids().to_vec();
        if let Ends::Llama { bos, eos } = self.ends {
            ids.splice(0..0, self.bos.filter(|_| bos));
            ids.extend(self.eos.filter(|_| eos));
        }
        Ok(ids)
    }

    /// The text of `ids` without special tokens.
    pub(super) fn text(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let text = self
            .tokenizer
            .decode(ids, true)
            .map_err(|error| TokenizerError(format!("cannot turn token ids into text: {error}")))?;
        Ok(if self.clean_up { clean_up(text) } else { text })
    }
}

fn add(tokenizer: &mut Tokenizer, token: &AddedToken) {
    let added = tokenizers::AddedToken::from(token.content.clone(), token.special)
        .single_word(token.single_word)
        .lstrip(token.lstrip)
        .rstrip(token.rstrip)
        .normalized(token.normalized.unwrap_or(!token.special));
    if token.special {
        tokenizer.add_special_tokens(&[added]);
    } else {
        tokenizer.add_tokens(&[added]);
    }
}
