//! From a folder to a checked checkpoint, without reading a weight.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::compare::Fit;
use crate::checkpoint::config::{
    ConfigFile, GenerationConfig, LlamaConfig, ProjectorConfig, ProjectorKind, S2Scales, Selection, TowerConfig,
    TowerKind, refuse_quantised,
};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::expected;
use crate::checkpoint::layout::{Layout, Naming};
use crate::checkpoint::processor::{geometry, preprocess_from};
use crate::checkpoint::tensors::Module;
use crate::checkpoint::weights::Weights;
use crate::picture::{Geometry, Preprocess};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";

/// The sub-folders of layout B.
const LLM: &str = "llm";
const VISION_TOWER: &str = "vision_tower";
const MM_PROJECTOR: &str = "mm_projector";

/// Files that a tokenizer is read from.
const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// A checkpoint whose configuration has been read and whose tensors are all there, in the right shapes.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder given.
    pub folder: PathBuf,
    /// How it lies on disk.
    pub layout: Layout,
    /// The decoder's configuration.
    pub llama: LlamaConfig,
    /// The decoder's tensors.
    pub llama_tensors: Module,
    /// The tower's configuration.
    pub tower: TowerConfig,
    /// The tower's tensors.
    pub tower_tensors: Module,
    /// The projector's configuration.
    pub projector: ProjectorConfig,
    /// The projector's tensors.
    pub projector_tensors: Module,
    /// When generation ends.
    pub generation: GenerationConfig,
    /// From file to pixels.
    pub preprocess: Preprocess,
    /// The folder that holds the tokenizer files.
    pub tokenizer_folder: PathBuf,
    /// The id that stands for a picture in the tokenizer's own output (llava-hf: 32000); `None` where the
    /// prompt is split at `<image>` instead.
    pub image_token: Option<u32>,
    /// Put `<im_start>` and `<im_end>` around the picture.
    pub image_start_end: bool,
    /// The references add `<im_patch>` to the tokenizer before they compare its length with the vocabulary
    /// (`checkpoints.md` section 4.1); false for llava-hf, which is not resized.
    pub image_patch: bool,
    weight_files: Vec<PathBuf>,
    config_files: Vec<PathBuf>,
}

impl Checkpoint {
    /// Opens `folder`: recognises the layout, reads the configuration, maps the tensors and compares them with it.
    ///
    /// # Errors
    ///
    /// Whatever the user has to mend, with the file's path.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let found = fs::metadata(folder).map_err(|error| CheckpointError::unreadable(folder, &error))?;
        if !found.is_dir() {
            return Err(CheckpointError::file(folder, "is a file: give the checkpoint's folder"));
        }
        let config = ConfigFile::read(&folder.join(CONFIG))?;
        let layout = Layout::of(&config)?;
        refuse_quantised(&config)?;
        match layout {
            Layout::A => Err(config.fault(format!("the layout {layout} is not supported yet"))),
            Layout::B => vila(folder, &config),
            Layout::D => llava_hf(folder, &config),
        }
    }

    /// The files that hold weights.
    pub fn weight_files(&self) -> Vec<PathBuf> {
        self.weight_files.clone()
    }

    /// Every other file that an answer can depend on: configuration, shard indices, tokenizer.
    pub fn config_files(&self) -> Vec<PathBuf> {
        self.config_files.clone()
    }
}

