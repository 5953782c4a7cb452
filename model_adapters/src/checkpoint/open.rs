//! From a name to a checked checkpoint, without reading a weight: what the layouts have in common. Each has a file of
//! its own.

mod llava;
mod llava_hf;
mod vila;

use std::path::{Path, PathBuf};

use crate::checkpoint::compare::Fit;
use crate::checkpoint::config::{
    ConfigFile, GenerationConfig, LlamaConfig, ProjectorConfig, TowerConfig, TowerKind, refuse_quantised,
    require_group_size,
};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::layout::{Layout, Naming};
use crate::checkpoint::lookup::{Found, HubCache};
use crate::checkpoint::tensors::Module;
use crate::checkpoint::text::folder_name;
use crate::checkpoint::weights::Weights;
use crate::picture::Preprocess;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";

/// The folder of a vision tower in layout B.
const VISION_TOWER: &str = "vision_tower";

/// Files that a tokenizer is read from.
const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Parts of a CLIP or SigLIP file of the hub that are no vision tower.
const TEXT_TOWER: [&str; 5] = [
    "text_model.",
    "logit_scale",
    "logit_bias",
    "text_projection.",
    "visual_projection.",
];

/// What the user may say about opening a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenSettings {
    /// The vision tower's folder, where it is not the checkpoint's own.
    pub vision_tower: Option<PathBuf>,
    /// Ignore tensors that neither the configuration nor the published files know.
    pub allow_extra_tensors: bool,
}

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
    /// Which tensors do not fit; whole unless [`Checkpoint::examine`] gave this.
    pub fit: Fit,
    /// What the user should know about how the checkpoint was found and read, a line each.
    pub remarks: Vec<String>,
    /// Modules that do not lie inside `folder`, each with the folder that it has in layout B.
    outside: Vec<(&'static str, PathBuf)>,
    weight_files: Vec<PathBuf>,
    config_files: Vec<PathBuf>,
}

impl Checkpoint {
    /// Opens `named`, a folder or a hub id: recognises the layout, reads the configuration, maps the tensors and
    /// compares them with it.
    ///
    /// # Errors
    ///
    /// Whatever the user has to mend, with the file's path.
    pub fn open(named: &Path) -> Result<Self, CheckpointError> {
        Self::open_with(named, &OpenSettings::default())
    }

    /// The same with the user's settings.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open`].
    pub fn open_with(named: &Path, settings: &OpenSettings) -> Result<Self, CheckpointError> {
        let checkpoint = Self::examine(named, settings)?;
        checkpoint.require_fit(settings)?;
        Ok(checkpoint)
    }

    /// What [`Checkpoint::open_with`] says of tensors that do not fit.
    ///
    /// # Errors
    ///
    /// One that names them.
    pub fn require_fit(&self, settings: &OpenSettings) -> Result<(), CheckpointError> {
        self.fit.require(&self.folder, settings.allow_extra_tensors)
    }

    /// The same, but tensors that do not fit are reported in [`Checkpoint::fit`] and are no error.
    ///
    /// # Errors
    ///
    /// Configuration or weight files that cannot be read.
    pub fn examine(named: &Path, settings: &OpenSettings) -> Result<Self, CheckpointError> {
        let place = Place {
            cache: HubCache::of_environment(),
            settings,
        };
        let found = place.cache.model(named)?;
        let config = ConfigFile::read(&found.folder.join(CONFIG))?;
        let layout = Layout::of(&config)?;
        refuse_quantised(&config)?;
        if layout == Layout::D && settings.vision_tower.is_some() {
            return Err(
                config.fault("is a llava-hf checkpoint, which holds its vision tower: --vision-tower is for others")
            );
        }
        let mut checkpoint = match layout {
            Layout::A => llava::open(&found, &config, &place),
            Layout::B => vila::open(&found.folder, &config, &place),
            Layout::D => llava_hf::open(&found, &config),
        }?;
        require_group_size(&config, &checkpoint.llama_tensors)?;
        checkpoint.remarks.extend(found.remark);
        Ok(checkpoint)
    }

    /// What the checkpoint is called: the last part of its folder's name or of its hub id.
    pub fn name(&self) -> String {
        folder_name(&self.folder)
    }

    /// A file of [`Checkpoint::weight_files`] or [`Checkpoint::config_files`] by a name that does not depend on where
    /// the checkpoint lies; those of a vision tower elsewhere begin with `vision_tower/`.
    pub fn file_name(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.folder).ok().map(Path::to_owned);
        let mut outside = self.outside.iter();
        let named = inside
            .or_else(|| outside.find_map(|(name, folder)| Some(Path::new(name).join(path.strip_prefix(folder).ok()?))));
        named.unwrap_or_else(|| path.to_owned()).display().to_string()
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

/// Where else than in the checkpoint's folder a module may lie.
struct Place<'a> {
    cache: HubCache,
    settings: &'a OpenSettings,
}

impl Place<'_> {
    /// The vision tower that `key` names `named`, which must hold `files`; `--vision-tower` wins.
    fn tower(
        &self,
        named: &str,
        model: &Path,
        config: &ConfigFile,
        key: &str,
        files: &[&str],
    ) -> Result<Found, CheckpointError> {
        const OPTION: &str = ", or give its folder with --vision-tower";
        let found = match &self.settings.vision_tower {
            Some(folder) => self.cache.model(folder),
            None => self.cache.module(named, model, config, key, OPTION),
        }?;
        found.require(files)?;
        Ok(found)
    }
}

/// The configuration of a tower in a folder of its own: `vision_config` of a whole CLIP or SigLIP model of the hub, and
/// which class it is (`checkpoints.md` section 8.1).
fn tower_config(folder: &Path) -> Result<(ConfigFile, TowerKind), CheckpointError> {
    let whole = ConfigFile::read(&folder.join(CONFIG))?;
    let kind = TowerKind::from_architecture(&whole)?;
    Ok((whole.object("vision_config")?.unwrap_or(whole), kind))
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

/// Those of `names` that are files of `folder`.
fn present(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    names
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_file())
        .collect()
}
