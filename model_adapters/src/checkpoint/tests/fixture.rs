//! A small checkpoint in memory, to be changed by a test and then written to a temporary folder. Names and shapes
//! are written out from the pages' tables, not taken from the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkpoint::{Checkpoint, CheckpointError};

/// A tensor to be stored; its bytes count up from a number that depends on its name.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// The tensors of one weight file.
pub type Tensors = BTreeMap<String, Tensor>;

#[derive(Debug, Clone)]
pub struct Tiny {
    /// JSON files by path in the checkpoint's folder.
    pub json: BTreeMap<String, Value>,
    /// Weight files likewise.
    pub weights: BTreeMap<String, Tensors>,
}

/// A checkpoint on disk, for as long as the test runs.
pub struct Written {
    folder: TempDir,
}

impl Written {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(self.folder.path())
    }

    /// The complaint about this checkpoint, paths relative to its folder; one line, or the test fails.
    pub fn complaint(&self) -> String {
        let error = self.open().expect_err("the checkpoint should be refused").to_string();
        assert!(!error.contains('\n'), "{error}");
        let folder = self.folder.path().display().to_string();
        assert!(error.contains(&folder), "no path: {error}");
        error.replace(&format!("{folder}/"), "").replace(&folder, "FOLDER")
    }
}

fn tensor(dtype: Dtype, shape: &[usize]) -> Tensor {
    Tensor {
        dtype,
        shape: shape.to_vec(),
    }
}

/// The bytes that [`Tiny::write`] stores for `tensor` under `name`.
pub fn bytes(name: &str, tensor: &Tensor) -> Vec<u8> {
    let first = name
        .bytes()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let length = tensor.shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
    (0..length).map(|i| first.wrapping_add(i as u8)).collect()
}

pub fn file_of(tensors: &Tensors) -> Vec<u8> {
    let data: Vec<(&String, &Tensor, Vec<u8>)> = tensors.iter().map(|(n, t)| (n, t, bytes(n, t))).collect();
    let views = data
        .iter()
        .map(|(n, t, b)| (n.as_str(), TensorView::new(t.dtype, t.shape.clone(), b).unwrap()));
    serialize(views, None).unwrap()
}

/// A PyTorch archive of `tensors`, as `torch.save` of a plain dict lays it out.
pub fn archive_of(tensors: &Tensors) -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |n: usize| [b"J".as_slice(), &(n as u32).to_le_bytes()].concat();
    let sizes = |sizes: &[usize]| {
        [
            b"(".to_vec(),
            sizes.iter().flat_map(|n| number(*n)).collect(),
            b"t".to_vec(),
        ]
        .concat()
    };
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut pickle = b"\x80\x02}(".to_vec();
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        let class = match tensor.dtype {
            Dtype::F32 => "Float",
            Dtype::F16 => "Half",
            Dtype::BF16 => "BFloat16",
            Dtype::I64 => "Long",
            Dtype::I32 => "Int",
            Dtype::I16 => "Short",
            Dtype::BOOL => "Bool",
            other => panic!("no storage class of {other}"),
        };
        let elements: usize = tensor.shape.iter().product();
        let mut strides = vec![1; tensor.shape.len()];
        for i in (1..strides.len()).rev() {
            strides[i - 1] = strides[i] * tensor.shape[i];
        }
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(format!("ctorch\n{class}Storage\n").bytes());
        pickle.extend(
            [
                text(&key.to_string()),
                text("cpu"),
                number(elements),
                b"tQ".to_vec(),
                number(0),
            ]
            .concat(),
        );
        pickle.extend([sizes(&tensor.shape), sizes(&strides), b"\x89NtR".to_vec()].concat());
        archive.start_file(format!("archive/data/{key}"), stored).unwrap();
        std::io::Write::write_all(&mut archive, &bytes(name, tensor)).unwrap();
    }
    pickle.extend(b"u.");
    archive.start_file("archive/data.pkl", stored).unwrap();
    std::io::Write::write_all(&mut archive, &pickle).unwrap();
    archive.finish().unwrap().into_inner()
}

