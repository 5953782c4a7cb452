//! The vision tower's configuration (`checkpoints.md` sections 6.2, 6.4 and 7).

use std::fmt;

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::config::llama::layers;
use crate::checkpoint::config::s2::S2Scales;
use crate::checkpoint::config::selection::{SelectFeature, Selection};
use crate::checkpoint::error::CheckpointError;

/// Which vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// CLIP: class token, LayerNorm before the blocks, no bias in the patch embedding.
    Clip,
    /// SigLIP: no class token, no LayerNorm before the blocks, bias in the patch embedding.
    Siglip,
    /// InternViT-6B: class token, RMS norms, normalised queries and keys, scaled residual branches.
    InternVit,
}

impl fmt::Display for TowerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
            Self::InternVit => "InternViT",
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
            ("intern", Some(Self::InternVit)),
            ("radio", None),
            ("clip", Some(Self::Clip)),
            ("siglip", Some(Self::Siglip)),
        ];
        match kinds.into_iter().find(|(part, _)| lower.contains(part)) {
            Some((_, Some(kind))) => Ok(kind),
            Some((_, None)) => Err(file.refused("architectures", name, "this vision tower is not supported yet")),
            None => Err(file.refused(
                "architectures",
                name,
                "known vision towers are CLIP, SigLIP and InternViT",
            )),
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
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// The MLP's activation.
    pub activation: Activation,
    /// Hidden state that is taken: 0 is the input of block 0, `layers` the output of the last block. Already
    /// resolved: never negative.
    pub select_state: usize,
    /// Which tokens of that state.
    pub select_feature: SelectFeature,
    /// The scales at which the tower sees a picture; `None` sees it once, whole.
    pub s2: Option<S2Scales>,
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
            TowerKind::InternVit => {
                refuse_other_interns(file)?;
                (Activation::Gelu, 1e-6)
            }
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
            s2: None,
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

    /// The same tower behind S2; `config` is the file that says so.
    pub(in crate::checkpoint) fn with_s2(self, s2: S2Scales, config: &ConfigFile) -> Result<Self, CheckpointError> {
        if self.kind == TowerKind::InternVit {
            return Err(config.fault_at("s2", "is true: the references have no S2 for InternViT"));
        }
        let patches = self.patches_per_side() * self.patches_per_side();
        if self.tile_tokens() != patches {
            let what = format!("leaves {} tokens of a tile, no map for S2 to join", self.tile_tokens());
            return Err(config.fault_at("mm_vision_select_feature", what));
        }
        Ok(Self { s2: Some(s2), ..self })
    }

    /// Side of the square picture that preprocessing has to make, in pixels.
    pub fn input_size(&self) -> usize {
        self.s2.as_ref().map_or(self.image_size, S2Scales::input_size)
    }

    /// Width of a token handed to the projector: every scale of S2 adds the tower's width.
    pub fn feature_size(&self) -> usize {
        self.hidden_size * self.s2.as_ref().map_or(1, |s2| s2.sides().len())
    }

    /// Tokens handed to the projector.
    pub fn tokens(&self) -> usize {
        let split = self.s2.as_ref().map_or(1, S2Scales::smallest_split);
        split * split * self.tile_tokens()
    }

    /// Tokens selected of one picture of the tower's own size.
    pub fn tile_tokens(&self) -> usize {
        let patches = self.patches_per_side() * self.patches_per_side();
        match (self.kind, self.select_feature) {
            (TowerKind::Clip | TowerKind::InternVit, SelectFeature::ClsPatch) => patches + 1,
            (TowerKind::Clip | TowerKind::InternVit, SelectFeature::Patch)
            | (TowerKind::Siglip, SelectFeature::ClsPatch) => patches,
            (TowerKind::Siglip, SelectFeature::Patch) => patches - 1,
        }
    }
}

