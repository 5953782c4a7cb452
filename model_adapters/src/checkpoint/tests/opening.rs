//! Checkpoints that open.

use serde_json::json;

use crate::checkpoint::tests::fixture::{Tensor, Tiny, bytes, complaint, file_of, llava_hf, vila, vila_clip};
use crate::checkpoint::{
    Activation, Checkpoint, Dtype, Layout, Module, ProjectorConfig, ProjectorKind, SelectFeature, TowerKind,
};
use crate::picture::{Geometry, Processor, Resize};

fn open(tiny: &Tiny) -> Checkpoint {
    tiny.write().open().unwrap()
}

/// `canonical` is what the file calls `stored`, with its very bytes.
fn assert_tensor(module: &Module, canonical: &str, stored: &str, dtype: Dtype, shape: &[usize]) {
    let tensor = module.tensor(canonical).unwrap();
    assert_eq!((tensor.name, tensor.dtype, tensor.shape), (stored, dtype, shape));
    let type_on_disk = match dtype {
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::I16 => safetensors::Dtype::I16,
        Dtype::I32 => safetensors::Dtype::I32,
    };
    assert_eq!(
        tensor.bytes,
        bytes(
            stored,
            &Tensor {
                dtype: type_on_disk,
                shape: shape.to_vec()
            }
        ),
        "{canonical}"
    );
}

fn assert_llava_hf(checkpoint: &Checkpoint, decoder: &str, head: &str, before: &str) {
    assert_eq!(checkpoint.layout, Layout::D);
    assert_eq!(checkpoint.llama.vocabulary, 10, "the tensor's rows, not `vocab_size`");
    assert_eq!(checkpoint.llama.head_dim, 2);
    assert_eq!(checkpoint.llama.max_spliced_length, None);
    assert_eq!(checkpoint.generation.eos, [3]);
    assert_eq!(checkpoint.image_token, Some(9));
    assert!(!checkpoint.image_start_end && !checkpoint.image_patch);
    assert_eq!(checkpoint.tower.kind, TowerKind::Clip);
    assert_eq!(checkpoint.tower.activation, Activation::QuickGelu);
    assert_eq!(checkpoint.tower.select_state, 2);
    assert_eq!(checkpoint.tower.select_feature, SelectFeature::Patch);
    let kind = ProjectorKind::MlpGelu { depth: 2 };
    assert_eq!(
        checkpoint.projector,
        ProjectorConfig {
            kind,
            tower_size: 6,
            hidden_size: 8
        }
    );
    assert_eq!(checkpoint.preprocess.geometry, Geometry::Processor);
    let Processor { resize, crop, .. } = checkpoint.preprocess.processor;
    assert_eq!((resize, crop), (Some(Resize::ShortestEdge(8)), Some((8, 8))));

    let llama = &checkpoint.llama_tensors;
    assert_tensor(
        llama,
        "model.embed_tokens.weight",
        &format!("{decoder}embed_tokens.weight"),
        Dtype::F16,
        &[10, 8],
    );
    let down = "layers.1.mlp.down_proj.weight";
    assert_tensor(
        llama,
        &format!("model.{down}"),
        &format!("{decoder}{down}"),
        Dtype::F16,
        &[8, 12],
    );
    assert_tensor(llama, "lm_head.weight", head, Dtype::F16, &[10, 8]);
    let tower = format!("{before}vision_tower.vision_model.");
    for (name, shape) in [
        ("embeddings.patch_embedding.weight", &[6, 3, 4, 4][..]),
        ("pre_layrnorm.bias", &[6]),
    ] {
        assert_tensor(
            &checkpoint.tower_tensors,
            name,
            &format!("{tower}{name}"),
            Dtype::F32,
            shape,
        );
    }
    let projector = format!("{before}multi_modal_projector.");
    for (canonical, stored, shape) in [
        ("linear.0.weight", "linear_1.weight", &[8, 6][..]),
        ("linear.1.bias", "linear_2.bias", &[8]),
    ] {
        let stored = format!("{projector}{stored}");
        assert_tensor(&checkpoint.projector_tensors, canonical, &stored, Dtype::F16, shape);
    }
}