impl Tiny {
    pub fn write(&self) -> Written {
        let written = Written {
            folder: TempDir::new().unwrap(),
        };
        for (name, value) in &self.json {
            let path = written.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value.to_string()).unwrap();
        }
        for (name, tensors) in &self.weights {
            fs::create_dir_all(written.path(name).parent().unwrap()).unwrap();
            let file = if name.ends_with(".bin") || name.ends_with(".pt") {
                archive_of(tensors)
            } else {
                file_of(tensors)
            };
            fs::write(written.path(name), file).unwrap();
        }
        written
    }

    /// The same checkpoint with its weights in PyTorch archives.
    pub fn in_archives(&self) -> Self {
        let renamed = |name: &str| {
            name.replace("model-0", "pytorch_model-0")
                .replace("/model.s", "/pytorch_model.s")
        };
        let file = |name: &String| {
            let name = if name.starts_with("model.s") {
                format!("pytorch_{name}")
            } else {
                renamed(name)
            };
            name.replace(".safetensors", ".bin")
        };
        let mut json = BTreeMap::new();
        for (name, value) in &self.json {
            let text = value.to_string();
            match name.ends_with(".safetensors.index.json") {
                true => json.insert(
                    file(name),
                    serde_json::from_str(&renamed(&text).replace(".safetensors", ".bin")).unwrap(),
                ),
                false => json.insert(name.clone(), value.clone()),
            };
        }
        Self {
            json,
            weights: self
                .weights
                .iter()
                .map(|(name, tensors)| (file(name), tensors.clone()))
                .collect(),
        }
    }

    /// The JSON file `name`, to be changed.
    pub fn config(&mut self, name: &str) -> &mut Value {
        self.json.get_mut(name).unwrap()
    }

    /// The tensors of the weight file `name`, to be changed.
    pub fn tensors(&mut self, name: &str) -> &mut Tensors {
        self.weights.get_mut(name).unwrap()
    }

    /// Splits `model.safetensors` of layout D in two shards and an index.
    pub fn shard(&mut self) {
        let whole = self.weights.remove("model.safetensors").unwrap();
        let half = whole.len() / 2;
        let mut map = serde_json::Map::new();
        let mut total = 0;
        for (i, (name, tensor)) in whole.into_iter().enumerate() {
            let shard = format!("model-0000{}-of-00002.safetensors", if i < half { 1 } else { 2 });
            total += bytes(&name, &tensor).len();
            map.insert(name.clone(), json!(shard));
            self.weights.entry(shard).or_default().insert(name, tensor);
        }
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        self.json.insert("model.safetensors.index.json".to_owned(), index);
    }
}

/// What a test does to a whole checkpoint.
pub type Change<'a> = &'a dyn Fn(&mut Tiny);

/// The complaint about `tiny` once `change` has been at it.
pub fn complaint(mut tiny: Tiny, change: impl FnOnce(&mut Tiny)) -> String {
    change(&mut tiny);
    tiny.write().complaint()
}

/// Decoder: H 8, 2 layers, 4 heads of 2 over 2 key/value heads, I 12, V 10.
fn decoder(prefix: &str, lm_head: &str, dtype: Dtype) -> Tensors {
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: &[usize]| tensors.insert(name, tensor(dtype, shape));
    add(format!("{prefix}embed_tokens.weight"), &[10, 8]);
    for l in 0..2 {
        let layer = format!("{prefix}layers.{l}.");
        add(format!("{layer}input_layernorm.weight"), &[8]);
        add(format!("{layer}self_attn.q_proj.weight"), &[8, 8]);
        add(format!("{layer}self_attn.k_proj.weight"), &[4, 8]);
        add(format!("{layer}self_attn.v_proj.weight"), &[4, 8]);
        add(format!("{layer}self_attn.o_proj.weight"), &[8, 8]);
        add(format!("{layer}post_attention_layernorm.weight"), &[8]);
        add(format!("{layer}mlp.gate_proj.weight"), &[12, 8]);
        add(format!("{layer}mlp.up_proj.weight"), &[12, 8]);
        add(format!("{layer}mlp.down_proj.weight"), &[8, 12]);
    }
    add(format!("{prefix}norm.weight"), &[8]);
    add(lm_head.to_owned(), &[10, 8]);
    tensors
}

