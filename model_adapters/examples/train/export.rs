//! A trained model as a checkpoint: float16 weights and configuration in the layout that its shape has on the hub.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use model_adapters::checkpoint::TowerKind;
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use tokenizers::Tokenizer;

use crate::model::Model;
use crate::parameters::Part;
use crate::sizes::{CONTEXT, Shape, Sizes};
use crate::state::{self, Bytes};
use crate::vocabulary;

/// Versions of transformers whose files these look like.
const TRANSFORMERS: &str = "4.36.2";

/// Writes the checkpoint of `model` with `values` for its parameters, in their order.
pub fn checkpoint(
    folder: &Path,
    model: &Model,
    values: &[&Tensor],
    tokenizer: &Tokenizer,
) -> Result<(), Box<dyn Error>> {
    match model.sizes.shape {
        Shape::Vila => vila(folder, model, values, tokenizer),
        Shape::Llava => llava_hf(folder, model, values, tokenizer),
    }
}

/// Layout B: a folder for each module.
fn vila(folder: &Path, model: &Model, values: &[&Tensor], tokenizer: &Tokenizer) -> Result<(), Box<dyn Error>> {
    let sizes = &model.sizes;
    let [llm, tower, projector] = ["llm", "vision_tower", "mm_projector"].map(|name| folder.join(name));
    for module in [&llm, &tower, &projector] {
        fs::create_dir_all(module)?;
    }
    let llm_config = llama_config(sizes);
    let tower_config = tower_config(sizes, "SiglipVisionModel");
    let projector_config = json!({
        "architectures": ["MultimodalProjector"],
        "mm_projector_type": "mlp_downsample",
        "model_type": "v2l_projector",
        "torch_dtype": "float16",
        "transformers_version": TRANSFORMERS,
    });
    write_json(
        &folder.join("config.json"),
        &json!({
            "architectures": ["LlavaLlamaModel"],
            "drop_path_rate": 0.0,
            "hidden_size": sizes.llama.hidden_size,
            "image_aspect_ratio": "resize",
            "interpolate_mode": "linear",
            "llm_cfg": llm_config,
            "mm_hidden_size": sizes.tower.hidden_size,
            "mm_projector_cfg": projector_config,
            "mm_projector_lr": null,
            "mm_use_im_patch_token": false,
            "mm_use_im_start_end": false,
            "mm_vision_select_feature": "cls_patch",
            "mm_vision_select_layer": select_layer(sizes),
            "model_dtype": "torch.float16",
            "model_type": "llava_llama",
            "num_video_frames": 8,
            "resume_path": "./vlm",
            "s2": false,
            "transformers_version": TRANSFORMERS,
            "tune_language_model": true,
            "tune_mm_projector": true,
            "tune_vision_tower": true,
            "vision_resolution": -1,
            "vision_tower_cfg": tower_config,
        }),
    )?;
    write_json(&llm.join("config.json"), &llm_config)?;
    write_json(&llm.join("generation_config.json"), &generation_config(0))?;
    vocabulary::write(tokenizer, sizes.shape, &llm)?;
    write_json(&tower.join("config.json"), &tower_config)?;
    let side = sizes.tower.image_size;
    write_json(
        &tower.join("preprocessor_config.json"),
        &json!({
            "do_normalize": true,
            "do_rescale": true,
            "do_resize": true,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 1.0 / 255.0,
            "size": {"height": side, "width": side},
        }),
    )?;
    write_json(&projector.join("config.json"), &projector_config)?;
    write_weights(&llm, model, values, |part, name| {
        (part == Part::Decoder).then(|| name.to_owned())
    })?;
    write_weights(&tower, model, values, |part, name| {
        (part == Part::Tower).then(|| format!("vision_model.{name}"))
    })?;
    write_weights(&projector, model, values, |part, name| {
        // The layers of a `Sequential`: patch merge, LayerNorm, linear, GELU, linear.
        let places = [
            ("norm.", "layers.1."),
            ("linear.0.", "layers.2."),
            ("linear.1.", "layers.4."),
        ];
        let place = |(ours, theirs): &(&str, &str)| name.strip_prefix(ours).map(|rest| format!("{theirs}{rest}"));
        places.iter().find_map(place).filter(|_| part == Part::Projector)
    })
}

