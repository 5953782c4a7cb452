//! The vision tower's configuration (`checkpoints.md` sections 6.2 and 7).

use std::fmt;

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::config::llama::layers;
use crate::checkpoint::error::CheckpointError;

/// Which vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// CLIP: class token, LayerNorm before the blocks, no bias in the patch embedding.
    Clip,
    /// SigLIP: no class token, no LayerNorm before the blocks, bias in the patch embedding.
    Siglip,
}

impl fmt::Display for TowerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
        })
    }
}

impl TowerKind {
    /// The class named in `architectures` of a VILA1.5 `vision_tower/config.json`: by substring, in the order of
    /// `llava/model/multimodal_encoder/builder.py`.
    pub(in crate::checkpoint) fn from_architecture(file: &ConfigFile) -> Result<Self, CheckpointError> {
        let names = file.required("architectures", ConfigFile::strings)?;
        let name = names.first().copied().unwrap_or_default();
        let lower = name.to_lowercase();
        let kinds = [
            ("intern", None),
            ("radio", None),
            ("clip", Some(Self::Clip)),
            ("siglip", Some(Self::Siglip)),
        ];
        match kinds.into_iter().find(|(part, _)| lower.contains(part)) {
            Some((_, Some(kind))) => Ok(kind),
            Some((_, None)) => Err(file.refused("architectures", name, "this vision tower is not supported yet")),
            None => Err(file.refused("architectures", name, "known vision towers are CLIP and SigLIP")),
        }
    }
}

/// The activation between the two linears of a tower's MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(1.702 x)`, three roundings.
    QuickGelu,
    /// GELU in its tanh form.
    GeluTanh,
    /// GELU in its exact form.
    Gelu,
}

/// Which tokens of the selected hidden state go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectFeature {
    /// All but the first (`patch`, llava-hf `default`).
    Patch,
    /// All (`cls_patch`, llava-hf `full`).
    ClsPatch,
}

/// Where a layout says which hidden state and which of its tokens are taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::checkpoint) struct Selection<'a> {
    file: &'a ConfigFile,
    layer_key: &'static str,
    layer: i64,
    feature: SelectFeature,
}

impl<'a> Selection<'a> {
    /// `vision_feature_layer` and `vision_feature_select_strategy`; -2 and `default` where absent, as in HF
    /// `configuration_llava.py`.
    pub fn llava_hf(file: &'a ConfigFile) -> Result<Self, CheckpointError> {
        let (layer_key, feature_key) = ("vision_feature_layer", "vision_feature_select_strategy");
        let feature = match file.string(feature_key)? {
            None | Some("default") => SelectFeature::Patch,
            Some("full") => SelectFeature::ClsPatch,
            Some(other) => return Err(file.refused(feature_key, other, "must be `default` or `full`")),
        };
        Ok(Self {
            file,
            layer_key,
            layer: file.integer(layer_key)?.unwrap_or(-2),
            feature,
        })
    }

    /// `mm_vision_select_layer` and `mm_vision_select_feature`; both are in every published file.
    pub fn vila(file: &'a ConfigFile) -> Result<Self, CheckpointError> {
        let (layer_key, feature_key) = ("mm_vision_select_layer", "mm_vision_select_feature");
        let feature = match file.required(feature_key, ConfigFile::string)? {
            "patch" => SelectFeature::Patch,
            "cls_patch" => SelectFeature::ClsPatch,
            other => return Err(file.refused(feature_key, other, "must be `patch` or `cls_patch`")),
        };
        Ok(Self {
            file,
            layer_key,
            layer: file.required(layer_key, ConfigFile::integer)?,
            feature,
        })
    }

    /// The hidden state's number, counted from the input of block 0: of `layers + 1` states.
    fn state(&self, layers: usize) -> Result<usize, CheckpointError> {
        let from_end = || {
            usize::try_from(self.layer.unsigned_abs())
                .ok()
                .and_then(|back| (layers + 1).checked_sub(back))
        };
        let state = if self.layer < 0 {
            from_end()
        } else {
            usize::try_from(self.layer).ok()
        };
        state.filter(|state| *state <= layers).ok_or_else(|| {
            let what = format!("is {}: the vision tower has {layers} layers", self.layer);
            self.file.fault_at(self.layer_key, what)
        })
    }
}

