//! `LlamaTokenizer` of transformers (the slow class) around a SentencePiece vocabulary: added tokens, the `legacy`
//! rule, begin and end tokens, and decoding (`prompting.md` sections 4.2 and 4.4).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::tokenizer::TokenizerError;
use crate::tokenizer::clean_up::clean_up;
use crate::tokenizer::sentencepiece::{SPACE, SentencePiece, Start, Token};
use crate::tokenizer::settings::{AddedToken, Settings, SpecialTokens};
use crate::tokenizer::strip::is_space;

/// The tokenizer of Vicuna, Llama-2, Sheared-LLaMA and Yi checkpoints.
#[derive(Debug)]
pub(super) struct SlowLlama {
    model: SentencePiece,
    /// Longest first.
    added: Vec<(u32, AddedToken)>,
    special: HashSet<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    legacy: bool,
    clean_up: bool,
    /// The piece `▁`.
    prefix: Option<u32>,
    len: usize,
}

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'t> {
    Added(u32),
    Text(&'t str),
}

impl SlowLlama {
    /// Puts the shell around `model`. `legacy` counts where the settings do not say; the tokens of `extra` are
    /// special ones. The error is without the file's name.
    pub(super) fn new(
        model: SentencePiece,
        settings: &Settings,
        legacy: bool,
        extra: &[String],
    ) -> Result<Self, String> {
        let special = settings.special_tokens(true, extra);
        let mut added = settings.added.clone();
        let names = number(&model, &mut added, &special)?;
        if let Some((_, token)) = added.iter().find(|(_, token)| token.single_word) {
            return Err(format!(
                "added token `{}` is `single_word`, which is not supported",
                token.content
            ));
        }
        let id = |token: &Option<AddedToken>| Some(*names.get(&token.as_ref()?.content)?);
        let mut longest_first: Vec<_> = added
            .into_iter()
            .filter(|(_, token)| !token.content.is_empty())
            .collect();
        longest_first.sort_by_key(|(_, token)| Reverse(token.content.len()));
        Ok(Self {
            special: special
                .iter()
                .filter_map(|token| names.get(&token.content).copied())
                .collect(),
            bos: id(&special.bos),
            eos: id(&special.eos),
            add_bos: settings.add_bos.unwrap_or(true),
            add_eos: settings.add_eos.unwrap_or(false),
            legacy: settings.legacy.unwrap_or(legacy),
            // The class sets it to false where no file states it, against the library's default.
            clean_up: settings.clean_up.unwrap_or(false),
            prefix: model.id("▁"),
            len: names.len(),
            added: longest_first,
            model,
        })
    }

    /// Distinct tokens, added ones included.
    pub(super) fn len(&self) -> usize {
        self.len
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
        format!("SentencePiece BPE, {} pieces, legacy {}", self.model.len(), self.legacy)
    }