/// Layout D (`checkpoints.md` section 7).
fn llava_hf(folder: &Path, config: &ConfigFile) -> Result<Checkpoint, CheckpointError> {
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
    fit.require(folder, false)?;

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

/// Layout B (`checkpoints.md` section 6).
fn vila(folder: &Path, config: &ConfigFile) -> Result<Checkpoint, CheckpointError> {
    for key in ["llm_cfg", "vision_tower_cfg", "mm_projector_cfg"] {
        match config.value(key) {
            None | Some(Value::Object(_)) => {}
            Some(Value::String(path)) => {
                return Err(config.refused(
                    key,
                    path,
                    "a module outside the checkpoint's folder is not supported yet",
                ));
            }
            Some(other) => return Err(config.wrong_type(key, "an object or a path", other)),
        }
    }
    let [llm, vision, mm] = [LLM, VISION_TOWER, MM_PROJECTOR].map(|name| folder.join(name));
    let llm_config = ConfigFile::read(&llm.join(CONFIG))?;
    let vision_config = ConfigFile::read(&vision.join(CONFIG))?;
    let mm_config = ConfigFile::read(&mm.join(CONFIG))?;
    let kind = TowerKind::from_architecture(&vision_config)?;
    let mut tower = TowerConfig::read(&vision_config, kind, Selection::vila(config)?)?;
    if let Some(s2) = S2Scales::read(config, tower.image_size)? {
        tower = tower.with_s2(s2, config)?;
    }
    let processor = ConfigFile::read_if_present(&vision.join(PREPROCESSOR_CONFIG))?;
    let preprocess = preprocess_from(geometry(config)?, processor.as_ref(), &tower, &vision_config)?;
    let projector = ProjectorKind::vila(&mm_config)?;

    let mut llm_weights = Weights::open(&llm)?;
    let mut vision_weights = Weights::open(&vision)?;
    let mut mm_weights = Weights::open(&mm)?;
    let naming = Naming::Vila;
    let vocabulary = vocabulary(&llm_weights, naming);
    let mut llama = LlamaConfig::read(&llm_config, vocabulary)?;
    untie_stored_head(&mut llama, &llm_weights, naming);
    let projector = ProjectorConfig::new(projector, &tower, llama.hidden_size, config)?;

    let mut fit = Fit::default();
    let llama_tensors = fit.claim(&mut llm_weights, "llm/", expected::llama(&llama, naming));
    let tower_tensors = fit.claim(&mut vision_weights, "vision_tower/", expected::tower(&tower, naming));
    let projector_tensors = fit.claim(
        &mut mm_weights,
        "mm_projector/",
        expected::projector(&projector, naming),
    );
    fit.leave(&llm_weights, "llm/", &[]);
    fit.leave(&vision_weights, "vision_tower/", &[]);
    fit.leave(&mm_weights, "mm_projector/", &[]);
    fit.require(folder, false)?;

    let generation = ConfigFile::read_if_present(&llm.join(GENERATION_CONFIG))?;
    let mut config_files = present(folder, &[CONFIG]);
    config_files.extend(present(&llm, &[CONFIG, GENERATION_CONFIG]));
    config_files.extend(present(&llm, &TOKENIZER_FILES));
    config_files.extend(present(&vision, &[CONFIG, PREPROCESSOR_CONFIG]));
    config_files.extend(present(&mm, &[CONFIG]));
    let all_weights = [llm_weights, vision_weights, mm_weights];
    config_files.extend(all_weights.iter().filter_map(|weights| weights.index.clone()));
    Ok(Checkpoint {
        folder: folder.to_owned(),
        layout: Layout::B,
        generation: GenerationConfig::read(generation.as_ref(), &llm_config, vocabulary)?,
        image_token: None,
        image_start_end: config.flag("mm_use_im_start_end")?.unwrap_or(false),
        image_patch: config.flag("mm_use_im_patch_token")?.unwrap_or(true),
        preprocess,
        tokenizer_folder: llm,
        llama,
        llama_tensors,
        tower,
        tower_tensors,
        projector,
        projector_tensors,
        weight_files: all_weights.into_iter().flat_map(|weights| weights.files).collect(),
        config_files,
    })
}

/// Rows of the stored embedding matrix, whatever `vocab_size` says; of `lm_head` where there is none, so that only
/// the missing one is complained about.
fn vocabulary(weights: &Weights, naming: Naming) -> usize {
    ["model.embed_tokens.weight", "lm_head.weight"]
        .into_iter()
        .find_map(|name| weights.tensors.get(&naming.llama(name))?.shape.first().copied())
        .unwrap_or(0)
}

/// A stored `lm_head` is used whatever `tie_word_embeddings` says (`checkpoints.md` section 4.2).
fn untie_stored_head(llama: &mut LlamaConfig, weights: &Weights, naming: Naming) {
    llama.tied_embeddings &= !weights.tensors.contains_key(&naming.llama("lm_head.weight"));
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

/// Those of `names` that are files of `folder`.
fn present(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    names
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_file())
        .collect()
}
