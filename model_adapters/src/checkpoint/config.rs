//! What the configuration files of a checkpoint say, in types (`checkpoints.md` sections 4 to 8).

/// The language model: a Llama-family decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width H of the residual stream.
    pub hidden_size: usize,
    /// Width I of the gated MLP.
    pub intermediate_size: usize,
    /// Number L of layers.
    pub layers: usize,
    /// Number A of query heads.
    pub heads: usize,
    /// Number K of key/value heads; A / K query heads share one.
    pub kv_heads: usize,
    /// Width d of a head.
    pub head_dim: usize,
    /// Rows V of the embedding matrix; taken from the tensor, not from `vocab_size`.
    pub vocabulary: usize,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Positions are divided by this (`rope_scaling` of type `linear`); 1 in every published checkpoint.
    pub rope_divisor: f64,
    /// `lm_head` is the embedding matrix.
    pub tied_embeddings: bool,
    /// The spliced sequence is cut to its first so many positions; `None` where the key is absent.
    pub max_spliced_length: Option<usize>,
}

/// Which vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// CLIP: class token, LayerNorm before the blocks, no bias in the patch embedding.
    Clip,
    /// SigLIP: no class token, no LayerNorm before the blocks, bias in the patch embedding.
    Siglip,
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

/// Which projector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// One linear.
    Linear,
    /// `depth` linears with exact GELU between (`mlp2x_gelu`: 2).
    MlpGelu {
        /// Number of linears.
        depth: usize,
    },
    /// Four patches merged to one, column by column, then LayerNorm, linear, GELU, linear (VILA1.5).
    MlpDownsample,
}

/// The projector from tower width to decoder width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectorConfig {
    /// Which one.
    pub kind: ProjectorKind,
    /// Width of the tower.
    pub tower_size: usize,
    /// Width of the decoder.
    pub hidden_size: usize,
}

impl ProjectorConfig {
    /// Rows handed to the decoder for `tokens` rows of the tower.
    pub fn tokens(&self, tokens: usize) -> usize {
        match self.kind {
            ProjectorKind::Linear | ProjectorKind::MlpGelu { .. } => tokens,
            ProjectorKind::MlpDownsample => {
                let side = tokens.isqrt().div_ceil(2);
                side * side
            }
        }
    }
}

/// When generation ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationConfig {
    /// The end tokens.
    pub eos: Vec<u32>,
}