/// InternViT-6B is one member of a family; the others are no part of VILA1.5. Absent keys have the class defaults of
/// `configuration_intern_vit.py`.
fn refuse_other_interns(file: &ConfigFile) -> Result<(), CheckpointError> {
    if file.flag("qkv_bias")? == Some(true) {
        return Err(file.fault_at("qkv_bias", "is true: only InternViT-6B is supported, which has none"));
    }
    if file.flag("qk_normalization")? == Some(false) {
        return Err(file.fault_at(
            "qk_normalization",
            "is false: only InternViT-6B is supported, which normalises queries and keys",
        ));
    }
    match file.string("norm_type")? {
        None | Some("rms_norm") => Ok(()),
        Some(other) => Err(file.refused(
            "norm_type",
            other,
            "only InternViT-6B is supported, which has `rms_norm`",
        )),
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
    fn towers_by_substring_of_the_architecture() {
        let cases = [
            ("SiglipVisionModel", Ok(TowerKind::Siglip)),
            ("CLIPVisionModel", Ok(TowerKind::Clip)),
            ("InternVisionModel", Ok(TowerKind::InternVit)),
            (
                "RADIOModel",
                Err("is `RADIOModel`: this vision tower is not supported yet"),
            ),
            (
                "ViTModel",
                Err("is `ViTModel`: known vision towers are CLIP, SigLIP and InternViT"),
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

    fn intern(change: impl FnOnce(&mut Value)) -> Result<TowerConfig, CheckpointError> {
        let mut keys = json!({
            "architectures": ["InternVisionModel"], "hidden_size": 3200, "image_size": 448,
            "intermediate_size": 12_800, "num_attention_heads": 25, "num_hidden_layers": 45, "patch_size": 14,
        });
        change(&mut keys);
        let selected = ConfigFile::of(json!({"mm_vision_select_layer": -1, "mm_vision_select_feature": "patch"}));
        let file = ConfigFile::of(keys);
        TowerConfig::read(&file, TowerKind::InternVit, Selection::vila(&selected)?)
    }

    #[test]
    fn the_tower_of_vila15_40b() {
        let tower = intern(|_| ()).unwrap();
        assert_eq!((tower.select_state, tower.tokens()), (45, 1024));
        assert_eq!((tower.layer_norm_eps, tower.activation), (1e-6, Activation::Gelu));
        let cases = [
            ("qkv_bias", json!(true), "`qkv_bias` is true: only InternViT-6B"),
            (
                "qk_normalization",
                json!(false),
                "`qk_normalization` is false: only InternViT-6B",
            ),
            (
                "norm_type",
                json!("layer_norm"),
                "`norm_type` is `layer_norm`: only InternViT-6B",
            ),
        ];
        for (key, value, wanted) in cases {
            let error = intern(|keys| keys[key] = value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`config.json`: {wanted}")), "{error}");
        }
    }

    #[test]
    fn s2_widens_what_the_projector_sees() {
        let siglip = |feature| {
            let keys = json!({
                "hidden_size": 1152, "image_size": 384, "intermediate_size": 4304, "num_attention_heads": 16,
                "num_hidden_layers": 27, "patch_size": 14,
            });
            let selected = ConfigFile::of(json!({"mm_vision_select_layer": -2, "mm_vision_select_feature": feature}));
            TowerConfig::read(&ConfigFile::of(keys), TowerKind::Siglip, Selection::vila(&selected)?)
        };
        let config = ConfigFile::of(json!({}));
        let scales = || S2Scales::of(&[384, 768], 384);
        let tower = siglip("cls_patch").unwrap().with_s2(scales(), &config).unwrap();
        assert_eq!(
            (tower.input_size(), tower.feature_size(), tower.tokens()),
            (768, 2304, 729)
        );
        let error = siglip("patch")
            .unwrap()
            .with_s2(scales(), &config)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("leaves 728 tokens of a tile, no map for S2 to join"),
            "{error}"
        );
        let error = intern(|_| ())
            .unwrap()
            .with_s2(scales(), &config)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`s2` is true: the references have no S2 for InternViT"),
            "{error}"
        );
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
