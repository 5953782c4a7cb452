//! What an opened checkpoint is, as plain data for the `inspect` command.

use std::path::PathBuf;

use crate::checkpoint::layout::Layout;
use crate::checkpoint::open::Checkpoint;
use crate::checkpoint::tensors::{Dtype, Module};

/// Sizes of one part of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInspection {
    /// Tensors in the files, those not used included.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Elements of the tensors that the forward pass needs.
    pub used_parameters: u64,
    /// Those of them that are stored in four bits.
    pub quantised_parameters: u64,
    /// Bytes of these, scales and zero points included.
    pub quantised_bytes: u64,
    /// Bytes of all tensors on disk.
    pub bytes: u64,
    /// Element types that occur, each once, in a fixed order.
    pub dtypes: Vec<Dtype>,
}

impl ModuleInspection {
    fn of(module: &Module) -> Self {
        Self {
            tensors: module.tensors(),
            parameters: module.parameters(),
            used_parameters: module.used_parameters(),
            quantised_parameters: module.quantised_parameters(),
            quantised_bytes: module.quantised_bytes(),
            bytes: module.bytes(),
            dtypes: module.dtypes().into_iter().collect(),
        }
    }
}

/// What the loader sees, without a weight having been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The folder given.
    pub folder: PathBuf,
    /// How it lies on disk.
    pub layout: Layout,
    /// The decoder.
    pub decoder: ModuleInspection,
    /// The vision tower.
    pub tower: ModuleInspection,
    /// The projector.
    pub projector: ModuleInspection,
    /// Positions that one picture takes in the prompt.
    pub picture_tokens: usize,
    /// The files that hold weights.
    pub weight_files: Vec<PathBuf>,
    /// The configuration and tokenizer files.
    pub config_files: Vec<PathBuf>,
}

impl Inspection {
    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.modules().map(|module| module.parameters).sum()
    }

    /// Bytes of memory that the used weights take where every element is of type `dtype`.
    pub fn weight_memory(&self, dtype: Dtype) -> u64 {
        self.modules().map(|module| module.used_parameters).sum::<u64>() * dtype.size() as u64
    }

    /// Bytes of memory that the used weights take where those of four bits stay so and all others are of 16; `None`
    /// where none is of four.
    pub fn four_bit_memory(&self) -> Option<u64> {
        let four: u64 = self.modules().map(|module| module.quantised_parameters).sum();
        let bytes: u64 = self.modules().map(|module| module.quantised_bytes).sum();
        let all: u64 = self.modules().map(|module| module.used_parameters).sum();
        (four > 0).then(|| bytes + (all - four) * Dtype::F16.size() as u64)
    }

    fn modules(&self) -> impl Iterator<Item = &ModuleInspection> {
        [&self.decoder, &self.tower, &self.projector].into_iter()
    }
}

impl Checkpoint {
    /// What this checkpoint is, for people.
    pub fn inspect(&self) -> Inspection {
        Inspection {
            folder: self.folder.clone(),
            layout: self.layout,
            decoder: ModuleInspection::of(&self.llama_tensors),
            tower: ModuleInspection::of(&self.tower_tensors),
            projector: ModuleInspection::of(&self.projector_tensors),
            picture_tokens: self.projector.tokens(self.tower.tokens()),
            weight_files: self.weight_files(),
            config_files: self.config_files(),
        }
    }
}
