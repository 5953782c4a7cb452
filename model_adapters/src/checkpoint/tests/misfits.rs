//! Tensors that do not fit the configuration, each with the message a user gets.

use safetensors::Dtype;
use serde_json::json;

use crate::checkpoint::tests::fixture::{Change, Tensor, Tiny, complaint, llava_hf, vila, vila_intern, vila_s2};

const WEIGHTS: &str = "model.safetensors";

#[test]
fn tensors_that_do_not_fit() {
    const FIT: &str = "`FOLDER`: its tensors do not fit its configuration: ";
    let cases: [(Tiny, Change, &str); 9] = [
        (
            llava_hf(false),
            &|tiny| {
                drop(
                    tiny.tensors(WEIGHTS)
                        .remove("language_model.model.layers.1.mlp.up_proj.weight"),
                )
            },
            "missing: `language_model.model.layers.1.mlp.up_proj.weight`",
        ),
        (
            llava_hf(true),
            &|tiny| {
                drop(
                    tiny.tensors(WEIGHTS)
                        .remove("model.vision_tower.vision_model.pre_layrnorm.bias"),
                )
            },
            "missing: `model.vision_tower.vision_model.pre_layrnorm.bias`",
        ),
        (
            llava_hf(false),
            &|tiny| drop(tiny.tensors(WEIGHTS).remove("language_model.model.embed_tokens.weight")),
            "missing: `language_model.model.embed_tokens.weight`",
        ),
        (
            llava_hf(false),
            &|tiny| {
                tiny.tensors(WEIGHTS).insert(
                    "extra\n.bias".to_owned(),
                    Tensor {
                        dtype: Dtype::F16,
                        shape: vec![1],
                    },
                );
            },
            "unexpected: `extra\\n.bias`; give --allow-extra-tensors to ignore them",
        ),
        (
            vila(),
            &|tiny| {
                let tensors = tiny.tensors("llm/model.safetensors");
                tensors.get_mut("model.layers.0.mlp.down_proj.weight").unwrap().shape = vec![12, 8];
            },
            "wrong shape: `llm/model.layers.0.mlp.down_proj.weight` is `[12, 8]` instead of `[8, 12]`",
        ),
        (
            vila(),
            &|tiny| {
                tiny.tensors("llm/model.safetensors")
                    .get_mut("lm_head.weight")
                    .unwrap()
                    .shape = vec![11, 8]
            },
            "wrong shape: `llm/lm_head.weight` is `[11, 8]` instead of `[10, 8]`",
        ),
        (
            vila(),
            &|tiny| {
                let tensors = tiny.tensors("vision_tower/model.safetensors");
                tensors.get_mut("vision_model.head.probe").unwrap().shape = vec![6];
            },
            "wrong shape: `vision_tower/vision_model.head.probe` is `[6]` instead of `[1, 1, 6]`",
        ),
        (
            vila(),
            &|tiny| {
                tiny.tensors("mm_projector/model.safetensors")
                    .get_mut("layers.1.bias")
                    .unwrap()
                    .dtype = Dtype::I64
            },
            "wrong type (float32, float16 and bfloat16 are known): `mm_projector/layers.1.bias` is I64",
        ),
        (
            vila(),
            &|tiny| {
                drop(tiny.tensors("llm/model.safetensors").remove("model.norm.weight"));
                let norm = tiny
                    .tensors("mm_projector/model.safetensors")
                    .remove("layers.1.weight")
                    .unwrap();
                tiny.tensors("mm_projector/model.safetensors")
                    .insert("norm.weight".to_owned(), norm);
                let tensors = tiny.tensors("vision_tower/model.safetensors");
                tensors
                    .get_mut("vision_model.embeddings.position_embedding.weight")
                    .unwrap()
                    .shape = vec![10, 6];
            },
            "missing: `llm/model.norm.weight`, `mm_projector/layers.1.weight`; unexpected: `mm_projector/norm.weight`; \
             wrong shape: `vision_tower/vision_model.embeddings.position_embedding.weight` is `[10, 6]` instead of \
             `[9, 6]`",
        ),
    ];
    for (tiny, change, wanted) in cases {
        let remedy = if wanted.contains("--allow-extra-tensors") {
            ""
        } else {
            "; fetch the checkpoint again, files and configuration together"
        };
        assert_eq!(complaint(tiny, change), format!("{FIT}{wanted}{remedy}"));
    }
}