/// Blocks of width 6 and MLP 10, as CLIP and SigLIP have them.
fn blocks(prefix: &str, layers: usize, dtype: Dtype) -> Tensors {
    let mut tensors = Tensors::new();
    for l in 0..layers {
        let block = format!("{prefix}encoder.layers.{l}.");
        let parts: [(&str, &[usize]); 8] = [
            ("layer_norm1", &[6]),
            ("layer_norm2", &[6]),
            ("self_attn.q_proj", &[6, 6]),
            ("self_attn.k_proj", &[6, 6]),
            ("self_attn.v_proj", &[6, 6]),
            ("self_attn.out_proj", &[6, 6]),
            ("mlp.fc1", &[10, 6]),
            ("mlp.fc2", &[6, 10]),
        ];
        for (part, shape) in parts {
            tensors.insert(format!("{block}{part}.weight"), tensor(dtype, shape));
            tensors.insert(format!("{block}{part}.bias"), tensor(dtype, &shape[..1]));
        }
    }
    for end in ["weight", "bias"] {
        tensors.insert(format!("{prefix}post_layernorm.{end}"), tensor(dtype, &[6]));
    }
    tensors
}

/// CLIP: 3 blocks, pictures of 8 x 8 in patches of 4.
fn clip(prefix: &str, dtype: Dtype) -> Tensors {
    let mut tensors = blocks(prefix, 3, dtype);
    let parts: [(&str, &[usize]); 5] = [
        ("embeddings.class_embedding", &[6]),
        ("embeddings.patch_embedding.weight", &[6, 3, 4, 4]),
        ("embeddings.position_embedding.weight", &[5, 6]),
        ("pre_layrnorm.weight", &[6]),
        ("pre_layrnorm.bias", &[6]),
    ];
    for (part, shape) in parts {
        tensors.insert(format!("{prefix}{part}"), tensor(dtype, shape));
    }
    tensors.insert(format!("{prefix}embeddings.position_ids"), tensor(Dtype::I64, &[1, 5]));
    tensors
}

/// SigLIP: 3 blocks, pictures of 13 x 13 in patches of 4 (a rest of 1 is not seen).
fn siglip(dtype: Dtype) -> Tensors {
    let prefix = "vision_model.";
    let mut tensors = blocks(prefix, 3, dtype);
    let parts: [(&str, &[usize]); 14] = [
        ("embeddings.patch_embedding.weight", &[6, 3, 4, 4]),
        ("embeddings.patch_embedding.bias", &[6]),
        ("embeddings.position_embedding.weight", &[9, 6]),
        ("head.probe", &[1, 1, 6]),
        ("head.attention.in_proj_weight", &[18, 6]),
        ("head.attention.in_proj_bias", &[18]),
        ("head.attention.out_proj.weight", &[6, 6]),
        ("head.attention.out_proj.bias", &[6]),
        ("head.layernorm.weight", &[6]),
        ("head.layernorm.bias", &[6]),
        ("head.mlp.fc1.weight", &[10, 6]),
        ("head.mlp.fc1.bias", &[10]),
        ("head.mlp.fc2.weight", &[6, 10]),
        ("head.mlp.fc2.bias", &[6]),
    ];
    for (part, shape) in parts {
        tensors.insert(format!("{prefix}{part}"), tensor(dtype, shape));
    }
    tensors
}

