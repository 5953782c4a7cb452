//! The tokenizer on the real LLaMA vocabulary, which lies in the reference data and is never copied: worked examples of
//! `prompting.md`, and every prompt of the published evaluations against the sentencepiece library and transformers.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::template::{ConvTemplate, picture_message};
use crate::tokenizer::model_file::ModelFile;
use crate::tokenizer::sentencepiece::{SentencePiece, Start};
use crate::tokenizer::{OpenOptions, PromptToken, Tokenizer};

fn legacy() -> OpenOptions {
    OpenOptions {
        legacy: true,
        ..OpenOptions::default()
    }
}

fn reference_data() -> PathBuf {
    env::var_os("VILA_BENCH_REFERENCE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    )
}

/// A folder with nothing but the LLaMA `tokenizer.model`, where the reference data is there.
fn llama(test: &str) -> Option<PathBuf> {
    let folder = reference_data().join("llama2-tokenizer");
    if folder.join("tokenizer.model").exists() {
        return Some(folder);
    }
    skip(test, &format!("no reference data at `{}`", folder.display()));
    None
}

/// The interpreter that `make oracle` sets up.
fn python(test: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.oracle/bin/python");
    if python.exists() {
        return Some(python);
    }
    skip(test, "no `.oracle`; make it with `make oracle`");
    None
}

/// Past the test harness, which shows captured output of failed tests only.
fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// LLaVA's question files with a `text` a line.
const QUESTIONS: [&str; 6] = [
    "pope/llava_pope_test.jsonl",
    "MME/llava_mme.jsonl",
    "gqa/llava_gqa_testdev_balanced.jsonl",
    "textvqa/llava_textvqa_val_v051_ocr.jsonl",
    "vizwiz/llava_test.jsonl",
    "mm-vet/llava-mm-vet.jsonl",
];

#[derive(Deserialize)]
struct Question {
    text: String,
}

/// A line of `tests/oracle/live/llama_ids.py`.
#[derive(Deserialize)]
struct Row {
    text: String,
    library: Vec<u32>,
    new: Option<Vec<u32>>,
    legacy: Option<Vec<u32>>,
    decoded: Option<String>,
}

/// What stands behind the picture in the prompt of every question: 37,080 texts.
fn behind_the_picture(data: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for file in QUESTIONS {
        for line in fs::read_to_string(data.join("llava-eval").join(file)).unwrap().lines() {
            let Question { text } = serde_json::from_str(line).unwrap();
            let prompt = ConvTemplate::VicunaV1.render(&picture_message(1, &text, false));
            texts.push(prompt.split_once("<image>").unwrap().1.to_owned());
        }
    }
    texts
}

#[test]
fn real_prompts_and_adversarial_texts_have_the_ids_of_the_sentencepiece_library() {
    let test = "real_prompts_and_adversarial_texts_have_the_ids_of_the_sentencepiece_library";
    let (Some(folder), Some(python)) = (llama(test), python(test)) else {
        return;
    };
    let prompts = behind_the_picture(&reference_data());
    assert!(prompts.len() > 20_000);
    let lines: Vec<String> = prompts
        .iter()
        .map(|text| serde_json::to_string(text).unwrap())
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), lines.join("\n")).unwrap();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracle/live/llama_ids.py"))
        .arg(folder.join("tokenizer.model"))
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let model = fs::read(folder.join("tokenizer.model")).unwrap();
    let model = SentencePiece::new(ModelFile::parse(&model).unwrap()).unwrap();
    let new = Tokenizer::open(&folder).unwrap();
    let legacy = Tokenizer::open_with(&folder, &legacy()).unwrap();
    let (mut rows, mut slow) = (0, 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let text = row.text.as_str();
        assert_eq!(model.encode(text, Start::Text), row.library, "{text:?}");
        if let (Some(ids), Some(by_legacy), Some(decoded)) = (row.new, row.legacy, row.decoded) {
            assert_eq!(new.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(legacy.encode(text).unwrap(), by_legacy, "{text:?} legacy");
            assert_eq!(new.text(&ids).unwrap(), decoded, "{ids:?}");
            slow += 1;
        }
        rows += 1;
    }
    assert!(rows > prompts.len() + 5_000 && slow > prompts.len() / 10 + 5_000);
}

