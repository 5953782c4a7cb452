//! The decoder's configuration (`checkpoints.md` section 4; defaults of HF `configuration_llama.py`).

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::config::quantisation::refuse_quantised;
use crate::checkpoint::error::CheckpointError;

/// Layers above this are refused before a tensor list is made of them.
pub(super) const MOST_LAYERS: usize = 4096;

/// `model_type` of a Llama decoder, and of LLaVA's class that adds pictures to one (layouts A and C).
const DECODERS: [&str; 3] = ["llama", "llava", "llava_llama"];

/// The language model: a Llama-family decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width H of the residual stream.
    pub hidden_size: usize,
    /// Width I of the gated MLP.
    pub intermediate_size: usize,
    /// Number L of layers.
    pub layers: usize,
    /// Number A of query heads.
    pub heads: usize,
    /// Number K of key/value heads; A / K query heads share one.
    pub kv_heads: usize,
    /// Width d of a head.
    pub head_dim: usize,
    /// Rows V of the embedding matrix; taken from the tensor, not from `vocab_size`.
    pub vocabulary: usize,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Positions are divided by this (`rope_scaling` of type `linear`); 1 in every published checkpoint.
    pub rope_divisor: f64,
    /// `lm_head` is the embedding matrix: `tie_word_embeddings` is true and no `lm_head.weight` is stored.
    pub tied_embeddings: bool,
    /// The spliced sequence is cut to its first so many positions; `None` where the key is absent.
    pub max_spliced_length: Option<usize>,
}

impl LlamaConfig {
    /// Reads the decoder's object. `vocabulary` is the row count of the stored embedding matrix;
    /// `tied_embeddings` is left as the flag in the file says.
    pub(in crate::checkpoint) fn read(file: &ConfigFile, vocabulary: usize) -> Result<Self, CheckpointError> {
        refuse_other_decoders(file)?;
        let hidden_size = file.size("hidden_size")?.unwrap_or(4096);
        let heads = file.size("num_attention_heads")?.unwrap_or(32);
        let kv_heads = file.size("num_key_value_heads")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(file.fault_at(
                "num_key_value_heads",
                format!("is {kv_heads}: must divide the {heads} heads"),
            ));
        }
        let head_dim = match file.size("head_dim")? {
            Some(head_dim) => head_dim,
            None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return Err(file.fault_at("num_attention_heads", format!("is {heads}: must divide {hidden_size}")));
            }
        };
        if !head_dim.is_multiple_of(2) {
            return Err(file.fault(format!(
                "heads of width {head_dim} cannot be rotated: the width must be even"
            )));
        }
        let (rope_theta, rope_divisor) = rope(file)?;
        Ok(Self {
            hidden_size,
            intermediate_size: file.size("intermediate_size")?.unwrap_or(11_008),
            layers: layers(file, file.size("num_hidden_layers")?.unwrap_or(32))?,
            heads,
            kv_heads,
            head_dim,
            vocabulary,
            rms_norm_eps: file.positive("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_divisor,
            tied_embeddings: file.flag("tie_word_embeddings")?.unwrap_or(false),
            max_spliced_length: file.size("tokenizer_model_max_length")?,
        })
    }
}

/// `count`, unless no model has so many layers.
pub(super) fn layers(file: &ConfigFile, count: usize) -> Result<usize, CheckpointError> {
    if count > MOST_LAYERS {
        return Err(file.fault_at("num_hidden_layers", format!("is {count}: must be 1 to {MOST_LAYERS}")));
    }
    Ok(count)
}

/// What would make the forward pass another one than Llama's.
fn refuse_other_decoders(file: &ConfigFile) -> Result<(), CheckpointError> {
    if let Some(other) = file.string("model_type")?.filter(|name| !DECODERS.contains(name)) {
        return Err(file.refused("model_type", other, "only `llama` decoders are supported"));
    }
    if let Some(other) = file.string("hidden_act")?.filter(|name| *name != "silu") {
        return Err(file.refused("hidden_act", other, "only `silu` is supported"));
    }
    for key in ["attention_bias", "mlp_bias"] {
        if file.flag(key)? == Some(true) {
            return Err(file.fault_at(key, "is true: a decoder with biases is not supported"));
        }
    }
    refuse_quantised(file)
}

