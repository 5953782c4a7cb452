//! Where numbers are rounded, and that nothing else depends on how the weights are kept.

use std::env;
use std::process::Command;

use model_adapters::checkpoint::{Packing, QuantisedView};
use model_adapters::parity::Fixture;
use model_adapters::profile::Profile;
use model_adapters::runner::{Device, Dtype, DtypeChoice, Keep, RunnerSettings, VilaAdapter};

use crate::fixture::{adapter, all, fixture, flat, keeping, pixels, with};

/// Values of a 16-bit computation that are the reference's to the last bit. All or nearly all are with the same kernels;
/// one rounding elsewhere leaves far fewer (a softmax rounded elsewhere in InternViT: 0.46).
const SHARE_OF_EQUAL_HALVES: f64 = 0.9;

/// The kernels that the references ran with (`tests/oracle/checkpoints.py`): a processor with AVX-512 has others, which
/// sum in another order.
const KERNELS: [(&str, &str); 2] = [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")];

/// Whether this process runs with [`KERNELS`]; if not, the test of this name has run, and passed, in one that does.
fn has_the_kernels_of_the_references(test: &str) -> bool {
    if KERNELS
        .iter()
        .all(|(name, value)| env::var(name).is_ok_and(|found| found == *value))
    {
        return true;
    }
    let mut other = Command::new(env::current_exe().unwrap());
    let ran = other
        .args([test, "--exact", "--nocapture"])
        .envs(KERNELS)
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(
        ran.status.success() && said[0].contains("1 passed"),
        "{}",
        said.concat()
    );
    false
}

/// As `profile` computes in `dtype`.
fn rounding(fixture: &Fixture, profile: Profile, dtype: Dtype) -> VilaAdapter {
    let settings = RunnerSettings {
        profile: Some(profile),
        ..RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(dtype))
    };
    with(fixture, settings)
}

/// The first question in float16 and bfloat16, beside a reference that rounds where the papers' programs do, the tower's
/// 16 bits included. Rounding anywhere else changes bits all over; another order of summation changes few.
#[test]
fn sixteen_bits_are_rounded_where_the_references_round() {
    if !has_the_kernels_of_the_references("rounding::sixteen_bits_are_rounded_where_the_references_round") {
        return;
    }
    for fixture in all() {
        let case = &fixture.cases.cases[0];
        for dtype in [Dtype::Float16, Dtype::BFloat16] {
            let mut adapter = rounding(&fixture, Profile::Vila10, dtype);
            let pixels = [pixels(&fixture, case)];
            let seen = adapter.model().trace(&fixture.prompt(case), &pixels).unwrap();
            for part in ["tower", "projector", "logits"] {
                let (_, ours) = seen.iter().find(|(name, _)| name == part).unwrap();
                let ours = flat(ours);
                let theirs = fixture.floats(&format!("{dtype}.{part}")).unwrap();
                assert_eq!(ours.len(), theirs.len());
                let equal = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
                let share = equal as f64 / ours.len() as f64;
                let what = format!("{} in {dtype}, {part}", fixture.folder.display());
                assert!(
                    share >= SHARE_OF_EQUAL_HALVES,
                    "{what}: {share} of the values are equal"
                );
            }
        }
    }
}

/// LLaVA's tower computes in float32 on pixels that were rounded, and its features are rounded again.
#[test]
fn the_tower_of_llava_is_wide_between_two_roundings() {
    let fixture = fixture("tiny-llava-v1.5");
    let pixels = pixels(&fixture, &fixture.cases.cases[0]);
    let round = |value: &f32| half::f16::from_f32(*value).to_f32();
    let rounded: Vec<f32> = pixels.iter().map(round).collect();
    let tower = |profile, dtype, pixels: &[f32]| {
        let features = rounding(&fixture, profile, dtype).model().tower_features(pixels);
        flat(&features.unwrap())
    };
    let wide = tower(Profile::Llava12, Dtype::Float32, &rounded);
    let expected: Vec<f32> = wide.iter().map(round).collect();
    assert_eq!(tower(Profile::Llava12, Dtype::Float16, &pixels), expected);
    assert_ne!(tower(Profile::Vila10, Dtype::Float16, &pixels), expected);
}

/// Why the dtype of a run does not say how its weights were kept. Four bits are what they are de-quantised to, so that
/// `--dtype int4` gives the numbers of float32 too.
#[test]
fn weights_widened_when_used_give_the_same_bits() {
    for fixture in all() {
        let packed = fixture.checkpoint().unwrap().llama_tensors.quantised_parameters() > 0;
        let mut converted = keeping(&fixture, Keep::Converted);
        let keeps = [Some(Keep::AsStored), packed.then_some(Keep::FourBits)];
        for keep in keeps.into_iter().flatten() {
            let mut kept = keeping(&fixture, keep);
            for case in &fixture.cases.cases {
                let pixels = [pixels(&fixture, case)];
                let prompt = fixture.prompt(case);
                let ours = converted.model().trace(&prompt, &pixels).unwrap();
                let theirs = kept.model().trace(&prompt, &pixels).unwrap();
                assert_eq!(ours.len(), theirs.len());
                for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
                    assert_eq!(ours, theirs, "{} {keep}: {name}", case.id);
                }
                let rows = [kept.model().encode_picture(&pixels[0]).unwrap()];
                let answer = kept.model().generate(&prompt, &rows, fixture.limits()).unwrap();
                assert_eq!(answer.ids, case.tokens, "{} {keep}", case.id);
            }
        }
    }
}

/// Every linear of the decoder, and nothing else, is packed in an AWQ checkpoint; what it unpacks to is what the oracle
/// computed with, or the logits of `variants.rs` could not be equal. Here: that the three packings are all met.
#[test]
fn every_packing_is_met_in_a_whole_checkpoint() {
    let mut met = Vec::new();
    for fixture in all() {
        let checkpoint = fixture.checkpoint().unwrap();
        let tensors = &checkpoint.llama_tensors;
        let linears = [
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
        ]
        .into_iter()
        .chain(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]);
        let names = linears
            .flat_map(|stem| (0..checkpoint.llama.layers).map(move |l| format!("model.layers.{l}.{stem}.weight")));
        let packed: Vec<Option<(Packing, usize)>> = names
            .map(|name| {
                tensors
                    .quantised(&name)
                    .map(|QuantisedView { packing, group, .. }| (packing, group))
            })
            .collect();
        assert!(packed.iter().all(|found| *found == packed[0]), "{packed:?}");
        met.extend(packed[0]);
        assert!(adapter(&fixture).model().placement().dtype == Dtype::Float32);
    }
    assert_eq!(met, [(Packing::V2, 128), (Packing::V1, 128), (Packing::Gemm, 32)]);
}
