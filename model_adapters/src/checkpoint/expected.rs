//! Which tensors a configuration asks for, with shapes (`checkpoints.md` sections 4, 6.3 to 6.5, 7 and 8.1).

use crate::checkpoint::config::{LlamaConfig, ProjectorConfig, ProjectorKind, TowerConfig, TowerKind};
use crate::checkpoint::layout::Naming;

/// Whether the forward pass needs a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It does; a file without it is refused.
    Required,
    /// It does not, but published files hold it.
    NotUsed,
}

/// One tensor that the files should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its name in a [`super::Module`].
    pub canonical: String,
    /// Its name in the files.
    pub stored: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it must be there.
    pub need: Need,
}

/// The list of one module while it is being made.
struct List<F> {
    stored_name: F,
    tensors: Vec<Expected>,
}

impl<F: Fn(&str) -> String> List<F> {
    fn add(&mut self, need: Need, canonical: impl Into<String>, shape: &[usize]) {
        let canonical = canonical.into();
        let stored = (self.stored_name)(&canonical);
        self.tensors.push(Expected {
            canonical,
            stored,
            shape: shape.to_vec(),
            need,
        });
    }

    /// `stem.weight` of shape `weight` and `stem.bias` of as many elements as the weight has rows.
    fn add_with_bias(&mut self, need: Need, stem: &str, weight: &[usize]) {
        self.add(need, format!("{stem}.weight"), weight);
        self.add(need, format!("{stem}.bias"), weight.get(..1).unwrap_or_default());
    }
}

/// The decoder's tensors.
pub(super) fn llama(config: &LlamaConfig, naming: Naming) -> Vec<Expected> {
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let mut list = List {
        stored_name: |name: &str| naming.llama(name),
        tensors: Vec::new(),
    };
    let vocabulary_matrix = [config.vocabulary, h];
    list.add(Need::Required, "model.embed_tokens.weight", &vocabulary_matrix);
    for l in 0..config.layers {
        let layer: [(&str, &[usize]); 9] = [
            ("input_layernorm", &[h]),
            ("self_attn.q_proj", &[queries, h]),
            ("self_attn.k_proj", &[keys, h]),
            ("self_attn.v_proj", &[keys, h]),
            ("self_attn.o_proj", &[h, queries]),
            ("post_attention_layernorm", &[h]),
            ("mlp.gate_proj", &[i, h]),
            ("mlp.up_proj", &[i, h]),
            ("mlp.down_proj", &[h, i]),
        ];
        for (stem, shape) in layer {
            list.add(Need::Required, format!("model.layers.{l}.{stem}.weight"), shape);
        }
    }
    list.add(Need::Required, "model.norm.weight", &[h]);
    if !config.tied_embeddings {
        list.add(Need::Required, "lm_head.weight", &vocabulary_matrix);
    }
    list.tensors
}

/// The vision tower's tensors.
pub(super) fn tower(config: &TowerConfig, naming: Naming) -> Vec<Expected> {
    match config.kind {
        TowerKind::Clip | TowerKind::Siglip => clip_like(config, naming),
        TowerKind::InternVit => intern_vit(config),
    }
}

/// InternViT's, whose names no layout changes.
fn intern_vit(config: &TowerConfig) -> Vec<Expected> {
    let (h, i, patch) = (config.hidden_size, config.intermediate_size, config.patch_size);
    let tokens = config.patches_per_side() * config.patches_per_side() + 1;
    let mut list = List {
        stored_name: str::to_owned,
        tensors: Vec::new(),
    };
    list.add(Need::Required, "embeddings.class_embedding", &[1, 1, h]);
    list.add_with_bias(Need::Required, "embeddings.patch_embedding", &[h, 3, patch, patch]);
    list.add(Need::Required, "embeddings.position_embedding", &[1, tokens, h]);
    for l in 0..config.layers {
        let need = need_of_block(config, l);
        let block = format!("encoder.layers.{l}");
        let alone: [(&str, &[usize]); 7] = [
            ("norm1.weight", &[h]),
            ("norm2.weight", &[h]),
            ("attn.qkv.weight", &[3 * h, h]),
            ("attn.q_norm.weight", &[h]),
            ("attn.k_norm.weight", &[h]),
            ("ls1", &[h]),
            ("ls2", &[h]),
        ];
        for (name, shape) in alone {
            list.add(need, format!("{block}.{name}"), shape);
        }
        for (stem, shape) in [("attn.proj", [h, h]), ("mlp.fc1", [i, h]), ("mlp.fc2", [h, i])] {
            list.add_with_bias(need, &format!("{block}.{stem}"), &shape);
        }
    }
    list.tensors
}