/// Base of the frequencies and divisor of the positions. `rope_parameters` is how recent transformers write
/// `rope_theta` and `rope_scaling`.
fn rope(file: &ConfigFile) -> Result<(f64, f64), CheckpointError> {
    let mut theta = file.positive("rope_theta")?;
    let mut divisor = 1.0;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(scaling) = file.object(key)? else { continue };
        theta = theta.or(scaling.positive("rope_theta")?);
        let (spelling, kind) = match scaling.string("rope_type")? {
            Some(kind) => ("rope_type", kind),
            None => ("type", scaling.string("type")?.unwrap_or("default")),
        };
        match kind {
            "default" => {}
            "linear" => divisor = scaling.required("factor", ConfigFile::positive)?,
            other => return Err(scaling.refused(spelling, other, "only `linear` and `default` are supported")),
        }
    }
    Ok((theta.unwrap_or(10_000.0), divisor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_keys_take_the_class_defaults() {
        // `text_config` of llava-1.5-7b-hf.
        let file = ConfigFile::of(json!({
            "max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-5, "vocab_size": 32064,
        }));
        let wanted = LlamaConfig {
            hidden_size: 4096,
            intermediate_size: 11_008,
            layers: 32,
            heads: 32,
            kv_heads: 32,
            head_dim: 128,
            vocabulary: 32_064,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_divisor: 1.0,
            tied_embeddings: false,
            max_spliced_length: None,
        };
        assert_eq!(LlamaConfig::read(&file, 32_064).unwrap(), wanted);
        let empty = LlamaConfig::read(&ConfigFile::of(json!({})), 32_064).unwrap();
        assert_eq!(
            empty,
            LlamaConfig {
                rms_norm_eps: 1e-6,
                ..wanted
            }
        );
    }

    #[test]
    fn every_key_is_honoured() {
        let file = ConfigFile::of(json!({
            "hidden_size": 60, "intermediate_size": 144, "num_hidden_layers": 3, "num_attention_heads": 7,
            "num_key_value_heads": 1, "head_dim": 10, "rms_norm_eps": 0.25, "rope_theta": 500000,
            "rope_scaling": {"type": "linear", "factor": 2}, "tie_word_embeddings": true,
            "tokenizer_model_max_length": 4096, "pretraining_tp": 2, "attention_bias": false, "hidden_act": "silu",
        }));
        let wanted = LlamaConfig {
            hidden_size: 60,
            intermediate_size: 144,
            layers: 3,
            heads: 7,
            kv_heads: 1,
            head_dim: 10,
            vocabulary: 11,
            rms_norm_eps: 0.25,
            rope_theta: 500_000.0,
            rope_divisor: 2.0,
            tied_embeddings: true,
            max_spliced_length: Some(4096),
        };
        assert_eq!(LlamaConfig::read(&file, 11).unwrap(), wanted);
    }

    #[test]
    fn rotary_settings_in_each_spelling() {
        let cases = [
            (json!({"rope_scaling": null}), (10_000.0, 1.0)),
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "rope_theta": 5e5}),
                (500_000.0, 4.0),
            ),
            (
                json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
                (500_000.0, 1.0),
            ),
            (
                json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}}),
                (500_000.0, 2.0),
            ),
        ];
        for (keys, wanted) in cases {
            assert_eq!(rope(&ConfigFile::of(keys.clone())).unwrap(), wanted, "{keys}");
        }
    }

    #[test]
    fn other_decoders_are_refused() {
        let cases = [
            (
                json!({"model_type": "qwen2"}),
                "`model_type` is `qwen2`: only `llama` decoders are supported",
            ),
            (
                json!({"hidden_act": "gelu"}),
                "`hidden_act` is `gelu`: only `silu` is supported",
            ),
            (
                json!({"attention_bias": true}),
                "`attention_bias` is true: a decoder with biases is not supported",
            ),
            (
                json!({"mlp_bias": true}),
                "`mlp_bias` is true: a decoder with biases is not supported",
            ),
            (
                json!({"quantization_config": {}}),
                "`quantization_config` is set: the only quantised weights that are read are AWQ's of 4 bits",
            ),
            (
                json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
                "`rope_scaling.type` is `dynamic`: only `linear` and `default` are supported",
            ),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}),
                "`rope_scaling.rope_type` is `llama3`: only `linear` and `default` are supported",
            ),
            (
                json!({"rope_scaling": {"type": "linear"}}),
                "`rope_scaling.factor` is missing",
            ),
            (
                json!({"num_attention_heads": 24}),
                "`num_attention_heads` is 24: must divide 4096",
            ),
            (
                json!({"num_key_value_heads": 5}),
                "`num_key_value_heads` is 5: must divide the 32 heads",
            ),
            (
                json!({"num_hidden_layers": 4097}),
                "`num_hidden_layers` is 4097: must be 1 to 4096",
            ),
            (
                json!({"head_dim": 7}),
                "heads of width 7 cannot be rotated: the width must be even",
            ),
            (json!({"rms_norm_eps": 0}), "`rms_norm_eps` is 0: must be positive"),
        ];
        for (keys, wanted) in cases {
            let error = LlamaConfig::read(&ConfigFile::of(keys), 1).unwrap_err().to_string();
            assert_eq!(error, format!("`config.json`: {wanted}"));
        }
    }
}
