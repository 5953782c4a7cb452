//! Checkpoints of layout C, wherever their parts lie; malformed ones; what `inspect` and `doctor` say of them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use model_adapters::checkpoint::{Checkpoint, TensorView};
use model_adapters::variants::VARIANTS;
use serde_json::{Value, json};

use crate::command::{Ran, command, copy_folder, fixtures};

pub const LLAVA: &str = "tiny-llava-v1.5";
pub const TOWER: &str = "clip-vit-tiny-patch14-56";
const COMMIT: &str = "12bf2a1b";

pub fn checkpoint(name: &str) -> PathBuf {
    fixtures().join("checkpoints").join(name)
}

/// A copy of a fixture, to be changed.
pub fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(name);
    copy_folder(&checkpoint(name), &folder);
    (parent, folder)
}

pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
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
    for name in VARIANTS.iter().map(|variant| variant.golden) {
        for part in 0..4 {
            let (parent, folder) = copy(name);
            let Some((tensor, file)) = spoil(&folder, part) else {
                continue;
            };
            let ran = run(folder.to_str().unwrap(), &parent.path().join("out"), &[], None);
            assert_eq!(ran.status, 2, "{name}: {}", ran.stderr);
            let wanted = format!("`{tensor}` in `{file}` holds values that are not finite; the file is damaged");
            assert!(ran.error().contains(&wanted), "{name}: {}", ran.stderr);
            assert!(
                !parent.path().join("out").exists(),
                "{name}: what cannot be loaded claims no folder"
            );
        }
    }
}

/// Puts a NaN into a tensor of the checkpoint's decoder, tower or projector, or into the scales of a linear of four
/// bits, and gives its name and file; `None` where it has no such part.
fn spoil(folder: &Path, part: usize) -> Option<(String, String)> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let packed = checkpoint.llama_tensors.quantised("model.layers.0.mlp.up_proj.weight");
    let view = match part {
        0 => checkpoint.llama_tensors.tensor("model.norm.weight").unwrap(),
        1 => checkpoint
            .tower_tensors
            .tensor("encoder.layers.0.mlp.fc1.bias")
            .unwrap(),
        2 => checkpoint.projector_tensors.tensor("linear.0.bias").unwrap(),
        _ => packed?.scales,
    };
    let size = view.dtype.size();
    // The upper half of a NaN in float16, bfloat16 and float32.
    let file = rewrite(&checkpoint, &view, |bytes| {
        bytes[size - 2..size].copy_from_slice(&[0xff, 0x7f])
    });
    Some((view.name.to_owned(), file.display().to_string()))
}

/// Changes the bytes of a tensor in the file that holds it; that file.
fn rewrite(checkpoint: &Checkpoint, view: &TensorView<'_>, change: impl Fn(&mut [u8])) -> PathBuf {
    let wanted = view.bytes.to_vec();
    for path in checkpoint.weight_files() {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) {
            change(&mut bytes[at..at + wanted.len()]);
            std::fs::write(&path, bytes).unwrap();
            return path;
        }
    }
    unreachable!("no file holds `{}`", view.name);
}

#[test]
fn doctor_names_the_first_layer_that_parts_from_a_dump() {
    let name = "tiny-llava-hf";
    let dump = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("model_adapters/tests/fixtures/dumps")
        .join(format!("{name}.safetensors"));
    let doctor = |folder: &Path| {
        let mut command = command();
        command
            .args(["doctor", "--parity"])
            .arg(folder)
            .arg("--reference")
            .arg(&dump);
        Ran::of(&command.output().unwrap())
    };
    let whole = doctor(&checkpoint(name));
    assert_eq!(whole.status, 0, "{}", whole.stderr);
    assert!(
        whole.stdout.ends_with("agrees with the dump in float32: 13 steps\n"),
        "{}",
        whole.stdout
    );
    let (_parent, folder) = copy(name);
    {
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let tensor = checkpoint
            .llama_tensors
            .tensor("model.layers.1.self_attn.o_proj.weight")
            .unwrap();
        let signs = |bytes: &mut [u8]| bytes.chunks_exact_mut(2).for_each(|half| half[1] ^= 0x80);
        rewrite(&checkpoint, &tensor, signs);
    }
    let damaged = doctor(&folder);
    assert_eq!(damaged.status, 2);
    assert!(
        damaged
            .stdout
            .ends_with("parts from the dump in float32 at: decoder.2\n"),
        "{}",
        damaged.stdout
    );
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

pub fn inspect(folder: &Path, more: &[&str]) -> Ran {
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

/// What the profile decides: whether the tokenizer is `legacy` where no file says so, and how open questions see a
/// picture.
#[test]
fn inspect_shows_what_a_profile_changes() {
    let folder = checkpoint("tiny-vila-7b");
    let line = |more: &[&str], name: &str| {
        let ran = inspect(&folder, more);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let mut lines = ran.stdout.lines();
        lines.find(|line| line.starts_with(name)).unwrap().to_owned()
    };
    let padded = "padded to a square, then the processor";
    let cases: [(&[&str], &str, &str, String); 2] = [
        (
            &[],
            "vila-1.0",
            "legacy false",
            format!("{padded} (open questions: the processor alone); "),
        ),
        (
            &["--profile", "llava-1.2"],
            "llava-1.2",
            "legacy true",
            format!("{padded}; "),
        ),
    ];
    for (more, profile, legacy, pictures) in cases {
        assert_eq!(line(more, "profile"), format!("profile     {profile}"));
        assert!(line(more, "tokenizer").ends_with(legacy));
        assert!(line(more, "pictures").contains(&pictures), "{}", line(more, "pictures"));
    }
    let unknown = inspect(&folder, &["--profile", "vila"]);
    assert_eq!(unknown.status, 2);
    assert!(
        unknown.error().contains("did you mean `vila-1.0`?"),
        "{}",
        unknown.stderr
    );
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
