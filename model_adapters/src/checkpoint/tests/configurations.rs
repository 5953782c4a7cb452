//! Folders and configuration files that are refused, each with the message a user gets.

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checkpoint::Checkpoint;
use crate::checkpoint::tests::fixture::{Tiny, complaint, llava, llava_hf, vila};

#[test]
fn folders_that_are_none() {
    let written = llava_hf(false).write();
    let open = |name: &str| Checkpoint::open(&written.path(name)).unwrap_err().to_string();
    assert!(open("nowhere").starts_with("cannot read `"), "{}", open("nowhere"));
    assert!(open("nowhere").contains("/nowhere`: No such file or directory"));
    assert!(open("config.json").ends_with("/config.json`: is a file: give the checkpoint's folder"));
}

#[test]
fn configurations_that_are_none() {
    let written = llava_hf(false).write();
    for (text, wanted) in [
        (
            "{",
            "`config.json`: is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "",
            "`config.json`: is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        ("[1]", "`config.json`: must hold a JSON object, not a list"),
        ("null", "`config.json`: must hold a JSON object, not null"),
    ] {
        fs::write(written.path("config.json"), text).unwrap();
        assert_eq!(written.complaint(), wanted);
    }
    fs::remove_file(written.path("config.json")).unwrap();
    assert_eq!(
        written.complaint(),
        "cannot read `config.json`: No such file or directory (os error 2)"
    );
}

#[test]
fn configurations_that_are_refused() {
    let cases: [(Tiny, &str, &str, Value, &str); 21] = [
        (
            llava_hf(false),
            "config.json",
            "/architectures",
            json!(["Odd"]),
            "`architectures` says `Odd`: known are ",
        ),
        (
            llava_hf(false),
            "config.json",
            "/text_config",
            json!(null),
            "`text_config` is missing",
        ),
        (
            llava_hf(false),
            "config.json",
            "/text_config",
            json!("llama"),
            "`text_config` must be an object, not ",
        ),
        (
            llava_hf(false),
            "config.json",
            "/text_config/hidden_size",
            json!("8"),
            "`text_config.hidden_size` must be a whole number, not `\"8\"`",
        ),
        (
            llava_hf(false),
            "config.json",
            "/vision_config/patch_size",
            json!(null),
            "`vision_config.patch_size` is missing",
        ),
        (
            llava_hf(false),
            "config.json",
            "/vision_config/model_type",
            json!("siglip_vision_model"),
            "`vision_config.model_type` is `siglip_vision_model`: only `clip_vision_model` is supported",
        ),
        (
            llava_hf(false),
            "config.json",
            "/image_token_index",
            json!(10),
            "`image_token_index` is 10: the vocabulary has 10",
        ),
        (
            llava_hf(false),
            "config.json",
            "/image_token_index",
            json!(-1),
            "`image_token_index` is -1: the vocabulary has 10",
        ),
        (
            llava_hf(false),
            "config.json",
            "/image_token_index",
            json!(null),
            "`image_token_index` is missing",
        ),
        (
            llava_hf(false),
            "config.json",
            "/vision_feature_layer",
            json!([-2]),
            "`vision_feature_layer` must be a whole ",
        ),
        (
            llava_hf(false),
            "config.json",
            "/vision_feature_layer",
            json!(4),
            "`vision_feature_layer` is 4: the vision ",
        ),
        (
            llava_hf(false),
            "generation_config.json",
            "/eos_token_id",
            json!(10),
            "`eos_token_id` is [10]: the vocabulary has 10 tokens",
        ),
        (
            llava_hf(false),
            "preprocessor_config.json",
            "/crop_size/width",
            json!(9),
            "makes pictures of 9 x 8, the vision tower takes 8 x 8",
        ),
        (
            vila(),
            "config.json",
            "/llm_cfg",
            json!("/old/llm"),
            "`llm_cfg` names `/old/llm`, which is not on this machine (looked at: `/old/llm`, ",
        ),
        (
            vila(),
            "config.json",
            "/s2",
            json!(true),
            "`s2_max_split_size` is missing",
        ),
        (
            vila(),
            "config.json",
            "/mm_vision_select_feature",
            json!("patch"),
            "`mm_vision_select_feature` leaves 8 tokens of the vision tower, no square for `mlp_downsample` to merge",
        ),
        (
            vila(),
            "config.json",
            "/mm_vision_select_layer",
            json!(null),
            "`mm_vision_select_layer` is missing",
        ),
        (
            vila(),
            "config.json",
            "/image_aspect_ratio",
            json!("dynamic"),
            "`image_aspect_ratio` is \"dynamic\": only ",
        ),
        (
            vila(),
            "vision_tower/config.json",
            "/architectures",
            json!(["RADIOModel"]),
            "`architectures` is `RADIOModel`: this vision tower is not supported yet",
        ),
        (
            vila(),
            "mm_projector/config.json",
            "/mm_projector_type",
            json!("resampler"),
            "`mm_projector_type` is `resampler`: known are ",
        ),
        (
            vila(),
            "llm/config.json",
            "/model_type",
            json!("gemma"),
            "`model_type` is `gemma`: only `llama` decoders ",
        ),
    ];
    let cases = cases.into_iter().chain([
        (
            llava(),
            "config.json",
            "/mm_vision_tower",
            json!("openai/no-such-tower"),
            "`mm_vision_tower` names `openai/no-such-tower`, which is not on this machine (looked at: ",
        ),
        (
            llava(),
            "config.json",
            "/mm_projector_type",
            json!("mlp_downsample"),
            "`mm_projector_type` is `mlp_downsample`: in this layout `linear`, `mlp2x_gelu` and `identity` are known",
        ),
        (
            llava(),
            "config.json",
            "/mm_projector_type",
            json!("resampler"),
            "`mm_projector_type` is `resampler`: known are ",
        ),
        (
            llava(),
            "config.json",
            "/mm_vision_select_layer",
            json!(null),
            "`mm_vision_select_layer` is missing",
        ),
        (
            llava(),
            "clip/preprocessor_config.json",
            "/crop_size",
            json!(9),
            "makes pictures of 9 x 9, the vision tower takes 8 x 8",
        ),
    ]);
    for (tiny, file, pointer, value, wanted) in cases {
        let complaint = complaint(tiny, |tiny| match tiny.config(file).pointer_mut(pointer) {
            Some(place) => *place = value,
            None => tiny.config(file)[pointer.trim_start_matches('/')] = value,
        });
        assert!(
            complaint.starts_with(&format!("`{file}`: {wanted}")),
            "{complaint}\nwanted {wanted}"
        );
    }
}

/// JSON of any shape, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i64..40).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(Value::from)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a configuration key holds, opening ends in a checkpoint or in one line.
    #[test]
    fn no_value_breaks_the_loader(key: prop::sample::Index, value in any_json()) {
        let mut tiny = llava_hf(false);
        let config = tiny.config("config.json");
        let mut pointers = Vec::new();
        for (name, inner) in config.as_object().unwrap() {
            pointers.push(format!("/{name}"));
            let inner_keys = inner.as_object().into_iter().flat_map(|keys| keys.keys());
            pointers.extend(inner_keys.map(|key| format!("/{name}/{key}")));
        }
        let pointer: &String = key.get(&pointers);
        *config.pointer_mut(pointer).unwrap() = value;
        let written = tiny.write();
        if written.open().is_err() {
            written.complaint();
        }
    }
}
