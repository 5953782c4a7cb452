//! A run that is cut or shared out comes to the same answers and the same score as one that is not.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{DEMO, MODELS, answers, arguments, folder, results, run, suite};
use crate::command::command;

#[test]
fn a_killed_run_goes_on_to_the_answers_of_a_whole_one() {
    for model in MODELS {
        let out = tempfile::tempdir().unwrap();
        let run_folder = folder(out.path(), model, "vqav2");
        // Slow enough to be caught in the middle.
        let slowly = ["--one-at-a-time", "--no-dedupe"];
        let mut child = command()
            .args(arguments(model, "vqav2", &suite(), out.path(), &slowly))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let journal = run_folder.join("predictions.jsonl");
        let lines = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
        let start = Instant::now();
        while lines() < 5 {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "no answers after two minutes"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = lines();
        assert!(kept < 160, "killed too late to show anything");
        let ran = run(model, "vqav2", &suite(), out.path(), &[]);
        assert!(ran.stderr.contains(" of 160 already answered"), "{}", ran.stderr);
        assert_eq!(lines(), 160, "nothing that was journalled is asked again");
        let whole = folder(&DEMO.out, model, "vqav2");
        assert_eq!(answers(&run_folder), answers(&whole), "{model}");
        assert_eq!(results(&run_folder), results(&whole), "{model}");
    }
}

#[test]
fn shards_merge_to_a_whole_run() {
    // MMBench's rotations are one scoring group.
    for (model, task) in [("mini-vila", "mmbench"), ("mini-llava", "gqa")] {
        let out = tempfile::tempdir().unwrap();
        for shard in ["2/3", "0/3", "1/3"] {
            let ran = run(model, task, &suite(), out.path(), &["--shard", shard]);
            assert!(ran.stderr.contains(" answered, "), "{shard}: {}", ran.stderr);
        }
        let (merged, whole) = (folder(out.path(), model, task), folder(&DEMO.out, model, task));
        assert!(!merged.join("predictions.jsonl").exists());
        assert_eq!(answers(&merged), answers(&whole), "{model} {task}");
        assert_eq!(results(&merged), results(&whole), "{model} {task}");
    }
}
