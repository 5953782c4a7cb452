//! One test for each row of `checkpoints.md` section 1: what the row says of the checkpoint, its prompts' ids, pixels,
//! tower, projector, first logits and greedy tokens, all as its reference has them.

use model_adapters::parity::Fixture;
use model_adapters::picture::{Geometry, Preprocess};
use model_adapters::runner::VilaAdapter;
use model_adapters::variants::{VARIANTS, Variant};

use crate::fixture::{adapter, fixture, fixtures, flat};

/// Largest distance from the references in float32: another order of summation, nothing else.
const TOLERANCE: f32 = 1e-4;

/// Names a test for each row; [`every_row_has_its_test`] finds a row that has none.
macro_rules! rows {
    ($($test:ident: $name:literal,)+) => {
        const TESTED: &[&str] = &[$($name),+];

        $(
            #[test]
            fn $test() {
                speaks_as_its_reference($name);
            }
        )+
    };
}

rows! {
    vila_7b_and_13b: "VILA-7b",
    vila15_3b: "VILA1.5-3b",
    vila15_3b_s2: "VILA1.5-3b-s2",
    llama_3_vila15_8b: "Llama-3-VILA1.5-8b",
    llama_3_vila15_8b_fix: "Llama-3-VILA1.5-8b-Fix",
    vila15_13b: "VILA1.5-13b",
    vila15_40b: "VILA1.5-40b",
    vila15_awq: "VILA1.5-3b-AWQ",
    vila_awq: "VILA-7b-4bit-awq",
    llava_v15_7b_and_13b: "llava-v1.5-7b",
    llava_hf: "llava-1.5-7b-hf",
    llava_hf_awq: "llava-1.5-7b-hf-awq",
}

#[test]
fn every_row_has_its_test() {
    let rows: Vec<&str> = VARIANTS.iter().map(|variant| variant.names[0]).collect();
    assert_eq!(TESTED, rows);
}

fn speaks_as_its_reference(name: &str) {
    let variant = VARIANTS.iter().find(|variant| variant.names.contains(&name)).unwrap();
    let fixture = fixture(variant.golden);
    assert_eq!(fixture.cases.cases.len(), 8);
    assert!(fixture.cases.cases.iter().any(|case| case.tokens.len() == 16));
    is_what_the_row_says(&fixture, variant);
    pixels_are_the_references(&fixture);
    let mut adapter = adapter(&fixture);
    prompts_and_texts_are_the_references(&fixture, &adapter);
    features_logits_and_tokens_are_the_references(&fixture, &mut adapter);
}

fn is_what_the_row_says(fixture: &Fixture, variant: &Variant) {
    let checkpoint = fixture.checkpoint().unwrap();
    let tower = &checkpoint.tower;
    assert_eq!(checkpoint.layout, variant.layout);
    assert_eq!((tower.kind, tower.s2.is_some()), (variant.tower, variant.s2));
    assert_eq!(
        tower.select_state as i64,
        tower.layers as i64 + 1 + variant.select_layer
    );
    assert_eq!(tower.select_feature, variant.select_feature);
    assert_eq!(checkpoint.projector.kind, variant.projector);
    assert_eq!(checkpoint.conv_template(), variant.template);
    assert_eq!(checkpoint.profile(), variant.profile);
    let down = checkpoint
        .llama_tensors
        .quantised("model.layers.0.mlp.down_proj.weight");
    assert_eq!(down.map(|weight| weight.packing), variant.packing);
}

fn pixels_are_the_references(fixture: &Fixture) {
    let preprocess = fixture.checkpoint().unwrap().preprocess;
    let padded = Preprocess {
        geometry: Geometry::Pad,
        ..preprocess.clone()
    };
    assert_eq!(std::fs::read_dir(fixtures().join("pictures")).unwrap().count(), 5);
    assert_eq!(fixture.pictures().len(), 5);
    for name in fixture.pictures() {
        let stem = name.split('.').next().unwrap();
        let decoded = fixture.picture(name).unwrap();
        let pixels = preprocess.pixels(&decoded).unwrap();
        let expected = fixture.bytes(&format!("picture.{stem}.u8")).unwrap();
        assert_eq!(Some(&pixels.data), expected.as_ref(), "{name}");
        let normalised = format!("picture.{stem}.pixels");
        if fixture.bytes(&normalised).unwrap().is_some() {
            assert_eq!(
                preprocess.normalise(&pixels),
                fixture.floats(&normalised).unwrap(),
                "{name}"
            );
        }
        if let Some(expected) = fixture.bytes(&format!("picture.{stem}.padded.u8")).unwrap() {
            assert_eq!(padded.pixels(&decoded).unwrap().data, expected, "{name}, padded");
        }
    }
}

fn prompts_and_texts_are_the_references(fixture: &Fixture, adapter: &VilaAdapter) {
    for case in &fixture.cases.cases {
        let request = fixture.request(case);
        assert_eq!(adapter.rendered_prompt(&request), case.prompt, "{}", case.id);
        let tokens = adapter.prompt_tokens(&request).unwrap();
        assert_eq!(tokens, fixture.prompt(case), "{}", case.id);
        let text = adapter.tokenizer().decode(&case.tokens).unwrap();
        assert_eq!(text, case.text, "{}", case.id);
    }
}

fn features_logits_and_tokens_are_the_references(fixture: &Fixture, adapter: &mut VilaAdapter) {
    let model = adapter.model();
    for name in fixture.pictures() {
        let stem = name.split('.').next().unwrap();
        let pixels = fixture.pixels(name).unwrap();
        let tower = flat(&model.tower_features(&pixels).unwrap());
        assert_close(fixture, &tower, &format!("picture.{stem}.tower"));
        let rows = model.encode_picture(&pixels).unwrap();
        assert_eq!(rows.size3().unwrap().1 as usize, fixture.cases.picture_rows);
        assert_close(fixture, &flat(&rows), &format!("picture.{stem}.projector"));
    }
    for case in &fixture.cases.cases {
        let pictures = [model.encode_picture(&fixture.pixels(&case.picture).unwrap()).unwrap()];
        let prompt = fixture.prompt(case);
        let logits = model.first_logits(&prompt, &pictures).unwrap();
        assert_close(fixture, &logits, &format!("case.{}.logits", case.id));
        let generation = model.generate(&prompt, &pictures, fixture.limits()).unwrap();
        assert_eq!(
            (generation.ids, generation.finish.id()),
            (case.tokens.clone(), case.finish.as_str())
        );
    }
}

#[track_caller]
fn assert_close(fixture: &Fixture, ours: &[f32], name: &str) {
    let theirs = fixture.floats(name).unwrap();
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest <= TOLERANCE, "{name}: largest distance {largest}");
}
