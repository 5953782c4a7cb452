//! What the two models are made of: widths, depths, and which transformer they follow.

use clap::ValueEnum;
use model_adapters::checkpoint::{
    Activation, LlamaConfig, ProjectorConfig, ProjectorKind, SelectFeature, TowerConfig, TowerKind,
};
use model_adapters::picture::{Geometry, Preprocess, Processor};
use model_adapters::template::ConvTemplate;
use serde::{Deserialize, Serialize};

/// Side of the pictures that both towers see, in pixels.
const SIDE: usize = 96;
/// Positions a sequence may have.
pub const CONTEXT: usize = 2048;

/// Whose shape a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// VILA1.5: SigLIP, `mlp_downsample`, Llama, template `vicuna_v1`, layout B.
    Vila,
    /// LLaVA-1.5: CLIP without its class token, `mlp2x_gelu`, Llama, the chat template of llava-hf, layout D.
    Llava,
}

/// A model before it has weights.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Whose shape it has.
    pub shape: Shape,
    /// The vision tower.
    pub tower: TowerConfig,
    /// The projector.
    pub projector: ProjectorConfig,
    /// The decoder.
    pub llama: LlamaConfig,
}

impl Sizes {
    /// The sizes that the mini checkpoints have, with `vocabulary` tokens.
    pub fn of(shape: Shape, vocabulary: usize) -> Self {
        let llama = LlamaConfig {
            hidden_size: 192,
            intermediate_size: 512,
            layers: 4,
            heads: 6,
            kv_heads: 6,
            head_dim: 32,
            vocabulary,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_divisor: 1.0,
            tied_embeddings: false,
            max_spliced_length: (shape == Shape::Vila).then_some(CONTEXT),
        };
        let tower = match shape {
            Shape::Vila => TowerConfig {
                kind: TowerKind::Siglip,
                hidden_size: 192,
                intermediate_size: 576,
                layers: 6,
                heads: 6,
                image_size: SIDE,
                patch_size: 16,
                layer_norm_eps: 1e-6,
                activation: Activation::GeluTanh,
                select_state: 5,
                select_feature: SelectFeature::ClsPatch,
                s2: None,
            },
            Shape::Llava => TowerConfig {
                kind: TowerKind::Clip,
                hidden_size: 160,
                intermediate_size: 480,
                layers: 6,
                heads: 5,
                image_size: SIDE,
                patch_size: 12,
                layer_norm_eps: 1e-5,
                activation: Activation::QuickGelu,
                select_state: 5,
                select_feature: SelectFeature::Patch,
                s2: None,
            },
        };
        Self::joined(shape, tower, llama)
    }

    /// A tower and a decoder with the projector that fits between them.
    pub fn joined(shape: Shape, tower: TowerConfig, llama: LlamaConfig) -> Self {
        let projector = ProjectorConfig {
            kind: match shape {
                Shape::Vila => ProjectorKind::MlpDownsample,
                Shape::Llava => ProjectorKind::MlpGelu { depth: 2 },
            },
            tower_size: tower.hidden_size,
            hidden_size: llama.hidden_size,
        };
        Self {
            shape,
            tower,
            projector,
            llama,
        }
    }

    /// The decoder's rows for one picture.
    pub fn picture_rows(&self) -> usize {
        self.projector.tokens(self.tower.tokens())
    }
}

impl Shape {
    /// From file to pixels, as a checkpoint of this shape says it.
    pub fn preprocess(self, side: usize) -> Preprocess {
        match self {
            Self::Vila => Preprocess {
                geometry: Geometry::Stretch,
                processor: Processor::siglip(side),
            },
            Self::Llava => Preprocess {
                geometry: Geometry::Processor,
                processor: Processor::clip(side),
            },
        }
    }

    /// The template that its checkpoints are asked with.
    pub const fn template(self) -> ConvTemplate {
        match self {
            Self::Vila => ConvTemplate::VicunaV1,
            Self::Llava => ConvTemplate::LlavaHf,
        }
    }
}
