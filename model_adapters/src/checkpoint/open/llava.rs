//! Layouts A and C: VILA v1 and LLaVA-1.5, one folder that names its vision tower (`checkpoints.md` sections 5 and 8).

use std::path::Path;

use crate::checkpoint::compare::Fit;
use crate::checkpoint::config::{
    ConfigFile, GenerationConfig, LlamaConfig, ProjectorConfig, ProjectorKind, Selection, TowerConfig, TowerKind,
};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::expected;
use crate::checkpoint::layout::{Layout, Naming};
use crate::checkpoint::lookup::Found;
use crate::checkpoint::open::{
    CONFIG, Checkpoint, GENERATION_CONFIG, PREPROCESSOR_CONFIG, Place, TEXT_TOWER, TOKENIZER_FILES, VISION_TOWER,
    present, tower_config, untie_stored_head, vocabulary,
};
use crate::checkpoint::processor::{geometry, preprocess_from};
use crate::checkpoint::tensors::Module;
use crate::checkpoint::weights::Weights;
use crate::picture::Preprocess;

/// The tower that every published checkpoint of these layouts names.
const PUBLISHED_CLIP: &str = "clip-vit-large-patch14-336";

/// Decoder and projector in `found`, the tower where it is named.
pub(super) fn open(found: &Found, config: &ConfigFile, place: &Place<'_>) -> Result<Checkpoint, CheckpointError> {
    let folder = found.folder.as_path();
    found.require(&[CONFIG])?;
    let tower_key = "mm_vision_tower";
    let mut weights = Weights::open(folder)?;
    let is_inside = |name: &&String| name.starts_with(Naming::EMBEDDED_TOWER);
    let embedded = weights.tensors.keys().find(is_inside).is_some();
    let trained = config.flag("unfreeze_mm_vision_tower")? == Some(true);
    let named = config.required(tower_key, ConfigFile::string)?;
    let tower_folder = place.tower(named, folder, config, tower_key, &[CONFIG, PREPROCESSOR_CONFIG]);
    if embedded && tower_folder.is_err() && named.ends_with(PUBLISHED_CLIP) && place.settings.vision_tower.is_none() {
        return embedded_clip(folder, config, weights);
    }
    let outside = tower_folder?;
    let (vision_config, kind) = tower_config(&outside.folder)?;
    let tower = TowerConfig::read(&vision_config, kind, Selection::llava(config)?)?;
    let processor = ConfigFile::read(&outside.folder.join(PREPROCESSOR_CONFIG))?;
    let preprocess = preprocess_from(geometry(config)?, Some(&processor), &tower, &vision_config)?;
    let mut tower_files = present(&outside.folder, &[CONFIG, PREPROCESSOR_CONFIG]);
    let mut fit = Fit::default();
    let tower_tensors = if embedded && trained {
        fit.claim(&mut weights, "", expected::tower(&tower, Naming::Llava))
    } else {
        // The references read the tower by its name, whatever the file holds.
        weights
            .tensors
            .retain(|name, _| !name.starts_with(Naming::EMBEDDED_TOWER));
        let mut own = Weights::open(&outside.folder)?;
        let label = format!("{VISION_TOWER}/");
        let tensors = fit.claim(&mut own, &label, expected::tower(&tower, Naming::Vila));
        fit.leave(&own, &label, &TEXT_TOWER);
        tower_files.extend(own.index);
        weights.files.extend(own.files);
        tensors
    };
    let mut checkpoint = single_folder(folder, config, weights, (tower, tower_tensors), preprocess, fit)?;
    checkpoint.config_files.extend(tower_files);
    checkpoint.remarks.extend(outside.remark);
    if !outside.folder.starts_with(folder) {
        checkpoint.outside.push((VISION_TOWER, outside.folder));
    }
    Ok(checkpoint)
}

/// A checkpoint of layout A or C that holds CLIP-L/14-336 itself, on a machine without that tower's own folder: its
/// configuration and processor are known (`checkpoints.md` sections 5.3 and 8.1).
fn embedded_clip(folder: &Path, config: &ConfigFile, mut weights: Weights) -> Result<Checkpoint, CheckpointError> {
    let published = serde_json::json!({
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": 336, "patch_size": 14, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    });
    let vision_config = ConfigFile::published(config.path(), published);
    let tower = TowerConfig::read(&vision_config, TowerKind::Clip, Selection::llava(config)?)?;
    let preprocess = preprocess_from(geometry(config)?, None, &tower, config)?;
    let mut fit = Fit::default();
    let tensors = fit.claim(&mut weights, "", expected::tower(&tower, Naming::Llava));
    let mut checkpoint = single_folder(folder, config, weights, (tower, tensors), preprocess, fit)?;
    checkpoint.remarks.push(format!(
        "the vision tower `{PUBLISHED_CLIP}` is not on this machine: taking the copy inside the checkpoint, which the \
         references do not read"
    ));
    Ok(checkpoint)
}

/// What layouts A and C have in common once the tower is known.
fn single_folder(
    folder: &Path,
    config: &ConfigFile,
    mut weights: Weights,
    (tower, tower_tensors): (TowerConfig, Module),
    preprocess: Preprocess,
    mut fit: Fit,
) -> Result<Checkpoint, CheckpointError> {
    let naming = Naming::Llava;
    let vocabulary = vocabulary(&weights, naming);
    let mut llama = LlamaConfig::read(config, vocabulary)?;
    untie_stored_head(&mut llama, &weights, naming);
    let projector = ProjectorConfig::new(ProjectorKind::llava(config)?, &tower, llama.hidden_size, config)?;
    let llama_tensors = fit.claim(&mut weights, "", expected::llama(&llama, naming));
    let projector_tensors = fit.claim(&mut weights, "", expected::projector(&projector, naming));
    fit.leave(&weights, "", &[]);
    let generation = ConfigFile::read_if_present(&folder.join(GENERATION_CONFIG))?;
    let mut config_files = present(folder, &[CONFIG, GENERATION_CONFIG]);
    config_files.extend(present(folder, &TOKENIZER_FILES));
    config_files.extend(weights.index);
    Ok(Checkpoint {
        folder: folder.to_owned(),
        layout: Layout::A,
        generation: GenerationConfig::read(generation.as_ref(), config, vocabulary)?,
        image_token: None,
        image_start_end: config.flag("mm_use_im_start_end")?.unwrap_or(false),
        image_patch: config.flag("mm_use_im_patch_token")?.unwrap_or(true),
        fit,
        remarks: Vec::new(),
        outside: Vec::new(),
        preprocess,
        tokenizer_folder: folder.to_owned(),
        llama,
        llama_tensors,
        tower,
        tower_tensors,
        projector,
        projector_tensors,
        weight_files: weights.files,
        config_files,
    })
}
