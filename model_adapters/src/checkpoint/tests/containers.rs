//! Every layout in every container, whole and in its malformed twins, and where else than in the checkpoint's folder
//! the vision tower may lie.

use std::fs;

use half::f16;
use safetensors::Dtype as Stored;
use serde_json::json;

use crate::checkpoint::tests::fixture::{
    Change, Tensor, Tensors, Tiny, archive_of, awq, bytes, file_of, llava, llava_hf, vila,
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
    tiny.shard();
    tiny
}

fn sharded_llava() -> Tiny {
    let mut tiny = llava();
    tiny.shard();
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

/// What is done to a whole checkpoint: to the tensors of its decoder's file, or to its configuration.
enum Damage {
    Decoder(fn(&mut Tensors, &str)),
    Projector,
}

#[test]
fn the_malformed_twins_of_every_layout_in_every_container() {
    // The checkpoint, the file of its decoder, what stands before the decoder's names, the projector's configuration.
    type ProjectorType = Option<(&'static str, &'static str)>;
    let layouts: [(&str, Tiny, &str, &str, ProjectorType); 3] = [
        ("D", llava_hf(false), "model", "language_model.", None),
        (
            "B",
            vila(),
            "llm/model",
            "",
            Some(("mm_projector/config.json", "mm_projector_type")),
        ),
        ("C", llava(), "model", "", Some(("config.json", "mm_projector_type"))),
    ];
    let norm = "model.norm.weight";
    let cases: [(&str, Damage, &str); 5] = [
        (
            "missing",
            Damage::Decoder(|tensors, prefix| drop(tensors.remove(&format!("{prefix}model.norm.weight")))),
            "missing: `NORM`",
        ),
        (
            "extra",
            Damage::Decoder(|tensors, prefix| {
                let norm = tensors[&format!("{prefix}model.norm.weight")].clone();
                tensors.insert("extra.weight".to_owned(), norm);
            }),
            "extra.weight`; give --allow-extra-tensors to ignore them",
        ),
        (
            "transposed",
            Damage::Decoder(|tensors, prefix| {
                tensors
                    .get_mut(&format!("{prefix}model.layers.1.mlp.down_proj.weight"))
                    .unwrap()
                    .shape
                    .reverse();
            }),
            "model.layers.1.mlp.down_proj.weight` is `[12, 8]` instead of `[8, 12]`",
        ),
        (
            "vocabulary",
            Damage::Decoder(|tensors, prefix| {
                tensors.get_mut(&format!("{prefix}lm_head.weight")).unwrap().shape = vec![9, 8];
            }),
            "lm_head.weight` is `[9, 8]` instead of `[10, 8]`",
        ),
        ("projector", Damage::Projector, "is `resampler`: known are "),
    ];
    for (layout, tiny, file, prefix, projector) in layouts {
        for (case, damage, wanted) in &cases {
            let mut damaged = tiny.clone();
            match (damage, projector) {
                (Damage::Decoder(change), _) => change(damaged.tensors(&format!("{file}.safetensors")), prefix),
                (Damage::Projector, Some((file, key))) => damaged.config(file)[key] = json!("resampler"),
                // llava-hf has one projector and no key that names another.
                (Damage::Projector, None) => continue,
            }
            let place = file.strip_suffix("model").unwrap();
            let wanted = wanted.replace("NORM", &format!("{place}{prefix}{norm}"));
            for written in [damaged.write(), damaged.in_archives().write()] {
                let complaint = written.complaint();
                assert!(
                    complaint.contains(&wanted),
                    "{layout}, {case}: {complaint}\nwanted {wanted}"
                );
            }
            let settings = OpenSettings {
                allow_extra_tensors: true,
                ..OpenSettings::default()
            };
            let written = damaged.write();
            let opened = Checkpoint::open_with(&written.path(""), &settings);
            assert_eq!(opened.is_ok(), *case == "extra", "{layout}, {case}");
        }
        for (tiny, end) in [(tiny.clone(), "safetensors"), (tiny.in_archives(), "bin")] {
            let written = tiny.write();
            let file = if end == "bin" {
                file.replace("model", "pytorch_model")
            } else {
                file.to_owned()
            };
            let path = written.path(&format!("{file}.{end}"));
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
            let complaint = written.complaint();
            assert!(
                complaint.starts_with(&format!("`{file}.{end}`: ")),
                "{layout}: {complaint}"
            );
            assert!(complaint.contains("truncated"), "{layout}: {complaint}");
        }
    }
}

#[test]
fn shards_of_archives_are_held_to_their_index() {
    const INDEX: &str = "pytorch_model.bin.index.json";
    let cases: [(Change, &str); 3] = [
        (
            &|tiny| drop(tiny.weights.remove("pytorch_model-00002-of-00002.bin")),
            "cannot read `pytorch_model-00002-of-00002.bin`: ",
        ),
        (
            &|tiny| tiny.config(INDEX)["metadata"]["total_size"] = json!(7),
            "`pytorch_model.bin.index.json`: `metadata.total_size` is 7, ",
        ),
        (
            &|tiny| {
                drop(
                    tiny.tensors("pytorch_model-00001-of-00002.bin")
                        .remove("lm_head.weight"),
                )
            },
            "`pytorch_model.bin.index.json`: `weight_map` puts `lm_head.weight` in ",
        ),
    ];
    for (change, wanted) in cases {
        let mut tiny = sharded_llava().in_archives();
        change(&mut tiny);
        let complaint = tiny.write().complaint();
        assert!(complaint.starts_with(wanted), "{complaint}");
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
fn four_bits_that_do_not_fit() {
    const FILE: &str = "llm/tiny-w4-g128-awq-v2.pt";
    const STEM: &str = "model.layers.0.mlp.up_proj";
    let cases: [(Change, &str); 3] = [
        (
            &|tiny| drop(tiny.tensors(FILE).remove(&format!("{STEM}.scales"))),
            "missing: `llm/model.layers.0.mlp.up_proj.weight`",
        ),
        (
            &|tiny| tiny.tensors(FILE).get_mut(&format!("{STEM}.qweight")).unwrap().shape = vec![128, 64],
            "`llm/model.layers.0.mlp.up_proj.qweight` is I16 [128, 64] with scales F16 [8, 256] and zero points F16 \
             [8, 256]: no packing of `256 x 128` in four bits",
        ),
        (
            &|tiny| drop(tiny.tensors(FILE).remove("model.norm.weight")),
            "missing: `llm/model.norm.weight`",
        ),
    ];
    for (change, wanted) in cases {
        let mut tiny = awq();
        change(&mut tiny);
        let complaint = tiny.write().complaint();
        assert!(complaint.contains(wanted), "{complaint}");
    }
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
