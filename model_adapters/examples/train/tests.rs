//! What a trained checkpoint stands on: the trainer computes what the runner computes, questions side by side are
//! questions alone, and a training that was broken off ends as one that was not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use model_adapters::checkpoint::Checkpoint;
use model_adapters::picture;
use model_adapters::runner::{Device, Dtype, DtypeChoice, RunnerSettings, VilaAdapter};
use model_adapters::tokenizer::PromptToken;
use model_adapters::{EncodedPicture, GenerationLimits, PromptPart, Request, Script};
use serde_json::json;
use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::batch::{Batch, Sequence};
use crate::export;
use crate::optimiser::Optimiser;
use crate::plan::Plan;
use crate::records::Source;
use crate::sequences::{Branch, Sample};
use crate::sizes::Shape;
use crate::training::{Settings, Sitting, Training, tokenizer};

const QUESTION: &str = "Is there a red circle?\nAnswer the question using a single word or phrase.";
const OPTIONS: &str =
    "What is it?\nA. circle\nB. square\nC. star\nAnswer with the option's letter from the given choices directly.";
/// Another order of summation, nothing else.
const TOLERANCE: f64 = 1e-4;

/// Pictures of other sides than the towers', and a few conversations of each file.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3_u8 {
        let picture = RgbImage::from_fn(112, 96, |x, y| {
            Rgb([
                (x * 2) as u8,
                (y * 2) as u8,
                number * 80 + u8::from((x / 9 + y / 7) % 2 == 0) * 60,
            ])
        });
        picture.save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    let turn = |from: &str, value: &str| json!({"from": from, "value": value});
    let captions: Vec<_> = (0..3)
        .map(|number| {
            json!({"id": "c", "image": format!("{number}.png"), "conversations": [
                turn("human", "<image>\nDescribe the image."),
                turn("gpt", "There is a big red circle at the top left. The background is sand."),
                turn("human", "And in short?"),
                turn("gpt", "A red circle."),
            ]})
        })
        .collect();
    let questions = |mark: &str| {
        vec![
            turn("human", &format!("{mark}{QUESTION}")),
            turn("gpt", "yes"),
            turn("human", "How many circles are there?"),
            turn("gpt", "12"),
            turn("human", "What is it?"),
            turn("gpt", "a circle"),
        ]
    };
    let instruct = [
        json!({"id": "i", "image": "0.png", "independent": true, "conversations": questions("<image>\n")}),
        json!({"id": "t", "independent": true, "conversations": questions("")}),
        json!({"id": "o", "image": "1.png", "independent": true, "conversations": [
            turn("human", &format!("<image>\n{OPTIONS}")),
            turn("gpt", "B"),
            turn("human", "How many circles are there?"),
            turn("gpt", "1"),
            turn("human", "What is it?"),
            turn("gpt", "a square"),
        ]}),
    ];
    let interleaved = [json!({"id": "m", "image": ["1.png", "2.png"], "conversations": [
        turn("human", "<image>\nWhat is it? A circle.\n<image>\nWhat is it?"),
        turn("gpt", "a square"),
    ]})];
    let write = |source: Source, records: &[serde_json::Value]| {
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        fs::write(folder.path().join(source.file()), lines).unwrap();
    };
    write(Source::Captions, &captions);
    write(Source::Instruct, &instruct);
    write(Source::Interleaved, &interleaved);
    folder
}

fn plan() -> Plan {
    let stage = |objective: &str, steps: u64, mixture: serde_json::Value, train: &[&str]| {
        json!({"name": objective, "objective": objective, "steps": steps, "batch": 2, "mixture": mixture,
            "train": train, "peak": 1e-3, "floor": 1e-4, "warm_up": 1})
    };
    let everything = ["tower", "projector", "decoder"];
    serde_json::from_value(json!([
        stage("words", 1, json!({"captions": 1.0}), &["tower", "words"]),
        stage("rows", 1, json!({"captions": 1.0}), &["projector"]),
        stage(
            "answers",
            2,
            json!({"captions": 0.2, "interleaved": 0.3, "instruct": 0.3, "choices": 0.2}),
            &everything
        ),
    ]))
    .unwrap()
}

fn begin(shape: Shape, data: &Path, folder: &Path) -> Training {
    let settings = Settings {
        shape,
        data: data.to_owned(),
        seed: 7,
        vocabulary: 400,
        room: 320,
        pass: 2,
        optimiser: Optimiser::default(),
        borrowed: Vec::new(),
        plan: plan(),
    };
    Training::begin(folder, settings).unwrap()
}

fn sitting(until: Option<u64>) -> Sitting {
    Sitting {
        save_every: 3600,
        until,
        stop: Arc::default(),
    }
}

/// A sample with one branch of all, whose last token is followed by `answer`.
fn asked(prompt: &[PromptToken], pictures: &[usize], answer: &[u32]) -> Sample {
    let mut tokens: Vec<(PromptToken, bool)> = prompt.iter().map(|token| (*token, false)).collect();
    tokens.extend(answer.iter().map(|id| (PromptToken::Text(*id), false)));
    tokens.push((PromptToken::Text(0), true));
    Sample {
        pictures: pictures.to_vec(),
        prefix: Vec::new(),
        branches: vec![Branch { tokens }],
        words: Default::default(),
    }
}