/// Layout D: everything in one folder, the names of files up to 2024.
fn llava_hf(folder: &Path, model: &Model, values: &[&Tensor], tokenizer: &Tokenizer) -> Result<(), Box<dyn Error>> {
    let sizes = &model.sizes;
    fs::create_dir_all(folder)?;
    let (image, pad) = (sizes.llama.vocabulary - 2, sizes.llama.vocabulary - 1);
    write_json(
        &folder.join("config.json"),
        &json!({
            "architectures": ["LlavaForConditionalGeneration"],
            "ignore_index": -100,
            "image_token_index": image,
            "model_type": "llava",
            "pad_token_id": pad,
            "projector_hidden_act": "gelu",
            "text_config": llama_config(sizes),
            "tie_word_embeddings": false,
            "torch_dtype": "float16",
            "transformers_version": TRANSFORMERS,
            "vision_config": tower_config(sizes, "CLIPVisionModel"),
            "vision_feature_layer": select_layer(sizes),
            "vision_feature_select_strategy": "default",
            "vocab_size": sizes.llama.vocabulary,
        }),
    )?;
    write_json(&folder.join("generation_config.json"), &generation_config(pad))?;
    let side = sizes.tower.image_size;
    write_json(
        &folder.join("preprocessor_config.json"),
        &json!({
            "crop_size": {"height": side, "width": side},
            "do_center_crop": true,
            "do_convert_rgb": true,
            "do_normalize": true,
            "do_rescale": true,
            "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 1.0 / 255.0,
            "size": {"shortest_edge": side},
        }),
    )?;
    write_json(
        &folder.join("processor_config.json"),
        &json!({
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": sizes.tower.patch_size,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        }),
    )?;
    vocabulary::write(tokenizer, sizes.shape, folder)?;
    write_weights(folder, model, values, |part, name| {
        Some(match part {
            Part::Decoder => format!("language_model.{name}"),
            Part::Tower => format!("vision_tower.vision_model.{name}"),
            Part::Words => return None,
            Part::Projector => format!(
                "multi_modal_projector.{}",
                name.replace("linear.0", "linear_1").replace("linear.1", "linear_2")
            ),
        })
    })
}

fn llama_config(sizes: &Sizes) -> Value {
    let llama = &sizes.llama;
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": llama.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": llama.intermediate_size,
        "max_position_embeddings": CONTEXT,
        "model_type": "llama",
        "num_attention_heads": llama.heads,
        "num_hidden_layers": llama.layers,
        "num_key_value_heads": llama.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": llama.rms_norm_eps,
        "rope_scaling": null,
        "rope_theta": llama.rope_theta,
        "tie_word_embeddings": false,
        "torch_dtype": "float16",
        "transformers_version": TRANSFORMERS,
        "use_cache": true,
        "vocab_size": llama.vocabulary,
    });
    if let Some(longest) = llama.max_spliced_length {
        config["model_max_length"] = json!(longest);
        config["tokenizer_model_max_length"] = json!(longest);
        config["tokenizer_padding_side"] = json!("right");
        config["pad_token_id"] = json!(0);
    }
    config
}

fn tower_config(sizes: &Sizes, class: &str) -> Value {
    let tower = &sizes.tower;
    let mut config = json!({
        "architectures": [class],
        "attention_dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": tower.hidden_size,
        "image_size": tower.image_size,
        "intermediate_size": tower.intermediate_size,
        "layer_norm_eps": tower.layer_norm_eps,
        "model_type": "clip_vision_model",
        "num_attention_heads": tower.heads,
        "num_channels": 3,
        "num_hidden_layers": tower.layers,
        "patch_size": tower.patch_size,
        "torch_dtype": "float16",
        "transformers_version": TRANSFORMERS,
    });
    if tower.kind == TowerKind::Siglip {
        config["hidden_act"] = json!("gelu_pytorch_tanh");
        config["model_type"] = json!("siglip_vision_model");
        // No pooling head is trained, and none is stored.
        config["vision_use_head"] = json!(false);
    } else {
        config["projection_dim"] = json!(tower.hidden_size);
    }
    config
}

fn generation_config(pad: usize) -> Value {
    json!({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": pad, "transformers_version": TRANSFORMERS})
}

/// The selected state as the files count it: from the end, -1 for the last block's output.
fn select_layer(sizes: &Sizes) -> i64 {
    sizes.tower.select_state as i64 - sizes.tower.layers as i64 - 1
}

/// Writes to `model.safetensors` what `name` gives a name.
fn write_weights(
    folder: &Path,
    model: &Model,
    values: &[&Tensor],
    name: impl Fn(Part, &str) -> Option<String>,
) -> Result<(), Box<dyn Error>> {
    let mut tensors = Vec::new();
    for (parameter, value) in model.parameters.list.iter().zip(values) {
        for (canonical, value) in parameter.stored(value)? {
            if let Some(stored) = name(parameter.part, &canonical) {
                tensors.push((stored, Bytes::of(&value, Kind::Half)?));
            }
        }
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    state::write(&folder.join("model.safetensors"), &tensors, metadata)
}

fn write_json(path: &Path, value: &Value) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(path, serde_json::to_string_pretty(value)? + "\n")?)
}