/// Layout D with the prefixes of `nested` (recent transformers) or of the published files.
pub fn llava_hf(nested: bool) -> Tiny {
    let (decoder_prefix, lm_head, before) = if nested {
        ("model.language_model.", "lm_head.weight", "model.")
    } else {
        ("language_model.model.", "language_model.lm_head.weight", "")
    };
    let mut tensors = decoder(decoder_prefix, lm_head, Dtype::F16);
    tensors.extend(clip(&format!("{before}vision_tower.vision_model."), Dtype::F32));
    let projector: [(&str, &[usize]); 4] = [
        ("linear_1.weight", &[8, 6]),
        ("linear_1.bias", &[8]),
        ("linear_2.weight", &[8, 8]),
        ("linear_2.bias", &[8]),
    ];
    for (part, shape) in projector {
        tensors.insert(
            format!("{before}multi_modal_projector.{part}"),
            tensor(Dtype::F16, shape),
        );
    }
    let image_token = if nested { "image_token_id" } else { "image_token_index" };
    let json = [
        (
            "config.json",
            json!({
                "architectures": ["LlavaForConditionalGeneration"], image_token: 9, "model_type": "llava",
                "text_config": {
                    "model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
                    "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 99,
                },
                "vision_config": {
                    "model_type": "clip_vision_model", "hidden_size": 6, "intermediate_size": 10,
                    "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 8, "patch_size": 4,
                },
                "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
            }),
        ),
        ("generation_config.json", json!({"bos_token_id": 1, "eos_token_id": 3})),
        (
            "preprocessor_config.json",
            json!({"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}),
        ),
        ("tokenizer.json", json!({})),
    ];
    Tiny {
        json: json.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        weights: BTreeMap::from([("model.safetensors".to_owned(), tensors)]),
    }
}

/// Layout C: decoder and projector in one folder, the whole CLIP model of the hub in `clip/`, which the configuration
/// names.
pub fn llava() -> Tiny {
    let mut tensors = decoder("model.", "lm_head.weight", Dtype::F16);
    let projector: [(&str, &[usize]); 4] = [
        ("0.weight", &[8, 6]),
        ("0.bias", &[8]),
        ("2.weight", &[8, 8]),
        ("2.bias", &[8]),
    ];
    for (part, shape) in projector {
        tensors.insert(format!("model.mm_projector.{part}"), tensor(Dtype::F16, shape));
    }
    tensors.insert(
        "model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(),
        tensor(Dtype::F32, &[1]),
    );
    let mut whole_clip = clip("vision_model.", Dtype::F32);
    let text: [(&str, &[usize]); 4] = [
        ("logit_scale", &[]),
        ("text_model.embeddings.token_embedding.weight", &[9, 4]),
        ("text_projection.weight", &[4, 4]),
        ("visual_projection.weight", &[4, 6]),
    ];
    for (name, shape) in text {
        whole_clip.insert(name.to_owned(), tensor(Dtype::F32, shape));
    }
    let json = [
        (
            "config.json",
            json!({
                "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", "hidden_size": 8,
                "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                "rms_norm_eps": 1e-5, "vocab_size": 10, "eos_token_id": 2, "image_aspect_ratio": "pad",
                "mm_hidden_size": 6, "mm_projector_type": "mlp2x_gelu", "mm_use_im_patch_token": false,
                "mm_use_im_start_end": false, "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2,
                "mm_vision_tower": "clip", "unfreeze_mm_vision_tower": false,
            }),
        ),
        ("tokenizer_config.json", json!({})),
        (
            "clip/config.json",
            json!({
                "architectures": ["CLIPModel"], "model_type": "clip", "text_config": {"hidden_size": 4},
                "vision_config": {
                    "hidden_size": 6, "intermediate_size": 10, "num_hidden_layers": 3, "num_attention_heads": 2,
                    "image_size": 8, "patch_size": 4, "model_type": "clip_vision_model",
                },
            }),
        ),
        ("clip/preprocessor_config.json", json!({"size": 8, "crop_size": 8})),
    ];
    Tiny {
        json: json.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        weights: BTreeMap::from([
            ("model.safetensors".to_owned(), tensors),
            ("clip/model.safetensors".to_owned(), whole_clip),
        ]),
    }
}

/// Layout B as [`vila`] but 128 wide, its decoder's linears in four bits in one `.pt` file.
pub fn awq() -> Tiny {
    let mut tiny = vila();
    let wide = |n: &usize| match n {
        8 => 128,
        4 => 64,
        12 => 256,
        n => *n,
    };
    let llm = tiny.config("llm/config.json");
    llm["hidden_size"] = json!(128);
    llm["intermediate_size"] = json!(256);
    for tensor in tiny.tensors("mm_projector/model.safetensors").values_mut() {
        tensor.shape = tensor.shape.iter().map(|n| if *n == 8 { 128 } else { *n }).collect();
    }
    let mut packed = Tensors::new();
    for (name, found) in tiny.weights.remove("llm/model.safetensors").unwrap() {
        let shape: Vec<usize> = found.shape.iter().map(wide).collect();
        match (name.strip_suffix("_proj.weight"), shape.as_slice()) {
            (Some(stem), [outputs, inputs]) => {
                packed.insert(
                    format!("{stem}_proj.qweight"),
                    tensor(Dtype::I16, &[outputs / 4, *inputs]),
                );
                for part in ["scales", "scaled_zeros"] {
                    packed.insert(format!("{stem}_proj.{part}"), tensor(Dtype::F16, &[8, *outputs]));
                }
            }
            _ => drop(packed.insert(name, tensor(Dtype::F16, &shape))),
        }
    }
    tiny.weights.insert("llm/tiny-w4-g128-awq-v2.pt".to_owned(), packed);
    tiny
}

/// Layout B with a SigLIP tower and `mlp_downsample`.
pub fn vila() -> Tiny {
    let projector: [(&str, &[usize]); 6] = [
        ("layers.1.weight", &[24]),
        ("layers.1.bias", &[24]),
        ("layers.2.weight", &[8, 24]),
        ("layers.2.bias", &[8]),
        ("layers.4.weight", &[8, 8]),
        ("layers.4.bias", &[8]),
    ];
    let projector = projector
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), tensor(Dtype::BF16, shape)));
    let json = [
        (
            "config.json",
            json!({
                "architectures": ["LlavaLlamaModel"], "llm_cfg": {}, "vision_tower_cfg": {}, "mm_projector_cfg": {},
                "image_aspect_ratio": "resize", "mm_use_im_patch_token": false, "mm_use_im_start_end": false,
                "mm_vision_select_feature": "cls_patch", "mm_vision_select_layer": -2, "s2": false,
                "s2_scales": "336,672,1008",
            }),
        ),
        (
            "llm/config.json",
            json!({
                "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8,
                "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                "rms_norm_eps": 1e-5, "rope_theta": 50000.0, "eos_token_id": 2, "tokenizer_model_max_length": 4096,
            }),
        ),
        ("llm/tokenizer_config.json", json!({})),
        (
            "vision_tower/config.json",
            json!({
                "architectures": ["SiglipVisionModel"], "hidden_size": 6, "intermediate_size": 10,
                "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 13, "patch_size": 4,
            }),
        ),
        (
            "vision_tower/preprocessor_config.json",
            json!({"size": {"height": 13, "width": 13}}),
        ),
        (
            "mm_projector/config.json",
            json!({"mm_projector_type": "mlp_downsample"}),
        ),
    ];
    Tiny {
        json: json.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        weights: BTreeMap::from([
            (
                "llm/model.safetensors".to_owned(),
                decoder("model.", "lm_head.weight", Dtype::BF16),
            ),
            ("vision_tower/model.safetensors".to_owned(), siglip(Dtype::BF16)),
            ("mm_projector/model.safetensors".to_owned(), projector.collect()),
        ]),
    }
}

