//! `report`: the page in a real browser: filters, search, a sample in full, comparison, keyboard, hostile text, size.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::browser::Browser;
use crate::command::{Ran, answer_line, demo_answers, fixtures, reference_data, vila_bench};

const DESKTOP: u32 = 1280;

/// A run of replayed answers to the demo's 144 questions, kept under `root/<name>`.
fn replayed(root: &Path, name: &str, answer: impl Fn(usize) -> Option<String>) -> PathBuf {
    replayed_with(root, name, answer, &[])
}

fn replayed_with(root: &Path, name: &str, answer: impl Fn(usize) -> Option<String>, more: &[&str]) -> PathBuf {
    let answers = demo_answers(|n, id| answer(n).map(|text| answer_line(id, &text)).into_iter().collect());
    let model = root.join(format!("{name}.jsonl"));
    std::fs::copy(answers.path(), &model).unwrap();
    let (data, out) = (fixtures().join("pope-demo"), root.join("runs"));
    let mut args: Vec<String> = ["run", "--tasks", "pope", "--data"].map(str::to_owned).to_vec();
    args.push(data.display().to_string());
    args.extend(["--model".to_owned(), model.display().to_string()]);
    args.extend(["--out".to_owned(), out.display().to_string()]);
    args.extend(more.iter().map(|&text| text.to_owned()));
    let ran = vila_bench(&args);
    assert!(ran.status == 0 || ran.status == 3, "{}", ran.stderr);
    out.join(name)
}

/// Right on two questions in three.
fn good(n: usize) -> Option<String> {
    let yes = n.is_multiple_of(2) != n.is_multiple_of(3);
    Some(if yes { "Yes" } else { "No" }.to_owned())
}

fn report(runs: &[&Path], out: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["report".to_owned()];
    args.extend(runs.iter().map(|run| run.display().to_string()));
    args.extend(["--out".to_owned(), out.display().to_string()]);
    args.extend(more.iter().map(|&text| text.to_owned()));
    vila_bench(args)
}

fn written(runs: &[&Path], out: &Path, more: &[&str]) -> PathBuf {
    let ran = report(runs, out, more);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let index = out.join("index.html");
    assert_eq!(ran.stdout, format!("{}\n", index.display()));
    index
}

