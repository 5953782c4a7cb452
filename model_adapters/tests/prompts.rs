//! Prompts with several pictures and with none, and what profile, geometry and stop rule change, end to end on the tiny
//! checkpoints (`tests/oracle/prompts.py` made the expectations).
#![cfg(feature = "libtorch")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::picture::Geometry;
use model_adapters::profile::Profile;
use model_adapters::runner::{Device, DtypeChoice, RunnerSettings, VilaAdapter};
use model_adapters::stop::StopRule;
use model_adapters::template::ConvTemplate;
use model_adapters::tokenizer::PromptToken;
use model_adapters::{Adapter, EncodedPicture, FinishReason, Generated, GenerationLimits, PromptPart, Request, Script};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    checkpoint: String,
    pictures: Vec<String>,
    padded: bool,
    question: String,
    prompt: String,
    prompt_ids: Vec<i64>,
    tokens: Vec<u32>,
    text: String,
}

fn settings() -> RunnerSettings {
    RunnerSettings::new(Device::Cpu, DtypeChoice::Auto)
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prompts.json");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 10);
    cases
}

/// The case of `checkpoint` with one padded picture.
fn padded(checkpoint: &str) -> Case {
    let padded = |case: &Case| case.checkpoint == checkpoint && case.padded;
    cases().into_iter().find(padded).unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoints")
}

fn open(folder: &Path, settings: RunnerSettings) -> VilaAdapter {
    VilaAdapter::open(&Checkpoint::open(folder).unwrap(), settings).unwrap()
}

fn request(pictures: &[String], question: &str, script: Script) -> Request {
    let picture = |name: &String| {
        let path = fixtures().join("pictures").join(name);
        PromptPart::Picture(EncodedPicture {
            key: name.as_str().into(),
            read: Arc::new(move || fs::read(&path).map_err(|error| error.to_string())),
        })
    };
    let text = PromptPart::Text(question.to_owned());
    Request {
        id: "case".to_owned(),
        script,
        prompt: pictures.iter().map(picture).chain([text]).collect(),
        limits: GenerationLimits { max_new_tokens: 16 },
    }
}

