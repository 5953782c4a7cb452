//! Layout D: llava-hf (`checkpoints.md` section 7).

use crate::checkpoint::compare::Fit;
use crate::checkpoint::config::{
    ConfigFile, GenerationConfig, LlamaConfig, ProjectorConfig, ProjectorKind, Selection, TowerConfig, TowerKind,
};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::expected;
use crate::checkpoint::layout::{Layout, Naming};
use crate::checkpoint::lookup::Found;
use crate::checkpoint::open::{
    CONFIG, Checkpoint, GENERATION_CONFIG, PREPROCESSOR_CONFIG, TOKENIZER_FILES, present, untie_stored_head, vocabulary,
};
use crate::checkpoint::processor::preprocess_from;
use crate::checkpoint::weights::Weights;
use crate::picture::Geometry;

/// Everything in one folder.
pub(super) fn open(found: &Found, config: &ConfigFile) -> Result<Checkpoint, CheckpointError> {
    let folder = found.folder.as_path();
    found.require(&[CONFIG, PREPROCESSOR_CONFIG])?;
    let text = config.required("text_config", ConfigFile::object)?;
    let vision = config.required("vision_config", ConfigFile::object)?;
    if let Some(other) = vision.string("model_type")?.filter(|name| *name != "clip_vision_model") {
        return Err(vision.refused(
            "model_type",
            other,
            "only `clip_vision_model` is supported in llava-hf files",
        ));
    }
    let tower = TowerConfig::read(&vision, TowerKind::Clip, Selection::llava_hf(config)?)?;
    let projector = ProjectorKind::llava_hf(config)?;
    let processor = ConfigFile::read(&folder.join(PREPROCESSOR_CONFIG))?;
    let preprocess = preprocess_from(Geometry::Processor, Some(&processor), &tower, config)?;

    let mut weights = Weights::open(folder)?;
    let naming = Naming::llava_hf(weights.tensors.keys().map(String::as_str));
    let vocabulary = vocabulary(&weights, naming);
    let mut llama = LlamaConfig::read(&text, vocabulary)?;
    // The HF class knows no `tokenizer_model_max_length` and passes the model's own flag down to the decoder.
    llama.max_spliced_length = None;
    if text.flag("tie_word_embeddings")?.is_none() {
        llama.tied_embeddings = config.flag("tie_word_embeddings")?.unwrap_or(false);
    }
    untie_stored_head(&mut llama, &weights, naming);
    let projector = ProjectorConfig::new(projector, &tower, llama.hidden_size, config)?;

    let mut fit = Fit::default();
    let llama_tensors = fit.claim(&mut weights, "", expected::llama(&llama, naming));
    let tower_tensors = fit.claim(&mut weights, "", expected::tower(&tower, naming));
    let projector_tensors = fit.claim(&mut weights, "", expected::projector(&projector, naming));
    fit.leave(&weights, "", &[]);

    let generation = ConfigFile::read_if_present(&folder.join(GENERATION_CONFIG))?;
    let mut config_files = present(folder, &[CONFIG, GENERATION_CONFIG, PREPROCESSOR_CONFIG]);
    config_files.extend(present(folder, &TOKENIZER_FILES));
    config_files.extend(weights.index);
    Ok(Checkpoint {
        folder: folder.to_owned(),
        layout: Layout::D,
        generation: GenerationConfig::read(generation.as_ref(), &text, vocabulary)?,
        image_token: Some(image_token(config, vocabulary)?),
        image_start_end: false,
        image_patch: false,
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

/// `image_token_index`, in recent files `image_token_id`.
fn image_token(config: &ConfigFile, vocabulary: usize) -> Result<u32, CheckpointError> {
    let (old, new) = ("image_token_index", "image_token_id");
    let (key, id) = match (config.integer(old)?, config.integer(new)?) {
        (Some(index), Some(id)) if index != id => {
            return Err(config.fault(format!("`{old}` is {index} but `{new}` is {id}")));
        }
        (Some(index), _) => (old, index),
        (None, Some(id)) => (new, id),
        (None, None) => return Err(config.fault_at(old, "is missing")),
    };
    let inside = usize::try_from(id).is_ok_and(|id| id < vocabulary);
    u32::try_from(id)
        .ok()
        .filter(|_| inside)
        .ok_or_else(|| config.fault_at(key, format!("is {id}: the vocabulary has {vocabulary} tokens")))
}