/// Layout B with a CLIP tower and `mlp2x_gelu`.
pub fn vila_clip() -> Tiny {
    let mut tiny = vila();
    tiny.config("config.json")["mm_vision_select_feature"] = json!("patch");
    let vision = tiny.config("vision_tower/config.json");
    vision["architectures"] = json!(["CLIPVisionModel"]);
    vision["image_size"] = json!(8);
    *tiny.config("vision_tower/preprocessor_config.json") = json!({"size": 8, "crop_size": 8});
    *tiny.config("mm_projector/config.json") = json!({"mm_projector_type": "mlp2x_gelu"});
    *tiny.tensors("vision_tower/model.safetensors") = clip("vision_model.", Dtype::BF16);
    let shapes: [(&str, &[usize]); 4] = [
        ("layers.0.weight", &[8, 6]),
        ("layers.0.bias", &[8]),
        ("layers.2.weight", &[8, 8]),
        ("layers.2.bias", &[8]),
    ];
    *tiny.tensors("mm_projector/model.safetensors") = shapes
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), tensor(Dtype::BF16, shape)))
        .collect();
    tiny
}

/// Layout B with an InternViT tower: 2 blocks, pictures of 8 x 8 in patches of 4.
pub fn vila_intern() -> Tiny {
    let mut tiny = vila();
    let config = tiny.config("config.json");
    config["mm_vision_select_feature"] = json!("patch");
    config["mm_vision_select_layer"] = json!(-1);
    *tiny.config("vision_tower/config.json") = json!({
        "architectures": ["InternVisionModel"], "hidden_size": 6, "intermediate_size": 10, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 8, "patch_size": 4,
    });
    tiny.json.remove("vision_tower/preprocessor_config.json");
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: &[usize]| tensors.insert(name, tensor(Dtype::BF16, shape));
    add("embeddings.class_embedding".to_owned(), &[1, 1, 6]);
    add("embeddings.patch_embedding.weight".to_owned(), &[6, 3, 4, 4]);
    add("embeddings.patch_embedding.bias".to_owned(), &[6]);
    add("embeddings.position_embedding".to_owned(), &[1, 5, 6]);
    for l in 0..2 {
        let parts: [(&str, &[usize]); 13] = [
            ("norm1.weight", &[6]),
            ("norm2.weight", &[6]),
            ("attn.qkv.weight", &[18, 6]),
            ("attn.q_norm.weight", &[6]),
            ("attn.k_norm.weight", &[6]),
            ("attn.proj.weight", &[6, 6]),
            ("attn.proj.bias", &[6]),
            ("mlp.fc1.weight", &[10, 6]),
            ("mlp.fc1.bias", &[10]),
            ("mlp.fc2.weight", &[6, 10]),
            ("mlp.fc2.bias", &[6]),
            ("ls1", &[6]),
            ("ls2", &[6]),
        ];
        for (part, shape) in parts {
            add(format!("encoder.layers.{l}.{part}"), shape);
        }
    }
    *tiny.tensors("vision_tower/model.safetensors") = tensors;
    tiny
}

/// Layout B with S2: SigLIP's 13 x 13 and twice that, so the projector sees twice the width.
pub fn vila_s2() -> Tiny {
    let mut tiny = vila();
    let config = tiny.config("config.json");
    config["s2"] = json!(true);
    config["s2_scales"] = json!("13,26");
    config["s2_max_split_size"] = json!(13);
    let projector = tiny.tensors("mm_projector/model.safetensors");
    for (name, shape) in [
        ("layers.1.weight", vec![48]),
        ("layers.1.bias", vec![48]),
        ("layers.2.weight", vec![8, 48]),
    ] {
        projector.insert(name.to_owned(), tensor(Dtype::BF16, &shape));
    }
    tiny
}
