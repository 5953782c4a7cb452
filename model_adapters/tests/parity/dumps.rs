//! Reference dumps of `tests/oracle/dump.py`, one for each layout, beside their checkpoints, whole and damaged:
//! `doctor --parity CKPT --reference DUMP` must name the first place where they part.

use std::fs;
use std::path::{Path, PathBuf};

use model_adapters::checkpoint::{Checkpoint, Module, OpenSettings};
use model_adapters::parity::{Dump, DumpReport};
use model_adapters::runner::{Device, DtypeChoice, RunnerSettings, VilaAdapter};

use crate::fixture::fixtures;

/// The checkpoints of layouts A, B, C and D that there is a dump of.
const DUMPED: [&str; 4] = [
    "tiny-vila-7b",
    "tiny-llama-3-vila1.5-8b",
    "tiny-llava-v1.5",
    "tiny-llava-hf",
];

fn compare(name: &str, checkpoint: &Path) -> DumpReport {
    compare_with(name, checkpoint, &OpenSettings::default())
}

fn compare_with(name: &str, checkpoint: &Path, open: &OpenSettings) -> DumpReport {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dumps");
    let dump = Dump::read(&folder.join(format!("{name}.safetensors"))).unwrap();
    let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(dump.dtype));
    let mut adapter = VilaAdapter::open(&Checkpoint::open_with(checkpoint, open).unwrap(), settings).unwrap();
    dump.compare(&mut adapter).unwrap()
}

#[test]
fn every_layout_agrees_with_its_dump_at_every_state() {
    for name in DUMPED {
        let folder = fixtures().join(name);
        let report = compare(name, &folder);
        let parting = report.first_parting();
        assert!(parting.is_none(), "{name}: {parting:?}");
        let checkpoint = Checkpoint::open(&folder).unwrap();
        // Pixels, ids, the tower's states and its features, the projector, the decoder's states, the logits.
        let states = checkpoint.tower.select_state + 1 + checkpoint.llama.layers + 1;
        assert_eq!(report.steps.len(), 2 + states + 3, "{name}");
    }
}

/// A copy of a tiny checkpoint, to be damaged.
struct Copy {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Copy {
    fn of(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixtures().join(name), &folder.path().join(name));
        Self { folder, name }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Turns the signs of a tensor's values round.
    fn negate(&self, part: impl Fn(&Checkpoint) -> &Module, tensor: &str) {
        let checkpoint = Checkpoint::open(&self.path()).unwrap();
        let view = part(&checkpoint).tensor(tensor).unwrap();
        let (wanted, size) = (view.bytes.to_vec(), view.dtype.size());
        for file in checkpoint.weight_files() {
            let mut bytes = fs::read(&file).unwrap();
            let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) else {
                continue;
            };
            for value in bytes[at..at + wanted.len()].chunks_exact_mut(size) {
                value[size - 1] ^= 0x80;
            }
            fs::write(&file, bytes).unwrap();
            return;
        }
        unreachable!("no file holds `{tensor}`");
    }

    fn first_parting(&self) -> Option<String> {
        let report = compare(self.name, &self.path());
        report.first_parting().map(|step| step.name.clone())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_first_damaged_layer_is_named() {
    for name in DUMPED {
        let blocks = Checkpoint::open(&fixtures().join(name)).unwrap().tower.select_state;
        let layers = Checkpoint::open(&fixtures().join(name)).unwrap().llama.layers;
        type Part = fn(&Checkpoint) -> &Module;
        let (tower, projector, decoder): (Part, Part, Part) = (
            |checkpoint| &checkpoint.tower_tensors,
            |checkpoint| &checkpoint.projector_tensors,
            |checkpoint| &checkpoint.llama_tensors,
        );
        let mut damages = vec![
            (
                tower,
                "embeddings.patch_embedding.weight".to_owned(),
                "tower.0".to_owned(),
            ),
            (projector, "linear.1.weight".to_owned(), "projector".to_owned()),
            (decoder, "lm_head.weight".to_owned(), "logits".to_owned()),
        ];
        for block in 0..blocks {
            let tensor = format!("encoder.layers.{block}.mlp.fc2.weight");
            damages.push((tower, tensor, format!("tower.{}", block + 1)));
        }
        for layer in 0..layers {
            let tensor = format!("model.layers.{layer}.self_attn.o_proj.weight");
            damages.push((decoder, tensor, format!("decoder.{}", layer + 1)));
        }
        for (part, tensor, wanted) in damages {
            let copy = Copy::of(name);
            copy.negate(part, &tensor);
            assert_eq!(copy.first_parting(), Some(wanted), "{name}: {tensor}");
        }
        // Of two damaged places the first counts.
        let copy = Copy::of(name);
        copy.negate(decoder, "model.layers.1.mlp.up_proj.weight");
        copy.negate(decoder, "model.layers.0.mlp.up_proj.weight");
        assert_eq!(copy.first_parting().as_deref(), Some("decoder.1"), "{name}");
    }
}

#[test]
fn pixels_and_ids_are_compared_before_any_layer() {
    let edit = |file: &str, key: &str, value: serde_json::Value| {
        let copy = Copy::of("tiny-llava-v1.5");
        let path = copy.path().join(file);
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        json[key] = value;
        fs::write(path, json.to_string()).unwrap();
        copy.first_parting()
    };
    let processor = "clip-vit-tiny-patch14-56/preprocessor_config.json";
    let mean = serde_json::json!([0.5, 0.5, 0.5]);
    assert_eq!(edit(processor, "image_mean", mean).as_deref(), Some("pixels"));
    let ids = edit("tokenizer_config.json", "add_bos_token", false.into());
    assert_eq!(ids.as_deref(), Some("prompt_ids"));
}

/// The projector left out: the tower's tokens are the decoder's rows.
#[test]
fn an_identity_projector_hands_on_what_the_tower_gives() {
    let copy = Copy::of("tiny-llava-v1.5");
    let path = copy.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["mm_projector_type"] = "identity".into();
    fs::write(path, config.to_string()).unwrap();
    let refused = Checkpoint::open(&copy.path()).unwrap_err().to_string();
    assert!(refused.contains("unexpected: `model.mm_projector.0.bias`"), "{refused}");
    let settings = OpenSettings {
        allow_extra_tensors: true,
        ..OpenSettings::default()
    };
    let report = compare_with("identity", &copy.path(), &settings);
    assert_eq!(report.first_parting(), None);
    assert!(report.steps.iter().any(|step| step.name == "projector"));
    assert!(report.steps.iter().any(|step| step.name == "logits"));
}