    /// Ids of `text` with begin and end tokens as configured.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = self.bos.filter(|_| self.add_bos).into_iter().collect();
        self.tokenize(text, &mut ids);
        ids.extend(self.eos.filter(|_| self.add_eos));
        ids
    }

    fn tokenize(&self, text: &str, ids: &mut Vec<u32>) {
        if self.legacy || text.is_empty() {
            for part in self.split(text) {
                self.encode_part(part, Start::Text, ids);
            }
            return;
        }
        let text = format!("{SPACE}{}", text.replace(SPACE, " "));
        let first = ids.len();
        for (number, part) in self.split(&text).into_iter().enumerate() {
            // The reference puts `<unk>` in front of these and takes its pieces off again, to keep leading spaces.
            let inside = matches!(part, Part::Text(text) if text.starts_with([SPACE, ' ']));
            self.encode_part(part, if inside { Start::Inside } else { Start::Bare }, ids);
            // Nothing but the prefix stands before a special token.
            let before = ids.get(first..).unwrap_or_default();
            if number == 1
                && let [prefix, second] = before
                && Some(*prefix) == self.prefix
                && self.special.contains(second)
            {
                ids.remove(first);
            }
        }
    }

    fn encode_part(&self, part: Part<'_>, start: Start, ids: &mut Vec<u32>) {
        match part {
            Part::Added(id) => ids.push(id),
            Part::Text(text) => ids.extend(self.model.encode(text, start)),
        }
    }

    /// Cuts at added tokens, the longest at the leftmost place first; those that want it take the neighbouring
    /// white space along.
    fn split<'t>(&self, text: &'t str) -> Vec<Part<'t>> {
        let mut parts = Vec::new();
        let (mut done, mut at) = (0, 0);
        let mut swallow = false;
        let trimmed = |text: &'t str, swallow: bool| {
            if swallow {
                text.trim_start_matches(is_space)
            } else {
                text
            }
        };
        while let Some(letter) = text[at..].chars().next() {
            let found = self
                .added
                .iter()
                .find(|(_, token)| text[at..].starts_with(&token.content));
            let Some((id, token)) = found else {
                at += letter.len_utf8();
                continue;
            };
            let before = trimmed(&text[done..at], swallow);
            parts.push(Part::Text(if token.lstrip {
                before.trim_end_matches(is_space)
            } else {
                before
            }));
            parts.push(Part::Added(*id));
            swallow = token.rstrip;
            at += token.content.len();
            done = at;
        }
        parts.push(Part::Text(trimmed(&text[done..], swallow)));
        parts
    }

    /// The text of `ids` without special tokens.
    pub(super) fn text(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let mut texts: Vec<String> = Vec::new();
        let mut run: Vec<u32> = Vec::new();
        for id in ids.iter().filter(|id| !self.special.contains(id)) {
            // Added tokens that are no special ones stand apart, and so does the text between them.
            if let Some((_, token)) = self.added.iter().find(|(added, _)| added == id) {
                texts.extend(self.decode_run(&run).filter(|text| !text.is_empty()));
                run.clear();
                texts.push(token.content.clone());
            } else if self.model.text(*id).is_some() {
                run.push(*id);
            } else {
                let last = self.model.len().saturating_sub(1);
                return Err(TokenizerError(format!(
                    "token id {id} is beyond the vocabulary: its last id is {last}"
                )));
            }
        }
        texts.extend(self.decode_run(&run));
        let text = texts.join(" ");
        Ok(if self.clean_up { clean_up(text) } else { text })
    }

    fn decode_run(&self, ids: &[u32]) -> Option<String> {
        let (first, rest) = ids.split_first()?;
        let first = match self.model.text(*first)?.strip_prefix(SPACE) {
            // The shell's own removal leaves a text, which is looked up anew and goes through as it is if unknown.
            Some(text) => self.model.id(text).map_or(Token::Text(text), Token::Id),
            None => Token::Id(*first),
        };
        let tokens = std::iter::once(first).chain(rest.iter().map(|id| Token::Id(*id)));
        Some(self.model.decode(tokens, self.legacy))
    }
}

/// The id of every name: pieces, added tokens in their places, and special tokens that are neither behind them.
fn number(
    model: &SentencePiece,
    added: &mut BTreeMap<u32, AddedToken>,
    special: &SpecialTokens,
) -> Result<HashMap<String, u32>, String> {
    let mut names = HashMap::new();
    for (id, text) in (0u32..).zip(model.texts()) {
        let name = added.get(&id).map_or(text, |token| &token.content);
        names.insert(name.to_owned(), id);
    }
    names.extend(added.iter().map(|(id, token)| (token.content.clone(), *id)));
    for token in special.iter().filter(|token| !token.content.is_empty()) {
        // transformers numbers by the count of names, even where an added token lies beyond it.
        let next = u32::try_from(names.len()).map_err(|_| "it has more than 2^32 tokens".to_owned())?;
        let id = *names.entry(token.content.clone()).or_insert(next);
        added.entry(id).or_insert_with(|| token.clone());
    }
    Ok(names)
}
