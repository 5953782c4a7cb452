//! From a folder to a checked checkpoint, without reading a weight.

use std::path::{Path, PathBuf};

use crate::checkpoint::config::{GenerationConfig, LlamaConfig, ProjectorConfig, TowerConfig};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::layout::Layout;
use crate::checkpoint::tensors::Module;
use crate::picture::Preprocess;

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
}

impl Checkpoint {
    /// Opens `folder`: recognises the layout, reads the configuration, maps the tensors and compares them with it.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let _ = folder;
        unimplemented!()
    }
}