fn logits(training: &Training, sample: &Sample) -> Tensor {
    let sizes = &training.model.sizes;
    let order: Vec<usize> = (0..sample.branches.len()).collect();
    let sequence = Sequence::new(sample, &order, usize::MAX, sizes.picture_rows());
    let batch = Batch::new(&[sequence], &training.pictures, sizes).unwrap();
    training.model.logits(&batch).unwrap().detach()
}

fn distance(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one - other).abs().max().double_value(&[])
}

fn request(pictures: &[PathBuf]) -> Request {
    let shown = pictures.iter().map(|path| {
        let path = path.clone();
        PromptPart::Picture(EncodedPicture {
            key: path.display().to_string().into(),
            read: Arc::new(move || fs::read(&path).map_err(|error| error.to_string())),
        })
    });
    Request {
        id: "question".to_owned(),
        script: Script::Short,
        prompt: shown.chain([PromptPart::Text(QUESTION.to_owned())]).collect(),
        limits: GenerationLimits { max_new_tokens: 6 },
    }
}

#[test]
fn the_runner_computes_what_was_trained() {
    tch::set_num_threads(1);
    for shape in [Shape::Vila, Shape::Llava] {
        let (data, folder) = (data(), tempfile::tempdir().unwrap());
        let training = begin(shape, data.path(), folder.path());
        // What float16 can hold, so that nothing is rounded on the way.
        for parameter in &training.model.parameters.list {
            let rounded = parameter.value.to_kind(Kind::Half).to_kind(Kind::Float);
            parameter.value.detach().copy_(&rounded.detach());
        }
        let values: Vec<&Tensor> = training
            .model
            .parameters
            .list
            .iter()
            .map(|parameter| &parameter.value)
            .collect();
        let to = folder.path().join("mini-vila1.5");
        export::checkpoint(&to, &training.model, &values, &tokenizer(folder.path()).unwrap()).unwrap();
        let checkpoint = Checkpoint::open(&to).unwrap();
        assert_eq!(checkpoint.tower, training.model.sizes.tower);
        assert_eq!(checkpoint.projector, training.model.sizes.projector);
        assert_eq!(checkpoint.llama, training.model.sizes.llama);
        assert_eq!(checkpoint.conv_template(), shape.template());
        assert_eq!(
            checkpoint.preprocess,
            shape.preprocess(training.model.sizes.tower.image_size)
        );
        let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Fixed(Dtype::Float32));
        let mut adapter = VilaAdapter::open(&checkpoint, settings).unwrap();
        for names in [&["1.png"][..], &["0.png", "2.png"], &[]] {
            let paths: Vec<PathBuf> = names.iter().map(|name| data.path().join(name)).collect();
            let prompt = adapter.prompt_tokens(&request(&paths)).unwrap();
            let rows: Vec<Tensor> = paths
                .iter()
                .map(|path| {
                    let pixels = adapter
                        .pixels_of(&picture::decode(&fs::read(path).unwrap()).unwrap())
                        .unwrap();
                    adapter.model().encode_picture(&pixels).unwrap()
                })
                .collect();
            let cached: Vec<usize> = names.iter().map(|name| training.pictures.row(name).unwrap()).collect();
            let theirs = adapter.model().first_logits(&prompt, &rows).unwrap();
            let ours = logits(&training, &asked(&prompt, &cached, &[]));
            assert!(
                distance(&ours.squeeze_dim(0), &Tensor::from_slice(&theirs)) < TOLERANCE,
                "{shape:?} {names:?}"
            );

            let limits = GenerationLimits { max_new_tokens: 6 };
            let said = adapter.model().generate(&prompt, &rows, limits).unwrap().ids;
            let mut answer: Vec<u32> = Vec::new();
            while answer.len() < said.len() {
                let next = logits(&training, &asked(&prompt, &cached, &answer)).argmax(-1, false);
                answer.push(next.int64_value(&[0]) as u32);
            }
            assert_eq!(said, answer, "{shape:?} {names:?}");
        }
    }
}

#[test]
fn questions_side_by_side_are_questions_alone() {
    tch::set_num_threads(1);
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let training = begin(Shape::Vila, data.path(), folder.path());
    for sample in &training.samples[&Source::Instruct] {
        assert_eq!(sample.branches.len(), 3);
        assert!(!sample.prefix.is_empty());
        let together = logits(&training, sample);
        let alone = sample.branches.iter().map(|branch| {
            let mut tokens: Vec<_> = sample.prefix.iter().map(|token| (*token, false)).collect();
            tokens.extend(&branch.tokens);
            logits(
                &training,
                &Sample {
                    pictures: sample.pictures.clone(),
                    prefix: Vec::new(),
                    branches: vec![Branch { tokens }],
                    words: Default::default(),
                },
            )
        });
        let alone = Tensor::cat(&alone.collect::<Vec<_>>(), 0);
        assert!(distance(&together, &alone) < TOLERANCE);
    }
}

