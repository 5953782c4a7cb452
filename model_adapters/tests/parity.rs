//! The whole way from picture file and question to answer, against what the reference programs made of tiny random
//! checkpoints, one for each kind of tower, projector, decoder and layout (`tests/fixtures/checkpoints/README.md`).
#![cfg(feature = "libtorch")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model_adapters::checkpoint::Checkpoint;
use model_adapters::parity::Dump;
use model_adapters::picture::{self, Geometry, Preprocess, RgbPicture};
use model_adapters::profile::Profile;
use model_adapters::runner::{Device, Dtype, DtypeChoice, Keep, RunnerSettings, VilaAdapter};
use model_adapters::tokenizer::PromptToken;
use model_adapters::{Adapter, EncodedPicture, FinishReason, GenerationLimits, PromptPart, Request, Script};
use safetensors::SafeTensors;
use serde::Deserialize;

const CHECKPOINTS: [&str; 6] = [
    "tiny-llava-hf",
    "tiny-llava-v1.5",
    "tiny-vila15",
    "tiny-vila1.5-3b-s2",
    "tiny-llama-3-vila1.5-8b",
    "tiny-vila1.5-40b",
];

/// Largest distance from the references in float32: another order of summation, nothing else.
const TOLERANCE: f32 = 1e-4;

/// Values of a 16-bit computation that are the reference's to the last bit. All or nearly all are where the machine has
/// the same kernels; one rounding elsewhere leaves far fewer (a softmax rounded elsewhere in InternViT: 0.46).
const SHARE_OF_EQUAL_HALVES: f64 = 0.9;

#[derive(Deserialize)]
struct Cases {
    picture_token: i64,
    picture_rows: usize,
    max_new_tokens: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    picture: String,
    question: String,
    prompt: String,
    prompt_ids: Vec<i64>,
    tokens: Vec<u32>,
    finish: String,
    text: String,
}

/// One checkpoint and what is expected of it.
struct Fixture {
    folder: PathBuf,
    cases: Cases,
    tensors: Vec<u8>,
}

impl Fixture {
    fn all() -> impl Iterator<Item = Self> {
        CHECKPOINTS.into_iter().map(|name| {
            let folder = fixtures().join(name);
            let read = |file: &str| {
                let path = folder.join("expected").join(file);
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            };
            Self {
                cases: serde_json::from_slice(&read("cases.json")).unwrap(),
                tensors: read("expected.safetensors"),
                folder,
            }
        })
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(&self.folder).unwrap()
    }

    fn adapter(&self) -> VilaAdapter {
        self.adapter_with(DtypeChoice::Auto, None)
    }

    fn adapter_with(&self, dtype: DtypeChoice, keep: Option<Keep>) -> VilaAdapter {
        self.open(RunnerSettings {
            keep,
            ..RunnerSettings::new(Device::Cpu, dtype)
        })
    }

