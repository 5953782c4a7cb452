//! When generation ends, and the settings that would make it other than plain greedy decoding
//! (`prompting.md` section 6.1, `architecture.md` section 8).

use serde_json::Value;

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::error::{CheckpointError, quoted};

/// What a key may hold without changing which token is the greedy one.
#[derive(Debug, Clone, Copy)]
enum Neutral {
    /// This number.
    Number(f64),
    /// False.
    False,
    /// An empty list or object.
    Empty,
}

/// The keys of HF `generation/utils.py` that add logits processors or stopping criteria or choose another way of
/// decoding, each with the value that does not; null never does. Sampling and beam settings are not here: the
/// reference scripts set those themselves.
const PROCESSORS: [(&str, Neutral); 23] = [
    ("repetition_penalty", Neutral::Number(1.0)),
    ("encoder_repetition_penalty", Neutral::Number(1.0)),
    ("diversity_penalty", Neutral::Number(0.0)),
    ("guidance_scale", Neutral::Number(1.0)),
    ("no_repeat_ngram_size", Neutral::Number(0.0)),
    ("encoder_no_repeat_ngram_size", Neutral::Number(0.0)),
    ("min_length", Neutral::Number(0.0)),
    ("min_new_tokens", Neutral::Number(0.0)),
    ("penalty_alpha", Neutral::Number(0.0)),
    ("remove_invalid_values", Neutral::False),
    ("bad_words_ids", Neutral::Empty),
    ("begin_suppress_tokens", Neutral::Empty),
    ("constraints", Neutral::Empty),
    ("dola_layers", Neutral::Empty),
    ("exponential_decay_length_penalty", Neutral::Empty),
    ("force_words_ids", Neutral::Empty),
    ("forced_bos_token_id", Neutral::Empty),
    ("forced_decoder_ids", Neutral::Empty),
    ("forced_eos_token_id", Neutral::Empty),
    ("sequence_bias", Neutral::Empty),
    ("stop_strings", Neutral::Empty),
    ("suppress_tokens", Neutral::Empty),
    ("watermarking_config", Neutral::Empty),
];

impl Neutral {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Number(number) => value.as_f64() == Some(number),
            Self::False => value.as_bool() == Some(false),
            Self::Empty => match value {
                Value::Array(items) => items.is_empty(),
                Value::Object(keys) => keys.is_empty(),
                _ => false,
            },
        }
    }
}

/// When generation ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationConfig {
    /// The end tokens.
    pub eos: Vec<u32>,
}

impl GenerationConfig {
    /// Reads `generation_config.json` where there is one, the decoder's object where not or where it names no end
    /// token; 2 where neither does. An end token outside the `vocabulary` can never be produced.
    pub(in crate::checkpoint) fn read(
        generation: Option<&ConfigFile>,
        decoder: &ConfigFile,
        vocabulary: usize,
    ) -> Result<Self, CheckpointError> {
        // Without a generation_config.json the library derives one from the decoder's keys.
        let settings = generation.unwrap_or(decoder);
        for (key, neutral) in PROCESSORS {
            if let Some(value) = settings.value(key).filter(|value| !neutral.is(value)) {
                let what = format!(
                    "is {}: only plain greedy decoding is supported",
                    quoted(&value.to_string())
                );
                return Err(settings.fault_at(key, what));
            }
        }
        for file in generation.into_iter().chain([decoder]) {
            if let Some(eos) = eos(file)? {
                if eos
                    .iter()
                    .all(|id| usize::try_from(*id).is_ok_and(|id| id >= vocabulary))
                {
                    let what = format!("is {eos:?}: the vocabulary has {vocabulary} tokens");
                    return Err(file.fault_at("eos_token_id", what));
                }
                return Ok(Self { eos });
            }
        }
        Ok(Self { eos: vec![2] })
    }
}

fn eos(file: &ConfigFile) -> Result<Option<Vec<u32>>, CheckpointError> {
    let key = "eos_token_id";
    let Some(value) = file.value(key) else { return Ok(None) };
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids: Option<Vec<u32>> = match value {
        Value::Array(items) => items.iter().map(id).collect(),
        single => id(single).map(|id| vec![id]),
    };
    match ids {
        Some(ids) if !ids.is_empty() => Ok(Some(ids)),
        _ => Err(file.wrong_type(key, "a token id or a list of them", value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(generation: Option<Value>, decoder: Value) -> Result<Vec<u32>, String> {
        let generation = generation.map(ConfigFile::of);
        GenerationConfig::read(generation.as_ref(), &ConfigFile::of(decoder), 1000)
            .map(|config| config.eos)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn end_tokens_come_from_the_first_file_that_has_them() {
        let cases = [
            (Some(json!({"eos_token_id": 7})), json!({"eos_token_id": 5}), vec![7]),
            (Some(json!({"eos_token_id": [7, 9]})), json!({}), vec![7, 9]),
            (Some(json!({"eos_token_id": [7, 1000]})), json!({}), vec![7, 1000]),
            (Some(json!({"eos_token_id": null})), json!({"eos_token_id": 5}), vec![5]),
            (Some(json!({})), json!({"eos_token_id": [5]}), vec![5]),
            (None, json!({"eos_token_id": 5}), vec![5]),
            (None, json!({}), vec![2]),
        ];
        for (generation, decoder, wanted) in cases {
            assert_eq!(
                read(generation.clone(), decoder.clone()),
                Ok(wanted),
                "{generation:?} {decoder}"
            );
        }
    }

    #[test]
    fn end_tokens_that_are_none() {
        for (value, wanted) in [
            (json!("2"), "must be a token id or a list of them, not `\"2\"`"),
            (json!(-1), "must be a token id or a list of them, not `-1`"),
            (json!([]), "must be a token id or a list of them, not `[]`"),
            (json!([2, "x"]), "must be a token id or a list of them, not `[2,\"x\"]`"),
            (
                json!(4_294_967_296_u64),
                "must be a token id or a list of them, not `4294967296`",
            ),
            (json!([1000]), "is [1000]: the vocabulary has 1000 tokens"),
        ] {
            let error = read(Some(json!({"eos_token_id": value})), json!({})).unwrap_err();
            assert_eq!(error, format!("`config.json`: `eos_token_id` {wanted}"));
        }
    }

    #[test]
    fn processors_are_refused_unless_neutral() {
        let refused = [
            json!({"repetition_penalty": 1.1}),
            json!({"no_repeat_ngram_size": 3}),
            json!({"suppress_tokens": [1]}),
            json!({"sequence_bias": {"a": 1.0}}),
            json!({"forced_eos_token_id": 2}),
            json!({"remove_invalid_values": true}),
            json!({"min_new_tokens": 4}),
        ];
        for keys in refused {
            let key = keys.as_object().unwrap().keys().next().unwrap().clone();
            for outcome in [read(Some(keys.clone()), json!({})), read(None, keys.clone())] {
                let error = outcome.unwrap_err();
                assert!(error.starts_with(&format!("`config.json`: `{key}` is ")), "{error}");
                assert!(error.ends_with(": only plain greedy decoding is supported"), "{error}");
            }
            // The decoder's keys count only where there is no generation_config.json.
            assert_eq!(read(Some(json!({})), keys), Ok(vec![2]));
        }
        let neutral = json!({
            "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "suppress_tokens": [], "bad_words_ids": null,
            "remove_invalid_values": false, "temperature": 0.2, "top_p": 0.9, "do_sample": true, "max_length": 4096,
        });
        assert_eq!(read(Some(neutral), json!({})), Ok(vec![2]));
    }
}
