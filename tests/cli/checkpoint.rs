//! `run` and `inspect` on the tiny checkpoints of the repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::{Ran, fixtures, vila_bench};

fn arguments(model: &Path, data: &Path, out: &Path) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let words = ["run", "--tasks", "pope", "--max-new-tokens", "4", "--model"].map(str::to_owned);
    words
        .into_iter()
        .chain([
            path(model),
            "--data".to_owned(),
            path(data),
            "--out".to_owned(),
            path(out),
        ])
        .collect()
}

fn run(model: &str, data: &Path, out: &Path, more: &[&str]) -> Ran {
    let model = fixtures().join("checkpoints").join(model);
    let args = arguments(&model, data, out);
    vila_bench(args.iter().map(String::as_str).chain(more.iter().copied()))
}

fn demo() -> PathBuf {
    fixtures().join("pope-demo")
}

fn demo_copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    crate::command::copy_folder(&demo(), copy.path());
    copy
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn results(out: &Path, model: &str) -> serde_json::Value {
    let text = read(&out.join(model).join("pope@coco-144/results.json"));
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document.as_object_mut().unwrap().remove("timings");
    document
}

#[test]
fn both_layouts_answer_the_demo() {
    for model in ["tiny-vila15", "tiny-llava-hf"] {
        let out = tempfile::tempdir().unwrap();
        let ran = run(model, &demo(), out.path(), &[]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let found = results(out.path(), model);
        assert_eq!(found["answered"], 144);
        let manifest = read(&out.path().join(model).join("pope@coco-144/manifest.json"));
        for part in [
            "\"dtype\": \"float32\"",
            "\"conv-template\":",
            "safetensors",
            "\"device\": \"cpu\"",
        ] {
            assert!(manifest.contains(part), "{model}: {part}");
        }
    }
}

/// Starts a run and waits until its journal holds some answers.
fn started(model: &Path, out: &Path) -> std::process::Child {
    let child = crate::command::command()
        .args(arguments(model, &demo(), out))
        // Slow enough to be caught in the middle.
        .args(["--batch-size", "1", "--no-dedupe"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let journal = out.join("tiny-vila15/pope@coco-144/predictions.jsonl");
    let start = Instant::now();
    while std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 5 {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no answers after two minutes"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_killed_run_resumes_to_the_same_results() {
    let model = fixtures().join("checkpoints/tiny-vila15");
    let whole = tempfile::tempdir().unwrap();
    run("tiny-vila15", &demo(), whole.path(), &[]);
    let killed = tempfile::tempdir().unwrap();
    let mut child = started(&model, killed.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = killed.path().join("tiny-vila15/pope@coco-144/predictions.jsonl");
    let before = read(&journal).lines().count();
    assert!(before < 144, "killed too late to show anything");
    let resumed = run("tiny-vila15", &demo(), killed.path(), &[]);
    assert_eq!(resumed.status, 0, "{}", resumed.stderr);
    assert_eq!(
        results(killed.path(), "tiny-vila15"),
        results(whole.path(), "tiny-vila15")
    );
    assert_eq!(
        read(&journal).lines().count(),
        144,
        "nothing that was journalled is asked again"
    );
}

#[test]
fn an_interrupt_ends_cleanly_with_what_was_reached() {
    let out = tempfile::tempdir().unwrap();
    let child = started(&fixtures().join("checkpoints/tiny-vila15"), out.path());
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("stopping; press Ctrl-C again"), "{}", ran.stderr);
    assert_eq!(results(out.path(), "tiny-vila15")["partial"], true);
}

#[test]
fn broken_and_missing_pictures_fail_their_samples_only() {
    let data = demo_copy();
    let out = tempfile::tempdir().unwrap();
    let pictures = data.path().join("pope/val2014");
    let name = |n: usize| pictures.join(format!("COCO_val2014_00000090000{n}.jpg"));
    std::fs::remove_file(name(1)).unwrap();
    let whole = std::fs::read(name(2)).unwrap();
    std::fs::write(name(2), whole.get(..whole.len() / 2).unwrap()).unwrap();
    std::fs::write(name(3), huge_png()).unwrap();
    let ran = run("tiny-vila15", data.path(), out.path(), &[]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let found = results(out.path(), "tiny-vila15");
    assert_eq!((&found["failed"], &found["answered"]), (&54.into(), &90.into()));
    let journal = read(&out.path().join("tiny-vila15/pope@coco-144/predictions.jsonl"));
    for part in ["picture missing", "truncated", "50000"] {
        assert!(journal.contains(part), "no failure says `{part}`");
    }
    let strict = run("tiny-vila15", data.path(), &out.path().join("strict"), &["--strict"]);
    assert_eq!(strict.status, 2);
    assert!(strict.error().starts_with("--strict: sample"), "{}", strict.stderr);
}

/// A PNG that claims 50,000 x 50,000 pixels and holds none.
fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend([50_000_u32.to_be_bytes(), 50_000_u32.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    png.extend(13_u32.to_be_bytes());
    png.extend(&header);
    png.extend(crc32fast::hash(&header).to_be_bytes());
    png
}

#[test]
fn a_picture_name_that_leaves_the_folder_fails_its_sample() {
    let data = demo_copy();
    let out = tempfile::tempdir().unwrap();
    for category in ["random", "popular", "adversarial"] {
        let labels = data.path().join(format!("pope/coco/coco_pope_{category}.json"));
        let text = read(&labels).replace("COCO_val2014_000000900001.jpg", "../../../etc/passwd.jpg");
        std::fs::write(&labels, text).unwrap();
    }
    let ran = run("tiny-vila15", data.path(), out.path(), &[]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("leaves the data folder"), "{}", ran.stderr);
}

#[test]
fn no_picture_at_all_is_one_error_with_the_remedy() {
    let data = demo_copy();
    let out = tempfile::tempdir().unwrap();
    std::fs::remove_dir_all(data.path().join("pope/val2014")).unwrap();
    let ran = run("tiny-vila15", data.path(), out.path(), &[]);
    assert_eq!(ran.status, 2);
    for part in ["none of the 8 pictures", "looked in", "val2014", "--images"] {
        assert!(ran.error().contains(part), "{}", ran.stderr);
    }
    let elsewhere = run(
        "tiny-vila15",
        data.path(),
        out.path(),
        &["--images", demo().join("pope/val2014").to_str().unwrap()],
    );
    assert_eq!(elsewhere.status, 0, "{}", elsewhere.stderr);
}

#[test]
fn cuda_where_there_is_none_is_one_line() {
    if Path::new("/proc/driver/nvidia/version").exists() {
        crate::command::skip(
            "cuda_where_there_is_none_is_one_line",
            "this machine has an NVIDIA driver",
        );
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let ran = run("tiny-vila15", &demo(), out.path(), &["--device", "cuda:1"]);
    assert_eq!(ran.status, 2);
    assert!(ran.error().contains("cannot use `cuda:1`"), "{}", ran.stderr);
    let on_cpu = run("tiny-vila15", &demo(), out.path(), &["--limit", "3"]);
    assert_eq!(
        on_cpu.status, 0,
        "what failed to start claims no folder: {}",
        on_cpu.stderr
    );
}

#[test]
fn sixteen_bit_dtypes_run_and_are_another_run() {
    let out = tempfile::tempdir().unwrap();
    for dtype in ["float16", "bfloat16"] {
        let ran = run(
            "tiny-vila15",
            &demo(),
            &out.path().join(dtype),
            &["--dtype", dtype, "--limit", "6"],
        );
        assert_eq!(ran.status, 0, "{dtype}: {}", ran.stderr);
    }
    let ran = run("tiny-vila15", &demo(), &out.path().join("float16"), &[]);
    assert!(
        ran.error().contains("dtype was `float16`, is `float32`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn broken_checkpoints_are_named() {
    let out = tempfile::tempdir().unwrap();
    type Damage = fn(&Path);
    let cases: &[(&str, Damage, &[&str])] = &[
        (
            "tiny-vila15",
            |folder| std::fs::remove_file(folder.join("config.json")).unwrap(),
            &["config.json"],
        ),
        (
            "tiny-vila15",
            |folder| {
                let path = folder.join("llm/config.json");
                let mut config: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
                config
                    .as_object_mut()
                    .unwrap()
                    .insert("num_hidden_layers".to_owned(), "two".into());
                std::fs::write(&path, config.to_string()).unwrap();
            },
            &["llm/config.json", "num_hidden_layers"],
        ),
        (
            "tiny-llava-hf",
            |folder| std::fs::remove_file(folder.join("model-00002-of-00002.safetensors")).unwrap(),
            &["model-00002-of-00002.safetensors"],
        ),
        (
            "tiny-vila15",
            |folder| {
                let path = folder.join("mm_projector/model.safetensors");
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.splice(0..8, u64::MAX.to_le_bytes());
                std::fs::write(&path, bytes).unwrap();
            },
            &["mm_projector/model.safetensors"],
        ),
    ];
    for (model, damage, parts) in cases {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(model);
        crate::command::copy_folder(&fixtures().join("checkpoints").join(model), &copy);
        damage(&copy);
        for ran in [
            vila_bench(arguments(&copy, &demo(), out.path())),
            vila_bench(["inspect".to_owned(), copy.display().to_string()]),
        ] {
            assert_eq!(ran.status, 2, "{model} {parts:?}: {}", ran.stderr);
            assert!(
                parts.iter().all(|part| ran.error().contains(part)),
                "{parts:?}: {}",
                ran.stderr
            );
        }
    }
}

#[test]
fn inspect_shows_what_the_loader_sees() {
    for model in ["tiny-vila15", "tiny-llava-hf"] {
        let folder = fixtures().join("checkpoints").join(model);
        let ran = vila_bench(["inspect", folder.to_str().unwrap()]);
        insta::assert_snapshot!(format!("inspect_{model}"), ran.shown(&[(&fixtures(), "FIXTURES")]));
    }
}

/// Question id to answer and to the question that it repeats.
fn journal(out: &Path) -> BTreeMap<String, (String, Option<String>)> {
    let text = read(&out.join("tiny-vila15/pope@coco-144/predictions.jsonl"));
    let entry = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| entry[name].as_str().map(str::to_owned);
        (field("id").unwrap(), (field("answer").unwrap(), field("repeats")))
    };
    text.lines().map(entry).collect()
}

#[test]
fn answers_do_not_depend_on_how_they_are_batched() {
    let answers = |more: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let ran = run("tiny-vila15", &demo(), out.path(), more);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        journal(out.path())
    };
    let reference = answers(&["--one-at-a-time", "--no-dedupe"]);
    assert!(reference.values().all(|(_, repeats)| repeats.is_none()));
    for more in [
        &[][..],
        &["--no-dedupe"],
        &["--batch-size", "1"],
        &["--batch-size", "7"],
        &["--fast"],
    ] {
        let batched = answers(more);
        assert_eq!(batched.len(), reference.len());
        for (id, (answer, repeats)) in batched {
            assert_eq!(answer, reference[&id].0, "{id} with {more:?}");
            if let Some(repeated) = repeats {
                assert!(!more.contains(&"--no-dedupe"));
                assert_eq!(answer, reference[&repeated].0, "{id} repeats {repeated}");
            }
        }
    }
}

#[test]
fn a_run_says_what_it_saved_and_what_it_asked_twice() {
    let out = tempfile::tempdir().unwrap();
    let ran = run("tiny-vila15", &demo(), out.path(), &[]);
    // 144 questions, some of them the same for several categories; 8 are measured, the first time only.
    let repeated = journal(out.path())
        .values()
        .filter(|(_, repeats)| repeats.is_some())
        .count();
    assert!(repeated > 0);
    assert!(ran.stderr.contains(&format!("{repeated} repeated")), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("asked alone as well: 8 questions"),
        "{}",
        ran.stderr
    );
    let results = read(&out.path().join("tiny-vila15/pope@coco-144/results.json"));
    let document: serde_json::Value = serde_json::from_str(&results).unwrap();
    let work = &document["timings"]["report"]["work"];
    assert_eq!(
        (&work["tower_forwards"], &work["repeats"]),
        (&8.into(), &repeated.into())
    );

    let again = run("tiny-vila15", &demo(), out.path(), &["--fresh"]);
    assert!(!again.stderr.contains("asked alone as well: 8"), "{}", again.stderr);
}

#[test]
fn doctor_compares_this_build_with_the_references() {
    let ran = vila_bench(["doctor", "--parity"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    for name in model_adapters::variants::VARIANTS.iter().map(|variant| variant.golden) {
        let line = ran.stdout.lines().find(|line| line.contains(&format!(" {name} ")));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words.get(1..4), Some(["5", "8", "8"].as_slice()), "{}", ran.stdout);
        assert_eq!(words.last(), Some(&"nothing"), "{}", ran.stdout);
    }
    let model = fixtures().join("checkpoints/tiny-vila15").display().to_string();
    let no_dump = fixtures()
        .join("checkpoints/tiny-vila15/llm/model.safetensors")
        .display()
        .to_string();
    let ran = vila_bench(["doctor", "--parity", &model, "--reference", &no_dump]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr
            .contains("is no parity dump of format 1; make it with `tests/oracle/dump.py`"),
        "{}",
        ran.stderr
    );
}

/// What `--dtype int4` keeps is a matter of memory: the answers are those of the weights de-quantised on load.
#[test]
fn four_bits_answer_as_what_they_stand_for() {
    for model in ["tiny-vila1.5-3b-awq", "tiny-vila-7b-awq", "tiny-llava-hf-awq"] {
        let answers = |dtype: &str| {
            let out = tempfile::tempdir().unwrap();
            let ran = run(model, &demo(), out.path(), &["--dtype", dtype, "--limit", "12"]);
            assert_eq!(ran.status, 0, "{model}: {}", ran.stderr);
            let journal = read(&out.path().join(model).join("pope@coco-144/predictions.jsonl"));
            let answer = |line: &str| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                (entry["id"].to_string(), entry["answer"].to_string())
            };
            journal.lines().map(answer).collect::<BTreeMap<_, _>>()
        };
        let wide = answers("float32");
        assert!(wide.len() >= 12);
        assert_eq!(answers("int4"), wide, "{model}");
    }
}

#[test]
fn four_bits_are_for_awq_checkpoints() {
    let out = tempfile::tempdir().unwrap();
    let ran = run("tiny-vila15", &demo(), out.path(), &["--dtype", "int4"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr
            .contains("`int4` keeps the four bits of an AWQ checkpoint, but `"),
        "{}",
        ran.stderr
    );
}
