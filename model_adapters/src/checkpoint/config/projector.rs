//! The projector's configuration (`checkpoints.md` sections 6.5 and 7).

use std::fmt;

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::config::tower::TowerConfig;
use crate::checkpoint::error::CheckpointError;

/// Linears in one projector above this are refused.
const MOST_LINEARS: usize = 64;

/// Which projector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// Nothing: the tower's tokens are the decoder's rows, so both are equally wide.
    Identity,
    /// One linear.
    Linear,
    /// `depth` linears with exact GELU between (`mlp2x_gelu`: 2).
    MlpGelu {
        /// Number of linears.
        depth: usize,
    },
    /// Four patches merged to one, column by column, then LayerNorm, linear, GELU, linear (VILA1.5).
    MlpDownsample,
}

impl fmt::Display for ProjectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Linear => f.write_str("linear"),
            Self::MlpGelu { depth } => write!(f, "mlp{depth}x_gelu"),
            Self::MlpDownsample => f.write_str("mlp_downsample"),
        }
    }
}

impl ProjectorKind {
    /// `mm_projector_type` of a VILA1.5 `mm_projector/config.json`.
    pub(in crate::checkpoint) fn vila(file: &ConfigFile) -> Result<Self, CheckpointError> {
        let key = "mm_projector_type";
        let name = file.required(key, ConfigFile::string)?;
        let depth = || name.strip_prefix("mlp")?.strip_suffix("x_gelu")?.parse().ok();
        match name {
            "mlp_downsample" => Ok(Self::MlpDownsample),
            "linear" => Ok(Self::Linear),
            "identity" => Ok(Self::Identity),
            _ => match depth().filter(|depth| (1..=MOST_LINEARS).contains(depth)) {
                Some(depth) => Ok(Self::MlpGelu { depth }),
                None => Err(file.refused(
                    key,
                    name,
                    "known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`",
                )),
            },
        }
    }

    /// `mm_projector_type` of a `config.json` of layouts A and C: `linear` where the key is absent
    /// (`llava/model/multimodal_projector/builder.py`).
    pub(in crate::checkpoint) fn llava(file: &ConfigFile) -> Result<Self, CheckpointError> {
        let key = "mm_projector_type";
        if file.value(key).is_none() {
            return Ok(Self::Linear);
        }
        match Self::vila(file)? {
            Self::MlpDownsample => Err(file.refused(
                key,
                "mlp_downsample",
                "in this layout `linear`, `mlp2x_gelu` and `identity` are known",
            )),
            known => Ok(known),
        }
    }

    /// The one projector of llava-hf: two linears with biases and exact GELU.
    pub(in crate::checkpoint) fn llava_hf(file: &ConfigFile) -> Result<Self, CheckpointError> {
        if let Some(other) = file.string("projector_hidden_act")?.filter(|name| *name != "gelu") {
            return Err(file.refused("projector_hidden_act", other, "only `gelu` is supported"));
        }
        if file.flag("multimodal_projector_bias")? == Some(false) {
            return Err(file.fault_at(
                "multimodal_projector_bias",
                "is false: only a projector with biases is supported",
            ));
        }
        Ok(Self::MlpGelu { depth: 2 })
    }

    /// Linears in it.
    pub fn linears(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Linear => 1,
            Self::MlpGelu { depth } => depth,
            Self::MlpDownsample => 2,
        }
    }
}

/// The projector from tower width to decoder width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectorConfig {
    /// Which one.
    pub kind: ProjectorKind,
    /// Width of the tower's tokens.
    pub tower_size: usize,
    /// Width of the decoder.
    pub hidden_size: usize,
}

impl ProjectorConfig {
    /// A projector behind `tower`; `file` is the file that says which of the tower's tokens go on. Patches are merged
    /// two by two, so `mlp_downsample` needs a square of them: SigLIP with `patch` and CLIP with `cls_patch` have none
    /// (`architecture.md` section 3, item 5).
    pub(in crate::checkpoint) fn new(
        kind: ProjectorKind,
        tower: &TowerConfig,
        hidden_size: usize,
        file: &ConfigFile,
    ) -> Result<Self, CheckpointError> {
        let tokens = tower.tokens();
        if tokens == 0 {
            return Err(file.fault("the selected feature leaves no token of the vision tower"));
        }
        if kind == ProjectorKind::MlpDownsample && !is_square(tokens) {
            let what = format!("leaves {tokens} tokens of the vision tower, no square for `mlp_downsample` to merge");
            return Err(file.fault_at("mm_vision_select_feature", what));
        }
        let tower_size = tower.feature_size();
        if kind == ProjectorKind::Identity && tower_size != hidden_size {
            let what = format!(
                "its projector is `identity`, but the vision tower is {tower_size} wide and the decoder \
                 {hidden_size}: take the projector that the model was trained with"
            );
            return Err(file.fault(what));
        }
        Ok(Self {
            kind,
            tower_size,
            hidden_size,
        })
    }

