//! Checkpoints of layout C, wherever their parts lie; malformed ones; `inspect` at real size.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use model_adapters::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::command::{Ran, command, copy_folder, fixtures};

const LLAVA: &str = "tiny-llava-v1.5";
const TOWER: &str = "clip-vit-tiny-patch14-56";
const COMMIT: &str = "12bf2a1b";

fn checkpoint(name: &str) -> PathBuf {
    fixtures().join("checkpoints").join(name)
}

/// A copy of a fixture, to be changed.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(name);
    copy_folder(&checkpoint(name), &folder);
    (parent, folder)
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Moves `from` into a hub cache as `huggingface_hub` lays it out: files in `blobs`, links in a snapshot, a ref.
fn into_cache(hub: &Path, id: &str, from: &Path) {
    let repository = hub.join(format!("models--{}", id.replace('/', "--")));
    let snapshot = repository.join("snapshots").join(COMMIT);
    for folder in ["refs", "blobs", "snapshots"] {
        std::fs::create_dir_all(repository.join(folder)).unwrap();
    }
    std::fs::create_dir(&snapshot).unwrap();
    std::fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for (number, entry) in std::fs::read_dir(from).unwrap().map(Result::unwrap).enumerate() {
        if entry.path().is_file() {
            std::fs::rename(entry.path(), repository.join(format!("blobs/{number}"))).unwrap();
            symlink(format!("../../blobs/{number}"), snapshot.join(entry.file_name())).unwrap();
        }
    }
}

fn run(model: &str, out: &Path, more: &[&str], hub: Option<&Path>) -> Ran {
    let mut command = command();
    // No cache of the machine's own may help.
    command.env("HF_HUB_CACHE", hub.unwrap_or(Path::new("/nonexistent")));
    command.args([
        "run",
        "--tasks",
        "pope",
        "--max-new-tokens",
        "4",
        "--limit",
        "6",
        "--model",
        model,
        "--data",
    ]);
    command
        .arg(fixtures().join("pope-demo"))
        .arg("--out")
        .arg(out)
        .args(more);
    Ran::of(&command.output().unwrap())
}

/// Ids and answers of a run, in order.
fn answers(out: &Path, model: &str) -> Vec<(String, String)> {
    let path = out.join(model).join("pope@coco-144/predictions.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let part = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    lines.map(|line| (part(&line, "id"), part(&line, "answer"))).collect()
}

#[test]
fn a_checkpoint_and_its_tower_are_found_in_the_hub_cache() {
    let out = tempfile::tempdir().unwrap();
    let direct = run(checkpoint(LLAVA).to_str().unwrap(), out.path(), &[], None);
    assert_eq!(direct.status, 0, "{}", direct.stderr);
    let wanted = answers(out.path(), LLAVA);
    assert_eq!(wanted.len(), 6);

    let (parent, folder) = copy(LLAVA);
    let hub = parent.path().join("hub");
    edit(&folder.join("config.json"), |config| {
        config["mm_vision_tower"] = json!(format!("openai/{TOWER}"))
    });
    into_cache(&hub, &format!("openai/{TOWER}"), &folder.join(TOWER));
    into_cache(&hub, "someone/llava-v1.5-tiny", &folder);
    let cached = run("someone/llava-v1.5-tiny", out.path(), &[], Some(&hub));
    assert_eq!(cached.status, 0, "{}", cached.stderr);
    assert_eq!(answers(out.path(), "llava-v1.5-tiny"), wanted);
    let manifest = std::fs::read_to_string(out.path().join("llava-v1.5-tiny/pope@coco-144/manifest.json")).unwrap();
    for file in [
        "model/pytorch_model-00002-of-00002.bin",
        "model/vision_tower/pytorch_model.bin",
    ] {
        assert!(manifest.contains(&format!("\"{file}\"")), "{manifest}");
    }
    // The same files elsewhere are the same run: nothing is asked again.
    let again = run("someone/llava-v1.5-tiny", out.path(), &[], Some(&hub));
    assert!(again.stderr.contains("6 of 6 already answered"), "{}", again.stderr);
}

#[test]
fn a_tower_that_is_not_here_is_one_line_with_the_remedy() {
    let (parent, folder) = copy(LLAVA);
    let out = parent.path().join("out");
    let tower = parent.path().join("elsewhere");
    std::fs::rename(folder.join(TOWER), &tower).unwrap();
    let model = folder.to_str().unwrap();
    let ran = run(model, &out, &[], None);
    assert_eq!(ran.status, 2);
    for part in [
        &format!("`mm_vision_tower` names `{TOWER}`"),
        "/nonexistent/models--",
        "nothing is fetched",
        "--vision-tower",
    ] {
        assert!(ran.error().contains(part), "{}", ran.stderr);
    }
    let given = run(model, &out, &["--vision-tower", tower.to_str().unwrap()], None);
    assert_eq!(given.status, 0, "{}", given.stderr);
    std::fs::remove_file(tower.join("preprocessor_config.json")).unwrap();
    let partial = run(model, &out, &["--vision-tower", tower.to_str().unwrap()], None);
    assert!(
        partial.error().contains("cannot read `") && partial.error().contains("preprocessor_config.json"),
        "{}",
        partial.stderr
    );
}

#[test]
fn values_that_are_not_finite_are_named_in_every_layout() {
    for name in ["tiny-llava-hf", "tiny-vila15", LLAVA] {
        let (parent, folder) = copy(name);
        let norm = {
            let opened = Checkpoint::open(&folder).unwrap();
            opened.llama_tensors.tensor("model.norm.weight").unwrap().bytes.to_vec()
        };
        let holding = Checkpoint::open(&folder)
            .unwrap()
            .weight_files()
            .into_iter()
            .find_map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                let at = bytes.windows(norm.len()).position(|window| window == norm)?;
                Some((path, bytes, at))
            });
        let (path, mut bytes, at) = holding.unwrap();
        // NaN in float16 and in bfloat16.
        bytes[at..at + 2].copy_from_slice(&[0xff, 0x7f]);
        std::fs::write(&path, bytes).unwrap();
        let ran = run(folder.to_str().unwrap(), &parent.path().join("out"), &[], None);
        assert_eq!(ran.status, 2, "{name}: {}", ran.stderr);
        assert!(
            ran.error()
                .contains("model.norm.weight` holds values that are not finite"),
            "{name}: {}",
            ran.stderr
        );
        assert!(
            !parent.path().join("out").exists(),
            "{name}: what cannot be loaded claims no folder"
        );
    }
}

