//! What the JSON files beside a vocabulary say: `tokenizer_config.json`, `special_tokens_map.json`,
//! `added_tokens.json` and the added tokens of `tokenizer.json`.
//!
//! Which file wins is transformers' rule (`PreTrainedTokenizerBase._from_pretrained`, 4.36): with
//! `added_tokens_decoder` in `tokenizer_config.json` that file alone counts; without it the other three are read
//! too, and the map's special tokens replace those of the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tokenizer::TokenizerError;

/// A token that is found in a text before the vocabulary is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AddedToken {
    /// Its text.
    pub(super) content: String,
    /// Swallows white space on its left.
    #[serde(default)]
    pub(super) lstrip: bool,
    /// Swallows white space on its right.
    #[serde(default)]
    pub(super) rstrip: bool,
    /// Is found only between other than word characters.
    #[serde(default)]
    pub(super) single_word: bool,
    /// Is looked for in the normalised text; absent: the opposite of `special`.
    #[serde(default)]
    pub(super) normalized: Option<bool>,
    /// Is skipped by `tokenizer.json`'s decoding.
    #[serde(default)]
    pub(super) special: bool,
}

impl AddedToken {
    /// A special token of which only the text is known.
    pub(super) fn special(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: None,
            special: true,
        }
    }
}

/// A special token as the files spell it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Spelling {
    Text(String),
    Token(AddedToken),
}

impl Spelling {
    fn token(self) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::special(&text),
            Self::Token(token) => AddedToken { special: true, ..token },
        }
    }
}

/// The keys that name special tokens; `Some(None)` where a file says null, which undoes a default.
#[derive(Debug, Clone, Default, Deserialize)]
struct NamedTokens {
    #[serde(default, deserialize_with = "null_counts")]
    bos_token: Option<Option<Spelling>>,
    #[serde(default, deserialize_with = "null_counts")]
    eos_token: Option<Option<Spelling>>,
    #[serde(default, deserialize_with = "null_counts")]
    unk_token: Option<Option<Spelling>>,
    sep_token: Option<Spelling>,
    pad_token: Option<Spelling>,
    cls_token: Option<Spelling>,
    mask_token: Option<Spelling>,
    additional_special_tokens: Option<Vec<Spelling>>,
}

fn null_counts<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<Spelling>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[derive(Debug, Clone, Default, Deserialize)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    legacy: Option<bool>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    clean_up_tokenization_spaces: Option<bool>,
    added_tokens_decoder: Option<BTreeMap<u32, AddedToken>>,
    #[serde(flatten)]
    named: NamedTokens,
}

#[derive(Debug, Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<NumberedToken>,
}

#[derive(Debug, Deserialize)]
struct NumberedToken {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// The settings of a tokenizer folder, each as far as a file states it.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The class is `LlamaTokenizer` or its fast twin.
    pub(super) llama_class: bool,
    /// `legacy`.
    pub(super) legacy: Option<bool>,
    /// `add_bos_token`.
    pub(super) add_bos: Option<bool>,
    /// `add_eos_token`.
    pub(super) add_eos: Option<bool>,
    /// `clean_up_tokenization_spaces`.
    pub(super) clean_up: Option<bool>,
    /// Added tokens by id.
    pub(super) added: BTreeMap<u32, AddedToken>,
    bos: Option<Option<AddedToken>>,
    eos: Option<Option<AddedToken>>,
    unk: Option<Option<AddedToken>>,
    /// Separator, padding, class and mask token, then the additional ones.
    others: Vec<AddedToken>,
}

/// The special tokens of a tokenizer.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// Begins a text.
    pub(super) bos: Option<AddedToken>,
    /// Ends a text.
    pub(super) eos: Option<AddedToken>,
    /// Stands for what the vocabulary lacks.
    pub(super) unk: Option<AddedToken>,
    /// The rest, in the order in which transformers gives them ids.
    pub(super) others: Vec<AddedToken>,
}

impl SpecialTokens {
    /// All of them, in the order in which transformers gives them ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &AddedToken> {
        [&self.bos, &self.eos, &self.unk]
            .into_iter()
            .flatten()
            .chain(&self.others)
    }
}

impl Settings {
    /// Reads the files of `folder`; none of them need be there.
    pub(super) fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let config: TokenizerConfig = read(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let mut named = config.named;
        let mut added = BTreeMap::new();
        if let Some(decoder) = config.added_tokens_decoder {
            added = decoder;
        } else {
            if let Some(map) = read::<NamedTokens>(&folder.join("special_tokens_map.json"))? {
                named.overlay(map);
            }
            if let Some(numbers) = read::<BTreeMap<String, u32>>(&folder.join("added_tokens.json"))? {
                let special: Vec<String> = named.clone().tokens().map(|token| token.content).collect();
                added.extend(numbers.into_iter().map(|(content, id)| {
                    let special = special.contains(&content);
                    (
                        id,
                        AddedToken {
                            special,
                            ..AddedToken::special(&content)
                        },
                    )
                }));
            }
            if let Some(file) = read::<TokenizerJson>(&folder.join("tokenizer.json"))? {
                added.extend(
                    file.added_tokens
                        .into_iter()
                        .map(|numbered| (numbered.id, numbered.token)),
                );
            }
        }
        let stated = |token: AddedToken| {
            let same = added.values().find(|known| known.content == token.content);
            same.cloned().unwrap_or(token)
        };
        let state = |token: Option<Option<Spelling>>| token.map(|token| token.map(|token| stated(token.token())));
        Ok(Self {
            llama_class: config
                .tokenizer_class
                .is_some_and(|class| class.starts_with("LlamaTokenizer")),
            legacy: config.legacy,
            add_bos: config.add_bos_token,
            add_eos: config.add_eos_token,
            clean_up: config.clean_up_tokenization_spaces,
            bos: state(named.bos_token.take()),
            eos: state(named.eos_token.take()),
            unk: state(named.unk_token.take()),
            others: named.tokens().map(stated).collect(),
            added,
        })
    }

