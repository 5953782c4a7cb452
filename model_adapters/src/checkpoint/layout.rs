//! Telling the layouts apart (`checkpoints.md` section 2) and how each spells the tensors' names.

use std::fmt;

use crate::checkpoint::config::{ConfigFile, ProjectorKind};
use crate::checkpoint::error::{CheckpointError, quoted};

/// How a checkpoint lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One folder, the tower named by hub id (A: VILA v1; C: liuhaotian/llava-v1.5). The two are read alike; which
    /// reference they follow is told by the name, [`super::Checkpoint::name`].
    A,
    /// `llm/`, `vision_tower/`, `mm_projector/` (VILA1.5).
    B,
    /// llava-hf: everything in one set of files.
    D,
}

impl Layout {
    /// The layout that the top `config.json` tells of.
    pub(super) fn of(config: &ConfigFile) -> Result<Self, CheckpointError> {
        let names = config.strings("architectures")?.unwrap_or_default();
        match names.first().copied() {
            Some("LlavaForConditionalGeneration") => Ok(Self::D),
            Some("LlavaLlamaModel") => Ok(Self::B),
            _ if config.value("llm_cfg").is_some() => Ok(Self::B),
            Some("LlavaLlamaForCausalLM") if config.value("mm_vision_tower").is_some() => Ok(Self::A),
            found => {
                let found = found.map_or_else(|| "nothing".to_owned(), quoted);
                let what = format!(
                    "says {found}: known are `LlavaForConditionalGeneration` (llava-hf), `LlavaLlamaModel` (VILA1.5) \
                     and `LlavaLlamaForCausalLM` with `mm_vision_tower` (LLaVA-1.5, VILA v1)"
                );
                Err(config.fault_at("architectures", what))
            }
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "LLaVA single folder (A/C)",
            Self::B => "VILA1.5 (B)",
            Self::D => "llava-hf (D)",
        })
    }
}

/// How the files spell what [`super::Module`] calls by its canonical name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Layout B, and every tower in a folder of its own: each module's own names.
    Vila,
    /// Layouts A and C: the decoder's own names, `model.mm_projector.…`, and a tower deep inside where a file has one.
    Llava,
    /// Layout D up to 2025: `language_model.model.…`.
    LlavaHf,
    /// Layout D as recent transformers write it: `model.language_model.…`.
    LlavaHfNested,
}

impl Naming {
    /// Of a layout D checkpoint that stores tensors of these names.
    pub fn llava_hf<'a>(mut names: impl Iterator<Item = &'a str>) -> Self {
        if names.any(|name| name.starts_with("model.language_model.")) {
            Self::LlavaHfNested
        } else {
            Self::LlavaHf
        }
    }

    /// A tensor of the decoder.
    pub fn llama(self, canonical: &str) -> String {
        match (self, canonical.strip_prefix("model.")) {
            (Self::Vila | Self::Llava, _) => canonical.to_owned(),
            (Self::LlavaHf, _) => format!("language_model.{canonical}"),
            (Self::LlavaHfNested, Some(rest)) => format!("model.language_model.{rest}"),
            (Self::LlavaHfNested, None) => canonical.to_owned(),
        }
    }

    /// A tensor of the vision tower.
    pub fn tower(self, canonical: &str) -> String {
        let prefix = match self {
            Self::Vila => "",
            Self::Llava => Self::EMBEDDED_TOWER,
            Self::LlavaHf => "vision_tower.",
            Self::LlavaHfNested => "model.vision_tower.",
        };
        format!("{prefix}vision_model.{canonical}")
    }

    /// Linear number `i` of the projector, without `.weight`. VILA1.5 counts the layers of a `Sequential`: GELUs
    /// between the linears, patch merge and LayerNorm before them.
    pub fn projector_linear(self, kind: ProjectorKind, i: usize) -> String {
        match (self, kind) {
            (Self::LlavaHf, _) => format!("multi_modal_projector.linear_{}", i + 1),
            (Self::LlavaHfNested, _) => format!("model.multi_modal_projector.linear_{}", i + 1),
            (Self::Vila, ProjectorKind::Identity | ProjectorKind::Linear) => "layers".to_owned(),
            (Self::Vila, ProjectorKind::MlpGelu { .. }) => format!("layers.{}", 2 * i),
            (Self::Vila, ProjectorKind::MlpDownsample) => format!("layers.{}", 2 + 2 * i),
            (Self::Llava, ProjectorKind::MlpGelu { .. }) => format!("model.mm_projector.{}", 2 * i),
            // The configuration of layouts A and C lets no `mlp_downsample` come here.
            (Self::Llava, _) => "model.mm_projector".to_owned(),
        }
    }

    /// What begins the names of a tower inside a file of layouts A and C.
    pub const EMBEDDED_TOWER: &'static str = "model.vision_tower.vision_tower.";

    /// The LayerNorm of `mlp_downsample`, without `.weight`; only VILA1.5 has it.
    pub const PROJECTOR_NORM: &'static str = "layers.1";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layouts_by_configuration() {
        let cases = [
            (
                json!({"architectures": ["LlavaForConditionalGeneration"]}),
                Ok(Layout::D),
            ),
            (
                json!({"architectures": ["LlavaForConditionalGeneration"], "llm_cfg": {}}),
                Ok(Layout::D),
            ),
            (json!({"architectures": ["LlavaLlamaModel"]}), Ok(Layout::B)),
            (json!({"llm_cfg": {}}), Ok(Layout::B)),
            (
                json!({"architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "a/b"}),
                Ok(Layout::A),
            ),
            (
                json!({"architectures": ["LlavaLlamaForCausalLM"]}),
                Err("says `LlavaLlamaForCausalLM`: known are "),
            ),
            (
                json!({"architectures": ["Qwen2VL\nmodel"]}),
                Err("says `Qwen2VL\\nmodel`: known are "),
            ),
            (json!({"architectures": []}), Err("says nothing: known are ")),
            (json!({"model_type": "llava"}), Err("says nothing: known are ")),
            (
                json!({"architectures": "LlavaLlamaModel"}),
                Err("must be a list of strings, not `\"LlavaLlamaModel\"`"),
            ),
        ];
        for (config, wanted) in cases {
            let layout = Layout::of(&ConfigFile::of(config.clone()));
            match wanted {
                Ok(wanted) => assert_eq!(layout.unwrap(), wanted, "{config}"),
                Err(wanted) => {
                    let error = layout.unwrap_err().to_string();
                    assert!(error.contains(&format!("`architectures` {wanted}")), "{error}");
                }
            }
        }
    }
}
