//! A checkpoint of 13B, nothing but headers on disk: what must not take the time that its weights would take.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::fixtures;
use crate::layouts::{LLAVA, TOWER, copy, edit, inspect};

/// A safetensors file of these tensors whose header is real and whose data are a hole.
fn sparse(path: &Path, dtype: &str, tensors: &[(String, Vec<u64>)]) {
    let size = if dtype == "F32" { 4 } else { 2 };
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<u64>() * size;
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    let length = file.len() as u64 + end;
    std::fs::write(path, file).unwrap();
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

/// The used tensors of CLIP-L/14-336, and its last block.
fn clip_large(prefix: &str) -> Vec<(String, Vec<u64>)> {
    let width = 1024;
    let mut tower = vec![
        ("embeddings.class_embedding".to_owned(), vec![width]),
        ("embeddings.patch_embedding.weight".to_owned(), vec![width, 3, 14, 14]),
        ("embeddings.position_embedding.weight".to_owned(), vec![577, width]),
        ("pre_layrnorm.weight".to_owned(), vec![width]),
        ("pre_layrnorm.bias".to_owned(), vec![width]),
    ];
    for layer in 0..24 {
        let parts: [(&str, Vec<u64>); 8] = [
            ("layer_norm1", vec![width]),
            ("layer_norm2", vec![width]),
            ("self_attn.q_proj", vec![width, width]),
            ("self_attn.k_proj", vec![width, width]),
            ("self_attn.v_proj", vec![width, width]),
            ("self_attn.out_proj", vec![width, width]),
            ("mlp.fc1", vec![4096, width]),
            ("mlp.fc2", vec![width, 4096]),
        ];
        for (part, shape) in parts {
            tower.push((format!("encoder.layers.{layer}.{part}.bias"), vec![shape[0]]));
            tower.push((format!("encoder.layers.{layer}.{part}.weight"), shape));
        }
    }
    tower
        .into_iter()
        .map(|(name, shape)| (format!("{prefix}{name}"), shape))
        .collect()
}

/// llava-v1.5-13b: three shards and CLIP-L/14-336, nothing but headers on disk.
fn thirteen_billion(folder: &Path) {
    let (hidden, inner) = (5120, 13_824);
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![32_000, hidden])];
    for layer in 0..40 {
        let parts: [(&str, Vec<u64>); 9] = [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![hidden, hidden]),
            ("self_attn.v_proj", vec![hidden, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        tensors.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
    tensors.push(("lm_head.weight".to_owned(), vec![32_000, hidden]));
    for (number, inputs) in [(0, 1024), (2, hidden)] {
        tensors.push((format!("model.mm_projector.{number}.weight"), vec![hidden, inputs]));
        tensors.push((format!("model.mm_projector.{number}.bias"), vec![hidden]));
    }
    let mut map = serde_json::Map::new();
    for (number, shard) in tensors.chunks(tensors.len().div_ceil(3)).enumerate() {
        let file = format!("model-0000{}-of-00003.safetensors", number + 1);
        sparse(&folder.join(&file), "F16", shard);
        map.extend(shard.iter().map(|(name, _)| (name.clone(), json!(file))));
    }
    std::fs::write(
        folder.join("model.safetensors.index.json"),
        json!({"weight_map": map}).to_string(),
    )
    .unwrap();
    edit(&folder.join("config.json"), |config| {
        for (key, value) in [
            ("hidden_size", hidden),
            ("intermediate_size", inner),
            ("num_hidden_layers", 40),
        ] {
            config[key] = json!(value);
        }
        config["num_attention_heads"] = json!(40);
        config["num_key_value_heads"] = json!(40);
    });
    let tower_folder = folder.join(TOWER);
    sparse(
        &tower_folder.join("model.safetensors"),
        "F32",
        &clip_large("vision_model."),
    );
    edit(&tower_folder.join("config.json"), |config| {
        config["vision_config"] = json!({
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "image_size": 336, "patch_size": 14,
        });
    });
    edit(&tower_folder.join("preprocessor_config.json"), |config| {
        config["size"] = json!(336);
        config["crop_size"] = json!(336);
    });
}

#[test]
fn inspect_takes_less_than_a_second_at_13b() {
    let (parent, folder) = copy(LLAVA);
    thirteen_billion(&folder);
    insta::assert_snapshot!("inspect_13b", inspect(&folder, &[]).shown(&[(parent.path(), "FOLDER")]));
    // Processor time of the command: tests run side by side, so that the time on the clock would be theirs too.
    let timed = std::process::Command::new("bash")
        .args([
            "-c",
            "\"$@\" > /dev/null; times",
            "bash",
            env!("CARGO_BIN_EXE_vila-bench"),
            "inspect",
        ])
        .arg(&folder)
        .output()
        .unwrap();
    let times = String::from_utf8(timed.stdout).unwrap();
    let seconds = |text: &str| {
        text.trim_start_matches("0m")
            .trim_end_matches('s')
            .parse::<f64>()
            .unwrap()
    };
    let children: f64 = times.lines().nth(1).unwrap().split_whitespace().map(seconds).sum();
    assert!(children < 1.0, "{times}");
}

/// Bytes that the command reads, those of its threads included, as the kernel counts them.
#[test]
fn a_dry_run_shows_a_prompt_at_13b_without_reading_weights() {
    let (parent, folder) = copy(LLAVA);
    thirteen_billion(&folder);
    let words = ["run", "--dry-run", "--tasks", "pope", "--model"];
    let counted = std::process::Command::new("bash")
        .args([
            "-c",
            "\"$@\" || exit; cat /proc/$$/io",
            "bash",
            env!("CARGO_BIN_EXE_vila-bench"),
        ])
        .args(words)
        .arg(&folder)
        .arg("--data")
        .arg(fixtures().join("pope-demo"))
        .env("XDG_CACHE_HOME", parent.path())
        .output()
        .unwrap();
    let said = String::from_utf8(counted.stdout).unwrap();
    assert!(said.contains("  prompt     \"A chat between a curious user"), "{said}");
    let read = said.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    assert!(read.parse::<u64>().unwrap() < 20_000_000, "{said}");
}

#[test]
fn the_published_tower_inside_a_checkpoint_serves_where_its_own_folder_is_absent() {
    let (_parent, folder) = copy(LLAVA);
    thirteen_billion(&folder);
    std::fs::remove_dir_all(folder.join(TOWER)).unwrap();
    let tower = clip_large("model.vision_tower.vision_tower.vision_model.");
    sparse(&folder.join("tower.safetensors"), "F16", &tower);
    edit(&folder.join("model.safetensors.index.json"), |index| {
        for (name, _) in &tower {
            index["weight_map"][name] = json!("tower.safetensors");
        }
    });
    for (named, status) in [
        ("openai/clip-vit-large-patch14-336", 0),
        ("openai/clip-vit-base-patch16", 2),
    ] {
        edit(&folder.join("config.json"), |config| {
            config["mm_vision_tower"] = json!(named)
        });
        let ran = inspect(&folder, &[]);
        assert_eq!(ran.status, status, "{}", ran.stderr);
        let said = if status == 0 {
            "taking the copy inside the checkpoint"
        } else {
            "is not on this machine"
        };
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