#[test]
fn filters_search_and_keys_lead_to_samples() {
    let Some(browser) = Browser::find("filters_search_and_keys_lead_to_samples") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let run = replayed(root.path(), "good", good);
    let page = written(&[&run], &root.path().join("page"), &[]);
    let found = browser.ask(&page, DESKTOP, &[], include_str!("report/filters.js"));
    assert_eq!(found["all"], "144 of 144 samples");
    assert!(found["drawn"].as_u64().unwrap() < 40, "{found}");
    let number = |name: &str| {
        let text = found[name].as_str().unwrap();
        text.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(number("wrong") + number("right"), 144, "{found}");
    assert_eq!(number("popular"), 48);
    assert!(
        (1..48).contains(&number("searched")) && found["hits"] == true,
        "{found}"
    );
    assert_eq!(found["nothing"][0], "0 of 144 samples");
    assert_eq!(found["nothing"][1], "no sample passes these filters");
    assert_eq!(found["second"][0], "2");
    assert!(found["second"][1].as_str().unwrap().starts_with("random/"), "{found}");
    assert_eq!(found["last"], "144");
    assert!(found["last_drawn"].as_u64().unwrap() < 40, "{found}");
    assert_eq!(
        (&found["paged"], &found["typing_moves_nothing"]),
        (&true.into(), &true.into())
    );
    assert_eq!((&found["focus"], &found["back"]), (&"query".into(), &"list".into()));
    for part in ["Is there a", "reference", "answer", "good", "prompt"] {
        assert!(found["detail"].as_str().unwrap().contains(part), "{part}: {found}");
    }
    assert_eq!(found["picture"], "data:image/jpeg;base64,");
    assert!(found["thumbnails"].as_u64().unwrap() > 3, "{found}");
    assert_eq!(found["hidden"], serde_json::json!([true, true]));
    assert_eq!(found["unflipped"], false);
}

#[test]
fn flips_come_first_and_the_comparison_leads_to_them() {
    let Some(browser) = Browser::find("flips_come_first_and_the_comparison_leads_to_them") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let base = replayed(root.path(), "good", good);
    let worse = replayed(root.path(), "worse", |n| if n % 8 < 5 { good(n + 1) } else { good(n) });
    let page = written(&[&base, &worse], &root.path().join("page"), &[]);
    let ran = vila_bench([
        "compare",
        &base.display().to_string(),
        &worse.display().to_string(),
        "--format",
        "json",
    ]);
    let compared: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let flips = |name: &str| compared["benchmarks"][0][name].as_array().unwrap().len();
    let found = browser.ask(&page, DESKTOP, &[], include_str!("report/flips.js"));
    let (wrong, right) = (flips("became_wrong"), flips("became_right"));
    let words = format!("{wrong} became wrong");
    assert_eq!(
        found["buttons"],
        serde_json::json!([words, format!("{right} became right")])
    );
    assert_eq!(
        found["wrong"],
        serde_json::json!([format!("{wrong} of 144 samples"), "became-wrong", "list"])
    );
    assert_eq!(found["right"], format!("{right} of 144 samples"));
    assert_eq!(
        found["first"].as_str().unwrap().replace('\n', " "),
        "✗ wrong was ✓ right"
    );
    assert_eq!(found["run"], "worse");
    assert_eq!(found["of_base"], serde_json::json!(["144 of 144 samples", "all"]));
    assert_eq!(found["runs_in_detail"], serde_json::json!(["good", "worse"]));
    assert!(found["comparison"].as_str().unwrap().contains("regression"), "{found}");
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    let Some(browser) = Browser::find("hostile_text_is_shown_and_does_nothing") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let long = "x".repeat(1 << 20);
    let answers = [
        "Yes </script><script>window.owned = 1</script> <!-- ]]>".to_owned(),
        "No <img src=\"nowhere\" onerror=\"window.owned = 2\"> & {{ 7 * 6 }}".to_owned(),
        "Yes \u{1b}[31mred \u{202e}txet\u{2066} \u{7}\nsecond line".to_owned(),
        long,
    ];
    // A model's name is data too.
    let name = "evil<img src=nowhere onerror=window.owned=3>";
    let evil = replayed(root.path(), name, move |n| {
        answers.get(n % 50).cloned().or_else(|| good(n))
    });
    let page = written(&[&evil], &root.path().join("page"), &[]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{2066}', '\u{7}']));
    let found = browser.ask(&page, DESKTOP, &[], include_str!("report/hostile.js"));
    assert_eq!(
        (&found["owned"], &found["pictures"]),
        (&serde_json::Value::Null, &0.into())
    );
    assert_eq!(found["scripts"], 3, "data, page, this test");
    assert_eq!(found["run"], name);
    let said = |place: usize| found["said"][place].as_str().unwrap().to_owned();
    assert!(
        said(0).contains("</script><script>window.owned = 1</script> <!-- ]]>"),
        "{found}"
    );
    assert!(
        said(1).contains("<img src=\"nowhere\"") && said(1).contains("{{ 7 * 6 }}"),
        "{found}"
    );
    assert_eq!(said(2), "Yes \\u{1b}[31mred \\u{202e}txet\\u{2066} \\u{7}\nsecond line");
    assert!(said(3).ends_with("show all 1,048,576 letters") && said(3).len() < 2100);
    assert_eq!(found["all"], 1 << 20);
    assert!(found["longest_in_list"].as_u64().unwrap() < 1000, "{found}");
}

/// WCAG 2.1, 1.4.3: text against its ground; 1.3.1 and 4.1.2: every field has a name.
#[test]
fn text_has_contrast_and_fields_have_names_in_both_schemes() {
    let Some(browser) = Browser::find("text_has_contrast_and_fields_have_names_in_both_schemes") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let runs: Vec<PathBuf> = [5, 3, 2]
        .iter()
        .map(|&k| {
            replayed(root.path(), &format!("checkpoint-{}", 6000 / k), |n| {
                if n % k == 1 { good(n + 1) } else { good(n) }
            })
        })
        .collect();
    let runs: Vec<&Path> = runs.iter().map(PathBuf::as_path).collect();
    let page = written(&runs, &root.path().join("page"), &[]);
    for (scheme, value) in [("light", "1"), ("dark", "0")] {
        let found = browser.ask(
            &page,
            DESKTOP,
            &[&format!("--blink-settings=preferredColorScheme={value}")],
            include_str!("report/contrast.js"),
        );
        assert_eq!(found["dark"], scheme == "dark");
        assert!(found["texts"].as_u64().unwrap() > 200, "{found}");
        assert_eq!(found["low"], serde_json::json!([]), "{scheme}");
        assert_eq!(found["unnamed"], serde_json::json!([]));
        assert_eq!(found["without_alternative"], 0);
        assert_eq!(found["curve"], "pope coco-144: headline over checkpoints");
        assert_eq!(found["steps"], serde_json::json!(["1200", "2000", "3000"]));
        assert_eq!(found["wide"], 0);
    }
}

/// 390 pixels wide, in a frame, as a window cannot be made that narrow.
#[test]
fn a_phone_shows_the_list_and_opens_a_sample_over_it() {
    let Some(browser) = Browser::find("a_phone_shows_the_list_and_opens_a_sample_over_it") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let run = replayed(root.path(), "good", good);
    let page = written(&[&run], &root.path().join("page"), &[]);
    let inner = std::fs::read_to_string(&page).unwrap();
    let outer = root.path().join("page/phone.html");
    let inner = inner.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!("<iframe srcdoc=\"{inner}\" style=\"width: 390px; height: 844px; border: 0\"></iframe>");
    std::fs::write(&outer, format!("<!doctype html><body>{frame}</body>")).unwrap();
    let found = browser.ask(
        &outer,
        DESKTOP,
        &["--virtual-time-budget=5000"],
        include_str!("report/phone.js"),
    );
    assert_eq!(found["wide"], 0, "nothing sticks out");
    assert_eq!(found["closed"], "none");
    assert_eq!(found["open"], serde_json::json!(["block", "fixed", "detail"]));
    assert_eq!(found["again"], serde_json::json!(["none", "list"]));
}

/// 20,000 questions about 200 pictures of noise, whose thumbnails are too many bytes for the page.
#[test]
fn twenty_thousand_samples_stay_fluent() {
    let Some(browser) = Browser::find("twenty_thousand_samples_stay_fluent") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let runs = ["base", "candidate"].map(|name| root.path().join(name));
    many(root.path(), &runs);
    let data = root.path().join("data").display().to_string();
    let out = root.path().join("page");
    let page = written(&[&runs[0], &runs[1]], &out, &["--data", &data]);
    let pictures = std::fs::read_dir(out.join("pictures")).unwrap().count();
    assert_eq!(pictures, 200);
    let size = std::fs::metadata(&page).unwrap().len();
    assert!(size < 8 << 20, "{size} bytes");
    let empty = root.path().join("empty.html");
    std::fs::write(&empty, "<!doctype html><title>empty</title><body></body>").unwrap();
    let load = |page: &Path, script: &str| {
        let asked = (0..5).map(|_| browser.ask(page, DESKTOP, &[], script));
        let mut times: Vec<(f64, serde_json::Value)> =
            asked.map(|found| (found["loaded"].as_f64().unwrap(), found)).collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        times.swap_remove(2)
    };
    let (nothing, _) = load(&empty, "found.loaded = performance.now();");
    let (loaded, found) = load(&page, include_str!("report/many.js"));
    eprintln!("20,000 samples: empty page {nothing:.0} ms, loaded {loaded:.0} ms, {found}");
    assert_eq!(found["all"], "20,000 of 20,000 samples");
    for what in ["search", "outcome", "run", "end"] {
        let time = found[what].as_f64().unwrap();
        assert!(time < 200.0, "{what} took {time} ms");
    }
    assert!(found["drawn"].as_u64().unwrap() < 40, "{found}");
    assert!(
        loaded < 20.0 * nothing.max(50.0),
        "loaded in {loaded} ms, an empty page in {nothing} ms"
    );
}

/// Questions in POPE's form with pictures beside them, and two scored runs.
fn many(root: &Path, runs: &[PathBuf; 2]) {
    let coco = root.join("data/pope/coco");
    let val = root.join("data/pope/val2014");
    std::fs::create_dir_all(&coco).unwrap();
    std::fs::create_dir_all(&val).unwrap();
    let mut answers = [String::new(), String::new()];
    let mut n = 0;
    for (category, count) in [("random", 6666), ("popular", 6667), ("adversarial", 6667)] {
        let mut lines = String::new();
        for row in 0..count {
            let image = format!("COCO_val2014_{:012}.jpg", row % 200);
            let object = format!("{} thing {}", ["dog", "cat", "red"][row % 3], row / 200);
            let label = if row % 2 == 0 { "yes" } else { "no" };
            let question = format!("Is there a {object} in the image?");
            let line = serde_json::json!({"question_id": row + 1, "image": image, "text": question, "label": label});
            writeln!(lines, "{line}").unwrap();
            let id = format!("{category}/{}/{object}", image.trim_end_matches(".jpg"));
            for (run, answers) in answers.iter_mut().enumerate() {
                let right = (n + run) % 5 != 0;
                let said = if right == (label == "yes") {
                    "Yes, it is there"
                } else {
                    "No"
                };
                writeln!(answers, "{}", answer_line(&id, said)).unwrap();
            }
            n += 1;
        }
        std::fs::write(coco.join(format!("coco_pope_{category}.json")), lines).unwrap();
    }
    for picture in 0..200_u32 {
        std::fs::write(val.join(format!("COCO_val2014_{picture:012}.jpg")), noise(picture)).unwrap();
    }
    for (run, answers) in runs.iter().zip(answers) {
        let file = root.join("answers.jsonl");
        std::fs::write(&file, answers).unwrap();
        let args = ["score", "--task", "pope", "--data"].map(str::to_owned);
        let mut args = args.to_vec();
        args.push(root.join("data").display().to_string());
        args.extend(["--answers".to_owned(), file.display().to_string()]);
        args.extend(["--out".to_owned(), run.display().to_string()]);
        let ran = vila_bench(args);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
}

/// A BMP file of 256 × 256 pixels that JPEG cannot make small.
fn noise(seed: u32) -> Vec<u8> {
    let (size, pixels) = (256_u32, 256 * 256 * 3);
    let mut file = b"BM".to_vec();
    for field in [
        54 + pixels,
        0,
        54,
        40,
        size,
        size,
        1 | 24 << 16,
        0,
        pixels,
        2835,
        2835,
        0,
        0,
    ] {
        file.extend(field.to_le_bytes());
    }
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    file.extend((0..pixels).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    }));
    file
}

#[test]
fn a_page_without_pictures_says_so_and_a_broken_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let run = replayed(root.path(), "good", good);
    let data = root.path().join("data");
    crate::command::copy_folder(&fixtures().join("pope-demo"), &data);
    let pictures: Vec<PathBuf> = find_pictures(&data);
    assert_eq!(pictures.len(), 8);
    std::fs::write(&pictures[0], b"\xff\xd8\xff no picture").unwrap();
    std::fs::remove_file(&pictures[1]).unwrap();
    let data = data.display().to_string();
    let out = root.path().join("page");
    let ran = report(&[&run], &out, &["--data", &data]);
    assert!(ran.stderr.contains("6 of 8 pictures, in the page"), "{}", ran.stderr);
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Some pictures are not at hand") && page.contains("corrupt JPEG file"));
    assert!(page.contains("picture missing: `"));
    let elsewhere = root.path().join("elsewhere").display().to_string();
    let ran = report(&[&run], &out, &["--data", &elsewhere]);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.error().contains("elsewhere"), "{}", ran.stderr);
}