#[test]
fn a_letter_is_asked_for_behind_the_answer_in_words() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let training = begin(Shape::Vila, data.path(), folder.path());
    let [sample] = training.samples[&Source::Choices].as_slice() else {
        panic!("one record has options");
    };
    let [branch] = sample.branches.as_slice() else {
        panic!("one question has options");
    };
    let tokenizer = tokenizer(folder.path()).unwrap();
    let said = |wanted: bool| {
        let of_kind = branch.tokens.iter().filter(|(_, learnt)| *learnt == wanted);
        let ids: Vec<u32> = of_kind
            .filter_map(|(token, _)| match token {
                PromptToken::Text(id) => Some(*id),
                PromptToken::Picture(_) => None,
            })
            .collect();
        tokenizer.decode(&ids, false).unwrap()
    };
    assert_eq!(said(true), "square</s> B</s>");
    assert!(
        said(false).ends_with(&format!("USER: {OPTIONS} ASSISTANT:")),
        "{}",
        said(false)
    );
}

#[test]
fn a_question_is_worded_as_evaluation_words_it() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let training = begin(Shape::Vila, data.path(), folder.path());
    let to = folder.path().join("mini-vila1.5");
    let values: Vec<&Tensor> = training
        .model
        .parameters
        .list
        .iter()
        .map(|parameter| &parameter.value)
        .collect();
    export::checkpoint(&to, &training.model, &values, &tokenizer(folder.path()).unwrap()).unwrap();
    let settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Auto);
    let adapter = VilaAdapter::open(&Checkpoint::open(&to).unwrap(), settings).unwrap();
    let prompt = adapter.prompt_tokens(&request(&[data.path().join("0.png")])).unwrap();
    let sample = &training.samples[&Source::Instruct][0];
    let branch = &sample.branches[0].tokens;
    let asked: Vec<PromptToken> = sample
        .prefix
        .iter()
        .copied()
        .chain(branch.iter().filter(|(_, learnt)| !learnt).map(|(token, _)| *token))
        .collect();
    assert_eq!(asked, prompt);
    let learnt: Vec<u32> = branch
        .iter()
        .filter_map(|(token, learnt)| match token {
            PromptToken::Text(id) if *learnt => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(adapter.tokenizer().decode(&learnt).unwrap(), "yes");
    assert_eq!(learnt.last().copied(), adapter.tokenizer().eos());
    // Digits stand alone, words are whole.
    let texts = [("12", 3), ("circle", 1), ("There is a circle.", 5)];
    for (text, tokens) in texts {
        assert_eq!(adapter.tokenizer().encode(text).unwrap().len(), tokens + 1, "{text}");
    }
}

#[test]
fn a_training_that_was_broken_off_ends_as_one_that_was_not() {
    tch::set_num_threads(1);
    let data = data();
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut unbroken = begin(Shape::Vila, data.path(), whole.path());
    unbroken.run(&sitting(None)).unwrap();
    begin(Shape::Vila, data.path(), broken.path())
        .run(&sitting(Some(3)))
        .unwrap();
    let mut resumed = Training::resume(broken.path(), None).unwrap();
    assert_eq!(resumed.progress.step, 3);
    resumed.run(&sitting(None)).unwrap();
    assert_eq!(resumed.progress.step, 4);
    assert_eq!(resumed.progress.drawn, unbroken.progress.drawn);
    let pairs = resumed
        .model
        .parameters
        .list
        .iter()
        .zip(&unbroken.model.parameters.list);
    for ((one, other), (ours, theirs)) in pairs.zip(resumed.moments.iter().zip(&unbroken.moments)) {
        assert_eq!(one.value, other.value, "{}", one.name);
        assert_eq!(ours.first, theirs.first, "{}", one.name);
        assert_eq!(ours.second, theirs.second, "{}", one.name);
        assert_eq!(ours.average, theirs.average, "{}", one.name);
        assert_eq!(ours.steps, theirs.steps, "{}", one.name);
    }
    let rows = |folder: &Path| fs::read_to_string(folder.join("loss.csv")).unwrap().lines().count();
    assert_eq!((rows(whole.path()), rows(broken.path())), (5, 5));
}

#[test]
fn a_frozen_module_stands_still() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let mut training = begin(Shape::Vila, data.path(), folder.path());
    let values = |training: &Training| -> Vec<Tensor> {
        training
            .model
            .parameters
            .list
            .iter()
            .map(|parameter| parameter.value.detach().copy())
            .collect()
    };
    training.run(&sitting(Some(1))).unwrap();
    let before = values(&training);
    training.run(&sitting(Some(2))).unwrap();
    for ((parameter, before), after) in training
        .model
        .parameters
        .list
        .iter()
        .zip(&before)
        .zip(&values(&training))
    {
        let moved = parameter.part == crate::parameters::Part::Projector;
        assert_eq!(before != after, moved, "{:?} {}", parameter.part, parameter.name);
    }
}
