//! The tokenizer: a byte-pair encoding with Llama's marks, trained on the text of the training data.
//!
//! Words, punctuation marks, line feeds and single digits are units that no token joins, so that frequent words are
//! tokens of their own. The pipeline around it is that of a converted Llama tokenizer: `▁` for a space and in front.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{AddedToken, Tokenizer};

use crate::records::Record;
use crate::sizes::Shape;

/// `<unk>`, `<s>` and `</s>` have these ids in all Llama vocabularies.
const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];
/// What llava-hf adds behind the vocabulary.
pub const ADDED: [&str; 2] = ["<image>", "<pad>"];

/// Trains a vocabulary of at most `size` tokens on the distinct texts of `records` and on `template`.
pub fn train(records: &[Record], template: &str, size: usize) -> Result<Tokenizer, Box<dyn Error>> {
    let mut texts: BTreeSet<&str> = BTreeSet::from([template]);
    for turn in records.iter().flat_map(|record| &record.conversations) {
        texts.extend(turn.value.split("<image>"));
    }
    let alphabet: HashSet<char> = (' '..='~').filter(|letter| *letter != ' ').chain(['▁', '\n']).collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .show_progress(false)
        .initial_alphabet(alphabet)
        .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
        .build();
    let mut tokenizer: Tokenizer = serde_json::from_value(pipeline())?;
    tokenizer
        .train(&mut TrainerWrapper::BpeTrainer(trainer), texts.into_iter())
        .map_err(|error| error.to_string())?;
    // Trained models forget these two.
    let mut json = serde_json::to_value(&tokenizer)?;
    json["model"]["unk_token"] = json!("<unk>");
    json["model"]["fuse_unk"] = json!(true);
    Ok(serde_json::from_value(json)?)
}

/// A tokenizer without a vocabulary.
fn pipeline() -> Value {
    let split = |pattern: &str, behavior: &str| json!({"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": false});
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split("▁", "MergedWithNext"),
            split("\n", "Isolated"),
            {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "Digits", "individual_digits": true},
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    })
}

/// Writes the tokenizer files of a checkpoint of that shape.
pub fn write(tokenizer: &Tokenizer, shape: Shape, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut tokenizer = tokenizer.clone();
    let first = tokenizer.get_vocab_size(true);
    let added: &[&str] = match shape {
        Shape::Vila => &[],
        Shape::Llava => &ADDED,
    };
    let tokens: Vec<AddedToken> = added.iter().map(|token| AddedToken::from(*token, true)).collect();
    tokenizer.add_special_tokens(&tokens);
    let decoder: serde_json::Map<String, Value> = SPECIAL
        .iter()
        .enumerate()
        .chain(added.iter().enumerate().map(|(at, token)| (first + at, token)))
        .map(|(id, token)| {
            let flags = json!({"content": token, "lstrip": false, "normalized": false, "rstrip": false,
                "single_word": false, "special": true});
            (id.to_string(), flags)
        })
        .collect();
    let config = json!({
        "add_bos_token": true,
        "add_eos_token": false,
        "added_tokens_decoder": decoder,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": if shape == Shape::Llava { "<pad>" } else { "<unk>" },
        "clean_up_tokenization_spaces": false,
        "legacy": shape == Shape::Llava,
        "model_max_length": crate::sizes::CONTEXT,
        "padding_side": if shape == Shape::Llava { "left" } else { "right" },
        "tokenizer_class": "LlamaTokenizerFast",
    });
    tokenizer
        .save(folder.join("tokenizer.json"), true)
        .map_err(|error| error.to_string())?;
    fs::write(
        folder.join("tokenizer_config.json"),
        serde_json::to_string_pretty(&config)? + "\n",
    )?;
    Ok(())
}