/// A picture of the demo.
fn demo_picture(n: usize) -> Vec<u8> {
    let name = format!("pope-demo/pope/val2014/COCO_val2014_00000090000{n}.jpg");
    std::fs::read(fixtures().join(name)).unwrap()
}

/// The report on replayed answers to data of the benchmark `task` in `data`: what it says of pictures, and the page.
fn of_data(task: &str, data: &Path, ids: &[String]) -> (String, String) {
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("m.jsonl");
    let lines: Vec<String> = ids.iter().map(|id| answer_line(id, "Yes")).collect();
    std::fs::write(&model, lines.join("\n")).unwrap();
    let out = root.path().join("runs");
    let [model, data] = [&model, data].map(|path| path.display().to_string());
    let args = ["run", "--tasks", task, "--model", &model, "--data", &data, "--out"];
    let ran = vila_bench(args.into_iter().chain([out.to_str().unwrap()]));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = root.path().join("page");
    let ran = report(&[&out.join("m")], &page, &[]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    (ran.stderr, std::fs::read_to_string(page.join("index.html")).unwrap())
}

#[test]
fn pictures_in_a_table_of_base64_have_thumbnails() {
    use base64::Engine as _;
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mmbench");
    std::fs::create_dir(&folder).unwrap();
    let mut text = "index\tquestion\tA\tB\tanswer\tcategory\timage\tsplit\n".to_owned();
    for n in 1..=3 {
        let picture = base64::engine::general_purpose::STANDARD.encode(demo_picture(n));
        writeln!(text, "{n}\tWhat is it?\tmug\tcat\tA\tobject\t{picture}\tdev").unwrap();
    }
    std::fs::write(folder.join("mmbench_dev_20230712.tsv"), text).unwrap();
    let (said, page) = of_data("mmbench", data.path(), &["1", "2", "3"].map(str::to_owned));
    assert!(said.contains("3 of 3 pictures, in the page"), "{said}");
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 3);
}