#[test]
fn towers_that_do_not_fit() {
    const VISION: &str = "vision_tower/model.safetensors";
    assert!(vila_intern().write().open().is_ok());
    let cases: [(Change, &str); 4] = [
        (
            &|tiny| drop(tiny.tensors(VISION).remove("encoder.layers.1.ls2")),
            "missing: `vision_tower/encoder.layers.1.ls2`",
        ),
        (
            &|tiny| {
                tiny.tensors(VISION)
                    .get_mut("encoder.layers.0.attn.qkv.weight")
                    .unwrap()
                    .shape = vec![6, 18]
            },
            "wrong shape: `vision_tower/encoder.layers.0.attn.qkv.weight` is `[6, 18]` instead of `[18, 6]`",
        ),
        (
            &|tiny| {
                tiny.tensors(VISION)
                    .get_mut("encoder.layers.0.attn.k_norm.weight")
                    .unwrap()
                    .shape = vec![3]
            },
            "wrong shape: `vision_tower/encoder.layers.0.attn.k_norm.weight` is `[3]` instead of `[6]`",
        ),
        (
            &|tiny| {
                tiny.tensors(VISION)
                    .get_mut("embeddings.position_embedding")
                    .unwrap()
                    .shape = vec![5, 6]
            },
            "wrong shape: `vision_tower/embeddings.position_embedding` is `[5, 6]` instead of `[1, 5, 6]`",
        ),
    ];
    for (change, wanted) in cases {
        let found = complaint(vila_intern(), change);
        assert!(found.contains(wanted), "{found}");
    }
}

#[test]
fn s2_that_does_not_fit() {
    let s2 = vila_s2().write().open().unwrap();
    assert_eq!((s2.tower.input_size(), s2.projector.tower_size), (26, 12));
    let cases: [(Change, &str); 3] = [
        (
            &|tiny| tiny.config("config.json")["s2_scales"] = json!("13,27"),
            "`config.json`: `s2_scales` is `13,27`: every scale must be 1 to 16 tiles of `s2_max_split_size`, 13",
        ),
        (
            &|tiny| tiny.config("config.json")["s2_max_split_size"] = json!(26),
            "`config.json`: `s2_max_split_size` is 26: the vision tower takes tiles of 13",
        ),
        (
            &|tiny| tiny.config("config.json")["s2"] = json!(false),
            "wrong shape: `mm_projector/layers.1.weight` is `[48]` instead of `[24]`",
        ),
    ];
    for (change, wanted) in cases {
        let found = complaint(vila_s2(), change);
        assert!(found.contains(wanted), "{found}");
    }
}

#[test]
fn twenty_names_and_no_more() {
    let with_extra = |count: usize| {
        complaint(llava_hf(false), |tiny| {
            for i in 0..count {
                let tensor = Tensor {
                    dtype: Dtype::F16,
                    shape: vec![1],
                };
                tiny.tensors(WEIGHTS).insert(format!("extra.{i:02}"), tensor);
            }
        })
    };
    assert!(with_extra(20).ends_with("`extra.18`, `extra.19`; give --allow-extra-tensors to ignore them"));
    assert!(with_extra(21).ends_with("`extra.18`, `extra.19`; and 1 more; give --allow-extra-tensors to ignore them"));
}

#[test]
fn spellings_are_not_mixed() {
    let complaint = complaint(llava_hf(true), |tiny| {
        let head = tiny.tensors(WEIGHTS).remove("lm_head.weight").unwrap();
        tiny.tensors(WEIGHTS)
            .insert("language_model.lm_head.weight".to_owned(), head);
    });
    let wanted = "missing: `lm_head.weight`; unexpected: `language_model.lm_head.weight`; fetch the checkpoint again";
    assert!(complaint.contains(wanted), "{complaint}");
}