/// Blocks behind the selected state are not used.
fn need_of_block(config: &TowerConfig, block: usize) -> Need {
    if block < config.select_state {
        Need::Required
    } else {
        Need::NotUsed
    }
}

/// CLIP's and SigLIP's. Blocks behind the selected state and all that follows the blocks is not used.
fn clip_like(config: &TowerConfig, naming: Naming) -> Vec<Expected> {
    let (h, i, patch) = (config.hidden_size, config.intermediate_size, config.patch_size);
    let patches = config.patches_per_side() * config.patches_per_side();
    let mut list = List {
        stored_name: |name: &str| naming.tower(name),
        tensors: Vec::new(),
    };
    let kernel = [h, 3, patch, patch];
    if config.kind == TowerKind::Siglip {
        list.add_with_bias(Need::Required, "embeddings.patch_embedding", &kernel);
        list.add(Need::Required, "embeddings.position_embedding.weight", &[patches, h]);
    } else {
        list.add(Need::Required, "embeddings.class_embedding", &[h]);
        list.add(Need::Required, "embeddings.patch_embedding.weight", &kernel);
        list.add(
            Need::Required,
            "embeddings.position_embedding.weight",
            &[patches + 1, h],
        );
        list.add_with_bias(Need::Required, "pre_layrnorm", &[h]);
    }
    for l in 0..config.layers {
        let need = need_of_block(config, l);
        let block: [(&str, &[usize]); 8] = [
            ("layer_norm1", &[h]),
            ("self_attn.q_proj", &[h, h]),
            ("self_attn.k_proj", &[h, h]),
            ("self_attn.v_proj", &[h, h]),
            ("self_attn.out_proj", &[h, h]),
            ("layer_norm2", &[h]),
            ("mlp.fc1", &[i, h]),
            ("mlp.fc2", &[h, i]),
        ];
        for (stem, shape) in block {
            list.add_with_bias(need, &format!("encoder.layers.{l}.{stem}"), shape);
        }
    }
    list.add_with_bias(Need::NotUsed, "post_layernorm", &[h]);
    if config.kind == TowerKind::Siglip {
        list.add(Need::NotUsed, "head.probe", &[1, 1, h]);
        list.add(Need::NotUsed, "head.attention.in_proj_weight", &[3 * h, h]);
        list.add(Need::NotUsed, "head.attention.in_proj_bias", &[3 * h]);
        list.add_with_bias(Need::NotUsed, "head.attention.out_proj", &[h, h]);
        list.add_with_bias(Need::NotUsed, "head.layernorm", &[h]);
        list.add_with_bias(Need::NotUsed, "head.mlp.fc1", &[i, h]);
        list.add_with_bias(Need::NotUsed, "head.mlp.fc2", &[h, i]);
    }
    list.tensors
}