#[test]
fn a_hostile_weight_file_is_refused_by_name_and_not_run() {
    let (parent, folder) = copy(LLAVA);
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("model_adapters/tests/fixtures/archives/hostile.bin");
    std::fs::copy(hostile, folder.join(TOWER).join("pytorch_model.bin")).unwrap();
    let ran = run(folder.to_str().unwrap(), &parent.path().join("out"), &[], None);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error().contains("its pickle names `posix.system`"),
        "{}",
        ran.stderr
    );
}

fn inspect(folder: &Path, more: &[&str]) -> Ran {
    let mut command = command();
    command
        .env("HF_HUB_CACHE", "/nonexistent")
        .arg("inspect")
        .arg(folder)
        .args(more);
    Ran::of(&command.output().unwrap())
}

#[test]
fn inspect_shows_layout_c() {
    let ran = inspect(&checkpoint(LLAVA), &[]);
    insta::assert_snapshot!(ran.shown(&[(&fixtures(), "FIXTURES")]));
}

#[test]
fn inspect_lists_all_that_does_not_fit() {
    let (parent, folder) = copy(LLAVA);
    edit(&folder.join("config.json"), |config| {
        config["num_hidden_layers"] = json!(3);
        config["mm_projector_type"] = json!("mlp3x_gelu");
        config["intermediate_size"] = json!(96);
    });
    let ran = inspect(&folder, &[]);
    insta::assert_snapshot!(ran.shown(&[(parent.path(), "FOLDER")]));
    edit(&folder.join("config.json"), |config| {
        config["num_hidden_layers"] = json!(1);
        config["mm_projector_type"] = json!("mlp2x_gelu");
        config["intermediate_size"] = json!(112);
    });
    let strict = inspect(&folder, &[]);
    assert_eq!(strict.status, 2);
    assert!(
        strict.stdout.contains("unexpected: 9\n") && strict.error().ends_with("--allow-extra-tensors to ignore them")
    );
    let allowed = inspect(&folder, &["--allow-extra-tensors"]);
    assert_eq!(allowed.status, 0, "{}", allowed.stderr);
    let out = parent.path().join("out");
    let ran = run(folder.to_str().unwrap(), &out, &["--allow-extra-tensors"], None);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

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