const SNOWBOARD: &str = "Is there a snowboard in the image?\nAnswer the question using a single word or phrase.";

#[test]
fn the_worked_example_has_its_63_ids() {
    let Some(folder) = llama("the_worked_example_has_its_63_ids") else {
        return;
    };
    let before = [
        1, 319, 13563, 1546, 263, 12758, 1404, 322, 385, 23116, 21082, 20255, 29889, 450, 20255, 4076, 8444, 29892,
        13173, 29892, 322, 1248, 568, 6089, 304, 278, 1404, 29915, 29879, 5155, 29889, 3148, 1001, 29901, 29871,
    ];
    let after = [
        29871, 13, 3624, 727, 263, 15007, 3377, 297, 278, 1967, 29973, 13, 22550, 278, 1139, 773, 263, 2323, 1734, 470,
        16549, 29889, 319, 1799, 9047, 13566, 29901,
    ];
    let expected: Vec<_> = (before.into_iter().map(PromptToken::Text))
        .chain([PromptToken::Picture(0)])
        .chain(after.into_iter().map(PromptToken::Text))
        .collect();
    assert_eq!(expected.len(), 63);
    let prompt = ConvTemplate::VicunaV1.render(&picture_message(1, SNOWBOARD, false));
    for options in [OpenOptions::default(), legacy()] {
        let tokenizer = Tokenizer::open_with(&folder, &options).unwrap();
        assert_eq!(
            (tokenizer.len(), tokenizer.bos(), tokenizer.eos()),
            (32000, Some(1), Some(2))
        );
        assert_eq!(
            tokenizer.encode_prompt(&prompt, None).unwrap(),
            expected,
            "{}",
            tokenizer.source()
        );
    }
}

#[test]
fn legacy_changes_what_follows_a_special_token() {
    let Some(folder) = llama("legacy_changes_what_follows_a_special_token") else {
        return;
    };
    let new = Tokenizer::open(&folder).unwrap();
    let legacy = Tokenizer::open_with(&folder, &legacy()).unwrap();
    let cases: [(&str, &[u32], &[u32]); 6] = [
        ("Yes</s>USER", &[3869, 2, 3148, 1001], &[3869, 2, 11889]),
        ("Yes</s> USER", &[3869, 2, 29871, 3148, 1001], &[3869, 2, 3148, 1001]),
        ("</s>", &[2], &[2]),
        (" lead", &[29871, 3275], &[29871, 3275]),
        ("\nWhat", &[29871, 13, 5618], &[29871, 13, 5618]),
        ("", &[], &[]),
    ];
    for (text, with, without) in cases {
        assert_eq!(legacy.encode(text).unwrap(), [&[1], with].concat(), "{text:?} legacy");
        assert_eq!(new.encode(text).unwrap(), [&[1], without].concat(), "{text:?}");
    }
}

#[test]
fn llama_answers_decode_and_strip() {
    let Some(folder) = llama("llama_answers_decode_and_strip") else {
        return;
    };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let cases: [(&[u32], &str); 7] = [
        (&[3869, 2], "Yes"),
        (&[1, 29871, 3869], "Yes"),
        (&[3869, 11889], "YesUSER"),
        (&[3869, 13, 13, 2], "Yes"),
        // U+001F, which Rust's `trim` keeps.
        (&[34, 3869, 34], "Yes"),
        (&[3 + 0xE2, 3 + 0x82, 3869], "\u{FFFD}\u{FFFD} Yes"),
        (&[3 + 0xE2, 2, 3 + 0x82, 3 + 0xAC], "€"),
    ];
    for (ids, text) in cases {
        assert_eq!(tokenizer.decode(ids).unwrap(), text, "{ids:?}");
    }
    assert_eq!(
        tokenizer.decode(&[32000]).unwrap_err().0,
        "token id 32000 is beyond the vocabulary: its last id is 31999"
    );
}
