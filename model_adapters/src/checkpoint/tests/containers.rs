//! Every layout in every container, and where else than in the checkpoint's folder the vision tower may lie.

use half::f16;
use safetensors::Dtype as Stored;
use serde_json::json;

use crate::checkpoint::tests::fixture::{
    Tensor, Tiny, archive_of, awq, awq_hf, awq_llava, bytes, file_of, llava, llava_hf, vila,
};
use crate::checkpoint::{
    Checkpoint, Dtype, Layout, Module, OpenSettings, Packing, ProjectorKind, SelectFeature, TowerKind,
};
use crate::picture::{Geometry, Resize};

/// All tensors of a module by canonical name, with shape and content.
type Contents = Vec<(String, Vec<usize>, Vec<u8>)>;

fn contents(module: &Module) -> Contents {
    let tensors = module.iter();
    tensors
        .map(|(name, view)| (name.to_owned(), view.shape.to_vec(), view.bytes.to_vec()))
        .collect()
}

fn modules(checkpoint: &Checkpoint) -> [Contents; 3] {
    [
        &checkpoint.llama_tensors,
        &checkpoint.tower_tensors,
        &checkpoint.projector_tensors,
    ]
    .map(contents)
}

fn sharded() -> Tiny {
    let mut tiny = llava_hf(false);
    tiny.shard("");
    tiny
}

fn sharded_llava() -> Tiny {
    let mut tiny = llava();
    tiny.shard("");
    tiny
}

#[test]
fn the_container_makes_no_difference() {
    for tiny in [
        llava_hf(false),
        llava_hf(true),
        sharded(),
        vila(),
        llava(),
        sharded_llava(),
    ] {
        let (safetensors, archives) = (tiny.write(), tiny.in_archives().write());
        let (one, other) = (safetensors.open().unwrap(), archives.open().unwrap());
        assert_eq!(modules(&one), modules(&other));
        assert_eq!(one.weight_files().len(), other.weight_files().len());
        assert!(
            other
                .weight_files()
                .iter()
                .all(|path| path.extension().is_some_and(|end| end == "bin"))
        );
    }
}