#[test]
fn pictures_in_parquet_have_thumbnails() {
    use polars::prelude::*;
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("POPE/data");
    std::fs::create_dir_all(&folder).unwrap();
    let categories = ["random", "popular", "adversarial"];
    let column = |name: &str, value: &dyn Fn(usize) -> String| {
        Column::new(name.into(), (1..=3).map(value).collect::<Vec<String>>())
    };
    let bytes: Vec<Option<Vec<u8>>> = (1..=3).map(|n| Some(demo_picture(n))).collect();
    let names: Vec<Option<String>> = vec![None; 3];
    let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), names)];
    let image = StructChunked::from_series("image".into(), 3, fields.iter()).unwrap();
    let columns = vec![
        column("question_id", &|n| n.to_string()),
        column("question", &|_| "Is there a kite in the image?".to_owned()),
        column("answer", &|_| "yes".to_owned()),
        column("image_source", &|n| format!("p{n}")),
        column("category", &|n| categories[n - 1].to_owned()),
        image.into_series().into_column(),
    ];
    let file = std::fs::File::create(folder.join("test-00000-of-00001.parquet")).unwrap();
    ParquetWriter::new(file)
        .finish(&mut DataFrame::new(3, columns).unwrap())
        .unwrap();
    let ids: Vec<String> = (1..=3).map(|n| format!("{}/p{n}/kite", categories[n - 1])).collect();
    let (said, page) = of_data("pope", data.path(), &ids);
    assert!(said.contains("3 of 3 pictures, in the page"), "{said}");
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 3);
}

