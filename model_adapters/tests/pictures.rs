//! Pictures as Pillow and the reference's processors make them, hash by hash: `fixtures/pictures`, made by
//! `tests/oracle/pictures.py`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy spares only the tests themselves"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use model_adapters::picture::{
    Geometry, PictureFault, Preprocess, Processor, ProcessorClass, RgbPicture, decode, resize_bicubic,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn expected(key: &str) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&file("expected.json")).unwrap();
    let cases = json[key].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pair(value: &Value) -> (usize, usize) {
    let number = |i: usize| value[i].as_u64().unwrap() as usize;
    (number(0), number(1))
}

/// `noise` of the oracle script.
fn noise(case: &Value) -> RgbPicture {
    let seed = case["seed"].as_u64().unwrap() as u32;
    let (width, height) = pair(&case["from"]);
    let sample = |place: usize| {
        let mut value = (place as u32).wrapping_mul(2654435761).wrapping_add(seed);
        value ^= value >> 15;
        value = value.wrapping_mul(0x2c1b_3c6d);
        value ^= value >> 12;
        (value >> 24) as u8
    };
    RgbPicture {
        width,
        height,
        data: (0..width * height * 3).map(sample).collect(),
    }
}

/// Files that Pillow opens and this decoder refuses, with the reason. There must be none that both open but see
/// differently.
const REFUSED: [(&str, &str); 4] = [
    ("555-masks.bmp", "the decoder rounds 5-bit samples, Pillow truncates"),
    ("555.bmp", "the decoder rounds 5-bit samples, Pillow truncates"),
    ("565.bmp", "the decoder rounds 5-bit samples, Pillow truncates"),
    (
        "missing-rows.png",
        "Pillow leaves missing rows black where the compressed data end in order",
    ),
];

fn difference(case: &Value, decoded: Result<RgbPicture, PictureFault>) -> Option<String> {
    match (case["sha256"].as_str(), decoded) {
        (None, Err(_)) => None,
        (None, Ok(_)) => Some("opened, but Pillow refuses it".into()),
        (Some(_), Err(fault)) => Some(format!("refused: {fault}")),
        (Some(_), Ok(picture)) if (picture.width, picture.height) != pair(&case["size"]) => Some("size".into()),
        (Some(hash), Ok(picture)) => (sha(&picture.data) != hash).then(|| "pixels".into()),
    }
}

#[test]
fn decodes_as_pillow() {
    let mut refused = BTreeSet::new();
    for case in expected("decode") {
        let name = case["file"].as_str().unwrap();
        let mut bytes = file(name);
        if let Some(kept) = case["bytes"].as_u64() {
            bytes.truncate(kept as usize);
        }
        match difference(&case, decode(&bytes)) {
            None => {}
            Some(why) if why.starts_with("refused") => assert!(refused.insert(name.to_owned()), "{case}"),
            Some(why) => panic!("{case}: {why}"),
        }
    }
    assert_eq!(refused, REFUSED.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn resizes_as_pillow() {
    for case in expected("resize") {
        let (width, height) = pair(&case["to"]);
        let resized = resize_bicubic(&noise(&case), width, height);
        assert_eq!((resized.width, resized.height), (width, height));
        assert_eq!(sha(&resized.data), case["sha256"], "{case}");
    }
}

#[test]
fn preprocesses_as_transformers() {
    for case in expected("preprocess") {
        let preprocess = Preprocess {
            geometry: Geometry::from_aspect_ratio(case.get("image_aspect_ratio")).unwrap(),
            processor: Processor::from_json(&case["preprocessor_config"], ProcessorClass::Clip).unwrap(),
        };
        let pixels = preprocess.pixels(&noise(&case)).unwrap();
        assert_eq!((pixels.width, pixels.height), pair(&case["size"]), "{case}");
        if let Some(size) = preprocess.output_size() {
            assert_eq!(size, pair(&case["size"]), "{case}");
        }
        assert_eq!(sha(&pixels.data), case["pixels"], "{case}");
        let tensor: Vec<u8> = preprocess
            .normalise(&pixels)
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(sha(&tensor), case["tensor"], "{case}");
    }
}