/// The projector's tensors.
pub(super) fn projector(config: &ProjectorConfig, naming: Naming) -> Vec<Expected> {
    let mut tensors = Vec::new();
    let mut add = |canonical: String, stored: String, shape: &[usize]| {
        for (end, shape) in [("weight", shape), ("bias", shape.get(..1).unwrap_or_default())] {
            tensors.push(Expected {
                canonical: format!("{canonical}.{end}"),
                stored: format!("{stored}.{end}"),
                shape: shape.to_vec(),
                need: Need::Required,
            });
        }
    };
    let input = match config.kind {
        ProjectorKind::MlpDownsample => {
            let merged = 4 * config.tower_size;
            add("norm".to_owned(), Naming::PROJECTOR_NORM.to_owned(), &[merged]);
            merged
        }
        ProjectorKind::Identity | ProjectorKind::Linear | ProjectorKind::MlpGelu { .. } => config.tower_size,
    };
    for i in 0..config.kind.linears() {
        let width = if i == 0 { input } else { config.hidden_size };
        add(
            format!("linear.{i}"),
            naming.projector_linear(config.kind, i),
            &[config.hidden_size, width],
        );
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::config::{Activation, SelectFeature};

    fn parameters(tensors: &[Expected]) -> usize {
        tensors
            .iter()
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }

    fn decoder([hidden, layers, heads, kv_heads, intermediate, vocabulary]: [usize; 6]) -> LlamaConfig {
        LlamaConfig {
            hidden_size: hidden,
            intermediate_size: intermediate,
            layers,
            heads,
            kv_heads,
            head_dim: hidden / heads,
            vocabulary,
            rms_norm_eps: 1e-5,
            rope_theta: 1e4,
            rope_divisor: 1.0,
            tied_embeddings: false,
            max_spliced_length: None,
        }
    }

    fn vision(kind: TowerKind, [hidden, layers, intermediate, image]: [usize; 4]) -> TowerConfig {
        TowerConfig {
            kind,
            hidden_size: hidden,
            intermediate_size: intermediate,
            layers,
            heads: 16,
            image_size: image,
            patch_size: 14,
            layer_norm_eps: 1e-5,
            activation: Activation::QuickGelu,
            select_state: layers - 1,
            select_feature: SelectFeature::Patch,
            s2: None,
        }
    }

    #[test]
    fn decoders_have_the_published_numbers_of_parameters() {
        // The table of `checkpoints.md` section 4, and llava-hf's 32064 rows (section 7).
        let cases = [
            ([2560, 32, 20, 20, 6912, 32_000], 2_701_560_320),
            ([4096, 32, 32, 32, 11_008, 32_000], 6_738_415_616),
            ([4096, 32, 32, 32, 11_008, 32_064], 6_738_939_904),
            ([5120, 40, 40, 40, 13_824, 32_000], 13_015_864_320),
            ([4096, 32, 32, 8, 14_336, 128_256], 8_030_261_248),
            ([7168, 60, 56, 8, 20_480, 64_000], 34_388_917_248),
        ];
        for (sizes, wanted) in cases {
            assert_eq!(parameters(&llama(&decoder(sizes), Naming::Vila)), wanted, "{sizes:?}");
        }
    }

    #[test]
    fn towers_have_the_published_numbers_of_parameters() {
        let clip = tower(&vision(TowerKind::Clip, [1024, 24, 4096, 336]), Naming::Vila);
        assert_eq!(parameters(&clip), 303_507_456);
        let siglip = tower(&vision(TowerKind::Siglip, [1152, 27, 4304, 384]), Naming::Vila);
        assert_eq!(parameters(&siglip), 428_225_600);
        // Summed by hand from the table of section 6.4: 3200 + 1,884,800 + 3,280,000 + 45 · 122,918,400.
        let intern = tower(&vision(TowerKind::InternVit, [3200, 45, 12_800, 448]), Naming::Vila);
        assert_eq!(parameters(&intern), 5_536_496_000);
    }

    #[test]
    fn projectors_have_the_published_numbers_of_parameters() {
        let cases = [
            (ProjectorKind::MlpDownsample, 1152, 2560, 18_364_416),
            (ProjectorKind::MlpDownsample, 1152, 4096, 35_668_992),
            (ProjectorKind::MlpDownsample, 1152, 5120, 49_826_816),
            (ProjectorKind::MlpDownsample, 3200, 7168, 143_170_560),
            (ProjectorKind::MlpGelu { depth: 2 }, 1024, 4096, 20_979_712),
            (ProjectorKind::Linear, 1024, 4096, 4_198_400),
            (ProjectorKind::Identity, 4096, 4096, 0),
        ];
        for (kind, tower_size, hidden_size, wanted) in cases {
            let config = ProjectorConfig {
                kind,
                tower_size,
                hidden_size,
            };
            assert_eq!(parameters(&projector(&config, Naming::Vila)), wanted, "{config:?}");
        }
    }

    #[test]
    fn what_lies_behind_the_selected_state_is_not_used() {
        let mut config = vision(TowerKind::Clip, [8, 4, 16, 28]);
        config.select_state = 2;
        for tensor in tower(&config, Naming::Vila) {
            let behind = ["encoder.layers.2.", "encoder.layers.3.", "post_layernorm."];
            let wanted = if behind.iter().any(|stem| tensor.canonical.starts_with(stem)) {
                Need::NotUsed
            } else {
                Need::Required
            };
            assert_eq!(tensor.need, wanted, "{}", tensor.canonical);
        }
    }
}