#[test]
fn llava_hf_in_both_spellings() {
    assert_llava_hf(
        &open(&llava_hf(false)),
        "language_model.model.",
        "language_model.lm_head.weight",
        "",
    );
    assert_llava_hf(
        &open(&llava_hf(true)),
        "model.language_model.",
        "lm_head.weight",
        "model.",
    );
}

#[test]
fn llava_hf_in_shards() {
    let mut tiny = llava_hf(false);
    tiny.shard("");
    let written = tiny.write();
    let checkpoint = written.open().unwrap();
    assert_llava_hf(
        &checkpoint,
        "language_model.model.",
        "language_model.lm_head.weight",
        "",
    );
    let shards = [1, 2].map(|i| written.path(&format!("model-0000{i}-of-00002.safetensors")));
    assert_eq!(checkpoint.weight_files(), shards);
    let index = written.path("model.safetensors.index.json");
    assert!(checkpoint.config_files().contains(&index));
}

#[test]
fn a_single_file_wins_over_an_index() {
    let written = llava_hf(false).write();
    std::fs::write(written.path("model.safetensors.index.json"), "not looked at").unwrap();
    std::fs::write(written.path("pytorch_model.bin"), "not looked at").unwrap();
    let checkpoint = written.open().unwrap();
    assert_eq!(checkpoint.weight_files(), [written.path("model.safetensors")]);
    assert!(
        !checkpoint
            .config_files()
            .contains(&written.path("model.safetensors.index.json"))
    );
}

#[test]
fn vila_with_siglip() {
    let written = vila().write();
    let checkpoint = written.open().unwrap();
    assert_eq!(checkpoint.layout, Layout::B);
    assert_eq!(checkpoint.llama.max_spliced_length, Some(4096));
    assert_eq!(checkpoint.llama.rope_theta, 50_000.0);
    assert_eq!(checkpoint.generation.eos, [2]);
    assert_eq!(checkpoint.image_token, None);
    assert_eq!(checkpoint.tokenizer_folder, written.path("llm"));
    assert_eq!(checkpoint.tower.kind, TowerKind::Siglip);
    assert_eq!(checkpoint.tower.activation, Activation::GeluTanh);
    assert_eq!(checkpoint.tower.tokens(), 9);
    assert_eq!(checkpoint.projector.kind, ProjectorKind::MlpDownsample);
    assert_eq!(checkpoint.preprocess.geometry, Geometry::Stretch);
    assert_eq!(
        checkpoint.preprocess.processor.resize,
        Some(Resize::Exact { width: 13, height: 13 })
    );

    let (bf16, projector) = (Dtype::Bf16, &checkpoint.projector_tensors);
    assert_tensor(
        &checkpoint.llama_tensors,
        "model.norm.weight",
        "model.norm.weight",
        bf16,
        &[8],
    );
    let fc1 = "encoder.layers.0.mlp.fc1.weight";
    assert_tensor(
        &checkpoint.tower_tensors,
        fc1,
        &format!("vision_model.{fc1}"),
        bf16,
        &[10, 6],
    );
    assert_tensor(projector, "norm.bias", "layers.1.bias", bf16, &[24]);
    assert_tensor(projector, "linear.0.weight", "layers.2.weight", bf16, &[8, 24]);
    assert_tensor(projector, "linear.1.weight", "layers.4.weight", bf16, &[8, 8]);
    let error = projector.tensor("linear.2.weight").unwrap_err().to_string();
    assert!(
        error.ends_with("mm_projector`: holds no tensor `linear.2.weight`"),
        "{error}"
    );
}

#[test]
fn vila_with_clip() {
    let checkpoint = open(&vila_clip());
    assert_eq!(checkpoint.tower.kind, TowerKind::Clip);
    assert_eq!(checkpoint.tower.tokens(), 4);
    assert_eq!(checkpoint.projector.kind, ProjectorKind::MlpGelu { depth: 2 });
    assert_tensor(
        &checkpoint.projector_tensors,
        "linear.1.weight",
        "layers.2.weight",
        Dtype::Bf16,
        &[8, 8],
    );
}