    /// As `profile` computes in `dtype`.
    fn adapter_of(&self, profile: Profile, dtype: Dtype) -> VilaAdapter {
        self.open(RunnerSettings {
            profile: Some(profile),
            ..RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(dtype))
        })
    }

    fn open(&self, settings: RunnerSettings) -> VilaAdapter {
        VilaAdapter::open(&self.checkpoint(), settings).unwrap()
    }

    /// The bytes of an expected tensor; `None` where the fixture has none of that name.
    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        tensors.tensor(name).ok().map(|tensor| tensor.data().to_vec())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name).unwrap_or_else(|| panic!("no tensor `{name}`"));
        bytes
            .chunks_exact(4)
            .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
            .collect()
    }

    /// The normalised pixels of a picture, named without its suffix.
    fn pixels(&self, stem: &str) -> Vec<f32> {
        let preprocess = self.checkpoint().preprocess;
        let (_, decoded) = pictures().into_iter().find(|(name, _)| name == stem).unwrap();
        preprocess.normalise(&preprocess.pixels(&decoded).unwrap())
    }

    /// A tensor of a 16-bit dtype, widened.
    fn halves(&self, name: &str, dtype: Dtype) -> Vec<f32> {
        let bytes = self.bytes(name).unwrap_or_else(|| panic!("no tensor `{name}`"));
        let words = bytes
            .chunks_exact(2)
            .map(|word| u16::from_le_bytes(word.try_into().unwrap()));
        words
            .map(|bits| match dtype {
                Dtype::Float16 => half::f16::from_bits(bits).to_f32(),
                _ => half::bf16::from_bits(bits).to_f32(),
            })
            .collect()
    }

    fn prompt(&self, case: &Case) -> Vec<PromptToken> {
        case.prompt_ids
            .iter()
            .map(|&id| {
                if id == self.cases.picture_token {
                    PromptToken::Picture(0)
                } else {
                    PromptToken::Text(u32::try_from(id).unwrap())
                }
            })
            .collect()
    }

    fn request(&self, case: &Case) -> Request {
        let path = fixtures().join("pictures").join(&case.picture);
        let picture = EncodedPicture {
            key: case.picture.as_str().into(),
            read: Arc::new(move || fs::read(&path).map_err(|error| error.to_string())),
        };
        Request {
            id: case.id.clone(),
            script: Script::Short,
            prompt: vec![PromptPart::Picture(picture), PromptPart::Text(case.question.clone())],
            limits: self.limits(),
        }
    }

    fn limits(&self) -> GenerationLimits {
        GenerationLimits {
            max_new_tokens: self.cases.max_new_tokens,
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoints")
}

/// Names without suffix and decoded pictures.
fn pictures() -> Vec<(String, RgbPicture)> {
    let mut pictures: Vec<_> = fs::read_dir(fixtures().join("pictures"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, picture::decode(&fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    pictures.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(pictures.len(), 5);
    pictures
}

fn flat(tensor: tch::Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).unwrap()
}

#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest <= TOLERANCE, "{what}: largest distance {largest}");
}

#[test]
fn pixels_are_those_of_the_references() {
    for fixture in Fixture::all() {
        let preprocess = fixture.checkpoint().preprocess;
        let padded = Preprocess {
            geometry: Geometry::Pad,
            ..preprocess.clone()
        };
        for (name, decoded) in pictures() {
            let pixels = preprocess.pixels(&decoded).unwrap();
            assert_eq!(
                Some(&pixels.data),
                fixture.bytes(&format!("picture.{name}.u8")).as_ref(),
                "{name}"
            );
            let normalised = preprocess.normalise(&pixels);
            if fixture.bytes(&format!("picture.{name}.pixels")).is_some() {
                assert_eq!(normalised, fixture.floats(&format!("picture.{name}.pixels")), "{name}");
            }
            if let Some(expected) = fixture.bytes(&format!("picture.{name}.padded.u8")) {
                assert_eq!(padded.pixels(&decoded).unwrap().data, expected, "{name}, padded");
            }
        }
    }
}

#[test]
fn prompts_and_their_ids_are_those_of_the_references() {
    for fixture in Fixture::all() {
        let adapter = fixture.adapter();
        for case in &fixture.cases.cases {
            let request = fixture.request(case);
            assert_eq!(adapter.rendered_prompt(&request), case.prompt, "{}", case.id);
            let tokens = adapter.prompt_tokens(&request).unwrap();
            assert_eq!(tokens, fixture.prompt(case), "{}", case.id);
            assert_eq!(
                adapter.tokenizer().decode(&case.tokens).unwrap(),
                case.text,
                "{}",
                case.id
            );
        }
    }
}

#[test]
fn features_logits_and_tokens_are_those_of_the_references() {
    for fixture in Fixture::all() {
        let mut adapter = fixture.adapter();
        let model = adapter.model();
        for (name, _) in pictures() {
            let pixels = fixture.pixels(&name);
            let tower = flat(model.tower_features(&pixels).unwrap());
            assert_close(
                &tower,
                &fixture.floats(&format!("picture.{name}.tower")),
                &format!("tower, {name}"),
            );
            let rows = model.encode_picture(&pixels).unwrap();
            assert_eq!(rows.size3().unwrap().1 as usize, fixture.cases.picture_rows);
            let expected = fixture.floats(&format!("picture.{name}.projector"));
            assert_close(&flat(rows), &expected, &format!("projector, {name}"));
        }
        for case in &fixture.cases.cases {
            let stem = Path::new(&case.picture).file_stem().unwrap().to_str().unwrap();
            let pixels = fixture.pixels(stem);
            let pictures = [model.encode_picture(&pixels).unwrap()];
            let prompt = fixture.prompt(case);
            let logits = model.first_logits(&prompt, &pictures).unwrap();
            assert_close(&logits, &fixture.floats(&format!("case.{}.logits", case.id)), &case.id);
            let generation = model.generate(&prompt, &pictures, fixture.limits()).unwrap();
            assert_eq!(
                (generation.ids, generation.finish.id()),
                (case.tokens.clone(), case.finish.as_str())
            );
        }
    }
}

/// The first question in float16 and bfloat16, beside a reference that rounds where the papers' programs do, the tower's
/// 16 bits included. Rounding anywhere else changes bits all over; another order of summation changes few.
#[test]
fn sixteen_bits_are_rounded_where_the_references_round() {
    for fixture in Fixture::all() {
        let case = &fixture.cases.cases[0];
        let stem = Path::new(&case.picture).file_stem().unwrap().to_str().unwrap();
        for dtype in [Dtype::Float16, Dtype::BFloat16] {
            let mut adapter = fixture.adapter_of(Profile::Vila10, dtype);
            let pixels = [fixture.pixels(stem)];
            let seen = adapter.model().trace(&fixture.prompt(case), &pixels).unwrap();
            for part in ["tower", "projector", "logits"] {
                let (_, ours) = seen.iter().find(|(name, _)| name == part).unwrap();
                let ours = flat(ours.to_kind(tch::Kind::Float));
                let theirs = fixture.halves(&format!("{dtype}.{part}"), dtype);
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
    let fixture = Fixture::all()
        .find(|one| one.folder.ends_with("tiny-llava-v1.5"))
        .unwrap();
    let case = &fixture.cases.cases[0];
    let stem = Path::new(&case.picture).file_stem().unwrap().to_str().unwrap();
    let pixels = fixture.pixels(stem);
    let round = |value: &f32| half::f16::from_f32(*value).to_f32();
    let rounded: Vec<f32> = pixels.iter().map(round).collect();
    let tower = |profile, dtype, pixels: &[f32]| {
        let features = fixture
            .adapter_of(profile, dtype)
            .model()
            .tower_features(pixels)
            .unwrap();
        flat(features.to_kind(tch::Kind::Float))
    };
    let wide = tower(Profile::Llava12, Dtype::Float32, &rounded);
    let expected: Vec<f32> = wide.iter().map(round).collect();
    assert_eq!(tower(Profile::Llava12, Dtype::Float16, &pixels), expected);
    assert_ne!(tower(Profile::Vila10, Dtype::Float16, &pixels), expected);
}

/// Why the dtype of a run does not say how its weights were kept.
#[test]
fn weights_widened_when_used_give_the_same_bits() {
    for fixture in Fixture::all() {
        let mut converted = fixture.adapter_with(DtypeChoice::Auto, Some(Keep::Converted));
        let mut stored = fixture.adapter_with(DtypeChoice::Auto, Some(Keep::AsStored));
        for case in &fixture.cases.cases {
            let stem = Path::new(&case.picture).file_stem().unwrap().to_str().unwrap();
            let pixels = [fixture.pixels(stem)];
            let prompt = fixture.prompt(case);
            let ours = converted.model().trace(&prompt, &pixels).unwrap();
            let theirs = stored.model().trace(&prompt, &pixels).unwrap();
            assert_eq!(ours.len(), theirs.len());
            for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "{}: {name}", case.id);
            }
        }
    }
}

#[test]
fn answers_are_those_of_the_references() {
    for fixture in Fixture::all() {
        let cases = &fixture.cases.cases;
        // A question whose picture is missing, in the middle of the others: its failure is its own.
        let mut requests: Vec<Request> = cases.iter().map(|case| fixture.request(case)).collect();
        let mut broken = fixture.request(&cases[0]);
        broken.id = "broken".to_owned();
        broken.prompt[0] = PromptPart::Picture(EncodedPicture {
            key: "broken".into(),
            read: Arc::new(|| Err("cannot read `broken.jpg`: no such file".to_owned())),
        });
        requests.insert(1, broken);

        let mut answers = Vec::new();
        fixture
            .adapter()
            .answer(&mut requests.into_iter(), &mut |answer| {
                answers.push(answer);
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut outcomes: BTreeMap<String, _> = answers.into_iter().map(|answer| (answer.id, answer.outcome)).collect();
        assert_eq!(
            outcomes.remove("broken").unwrap().unwrap_err().to_string(),
            "cannot read `broken.jpg`: no such file"
        );
        assert_eq!(outcomes.len(), cases.len());
        for case in cases {
            let generated = outcomes.remove(&case.id).unwrap().unwrap();
            assert_eq!(generated.text, case.text, "{}", case.id);
            assert_eq!(generated.new_tokens, case.tokens.len(), "{}", case.id);
            assert_eq!(
                generated.prompt_tokens,
                case.prompt_ids.len() - 1 + fixture.cases.picture_rows
            );
            assert_ne!(generated.finish, FinishReason::Replayed);
        }
    }
}

#[test]
fn a_picture_is_read_once_for_the_questions_that_follow_each_other() {
    let fixture = Fixture::all().next().unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let requests: Vec<Request> = ["wide-rgb.jpg", "wide-rgb.jpg", "grey.jpg", "grey.jpg", "wide-rgb.jpg"]
        .into_iter()
        .enumerate()
        .map(|(n, name)| {
            let (path, reads) = (fixtures().join("pictures").join(name), Arc::clone(&reads));
            let mut request = fixture.request(&fixture.cases.cases[0]);
            request.id = n.to_string();
            request.prompt[0] = PromptPart::Picture(EncodedPicture {
                key: name.into(),
                read: Arc::new(move || {
                    reads.fetch_add(1, Ordering::Relaxed);
                    fs::read(&path).map_err(|error| error.to_string())
                }),
            });
            request
        })
        .collect();
    let mut said = BTreeMap::new();
    let mut adapter = fixture.adapter();
    adapter
        .answer(&mut requests.into_iter(), &mut |answer| {
            said.insert(answer.id, answer.outcome.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 3);
    // Read again for the last question, recognised by its content, and not encoded again.
    let work = adapter.report().unwrap().work;
    assert_eq!((work.tower_forwards, work.repeats), (2, 3));
    let repeats: Vec<Option<&str>> = said.values().map(|said| said.repeats.as_deref()).collect();
    assert_eq!(repeats, [None, Some("0"), None, Some("2"), Some("0")]);
    let texts: Vec<String> = said.into_values().map(|said| said.text).collect();
    assert_eq!([&texts[1], &texts[3], &texts[4]], [&texts[0], &texts[2], &texts[0]]);
    assert_ne!(texts[0], texts[2], "the answers must tell the pictures apart");
}

#[test]
fn what_is_wrong_with_a_question_is_said_and_nothing_is_guessed() {
    let fixture = Fixture::all().next().unwrap();
    let mut adapter = fixture.adapter();
    let case = &fixture.cases.cases[0];
    let mut stray = fixture.request(case);
    stray.prompt[1] = PromptPart::Text("What is <image>?".to_owned());
    let mut broken = fixture.request(case);
    broken.prompt[0] = PromptPart::Picture(EncodedPicture {
        key: "noise.jpg".into(),
        read: Arc::new(|| Ok(vec![7; 40])),
    });
    let mut reasons = Vec::new();
    adapter
        .answer(&mut [stray, broken].into_iter(), &mut |answer| {
            reasons.push(answer.outcome.unwrap_err().to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        reasons[0],
        "the question contains `<image>`, which would stand for a picture"
    );
    assert!(reasons[1].starts_with("picture `noise.jpg`: "), "{}", reasons[1]);
    assert_eq!(reasons.len(), 2);
}

#[test]
fn an_adapter_stops_when_it_is_told() {
    let fixture = Fixture::all().next().unwrap();
    let mut adapter = fixture.adapter();
    let mut pulled = 0;
    let mut requests = fixture.cases.cases.iter().map(|case| {
        pulled += 1;
        fixture.request(case)
    });
    let mut answers = 0;
    adapter
        .answer(&mut requests, &mut |_| {
            answers += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    drop(requests);
    assert_eq!(answers, 1);
    // Requests are pulled ahead of the answers, to have their pictures ready; once told to stop, no more.
    assert!((1..=fixture.cases.cases.len()).contains(&pulled));
}

/// A dump made of what our own model computes, the bytes of some of its tensors changed by `change`.
fn dump(fixture: &Fixture, change: impl Fn(&str, &mut Vec<u8>)) -> PathBuf {
    let case = &fixture.cases.cases[0];
    let stem = Path::new(&case.picture).file_stem().unwrap().to_str().unwrap();
    let pixels = fixture.pixels(stem);
    let mut adapter = fixture.adapter();
    let seen = adapter
        .model()
        .trace(&fixture.prompt(case), std::slice::from_ref(&pixels))
        .unwrap();
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let ids: Vec<i64> = case
        .prompt_ids
        .iter()
        .map(|&id| if id == fixture.cases.picture_token { -200 } else { id })
        .collect();
    let mut tensors: Vec<(String, safetensors::Dtype, Vec<u8>)> = seen
        .into_iter()
        .map(|(name, tensor)| (name, safetensors::Dtype::F32, bytes(&flat(tensor))))
        .collect();
    let file = fs::read(fixtures().join("pictures").join(&case.picture)).unwrap();
    let ids = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    tensors.push(("picture".to_owned(), safetensors::Dtype::U8, file));
    tensors.push(("prompt_ids".to_owned(), safetensors::Dtype::I64, ids));
    tensors.push(("pixels".to_owned(), safetensors::Dtype::F32, bytes(&pixels)));
    for (name, _, bytes) in &mut tensors {
        change(name, bytes);
    }
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        let shape = vec![bytes.len() * 8 / dtype.bitsize()];
        (
            name.as_str(),
            safetensors::tensor::TensorView::new(*dtype, shape, bytes).unwrap(),
        )
    });
    let metadata = [
        ("format", "1"),
        ("dtype", "float32"),
        ("question", case.question.as_str()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    fs::write(&path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    path
}

#[test]
fn the_first_place_where_a_dump_parts_is_named() {
    let fixture = Fixture::all().next().unwrap();
    let first_parting = |change: &dyn Fn(&str, &mut Vec<u8>)| {
        let path = dump(&fixture, change);
        let report = Dump::read(&path).unwrap().compare(&mut fixture.adapter()).unwrap();
        fs::remove_file(path).unwrap();
        report.first_parting().map(|step| step.name.clone())
    };
    let moved = |bytes: &mut Vec<u8>| {
        let value = f32::from_le_bytes(bytes[8..12].try_into().unwrap()) + 0.1;
        bytes[8..12].copy_from_slice(&value.to_le_bytes());
    };
    assert_eq!(first_parting(&|_, _| ()), None);
    for name in ["pixels", "tower.1", "projector", "decoder.2", "logits"] {
        let found = first_parting(&|this, bytes| {
            if this == name || (name == "tower.1" && this == "decoder.2") {
                moved(bytes);
            }
        });
        assert_eq!(found.as_deref(), Some(name));
    }
    let found = first_parting(&|this, bytes| {
        if this == "prompt_ids" {
            bytes[16] ^= 1;
        }
    });
    assert_eq!(found.as_deref(), Some("prompt_ids"));
}
