//! The malformed twins of every variant: what is done to a whole checkpoint, and the one line that a user then gets,
//! which says what is wrong, in which file, and what to do. Values that are not finite show when weights are read:
//! `tests/cli/layouts.rs`.

use std::fs;

use serde_json::{Value, json};

use crate::checkpoint::tests::fixture::{
    Tensor, Tiny, awq, awq_hf, awq_llava, llava, llava_hf, vila, vila_clip, vila_intern, vila_s2,
};
use crate::checkpoint::{Checkpoint, OpenSettings};

const FIT: &str = "`FOLDER`: its tensors do not fit its configuration: ";
const AGAIN: &str = "; fetch the checkpoint again, files and configuration together";
const EXTRA: &str = "; give --allow-extra-tensors to ignore them";

/// One variant and where its parts lie.
#[derive(Clone)]
struct Variant {
    name: &'static str,
    tiny: Tiny,
    /// The weight file of decoder, tower and projector, and what stands before the tensors' names there.
    decoder: [&'static str; 2],
    tower: [&'static str; 2],
    projector: [&'static str; 2],
    /// The projector's last linear, `[H, H]`.
    linear: &'static str,
    /// The file that names the projector; llava-hf has only the one.
    projector_type: Option<&'static str>,
    /// Width of the decoder.
    hidden: usize,
    /// The zero points of a linear of four bits.
    zeros: Option<&'static str>,
}

impl Variant {
    /// The name of a tensor as a message has it: with its folder.
    fn shown([file, _]: [&'static str; 2], tensor: &str) -> String {
        let folder = file
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        // A tower in a folder of its own goes by its module's name.
        format!("`{}{tensor}`", folder.replace("clip/", "vision_tower/"))
    }

    fn tensor(&mut self, [file, prefix]: [&'static str; 2], name: &str) -> &mut Tensor {
        self.tiny.tensors(file).get_mut(&format!("{prefix}{name}")).unwrap()
    }

    fn remove(&mut self, [file, prefix]: [&'static str; 2], name: &str) -> String {
        let name = format!("{prefix}{name}");
        self.tiny.tensors(file).remove(&name).unwrap();
        Self::shown([file, prefix], &name)
    }
}

fn variants() -> Vec<Variant> {
    let hf = Variant {
        name: "llava-hf",
        tiny: llava_hf(false),
        decoder: ["model.safetensors", "language_model."],
        tower: ["model.safetensors", "vision_tower.vision_model."],
        projector: ["model.safetensors", ""],
        linear: "multi_modal_projector.linear_2.weight",
        projector_type: None,
        hidden: 8,
        zeros: None,
    };
    let llava_c = Variant {
        name: "LLaVA-1.5 and VILA v1",
        tiny: llava(),
        decoder: ["model.safetensors", ""],
        tower: ["clip/model.safetensors", "vision_model."],
        linear: "model.mm_projector.2.weight",
        projector_type: Some("config.json"),
        ..hf.clone()
    };
    let b = Variant {
        name: "VILA1.5",
        tiny: vila(),
        decoder: ["llm/model.safetensors", ""],
        tower: ["vision_tower/model.safetensors", "vision_model."],
        projector: ["mm_projector/model.safetensors", ""],
        linear: "layers.4.weight",
        projector_type: Some("mm_projector/config.json"),
        ..hf.clone()
    };
    vec![
        Variant {
            name: "llava-hf, AutoAWQ",
            tiny: awq_hf(),
            hidden: 128,
            zeros: Some("qzeros"),
            ..hf.clone()
        },
        Variant {
            name: "llava-hf, the newer spelling",
            tiny: llava_hf(true),
            decoder: ["model.safetensors", "model.language_model."],
            tower: ["model.safetensors", "model.vision_tower.vision_model."],
            linear: "model.multi_modal_projector.linear_2.weight",
            ..hf.clone()
        },
        hf,
        Variant {
            name: "VILA v1, AWQ",
            tiny: awq_llava(),
            decoder: ["tiny-w4-g128-awq.pt", ""],
            projector: ["tiny-w4-g128-awq.pt", ""],
            hidden: 128,
            zeros: Some("qzeros"),
            ..llava_c.clone()
        },
        llava_c,
        Variant {
            name: "VILA1.5, S2",
            tiny: vila_s2(),
            ..b.clone()
        },
        Variant {
            name: "VILA1.5, CLIP",
            tiny: vila_clip(),
            linear: "layers.2.weight",
            ..b.clone()
        },
        Variant {
            name: "VILA1.5, InternViT",
            tiny: vila_intern(),
            tower: ["vision_tower/model.safetensors", ""],
            ..b.clone()
        },
        Variant {
            name: "VILA1.5, AWQ",
            tiny: awq(),
            decoder: ["llm/tiny-w4-g128-awq-v2.pt", ""],
            hidden: 128,
            zeros: Some("scaled_zeros"),
            ..b.clone()
        },
        b,
    ]
}

/// What is done to a variant; gives the complaint, or nothing where the variant has no such part.
type Damage = fn(&mut Variant) -> Option<String>;

/// The decoder's own names, after the prefix: the newer spelling of llava-hf has no `model.` of its own.
fn decoder_name(variant: &Variant, name: &str) -> String {
    match (variant.decoder[1], name) {
        ("model.language_model.", name) => name.trim_start_matches("model.").to_owned(),
        _ => name.to_owned(),
    }
}

/// `lm_head` stands outside the decoder's prefix in the newer spelling.
fn head(variant: &Variant) -> [&'static str; 2] {
    match variant.decoder {
        [file, "model.language_model."] => [file, ""],
        decoder => decoder,
    }
}

const DAMAGES: &[(&str, Damage)] = &[
    ("a tensor of the decoder is missing", |variant| {
        let name = decoder_name(variant, "model.norm.weight");
        Some(format!(
            "{FIT}missing: {}{AGAIN}",
            variant.remove(variant.decoder, &name)
        ))
    }),
    ("a tensor of the tower is missing", |variant| {
        let name = variant.remove(variant.tower, "encoder.layers.0.mlp.fc1.bias");
        Some(format!("{FIT}missing: {name}{AGAIN}"))
    }),
    ("a tensor of the projector is missing", |variant| {
        let name = variant.remove(variant.projector, variant.linear);
        Some(format!("{FIT}missing: {name}{AGAIN}"))
    }),
    ("a tensor is over", |variant| {
        let one = variant.tensor(variant.tower, "encoder.layers.0.mlp.fc1.bias").clone();
        variant
            .tiny
            .tensors(variant.decoder[0])
            .insert("extra.weight".to_owned(), one);
        let name = Variant::shown(variant.decoder, "extra.weight");
        Some(format!("{FIT}unexpected: {name}{EXTRA}"))
    }),
    ("a matrix of the tower is transposed", |variant| {
        let name = "encoder.layers.1.mlp.fc2.weight";
        variant.tensor(variant.tower, name).shape.reverse();
        let shown = Variant::shown(variant.tower, &format!("{}{name}", variant.tower[1]));
        Some(format!(
            "{FIT}wrong shape: {shown} is `[10, 6]` instead of `[6, 10]`{AGAIN}"
        ))
    }),
    ("a matrix of the decoder is transposed", |variant| {
        let part = if variant.zeros.is_some() { "qweight" } else { "weight" };
        let name = decoder_name(variant, &format!("model.layers.1.mlp.down_proj.{part}"));
        let matrix = variant.tensor(variant.decoder, &name);
        let right = matrix.shape.clone();
        matrix.shape.reverse();
        let (wrong, dtype) = (matrix.shape.clone(), matrix.dtype);
        let shown = Variant::shown(variant.decoder, &format!("{}{name}", variant.decoder[1]));
        Some(match variant.zeros {
            None => format!("{FIT}wrong shape: {shown} is `{wrong:?}` instead of `{right:?}`{AGAIN}"),
            Some(_) => format!("{FIT}wrong shape: {shown} is {dtype} {wrong:?} with scales "),
        })
    }),
    ("the vocabulary is another", |variant| {
        let (place, hidden) = (head(variant), variant.hidden);
        variant.tensor(place, "lm_head.weight").shape = vec![9, hidden];
        let shown = Variant::shown(place, &format!("{}lm_head.weight", place[1]));
        Some(format!(
            "{FIT}wrong shape: {shown} is `[9, {hidden}]` instead of `[10, {hidden}]`{AGAIN}"
        ))
    }),
    ("the projector is unknown", |variant| {
        let file = variant.projector_type?;
        variant.tiny.config(file)["mm_projector_type"] = json!("resampler");
        Some(format!(
            "`{file}`: `mm_projector_type` is `resampler`: known are `mlp_downsample`, `mlp2x_gelu`, `linear`, `identity`"
        ))
    }),
    ("the scales of a linear are missing", |variant| {
        variant.zeros?;
        let name = variant.remove(variant.decoder, "model.layers.0.mlp.up_proj.scales");
        Some(format!("{FIT}missing: {name}{AGAIN}"))
    }),
    ("the zero points of a linear are missing", |variant| {
        let zeros = variant.zeros?;
        let name = variant.remove(variant.decoder, &format!("model.layers.0.mlp.up_proj.{zeros}"));
        Some(format!("{FIT}missing: {name}{AGAIN}"))
    }),
    ("the packed values of a linear are missing", |variant| {
        variant.zeros?;
        let name = variant.remove(variant.decoder, "model.layers.0.mlp.up_proj.qweight");
        Some(format!("{FIT}missing: {name}{AGAIN}"))
    }),
    ("the groups of a linear have another size", |variant| {
        let zeros = variant.zeros?;
        // Three groups where there are one or two.
        let name = "model.layers.0.mlp.up_proj.";
        for part in ["scales", zeros] {
            let shape = &mut variant.tensor(variant.decoder, &format!("{name}{part}")).shape;
            *shape = shape.iter().map(|size| if *size <= 8 { 3 } else { *size }).collect();
        }
        let shown = Variant::shown(variant.decoder, &format!("{}{name}qweight", variant.decoder[1]));
        Some(format!("{FIT}wrong shape: {shown} is "))
    }),
    ("the configuration states another group size", |variant| {
        variant.zeros?;
        let config = variant.tiny.json.get_mut("config.json")?;
        let quantisation = config.get_mut("quantization_config").and_then(Value::as_object_mut)?;
        quantisation.insert("group_size".to_owned(), json!(32));
        Some(
            "`config.json`: `quantization_config.group_size` is 32, but `model.layers.0.mlp.down_proj.weight` is packed \
             in groups of 64: fetch the checkpoint again, files and configuration together"
                .to_owned(),
        )
    }),
];

#[test]
fn every_malformed_twin_of_every_variant_is_refused_by_name() {
    let mut twins = 0;
    for whole in variants() {
        assert!(whole.tiny.write().open().is_ok(), "{}", whole.name);
        for (what, damage) in DAMAGES {
            let mut variant = whole.clone();
            let Some(wanted) = damage(&mut variant) else { continue };
            let complaint = variant.tiny.write().complaint();
            assert!(
                complaint.starts_with(&wanted),
                "{}, {what}: {complaint}\nwanted {wanted}",
                variant.name
            );
            assert!(says_what_to_do(&complaint), "{}, {what}: {complaint}", variant.name);
            twins += 1;
            // The container makes no difference; AWQ's file is an archive already.
            if variant.zeros.is_none() {
                let archived = variant.tiny.in_archives().write().complaint();
                assert_eq!(archived, complaint, "{}, {what}", variant.name);
            }
            let settings = OpenSettings {
                allow_extra_tensors: true,
                ..OpenSettings::default()
            };
            let opened = Checkpoint::open_with(&variant.tiny.write().path(""), &settings);
            assert_eq!(opened.is_ok(), *what == "a tensor is over", "{}, {what}", variant.name);
        }
    }
    // Eight damages of ten variants, but three have one projector, and what only packed linears have.
    assert_eq!(twins, 10 * 8 - 3 + 3 * 4 + 1);
}

fn says_what_to_do(complaint: &str) -> bool {
    ["fetch", "give --", "known are", "mend"]
        .iter()
        .any(|remedy| complaint.contains(remedy))
}

#[test]
fn every_file_of_every_variant_may_be_cut_short() {
    for variant in variants() {
        for tiny in [variant.tiny.clone(), variant.tiny.in_archives()] {
            for file in tiny.weights.keys() {
                let written = tiny.write();
                let whole = fs::read(written.path(file)).unwrap();
                fs::write(written.path(file), &whole[..whole.len() * 3 / 4]).unwrap();
                let complaint = written.complaint();
                let about = format!("{}: {complaint}", variant.name);
                assert!(complaint.starts_with(&format!("`{file}`: ")), "{about}");
                assert!(
                    complaint.contains("truncated") && says_what_to_do(&complaint),
                    "{about}"
                );
            }
        }
    }
}

#[test]
fn shards_of_every_layout_are_held_to_their_index() {
    // The checkpoint and the sub-folder of its shards.
    let sets = [
        ("llava-hf", llava_hf(false), ""),
        ("LLaVA-1.5 and VILA v1", llava(), ""),
        ("VILA1.5", vila(), "llm/"),
        ("VILA1.5, S2", vila_s2(), "llm/"),
        ("VILA1.5, InternViT", vila_intern(), "vision_tower/"),
    ];
    for (name, mut tiny, place) in sets {
        tiny.shard(place);
        for (tiny, stem, end) in [
            (tiny.clone(), "model", "safetensors"),
            (tiny.in_archives(), "pytorch_model", "bin"),
        ] {
            let index = format!("{place}{stem}.{end}.index.json");
            let [first, second, third] = [1, 2, 3].map(|number| format!("{stem}-0000{number}-of-00002.{end}"));
            let whole = tiny.write().open();
            assert!(whole.is_ok(), "{name}: {whole:?}");
            let tensor = tiny.weights[&format!("{place}{first}")].keys().next().unwrap().clone();
            type Change<'a> = &'a dyn Fn(&mut Tiny);
            let cases: [(Change<'_>, String); 4] = [
                (
                    &|tiny| drop(tiny.weights.remove(&format!("{place}{second}"))),
                    format!("names the shard `{second}`, which is not there: fetch it"),
                ),
                (
                    &|tiny| tiny.config(&index)["weight_map"][&tensor] = json!(third),
                    format!("names the shard `{third}`, which is not there: fetch it"),
                ),
                (
                    &|tiny| {
                        let moved = tiny.tensors(&format!("{place}{first}")).remove(&tensor).unwrap();
                        tiny.tensors(&format!("{place}{second}")).insert(tensor.clone(), moved);
                    },
                    format!(
                        "puts `{tensor}` in `{first}`, which does not hold it: index and shards are of different \
                         savings, fetch the checkpoint again"
                    ),
                ),
                (
                    &|tiny| tiny.config(&index)["metadata"]["total_size"] = json!(7),
                    "metadata.total_size".to_owned(),
                ),
            ];
            for (change, wanted) in cases {
                let mut damaged = tiny.clone();
                change(&mut damaged);
                let complaint = damaged.write().complaint();
                let about = format!("{name}: {complaint}");
                assert!(complaint.starts_with(&format!("`{index}`: `")), "{about}");
                assert!(complaint.contains(&wanted) && says_what_to_do(&complaint), "{about}");
            }
        }
    }
}