#[test]
fn pictures_in_mmes_folders_have_thumbnails() {
    const SUBTASKS: [(&str, bool); 14] = [
        ("existence", false),
        ("count", false),
        ("position", false),
        ("color", false),
        ("posters", true),
        ("celebrity", true),
        ("scene", true),
        ("landmark", true),
        ("artwork", true),
        ("OCR", false),
        ("commonsense_reasoning", false),
        ("numerical_calculation", false),
        ("text_translation", false),
        ("code_reasoning", false),
    ];
    let data = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for (number, (subtask, nested)) in SUBTASKS.into_iter().enumerate() {
        let folder = data.path().join("MME/MME_Benchmark_release_version").join(subtask);
        let (texts, pictures) = if nested {
            (folder.join("questions_answers_YN"), folder.join("images"))
        } else {
            (folder.clone(), folder.clone())
        };
        std::fs::create_dir_all(&texts).unwrap();
        std::fs::create_dir_all(&pictures).unwrap();
        let questions = "Is it red? Please answer yes or no.\tYes\nIs it blue? Please answer yes or no.\tNo\n";
        std::fs::write(texts.join("1.txt"), questions).unwrap();
        std::fs::write(pictures.join("1.jpg"), demo_picture(number % 8 + 1)).unwrap();
        ids.extend([1, 2].map(|n| format!("{subtask}/1.jpg/{n}")));
    }
    let (said, page) = of_data("mme", data.path(), &ids);
    assert!(said.contains("14 of 14 pictures, in the page"), "{said}");
    assert!(page.contains("data:image/jpeg;base64,"));
}