/// The vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct TowerConfig {
    /// Which transformer.
    pub kind: TowerKind,
    /// Width of its residual stream.
    pub hidden_size: usize,
    /// Width of its MLP.
    pub intermediate_size: usize,
    /// Blocks in the file.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Epsilon of the LayerNorms.
    pub layer_norm_eps: f64,
    /// The MLP's activation.
    pub activation: Activation,
    /// Hidden state that is taken: 0 is the input of block 0, `layers` the output of the last block. Already
    /// resolved: never negative.
    pub select_state: usize,
    /// Which tokens of that state.
    pub select_feature: SelectFeature,
}

impl TowerConfig {
    /// Reads the tower's object. Sizes have no defaults: the class defaults belong to other models.
    pub(in crate::checkpoint) fn read(
        file: &ConfigFile,
        kind: TowerKind,
        selection: Selection<'_>,
    ) -> Result<Self, CheckpointError> {
        let size = |key| file.required(key, ConfigFile::size);
        let layers = layers(file, size("num_hidden_layers")?)?;
        let (activation, layer_norm_eps) = match kind {
            TowerKind::Clip => (Activation::QuickGelu, 1e-5),
            TowerKind::Siglip => (Activation::GeluTanh, 1e-6),
        };
        let tower = Self {
            kind,
            hidden_size: size("hidden_size")?,
            intermediate_size: size("intermediate_size")?,
            layers,
            heads: size("num_attention_heads")?,
            image_size: size("image_size")?,
            patch_size: size("patch_size")?,
            layer_norm_eps: file.positive("layer_norm_eps")?.unwrap_or(layer_norm_eps),
            activation: match file.string("hidden_act")? {
                None => activation,
                Some("quick_gelu") => Activation::QuickGelu,
                Some("gelu_pytorch_tanh") => Activation::GeluTanh,
                Some("gelu") => Activation::Gelu,
                Some(other) => {
                    return Err(file.refused(
                        "hidden_act",
                        other,
                        "known are `quick_gelu`, `gelu_pytorch_tanh`, `gelu`",
                    ));
                }
            },
            select_state: selection.state(layers)?,
            select_feature: selection.feature,
        };
        if !tower.hidden_size.is_multiple_of(tower.heads) {
            let what = format!("is {}: must divide {}", tower.heads, tower.hidden_size);
            return Err(file.fault_at("num_attention_heads", what));
        }
        if tower.patch_size > tower.image_size {
            let what = format!("is {}: larger than the image, {}", tower.patch_size, tower.image_size);
            return Err(file.fault_at("patch_size", what));
        }
        if let Some(channels) = file.size("num_channels")?.filter(|channels| *channels != 3) {
            return Err(file.fault_at("num_channels", format!("is {channels}: must be 3")));
        }
        Ok(tower)
    }