    /// The special tokens; with `llama` the defaults of `LlamaTokenizer` for those that no file states, plus
    /// `extra` ones.
    pub(super) fn special_tokens(&self, llama: bool, extra: &[String]) -> SpecialTokens {
        let or = |stated: &Option<Option<AddedToken>>, default: &str| match stated {
            Some(token) => token.clone(),
            None => llama.then(|| AddedToken::special(default)),
        };
        let extra = extra.iter().map(|content| AddedToken::special(content));
        SpecialTokens {
            bos: or(&self.bos, "<s>"),
            eos: or(&self.eos, "</s>"),
            unk: or(&self.unk, "<unk>"),
            others: self.others.iter().cloned().chain(extra).collect(),
        }
    }
}

impl NamedTokens {
    /// Lets `map` replace what it states; additional tokens are joined.
    fn overlay(&mut self, map: Self) {
        let additional = [self.additional_special_tokens.take(), map.additional_special_tokens];
        *self = Self {
            bos_token: map.bos_token.or(self.bos_token.take()),
            eos_token: map.eos_token.or(self.eos_token.take()),
            unk_token: map.unk_token.or(self.unk_token.take()),
            sep_token: map.sep_token.or(self.sep_token.take()),
            pad_token: map.pad_token.or(self.pad_token.take()),
            cls_token: map.cls_token.or(self.cls_token.take()),
            mask_token: map.mask_token.or(self.mask_token.take()),
            additional_special_tokens: Some(additional.into_iter().flatten().flatten().collect()),
        };
    }

    fn tokens(self) -> impl Iterator<Item = AddedToken> {
        let named = [
            self.bos_token.flatten(),
            self.eos_token.flatten(),
            self.unk_token.flatten(),
            self.sep_token,
            self.pad_token,
            self.cls_token,
            self.mask_token,
        ];
        let additional = self.additional_special_tokens.into_iter().flatten();
        named.into_iter().flatten().chain(additional).map(Spelling::token)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TokenizerError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| TokenizerError::file(path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TokenizerError::file(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[(&str, &str)]) -> Result<Settings, TokenizerError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Settings::read(folder.path())
            .map_err(|error| TokenizerError(error.0.replace(&folder.path().display().to_string(), "FOLDER")))
    }

    fn contents(settings: &Settings, llama: bool) -> Vec<String> {
        settings
            .special_tokens(llama, &[])
            .iter()
            .map(|token| token.content.clone())
            .collect()
    }

    const MAP: (&str, &str) = (
        "special_tokens_map.json",
        r#"{"eos_token": "<end>", "additional_special_tokens": ["<b>", {"content": "<c>", "lstrip": true}]}"#,
    );
    const ADDED: (&str, &str) = ("added_tokens.json", r#"{"<b>": 7, "plain": 8}"#);
    const JSON: (&str, &str) = (
        "tokenizer.json",
        r#"{"added_tokens": [{"id": 9, "content": "<j>", "special": true, "rstrip": true}]}"#,
    );

    #[test]
    fn defaults_belong_to_the_llama_class() {
        let none = settings(&[]).unwrap();
        assert_eq!(contents(&none, true), ["<s>", "</s>", "<unk>"]);
        assert_eq!(contents(&none, false), [""; 0]);
        let null = settings(&[("tokenizer_config.json", r#"{"unk_token": null, "pad_token": "<p>"}"#)]).unwrap();
        assert_eq!(contents(&null, true), ["<s>", "</s>", "<p>"]);
    }

    #[test]
    fn the_decoder_table_silences_the_other_files() {
        let config = r#"{"tokenizer_class": "LlamaTokenizer", "legacy": false, "eos_token": "</s>",
            "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": true},
            "added_tokens_decoder": {"2": {"content": "</s>", "rstrip": true, "special": true}}}"#;
        let read = settings(&[("tokenizer_config.json", config), MAP, ADDED, JSON]).unwrap();
        assert!(read.llama_class && read.legacy == Some(false));
        assert_eq!(read.added.keys().collect::<Vec<_>>(), [&2]);
        let special = read.special_tokens(true, &["<extra>".to_owned()]);
        assert!(special.eos.unwrap().rstrip, "the table knows more about it");
        assert!(special.bos.unwrap().lstrip);
        assert_eq!(special.others, [AddedToken::special("<extra>")]);
    }

    #[test]
    fn without_it_the_other_files_count() {
        let config = r#"{"eos_token": "</s>", "additional_special_tokens": ["<a>"]}"#;
        let read = settings(&[("tokenizer_config.json", config), MAP, ADDED, JSON]).unwrap();
        assert_eq!(contents(&read, true), ["<s>", "<end>", "<unk>", "<a>", "<b>", "<c>"]);
        let special: Vec<_> = read
            .added
            .iter()
            .map(|(id, token)| (*id, token.special, token.rstrip))
            .collect();
        assert_eq!(special, [(7, true, false), (8, false, false), (9, true, true)]);
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = settings(&[("tokenizer_config.json", "{\"legacy\": 3}")]).unwrap_err();
        assert_eq!(
            error.0,
            "`FOLDER/tokenizer_config.json`: invalid type: integer `3`, expected a boolean at line 1 column 12"
        );
        assert!(
            settings(&[("added_tokens.json", "[]")])
                .unwrap_err()
                .0
                .starts_with("`FOLDER/added_tokens.json`: ")
        );
    }
}