#[test]
fn vila_with_one_linear() {
    let mut tiny = vila_clip();
    *tiny.config("mm_projector/config.json") = json!({"mm_projector_type": "linear"});
    let shapes: [(&str, &[usize]); 2] = [("layers.weight", &[8, 6]), ("layers.bias", &[8])];
    *tiny.tensors("mm_projector/model.safetensors") = shapes
        .into_iter()
        .map(|(name, shape)| {
            (
                name.to_owned(),
                Tensor {
                    dtype: safetensors::Dtype::F32,
                    shape: shape.to_vec(),
                },
            )
        })
        .collect();
    let checkpoint = open(&tiny);
    assert_tensor(
        &checkpoint.projector_tensors,
        "linear.0.weight",
        "layers.weight",
        Dtype::F32,
        &[8, 6],
    );
}

/// Layout B whose tower is as wide as its decoder, so that it needs no projector.
fn vila_identity() -> Tiny {
    let mut tiny = vila();
    *tiny.config("mm_projector/config.json") = json!({"mm_projector_type": "identity"});
    tiny.tensors("mm_projector/model.safetensors").clear();
    tiny.config("vision_tower/config.json")["hidden_size"] = json!(8);
    for tensor in tiny.tensors("vision_tower/model.safetensors").values_mut() {
        for size in &mut tensor.shape {
            *size = match *size {
                6 => 8,
                18 => 24,
                other => other,
            };
        }
    }
    tiny
}

#[test]
fn an_identity_projector_has_no_tensors_and_may_have_no_file() {
    let mut tiny = vila_identity();
    let with_file = open(&tiny);
    assert_eq!(with_file.projector.kind, ProjectorKind::Identity);
    assert_eq!(
        (with_file.projector_tensors.tensors(), with_file.weight_files().len()),
        (0, 3)
    );
    tiny.weights.remove("mm_projector/model.safetensors");
    let without = open(&tiny);
    assert_eq!(
        (without.projector_tensors.tensors(), without.weight_files().len()),
        (0, 2)
    );
    assert_eq!(without.inspect().picture_tokens, without.tower.tokens());
    let narrow = complaint(vila(), |tiny| {
        *tiny.config("mm_projector/config.json") = json!({"mm_projector_type": "identity"});
    });
    assert_eq!(
        narrow,
        "`config.json`: its projector is `identity`, but the vision tower is 6 wide and the decoder 8: take the \
         projector that the model was trained with"
    );
}

#[test]
fn switches_of_vila() {
    let mut tiny = vila();
    let config = tiny.config("config.json");
    config["mm_use_im_start_end"] = json!(true);
    config.as_object_mut().unwrap().remove("mm_use_im_patch_token");
    config["image_aspect_ratio"] = json!("pad");
    config["architectures"] = json!(["SomethingElse"]);
    tiny.json.remove("vision_tower/preprocessor_config.json");
    tiny.json
        .insert("llm/generation_config.json".to_owned(), json!({"eos_token_id": [4, 5]}));
    let checkpoint = open(&tiny);
    assert!(checkpoint.image_start_end);
    assert!(checkpoint.image_patch, "true where the key is absent");
    assert_eq!(checkpoint.preprocess.geometry, Geometry::Pad);
    assert_eq!(
        checkpoint.preprocess.processor.resize,
        Some(Resize::Exact { width: 13, height: 13 })
    );
    assert_eq!(checkpoint.generation.eos, [4, 5]);
}

#[test]
fn tied_embeddings_need_no_head() {
    for (in_text, in_top, tied) in [(json!(true), json!(null), true), (json!(null), json!(true), true)] {
        let mut tiny = llava_hf(false);
        tiny.config("config.json")["text_config"]["tie_word_embeddings"] = in_text;
        tiny.config("config.json")["tie_word_embeddings"] = in_top;
        let with_head = open(&tiny);
        assert!(!with_head.llama.tied_embeddings && with_head.llama_tensors.tensor("lm_head.weight").is_ok());
        tiny.tensors("model.safetensors")
            .remove("language_model.lm_head.weight")
            .unwrap();
        let without_head = open(&tiny);
        assert_eq!(without_head.llama.tied_embeddings, tied);
        assert!(without_head.llama_tensors.tensor("lm_head.weight").is_err());
    }
}

