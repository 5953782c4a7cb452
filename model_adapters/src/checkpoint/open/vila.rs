//! Layout B: VILA1.5, one folder a module (`checkpoints.md` section 6).

use std::path::Path;

use serde_json::Value;

use crate::checkpoint::compare::Fit;
use crate::checkpoint::config::{
    ConfigFile, GenerationConfig, LlamaConfig, ProjectorConfig, ProjectorKind, S2Scales, Selection, TowerConfig,
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
use crate::checkpoint::weights::Weights;

/// The sub-folders beside the vision tower's.
const LLM: &str = "llm";
const MM_PROJECTOR: &str = "mm_projector";

/// Decoder, vision tower and projector in folders of their own.
pub(super) fn open(folder: &Path, config: &ConfigFile, place: &Place<'_>) -> Result<Checkpoint, CheckpointError> {
    let modules = [
        ["llm_cfg", LLM],
        ["vision_tower_cfg", VISION_TOWER],
        ["mm_projector_cfg", MM_PROJECTOR],
    ];
    let [llm, vision, mm] = modules.map(|names| module(place, folder, config, names));
    let (llm, vision, mm) = (llm?, vision?, mm?);
    let remarks = [&llm, &vision, &mm]
        .into_iter()
        .filter_map(|found| found.remark.clone())
        .collect();
    let [llm, vision, mm] = [llm, vision, mm].map(|found| found.folder);
    let outside = [(LLM, &llm), (VISION_TOWER, &vision), (MM_PROJECTOR, &mm)]
        .into_iter()
        .filter(|(_, module)| !module.starts_with(folder))
        .map(|(name, module)| (name, module.clone()))
        .collect();
    let llm_config = ConfigFile::read(&llm.join(CONFIG))?;
    let (vision_config, kind) = tower_config(&vision)?;
    let mm_config = ConfigFile::read(&mm.join(CONFIG))?;
    let mut tower = TowerConfig::read(&vision_config, kind, Selection::vila(config)?)?;
    if let Some(s2) = S2Scales::read(config, tower.image_size)? {
        tower = tower.with_s2(s2, config)?;
    }
    let processor = ConfigFile::read_if_present(&vision.join(PREPROCESSOR_CONFIG))?;
    let preprocess = preprocess_from(geometry(config)?, processor.as_ref(), &tower, &vision_config)?;
    let projector = ProjectorKind::vila(&mm_config)?;

    let mut llm_weights = Weights::open(&llm)?;
    let mut vision_weights = Weights::open(&vision)?;
    // `save_pretrained` of a module without tensors may leave no file.
    let mut mm_weights = match projector {
        ProjectorKind::Identity => Weights::open_if_any(&mm)?,
        _ => Weights::open(&mm)?,
    };
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
    fit.leave(&vision_weights, "vision_tower/", &TEXT_TOWER);
    fit.leave(&mm_weights, "mm_projector/", &[]);

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
        fit,
        remarks,
        outside,
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

/// The folder of a module: the sub-folder where `key` holds an object, else what it names (`llava/model/utils.py`).
fn module(
    place: &Place<'_>,
    model: &Path,
    config: &ConfigFile,
    [key, inside]: [&str; 2],
) -> Result<Found, CheckpointError> {
    match config.value(key) {
        _ if inside == VISION_TOWER && place.settings.vision_tower.is_some() => {
            place.tower("", model, config, key, &[CONFIG])
        }
        None | Some(Value::Object(_)) => Ok(Found {
            folder: model.join(inside),
            cached: false,
            remark: None,
        }),
        Some(Value::String(named)) if inside == VISION_TOWER => place.tower(named, model, config, key, &[CONFIG]),
        Some(Value::String(named)) => {
            let found = place.cache.module(named, model, config, key, "")?;
            found.require(&[CONFIG])?;
            Ok(found)
        }
        Some(other) => Err(config.wrong_type(key, "an object or a path", other)),
    }
}