#[test]
fn layout_c_with_the_whole_clip_model_beside() {
    let written = llava().write();
    let checkpoint = written.open().unwrap();
    assert_eq!((checkpoint.layout, checkpoint.tower.kind), (Layout::A, TowerKind::Clip));
    assert_eq!(checkpoint.tower.select_feature, SelectFeature::Patch);
    assert_eq!(checkpoint.projector.kind, ProjectorKind::MlpGelu { depth: 2 });
    assert_eq!(
        (checkpoint.preprocess.geometry, checkpoint.preprocess.processor.resize),
        (Geometry::Pad, Some(Resize::ShortestEdge(8)))
    );
    assert!(checkpoint.remarks.is_empty() && !checkpoint.image_patch && checkpoint.image_token.is_none());
    assert_eq!(
        checkpoint.llama.max_spliced_length, None,
        "no truncation where the key is absent"
    );
    assert_eq!(
        checkpoint.projector_tensors.tensor("linear.1.weight").unwrap().name,
        "model.mm_projector.2.weight"
    );
    let names: Vec<String> = checkpoint
        .weight_files()
        .iter()
        .chain(&checkpoint.config_files())
        .map(|path| checkpoint.file_name(path))
        .collect();
    let wanted = [
        "model.safetensors",
        "clip/model.safetensors",
        "config.json",
        "tokenizer_config.json",
        "clip/config.json",
        "clip/preprocessor_config.json",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn one_linear_is_what_an_absent_projector_type_means() {
    for kind in [json!(null), json!("linear")] {
        let mut tiny = llava();
        tiny.config("config.json")["mm_projector_type"] = kind;
        tiny.config("config.json")
            .as_object_mut()
            .unwrap()
            .remove("mm_vision_select_feature");
        let tensors = tiny.tensors("model.safetensors");
        tensors.retain(|name, _| !name.contains("mm_projector"));
        for (end, shape) in [("weight", vec![8, 6]), ("bias", vec![8])] {
            tensors.insert(
                format!("model.mm_projector.{end}"),
                Tensor {
                    dtype: Stored::F16,
                    shape,
                },
            );
        }
        let checkpoint = tiny.write().open().unwrap();
        assert_eq!(checkpoint.projector.kind, ProjectorKind::Linear);
        assert_eq!(checkpoint.tower.select_feature, SelectFeature::Patch, "LLaVA's default");
    }
}

#[test]
fn a_tower_elsewhere_is_given_by_hand() {
    let mut tiny = llava();
    tiny.config("config.json")["mm_vision_tower"] = json!("openai/no-such-tower");
    let (written, elsewhere) = (tiny.write(), llava().write());
    let settings = OpenSettings {
        vision_tower: Some(elsewhere.path("clip")),
        ..OpenSettings::default()
    };
    let checkpoint = Checkpoint::open_with(&written.path(""), &settings).unwrap();
    let name = |path: &std::path::Path| checkpoint.file_name(path);
    assert_eq!(name(&elsewhere.path("clip/config.json")), "vision_tower/config.json");
    assert_eq!(name(&written.path("config.json")), "config.json");
    let error = Checkpoint::open_with(&llava_hf(false).write().path(""), &settings)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("which holds its vision tower: --vision-tower is for others"),
        "{error}"
    );
}

#[test]
fn modules_of_vila_by_name() {
    let mut tiny = vila();
    for part in ["vision_tower", "mm_projector"] {
        tiny.config("config.json")[format!("{part}_cfg")] = json!(format!("parts/{part}"));
        let moved = |name: &str| name.replace(&format!("{part}/"), &format!("parts/{part}/"));
        tiny.json = tiny
            .json
            .iter()
            .map(|(name, value)| (moved(name), value.clone()))
            .collect();
        tiny.weights = tiny
            .weights
            .iter()
            .map(|(name, tensors)| (moved(name), tensors.clone()))
            .collect();
    }
    let checkpoint = tiny.write().open().unwrap();
    assert_eq!(modules(&checkpoint), modules(&vila().write().open().unwrap()));
}

#[test]
fn a_tower_inside_the_file_of_layout_c() {
    let mut tiny = llava();
    let inside = tiny.weights["clip/model.safetensors"].clone();
    let inside = inside.into_iter().filter(|(name, _)| name.starts_with("vision_model."));
    let prefix = "model.vision_tower.vision_tower.";
    tiny.tensors("model.safetensors")
        .extend(inside.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    let first = |checkpoint: &Checkpoint| {
        let view = checkpoint.tower_tensors.tensor("pre_layrnorm.bias").unwrap();
        (view.name.to_owned(), view.bytes.to_vec())
    };
    let ignored = first(&tiny.write().open().unwrap());
    assert_eq!(
        ignored.0, "vision_model.pre_layrnorm.bias",
        "the references read the tower that is named"
    );
    tiny.config("config.json")["unfreeze_mm_vision_tower"] = json!(true);
    let name = format!("{prefix}vision_model.pre_layrnorm.bias");
    let wanted = bytes(&name, &tiny.weights["model.safetensors"][&name]);
    assert_eq!(first(&tiny.write().open().unwrap()), (name, wanted));
    // Without the tower's folder only the published one is known.
    tiny.config("config.json")["mm_vision_tower"] = json!("openai/no-such-tower");
    assert!(
        tiny.write()
            .complaint()
            .contains("names `openai/no-such-tower`, which is not on this machine")
    );
}

#[test]
fn four_bits_are_known_by_their_buffers_in_every_layout() {
    for (tiny, packing, group) in [
        (awq(), Packing::V2, 128),
        (awq_llava(), Packing::V1, 128),
        (awq_hf(), Packing::Gemm, 64),
    ] {
        let checkpoint = tiny.write().open().unwrap();
        let linears: Vec<_> = checkpoint.llama_tensors.iter_quantised().collect();
        assert_eq!(linears.len(), 2 * 7);
        assert!(
            linears
                .iter()
                .all(|(_, weight)| (weight.packing, weight.group) == (packing, group))
        );
    }
}

#[test]
fn four_bits_are_found_and_unpacked() {
    let tiny = awq();
    let checkpoint = tiny.write().open().unwrap();
    let name = "model.layers.1.mlp.down_proj.weight";
    assert!(checkpoint.llama_tensors.tensor(name).is_err());
    assert!(checkpoint.llama_tensors.quantised("model.norm.weight").is_none());
    let weight = checkpoint.llama_tensors.quantised(name).unwrap();
    assert_eq!(
        (weight.packing, weight.outputs, weight.inputs, weight.group),
        (Packing::V2, 128, 256, 128)
    );
    let stored = &tiny.weights["llm/tiny-w4-g128-awq-v2.pt"];
    let part = |part: &str| {
        let name = format!("model.layers.1.mlp.down_proj.{part}");
        bytes(&name, &stored[&name])
    };
    let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]).to_f32();
    // Row 5, column 0: word 16 of the second row of words, its lowest nibble.
    let value = f32::from(part("qweight")[2 * (256 + 16)] & 15);
    let wanted = f16::from_f32(value * half(&part("scales"), 5) + half(&part("scaled_zeros"), 5));
    let mut row = vec![f16::ZERO; 256];
    weight.dequantise_rows(5..6, &mut row);
    assert_eq!(row[0].to_bits(), wanted.to_bits());
    let seen = checkpoint.inspect();
    let whole: usize = 2 * 10 * 128 + 128 + 2 * (2 * 128 + 2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256);
    assert_eq!(seen.decoder.parameters, whole as u64);
    assert_eq!(seen.decoder.dtypes, [Dtype::F16, Dtype::I16]);
}

#[test]
fn both_writers_store_the_same_bytes() {
    let tensors = &llava().weights["model.safetensors"];
    let (archive, file) = (archive_of(tensors), file_of(tensors));
    for (name, tensor) in tensors {
        let wanted = bytes(name, tensor);
        let holds = |file: &[u8]| file.windows(wanted.len()).any(|window| window == wanted);
        assert!(holds(&archive) && holds(&file), "{name}");
    }
}