    /// Rows handed to the decoder for `tokens` rows of the tower.
    pub fn tokens(&self, tokens: usize) -> usize {
        match self.kind {
            ProjectorKind::Identity | ProjectorKind::Linear | ProjectorKind::MlpGelu { .. } => tokens,
            ProjectorKind::MlpDownsample => {
                let side = tokens.isqrt().div_ceil(2);
                side * side
            }
        }
    }
}

fn is_square(number: usize) -> bool {
    number.isqrt().pow(2) == number
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checkpoint::config::selection::SelectFeature;
    use crate::checkpoint::config::tower::{Activation, TowerKind};

    fn tower(kind: TowerKind, select_feature: SelectFeature, patches: usize) -> TowerConfig {
        TowerConfig {
            kind,
            hidden_size: 8,
            intermediate_size: 16,
            layers: 2,
            heads: 2,
            image_size: 14 * patches,
            patch_size: 14,
            layer_norm_eps: 1e-6,
            activation: Activation::GeluTanh,
            select_state: 1,
            select_feature,
            s2: None,
        }
    }

    #[test]
    fn types_by_name() {
        let cases = [
            ("mlp_downsample", Ok(ProjectorKind::MlpDownsample)),
            ("linear", Ok(ProjectorKind::Linear)),
            ("mlp1x_gelu", Ok(ProjectorKind::MlpGelu { depth: 1 })),
            ("mlp2x_gelu", Ok(ProjectorKind::MlpGelu { depth: 2 })),
            ("identity", Ok(ProjectorKind::Identity)),
            (
                "mlp0x_gelu",
                Err("is `mlp0x_gelu`: known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`"),
            ),
            (
                "mlp65x_gelu",
                Err("is `mlp65x_gelu`: known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`"),
            ),
            (
                "mlp-2x_gelu",
                Err("is `mlp-2x_gelu`: known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`"),
            ),
            (
                "mlp_downsample_2x2_fix",
                Err("known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`"),
            ),
        ];
        for (name, wanted) in cases {
            let kind = ProjectorKind::vila(&ConfigFile::of(json!({"mm_projector_type": name})));
            match wanted {
                Ok(wanted) => assert_eq!(kind.unwrap(), wanted),
                Err(wanted) => {
                    let error = kind.unwrap_err().to_string();
                    assert!(error.ends_with(wanted), "{error}");
                }
            }
        }
    }

    #[test]
    fn llava_hf_has_one_projector() {
        let read = |keys| ProjectorKind::llava_hf(&ConfigFile::of(keys));
        assert_eq!(read(json!({})).unwrap(), ProjectorKind::MlpGelu { depth: 2 });
        assert_eq!(
            read(json!({"projector_hidden_act": "gelu"})).unwrap(),
            ProjectorKind::MlpGelu { depth: 2 }
        );
        assert!(
            read(json!({"projector_hidden_act": "silu"}))
                .unwrap_err()
                .to_string()
                .contains("only `gelu`")
        );
        assert!(
            read(json!({"multimodal_projector_bias": false}))
                .unwrap_err()
                .to_string()
                .contains("biases")
        );
    }

    #[test]
    fn merging_needs_a_square() {
        let file = ConfigFile::of(json!({}));
        let (siglip, clip) = (TowerKind::Siglip, TowerKind::Clip);
        let (patch, cls_patch) = (SelectFeature::Patch, SelectFeature::ClsPatch);
        let cases = [
            (siglip, cls_patch, 27, Ok(196)),
            (siglip, patch, 27, Err("`mm_vision_select_feature` leaves 728 tokens")),
            (clip, patch, 24, Ok(144)),
            (clip, cls_patch, 24, Err("`mm_vision_select_feature` leaves 577 tokens")),
            (siglip, patch, 1, Err("leaves no token")),
        ];
        for (kind, feature, patches, wanted) in cases {
            let tower = tower(kind, feature, patches);
            let projector = ProjectorConfig::new(ProjectorKind::MlpDownsample, &tower, 4, &file);
            match wanted {
                Ok(tokens) => assert_eq!(projector.unwrap().tokens(tower.tokens()), tokens),
                Err(wanted) => assert!(projector.unwrap_err().to_string().contains(wanted)),
            }
        }
    }
}