    /// Patches along one side (the remainder of an uneven division is not seen).
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens handed to the projector.
    pub fn tokens(&self) -> usize {
        let patches = self.patches_per_side() * self.patches_per_side();
        match (self.kind, self.select_feature) {
            (TowerKind::Clip, SelectFeature::ClsPatch) => patches + 1,
            (TowerKind::Clip, SelectFeature::Patch) | (TowerKind::Siglip, SelectFeature::ClsPatch) => patches,
            (TowerKind::Siglip, SelectFeature::Patch) => patches - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn clip_l() -> Value {
        json!({
            "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model",
            "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
        })
    }

    fn read(keys: Value, selected: Value) -> Result<TowerConfig, CheckpointError> {
        let selected = ConfigFile::of(selected);
        TowerConfig::read(&ConfigFile::of(keys), TowerKind::Clip, Selection::llava_hf(&selected)?)
    }

    #[test]
    fn the_tower_of_llava_hf() {
        let tower = read(clip_l(), json!({})).unwrap();
        assert_eq!(tower.activation, Activation::QuickGelu);
        assert_eq!(tower.layer_norm_eps, 1e-5);
        assert_eq!(tower.select_state, 23);
        assert_eq!(tower.tokens(), 576);
    }

    #[test]
    fn the_selected_state_is_counted_from_the_front() {
        let cases = [(-2, 23), (-1, 24), (-25, 0), (0, 0), (24, 24), (23, 23)];
        for (layer, wanted) in cases {
            let tower = read(clip_l(), json!({"vision_feature_layer": layer})).unwrap();
            assert_eq!(tower.select_state, wanted, "{layer}");
        }
        for layer in [-26, 25, i64::MIN, i64::MAX] {
            let error = read(clip_l(), json!({"vision_feature_layer": layer}))
                .unwrap_err()
                .to_string();
            let wanted = format!("`config.json`: `vision_feature_layer` is {layer}: the vision tower has 24 layers");
            assert_eq!(error, wanted);
        }
    }

    #[test]
    fn features_in_both_spellings() {
        let llava = |name: &str| {
            let file = ConfigFile::of(json!({"vision_feature_select_strategy": name}));
            Selection::llava_hf(&file)
                .map(|selection| selection.feature)
                .map_err(|error| error.to_string())
        };
        let vila = |name: &str| {
            let file = ConfigFile::of(json!({"mm_vision_select_feature": name, "mm_vision_select_layer": -2}));
            Selection::vila(&file)
                .map(|selection| selection.feature)
                .map_err(|error| error.to_string())
        };
        assert_eq!(llava("default"), Ok(SelectFeature::Patch));
        assert_eq!(llava("full"), Ok(SelectFeature::ClsPatch));
        assert!(
            llava("patch")
                .unwrap_err()
                .contains("`vision_feature_select_strategy` is `patch`")
        );
        assert_eq!(vila("patch"), Ok(SelectFeature::Patch));
        assert_eq!(vila("cls_patch"), Ok(SelectFeature::ClsPatch));
        assert!(
            vila("full")
                .unwrap_err()
                .contains("`mm_vision_select_feature` is `full`")
        );
    }

    #[test]
    fn towers_by_substring_of_the_architecture() {
        let cases = [
            ("SiglipVisionModel", Ok(TowerKind::Siglip)),
            ("CLIPVisionModel", Ok(TowerKind::Clip)),
            (
                "InternVisionModel",
                Err("is `InternVisionModel`: this vision tower is not supported yet"),
            ),
            (
                "RADIOModel",
                Err("is `RADIOModel`: this vision tower is not supported yet"),
            ),
            (
                "ViTModel",
                Err("is `ViTModel`: known vision towers are CLIP and SigLIP"),
            ),
        ];
        for (name, wanted) in cases {
            let kind = TowerKind::from_architecture(&ConfigFile::of(json!({"architectures": [name]})));
            match wanted {
                Ok(wanted) => assert_eq!(kind.unwrap(), wanted),
                Err(wanted) => assert!(kind.unwrap_err().to_string().ends_with(wanted)),
            }
        }
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            ("hidden_size", Value::Null, "`hidden_size` is missing"),
            (
                "num_attention_heads",
                json!(15),
                "`num_attention_heads` is 15: must divide 1024",
            ),
            (
                "patch_size",
                json!(337),
                "`patch_size` is 337: larger than the image, 336",
            ),
            ("num_channels", json!(1), "`num_channels` is 1: must be 3"),
            (
                "hidden_act",
                json!("relu"),
                "`hidden_act` is `relu`: known are `quick_gelu`, `gelu_pytorch_tanh`, `gelu`",
            ),
        ];
        for (key, value, wanted) in cases {
            let mut keys = clip_l();
            keys[key] = value;
            assert_eq!(
                read(keys, json!({})).unwrap_err().to_string(),
                format!("`config.json`: {wanted}")
            );
        }
    }
}