fn find_pictures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find_pictures(&path));
        } else if path.extension().is_some_and(|extension| extension == "jpg") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn what_cannot_be_compared_or_read_is_said() {
    let root = tempfile::tempdir().unwrap();
    let good_run = replayed(root.path(), "good", good);
    let partial = replayed(root.path(), "partial", |n| (n < 100).then(|| good(n)).flatten());
    let out = root.path().join("page");
    let page = |runs: &[&Path]| std::fs::read_to_string(written(runs, &out, &[])).unwrap();
    let text = page(&[&good_run, &partial]);
    assert!(text.contains("44 samples that only one run has a score for are left out"));
    assert!(text.contains("<strong class=\"warn\">partial</strong>"));

    let card = partial.join("pope@coco-144/scorecard.json");
    let other = std::fs::read_to_string(&card).unwrap();
    let questions = other.find("\"questions\":\"").unwrap() + 13;
    let mut changed = other.clone();
    changed.replace_range(questions..questions + 4, "0000");
    std::fs::write(&card, changed).unwrap();
    let text = page(&[&good_run, &partial]);
    assert!(
        text.contains("not compared: pope coco-144: same samples, but question texts"),
        "another release"
    );

    std::fs::write(&card, other.replace("\"format\":1", "\"format\":9")).unwrap();
    let ran = report(&[&good_run, &partial], &out, &[]);
    assert!(
        ran.status == 2 && ran.error().contains("a scorecard of format 9"),
        "{}",
        ran.stderr
    );

    for file in ["scorecard.json", "results.json"] {
        std::fs::remove_file(partial.join("pope@coco-144").join(file)).unwrap();
    }
    let text = page(&[&good_run, &partial]);
    assert!(text.contains("not scored here") && text.contains("not compared: one of them is not scored"));
    let ran = report(&[&root.path().join("good.jsonl")], &out, &[]);
    assert!(
        ran.status == 2 && ran.error().contains("is a file, without questions"),
        "{}",
        ran.stderr
    );

    let empty = root.path().join("nothing-here");
    std::fs::create_dir(&empty).unwrap();
    let ran = report(&[&empty], &out, &[]);
    assert!(
        ran.status == 2 && ran.error().contains("no samples.parquet in"),
        "{}",
        ran.stderr
    );
    let ran = report(&[&good_run], &out, &["--against", "llava-model-zo"]);
    assert!(
        ran.status == 2 && ran.error().contains("did you mean `llava-model-zoo`?"),
        "{}",
        ran.stderr
    );
    let ran = report(&[&good_run], &root.path().join("good.jsonl"), &[]);
    assert!(ran.status == 2 && ran.error().contains("is a file"), "{}", ran.stderr);
    std::fs::write(good_run.join("pope@coco-144/samples.parquet"), b"PAR1").unwrap();
    let ran = report(&[&good_run], &out, &[]);
    assert!(
        ran.status == 2 && ran.error().contains("is no samples file of this version"),
        "{}",
        ran.stderr
    );
}

/// What else differs stands in the same article as the difference.
#[test]
fn runs_in_other_wordings_are_not_compared_silently() {
    let root = tempfile::tempdir().unwrap();
    let base = replayed(root.path(), "base", good);
    let worse = |n: usize| if n < 40 { good(n + 1) } else { good(n) };
    let alike = replayed(root.path(), "alike", worse);
    let other = replayed_with(root.path(), "other", worse, &["--prompt-style", "vlmevalkit"]);
    let comparison = |run: &Path| {
        let page = std::fs::read_to_string(written(&[&base, run], &root.path().join("page"), &[])).unwrap();
        let article = page.split("<article class=\"comparison\">").nth(1).unwrap();
        article.split("</article>").next().unwrap().to_owned()
    };
    let said = "<li>prompt-style: base `paper`, candidate `vlmevalkit`</li>";
    assert!(comparison(&other).contains(said), "{}", comparison(&other));
    assert!(!comparison(&alike).contains("prompt-style"));
}

#[test]
fn real_answers_stand_beside_their_own_paper() {
    let Some(data) = reference_data("real_answers_stand_beside_their_own_paper") else {
        return;
    };
    let eval = data.join("llava-eval");
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("llava-v1.5-13b");
    let answers = eval.join("pope/answers/llava-v1.5-13b.jsonl");
    let (eval, answers) = (eval.display().to_string(), answers.display().to_string());
    let out = run.display().to_string();
    let ran = vila_bench([
        "score",
        "--task",
        "pope",
        "--data",
        &eval,
        "--answers",
        &answers,
        "--out",
        &out,
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = written(
        &[&run],
        &root.path().join("page"),
        &["--against", "llava-model-zoo/LLaVA-1.5-13B"],
    );
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("✓ LLaVA-1.5-13B (llava-model-zoo): 85.9"));
    assert!(page.contains("1 published numbers: 1 agree, 0 differ, 0 not comparable"));
    assert!(page.contains("0 of 500") || page.contains("none of 500 pictures at hand"));
}