/// The answers in the order of the requests; they come in any.
fn answers(adapter: &mut VilaAdapter, requests: impl IntoIterator<Item = Request>) -> Vec<Generated> {
    let numbered = requests.into_iter().enumerate().map(|(number, request)| Request {
        id: number.to_string(),
        ..request
    });
    let mut answers = BTreeMap::new();
    adapter
        .answer(&mut { numbered }, &mut |answer| {
            answers.insert(answer.id.parse::<usize>().unwrap(), answer.outcome.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    answers.into_values().collect()
}

#[test]
fn several_pictures_and_none_are_answered_as_by_the_references() {
    for case in cases() {
        let checkpoint = Checkpoint::open(&fixtures().join(&case.checkpoint)).unwrap();
        let settings = RunnerSettings {
            geometry: case.padded.then_some(Geometry::Pad),
            ..settings()
        };
        let request = request(&case.pictures, &case.question, Script::Short);
        assert_eq!(settings.rendered_prompt(&checkpoint, &request), case.prompt);
        let mut adapter = VilaAdapter::open(&checkpoint, settings).unwrap();
        let marker = checkpoint.image_token.map_or(-200, i64::from);
        let mut pictures = 0..;
        let expected: Vec<PromptToken> = (case.prompt_ids.iter())
            .map(|&id| match u32::try_from(id) {
                Ok(text) if id != marker => PromptToken::Text(text),
                _ => PromptToken::Picture(pictures.next().unwrap()),
            })
            .collect();
        assert_eq!(adapter.prompt_tokens(&request).unwrap(), expected, "{}", case.prompt);
        let [answer] = answers(&mut adapter, [request]).try_into().unwrap();
        let about = format!("{}, {:?}", case.checkpoint, case.pictures);
        assert_eq!(answer.text, case.text, "{about}");
        assert_eq!(answer.new_tokens, case.tokens.len(), "{about}");
        // Sixteen rows in the place of each marker, none where there is no picture.
        assert_eq!(answer.prompt_tokens, case.prompt_ids.len() + 15 * case.pictures.len());
    }
}

/// A copy of a tiny checkpoint, one key of a JSON file of it changed.
fn with(checkpoint: &str, file: &str, key: &str, value: serde_json::Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixtures().join(checkpoint), folder.path());
    let path = folder.path().join(file);
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().insert(key.to_owned(), value);
    fs::write(&path, config.to_string()).unwrap();
    folder
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

/// VILA's script for open questions calls the processor directly, whatever the configuration says, and the rows of a
/// picture that one script saw are not handed to the other.
#[test]
fn the_profile_decides_the_way_of_a_picture_for_each_script() {
    let case = padded("tiny-vila15");
    let folder = with("tiny-vila15", "config.json", "image_aspect_ratio", "pad".into());
    let stretched = answers(
        &mut open(&fixtures().join("tiny-vila15"), settings()),
        [request(&case.pictures, &case.question, Script::Short)],
    );
    assert_ne!(stretched[0].text, case.text);
    let texts = |profile, geometry| -> Vec<String> {
        let settings = RunnerSettings {
            profile,
            geometry,
            ..settings()
        };
        let scripts = [Script::Short, Script::Open, Script::MultipleChoice, Script::VlmEvalKit];
        let requests = scripts.map(|script| request(&case.pictures, &case.question, script));
        let answers = answers(&mut open(folder.path(), settings), requests);
        answers.into_iter().map(|answer| answer.text).collect()
    };
    let (pad, plain) = (&case.text, &stretched[0].text);
    assert_eq!(texts(None, None), [pad, plain, pad, pad].map(String::as_str));
    assert_eq!(
        texts(Some(Profile::Vila10), None),
        [pad, plain, pad, pad].map(String::as_str)
    );
    assert_eq!(texts(Some(Profile::Llava12), None), [pad; 4].map(String::as_str));
    assert_eq!(texts(None, Some(Geometry::Pad)), [pad; 4].map(String::as_str));
    assert_eq!(texts(None, Some(Geometry::Stretch)), [plain; 4].map(String::as_str));
}

#[test]
fn the_identity_names_what_is_used_for_the_script() {
    let checkpoint = Checkpoint::open(&fixtures().join("tiny-vila15")).unwrap();
    let identity = |settings: RunnerSettings, script| {
        let identity = settings.identity(&checkpoint, script);
        identity
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        identity(settings(), Script::Short),
        "dtype=float32 profile=vila-1.5 conv-template=vicuna_v1 image-aspect-ratio=resize stop=end-token"
    );
    assert_eq!(
        identity(settings(), Script::Open),
        "dtype=float32 profile=vila-1.5 conv-template=vicuna_v1 image-aspect-ratio=processor stop=end-token+cut"
    );
    let chosen = RunnerSettings {
        profile: Some(Profile::Llava12),
        template: Some(ConvTemplate::Hermes2),
        geometry: Some(Geometry::Pad),
        stop: StopRule::KeywordWindow,
        ..settings()
    };
    assert_eq!(
        identity(chosen, Script::Open),
        "dtype=float32 profile=llava-1.2 conv-template=hermes-2 image-aspect-ratio=pad stop=keyword-window+cut"
    );
}

/// `legacy` of the profile counts where the tokenizer's files do not state it.
#[test]
fn the_profile_decides_legacy_where_no_file_does() {
    let null = serde_json::Value::Null;
    let folder = with("tiny-vila15", "llm/tokenizer_config.json", "legacy", null);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let source = |profile| checkpoint.open_tokenizer(profile).unwrap().source().to_owned();
    assert!(source(Profile::Llava12).ends_with("legacy true"));
    assert!(source(Profile::Vila15).ends_with("legacy false"));
    let stated = Checkpoint::open(&fixtures().join("tiny-vila15")).unwrap();
    assert!(
        stated
            .open_tokenizer(Profile::Llava12)
            .unwrap()
            .source()
            .ends_with("legacy false")
    );
}

#[derive(Deserialize)]
struct Finished {
    cases: Vec<FinishedCase>,
}

#[derive(Deserialize)]
struct FinishedCase {
    picture: String,
    question: String,
    tokens: Vec<u32>,
    finish: String,
    text: String,
}

/// The end token of the fixture is `</s>`, the stop string of its template. With another end token in the configuration
/// the model writes on behind it, unless the stop rule looks for it.
#[test]
fn the_stop_rule_ends_an_answer_at_the_templates_stop_string() {
    let expected = fixtures().join("tiny-vila15/expected/cases.json");
    let Finished { cases } = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
    let case = cases.into_iter().find(|case| case.finish == "end-token").unwrap();
    let folder = with("tiny-vila15", "llm/generation_config.json", "eos_token_id", 499.into());
    let answer = |stop| {
        let settings = RunnerSettings { stop, ..settings() };
        let request = request(std::slice::from_ref(&case.picture), &case.question, Script::Short);
        answers(&mut open(folder.path(), settings), [request]).remove(0)
    };
    for rule in [StopRule::Auto, StopRule::EndToken] {
        let free = answer(rule);
        assert_eq!((free.new_tokens, free.finish), (16, FinishReason::Length), "{rule}");
        assert!(free.text.starts_with(&case.text), "{:?}", free.text);
    }
    for rule in [StopRule::Keyword, StopRule::KeywordWindow] {
        let stopped = answer(rule);
        assert_eq!(
            (stopped.text, stopped.new_tokens, stopped.finish),
            (case.text.clone(), case.tokens.len(), FinishReason::StopString),
            "{rule}"
        );
    }
}

#[test]
fn a_geometry_without_a_fixed_size_is_refused() {
    let size = serde_json::json!({"shortest_edge": 30});
    let folder = with("tiny-vila15", "vision_tower/preprocessor_config.json", "size", size);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let settings = RunnerSettings {
        geometry: Some(Geometry::Processor),
        ..settings()
    };
    let error = VilaAdapter::open(&checkpoint, settings).unwrap_err().to_string();
    assert!(
        error.starts_with("`--image-aspect-ratio processor`: the picture processor of `"),
        "{error}"
    );
    assert!(
        settings
            .check(&Checkpoint::open(&fixtures().join("tiny-vila15")).unwrap())
            .is_ok()
    );
}