#[test]
fn tensors_that_nothing_reads() {
    let mut tiny = llava_hf(false);
    let tensors = tiny.tensors("model.safetensors");
    for (name, dtype) in [
        (
            "language_model.model.layers.0.self_attn.rotary_emb.inv_freq",
            safetensors::Dtype::F32,
        ),
        (
            "language_model.model.layers.1.self_attn.masked_bias",
            safetensors::Dtype::BOOL,
        ),
    ] {
        tensors.insert(name.to_owned(), Tensor { dtype, shape: vec![1] });
    }
    // Not used: all of the last block, and what follows the blocks.
    tensors.retain(|name, _| !name.contains("encoder.layers.2.") && !name.contains("post_layernorm"));
    let checkpoint = open(&tiny);
    assert!(
        checkpoint
            .tower_tensors
            .iter()
            .all(|(name, _)| !name.contains("layers.2.") && !name.contains("_ids"))
    );
    assert!(
        checkpoint
            .llama_tensors
            .iter()
            .all(|(name, _)| !name.contains("inv_freq"))
    );
}

#[test]
fn an_inspection_adds_up() {
    let written = vila().write();
    let inspection = written.open().unwrap().inspect();
    // Decoder: 2 · 10·8 + 8 + 2 · (2·8 + 2 · 8·8 + 2 · 4·8 + 3 · 8·12); tensors 3 + 2 · 9.
    let decoder = 168 + 2 * (16 + 128 + 64 + 288);
    assert_eq!(
        (inspection.decoder.tensors, inspection.decoder.parameters),
        (21, decoder)
    );
    // A block: norms 24, attention 4 · 42, MLP 70 + 66; embeddings 288 + 6 + 54.
    let (block, embeddings, behind) = (24 + 168 + 136, 348, 12 + 6 + 126 + 42 + 12 + 136);
    assert_eq!(inspection.tower.used_parameters, embeddings + 2 * block);
    assert_eq!(inspection.tower.parameters, embeddings + 3 * block + behind);
    assert_eq!(inspection.tower.bytes, 2 * inspection.tower.parameters);
    let projector = 48 + 8 * 24 + 8 + 8 * 8 + 8;
    assert_eq!(
        (inspection.projector.tensors, inspection.projector.parameters),
        (6, projector)
    );
    assert_eq!(inspection.projector.dtypes, [Dtype::Bf16]);
    assert_eq!(
        inspection.parameters(),
        decoder + inspection.tower.parameters + projector
    );
    let used = decoder + inspection.tower.used_parameters + projector;
    assert_eq!(inspection.weight_memory(Dtype::F32), 4 * used);
    assert_eq!(inspection.weight_memory(Dtype::F16), 2 * used);
    assert_eq!(inspection.picture_tokens, 4);
    let weights =
        ["llm", "vision_tower", "mm_projector"].map(|part| written.path(&format!("{part}/model.safetensors")));
    assert_eq!(inspection.weight_files, weights);
    let configs = [
        "config.json",
        "llm/config.json",
        "llm/tokenizer_config.json",
        "vision_tower/config.json",
        "vision_tower/preprocessor_config.json",
        "mm_projector/config.json",
    ];
    assert_eq!(inspection.config_files, configs.map(|name| written.path(name)));
}

#[test]
fn mixed_types_are_told_apart() {
    let inspection = open(&llava_hf(false)).inspect();
    assert_eq!(inspection.decoder.dtypes, [Dtype::F16]);
    assert_eq!(inspection.tower.dtypes, [Dtype::F32]);
    assert_eq!(inspection.tower.bytes, 4 * inspection.tower.parameters);
    assert_eq!(inspection.projector.dtypes, [Dtype::F16]);
}

#[test]
fn odd_header_lengths_leave_tensors_unaligned_but_whole() {
    let tiny = vila();
    let written = tiny.write();
    let name = "mm_projector/model.safetensors";
    let whole = file_of(&tiny.weights[name]);
    let (length, rest) = whole.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap());
    let (header, data) = rest.split_at(length as usize);
    let longer = [&(length + 1).to_le_bytes()[..], header, b" ", data].concat();
    std::fs::write(written.path(name), longer).unwrap();
    let checkpoint = written.open().unwrap();
    assert_tensor(
        &checkpoint.projector_tensors,
        "linear.0.weight",
        "layers.2.weight",
        Dtype::Bf16,
        &[8, 24],
    );
}
