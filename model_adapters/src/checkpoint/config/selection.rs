//! Which hidden state of the vision tower goes on, and which of its tokens (`checkpoints.md` sections 1, 6.2 and 7).

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::error::CheckpointError;

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
    /// Which tokens.
    pub feature: SelectFeature,
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

    /// `mm_vision_select_layer` and `mm_vision_select_feature` of layouts A and C; `patch` where the latter is absent
    /// (`llava/model/multimodal_encoder/clip_encoder.py`).
    pub fn llava(file: &'a ConfigFile) -> Result<Self, CheckpointError> {
        let (layer_key, feature_key) = ("mm_vision_select_layer", "mm_vision_select_feature");
        match file.value(feature_key) {
            Some(_) => Self::vila(file),
            None => Ok(Self {
                file,
                layer_key,
                layer: file.required(layer_key, ConfigFile::integer)?,
                feature: SelectFeature::Patch,
            }),
        }
    }

    /// The hidden state's number, counted from the input of block 0: of `layers + 1` states.
    pub fn state(&self, layers: usize) -> Result<usize, CheckpointError> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
