//! Comparisons with the sentencepiece library and transformers on small vocabularies (`tests/oracle/tokenizer.py` made
//! them); on the real one in `real_vocabulary.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::profile::GenerateInput;
use crate::request::FinishReason;
use crate::stop::{Stop, Window};
use crate::template::{ConvTemplate, picture_message};
use crate::tokenizer::model_file::ModelFile;
use crate::tokenizer::sentencepiece::{SentencePiece, Start, Token};
use crate::tokenizer::{OpenOptions, PromptToken, Tokenizer, TokenizerError, VocabularyFile};

#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    sentencepiece: Vec<Raw>,
    tokenizers: Vec<Case>,
    prompts: Vec<Prompt>,
    stops: Vec<StopCase>,
}

/// Ids generated behind a prompt, and how many of them LLaVA's keyword criterion lets through.
#[derive(Deserialize)]
struct StopCase {
    tokenizer: String,
    string: String,
    input: String,
    prompt: Vec<u32>,
    generated: Vec<u32>,
    kept: Option<usize>,
}

/// A whole prompt, its ids by LLaVA's rule, -200 for a picture.
#[derive(Deserialize)]
struct Prompt {
    tokenizer: String,
    prompt: String,
    ids: Vec<i64>,
}

/// What the sentencepiece library itself makes of the texts.
#[derive(Deserialize)]
struct Raw {
    model: String,
    ids: Vec<Vec<u32>>,
}

/// What a transformers class makes of the texts.
#[derive(Deserialize)]
struct Case {
    name: String,
    vocabulary: String,
    files: BTreeMap<String, Value>,
    len: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    ids: Vec<Vec<u32>>,
    decoded: Vec<(Vec<u32>, String)>,
}

pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tokenizer")
        .join(name)
}

fn expected() -> Expected {
    serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap()
}

/// A folder with the fixture `vocabulary` under the name it has in a checkpoint, and `files`.
fn folder(vocabulary: &str, files: &BTreeMap<String, Value>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let name = if vocabulary.ends_with(".model") {
        "tokenizer.model"
    } else {
        "tokenizer.json"
    };
    fs::copy(fixture(vocabulary), folder.path().join(name)).unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    folder
}

/// The tokenizer of a case; `legacy` where no file states it, as in transformers.
pub(super) fn open(name: &str) -> Tokenizer {
    let case = expected()
        .tokenizers
        .into_iter()
        .find(|case| case.name == name)
        .unwrap();
    Tokenizer::open_with(folder(&case.vocabulary, &case.files).path(), &transformers()).unwrap()
}

fn transformers() -> OpenOptions {
    OpenOptions {
        legacy: true,
        ..OpenOptions::default()
    }
}

fn sentencepiece(model: &str) -> SentencePiece {
    SentencePiece::new(ModelFile::parse(&fs::read(fixture(model)).unwrap()).unwrap()).unwrap()
}

#[test]
fn encodes_as_the_sentencepiece_library() {
    let expected = expected();
    assert!(expected.texts.len() > 200 && expected.sentencepiece.len() == 3);
    for raw in expected.sentencepiece {
        let model = sentencepiece(&raw.model);
        assert_eq!(raw.ids.len(), expected.texts.len());
        for (text, ids) in expected.texts.iter().zip(raw.ids) {
            assert_eq!(model.encode(text, Start::Text), ids, "{}: {text:?}", raw.model);
        }
    }
}

#[test]
fn encodes_as_transformers() {
    let expected = expected();
    assert_eq!(expected.tokenizers.len(), 16);
    for case in expected.tokenizers {
        let folder = folder(&case.vocabulary, &case.files);
        let tokenizer = Tokenizer::open_with(folder.path(), &transformers()).unwrap();
        assert_eq!(
            (tokenizer.bos(), tokenizer.eos()),
            (case.bos, case.eos),
            "{}",
            case.name
        );
        assert_eq!(tokenizer.len(), case.len, "{}", case.name);
        assert_eq!(case.ids.len(), expected.texts.len());
        for (text, ids) in expected.texts.iter().zip(case.ids) {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{}: {text:?}", case.name);
        }
    }
}

#[test]
fn decodes_as_transformers() {
    for case in expected().tokenizers {
        let folder = folder(&case.vocabulary, &case.files);
        let tokenizer = Tokenizer::open_with(folder.path(), &transformers()).unwrap();
        assert!(case.decoded.len() > 60);
        for (ids, text) in case.decoded {
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{}: {ids:?}", case.name);
        }
    }
}

#[test]
fn prompts_with_pictures_have_the_ids_of_the_references() {
    let expected = expected();
    assert_eq!(expected.prompts.len(), 30);
    for Prompt { tokenizer, prompt, ids } in expected.prompts {
        let mut pictures = 0..;
        let tokens: Vec<PromptToken> = ids
            .into_iter()
            .map(|id| match u32::try_from(id) {
                Ok(id) => PromptToken::Text(id),
                Err(_) => PromptToken::Picture(pictures.next().unwrap()),
            })
            .collect();
        let found = open(&tokenizer).encode_prompt(&prompt, None).unwrap();
        assert_eq!(found, tokens, "{tokenizer}: {prompt:?}");
        assert_eq!(PromptToken::pictures(&found), prompt.matches("<image>").count());
    }
}

#[test]
fn the_keyword_criterion_holds_where_the_references_holds() {
    let cases = expected().stops;
    assert_eq!(cases.len(), 112);
    let strings = ["</s>", "###", "the", "<|im_end|>", "<|eot_id|>"];
    let mut never = 0;
    for case in cases {
        let tokenizer = open(&case.tokenizer);
        let string = strings.into_iter().find(|string| *string == case.string).unwrap();
        let input = match case.input.as_str() {
            "ids" => GenerateInput::TokenIds,
            _ => GenerateInput::Embeddings,
        };
        let stop = Stop::new(string, &tokenizer, Window::Reference, input).unwrap();
        let prompt: Vec<PromptToken> = case.prompt.iter().copied().map(PromptToken::Text).collect();
        let found = stop.apply(&prompt, &case.generated, FinishReason::Length, |ids| {
            tokenizer.text(ids)
        });
        let expected = match case.kept {
            Some(kept) => (kept, FinishReason::StopString),
            None => (case.generated.len(), FinishReason::Length),
        };
        let about = format!("{} {string} {} {:?}", case.tokenizer, case.input, case.generated);
        assert_eq!(found.unwrap(), expected, "{about}");
        never += usize::from(case.kept.is_none());
    }
    assert!((20..100).contains(&never), "{never}");
}

/// `prompting.md` section 3: the template writes a BOS, the tokenizer adds none, so the line feed after the picture
/// is lost.
#[test]
fn llama_3_prompts_lose_the_line_feed_after_the_picture() {
    let tokenizer = open("llama-3");
    let message = picture_message(1, "Is it red?", false);
    for template in [ConvTemplate::Llama3May2024, ConvTemplate::Llama3September2024] {
        let prompt = template.render(&message);
        let (before, after) = prompt.split_once("<image>").unwrap();
        let (before, after) = (tokenizer.encode(before).unwrap(), tokenizer.encode(after).unwrap());
        assert_eq!(tokenizer.decode(&after[..1]).unwrap(), "");
        let expected: Vec<_> = (before.iter().copied().map(PromptToken::Text))
            .chain([PromptToken::Picture(0)])
            .chain(after[1..].iter().copied().map(PromptToken::Text))
            .collect();
        assert_eq!(tokenizer.encode_prompt(&prompt, None).unwrap(), expected, "{template}");
        assert_eq!(before.first().copied(), tokenizer.bos());
    }
}

/// The other kind of file: it adds a BOS of its own, so that there are two and nothing is lost.
#[test]
fn llama_3_files_that_add_a_bos_keep_the_line_feed() {
    let [without, with] = ["llama-3", "llama-3, BOS"].map(open);
    let bos = PromptToken::Text(with.bos().unwrap());
    let prompt = ConvTemplate::Llama3September2024.render(&picture_message(1, "Is it red?", false));
    let [lost, kept] = [&without, &with].map(|tokenizer| tokenizer.encode_prompt(&prompt, None).unwrap());
    assert_eq!(kept.len(), lost.len() + 2);
    assert_eq!(kept[..2], [bos, bos]);
    let after = |tokens: &[PromptToken]| {
        let picture = tokens
            .iter()
            .position(|token| *token == PromptToken::Picture(0))
            .unwrap();
        tokens[picture + 1..].to_vec()
    };
    assert_eq!(after(&kept)[1..], after(&lost));
    assert_eq!(after(&kept)[0], PromptToken::Text(without.encode("\n").unwrap()[0]));
}

#[test]
fn llava_hf_prompts_are_encoded_in_one_go() {
    let tokenizer = open("llava-hf");
    let image = u32::try_from(tokenizer.len()).unwrap() - 2;
    let prompt = ConvTemplate::LlavaHf.render(&picture_message(2, "Is it?", false));
    let tokens = tokenizer.encode_prompt(&prompt, Some(image)).unwrap();
    assert_eq!(PromptToken::pictures(&tokens), 2);
    let plain: Vec<u32> = tokenizer.encode(&prompt).unwrap();
    assert_eq!(plain.len(), tokens.len());
    assert!(
        tokens
            .iter()
            .zip(plain)
            .all(|(token, id)| *token == PromptToken::Text(id) || id == image)
    );
    assert!(
        tokenizer
            .encode_prompt(&prompt, Some(image + 7))
            .unwrap_err()
            .0
            .starts_with("the prompt has 2 `<image>`")
    );
}

#[test]
fn extra_tokens_come_last_and_are_special() {
    let folder = folder("llama.model", &BTreeMap::new());
    let plain = Tokenizer::open(folder.path()).unwrap();
    let options = OpenOptions {
        extra: vec!["<im_start>".to_owned(), "<im_end>".to_owned()],
        ..OpenOptions::default()
    };
    let tokenizer = Tokenizer::open_with(folder.path(), &options).unwrap();
    let first = u32::try_from(plain.len()).unwrap();
    assert_eq!(tokenizer.len(), plain.len() + 2);
    assert_eq!(tokenizer.encode("<im_start><im_end>").unwrap(), [1, first, first + 1]);
    assert_eq!(tokenizer.decode(&[first, first + 1]).unwrap(), "");
    assert!(plain.decode(&[first]).is_err());
}

#[test]
fn the_source_says_which_file_and_how() {
    let folder = folder("llama.model", &BTreeMap::new());
    fs::copy(fixture("llama.json"), folder.path().join("tokenizer.json")).unwrap();
    let source = |options: &OpenOptions| {
        Tokenizer::open_with(folder.path(), options)
            .unwrap()
            .source()
            .to_owned()
    };
    let json_first = OpenOptions {
        first: VocabularyFile::TokenizerJson,
        ..OpenOptions::default()
    };
    assert_eq!(
        source(&OpenOptions::default()),
        "tokenizer.model, SentencePiece BPE, 440 pieces, legacy false"
    );
    assert_eq!(
        source(&transformers()),
        "tokenizer.model, SentencePiece BPE, 440 pieces, legacy true"
    );
    assert_eq!(
        source(&json_first),
        "tokenizer.json, 442 tokens, decoded with clean-up of spaces"
    );
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(source(&json_first).starts_with("tokenizer.model, "));
}

fn refused(folder: &Path) -> String {
    let TokenizerError(error) = Tokenizer::open(folder).unwrap_err();
    error.replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn errors_name_the_file_and_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert_eq!(
        refused(path),
        "no tokenizer in `FOLDER`: looked for `tokenizer.model` and `tokenizer.json`"
    );
    fs::write(path.join("tokenizer.json"), "{\"version\":\n 1}").unwrap();
    assert!(refused(path).starts_with("`FOLDER/tokenizer.json`: ") && !refused(path).contains('\n'));
    fs::copy(fixture("llama.json"), path.join("tokenizer.json")).unwrap();
    fs::write(path.join("added_tokens.json"), r#"{"<image>": 7}"#).unwrap();
    assert_eq!(
        refused(path),
        "`FOLDER/tokenizer.json`: token `<image>` is not 7 here, as `tokenizer_config.json` or `added_tokens.json` \
         has it"
    );
    fs::write(
        path.join("tokenizer.model"),
        "version https://git-lfs.github.com/spec/v1",
    )
    .unwrap();
    assert_eq!(
        refused(path),
        "`FOLDER/tokenizer.model`: not a SentencePiece model, or cut off: unknown wire type 6"
    );
    let single = r#"{"added_tokens_decoder": {"440": {"content": "w", "single_word": true}}}"#;
    fs::write(path.join("tokenizer_config.json"), single).unwrap();
    fs::copy(fixture("llama.model"), path.join("tokenizer.model")).unwrap();
    assert_eq!(
        refused(path),
        "`FOLDER/tokenizer.model`: added token `w` is `single_word`, which is not supported"
    );
}

/// `llama.model`, and the file that transformers converts it to.
static BOTH: LazyLock<(SentencePiece, Tokenizer)> = LazyLock::new(|| {
    let fast = Tokenizer::open(folder("llama.json", &BTreeMap::new()).path()).unwrap();
    (sentencepiece("llama.model"), fast)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// `prompting.md` sections 4.2 and 4.3: two descriptions of one tokenizer.
    #[test]
    fn the_model_and_its_converted_file_agree(
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        between in "[ a-z\u{e9}\u{1F600}\n]{0,6}",
    ) {
        let (model, fast) = &*BOTH;
        let pieces: Vec<&str> = model.texts().filter(|text| !text.starts_with('<')).collect();
        let text: String = picks.iter().flat_map(|pick| [*pick.get(&pieces), &between]).collect();
        // The file's post-processor puts the BOS in front.
        prop_assert_eq!(&fast.encode(&text).unwrap()[1..], model.encode(&text, Start::Text));
    }

    #[test]
    fn no_changed_byte_of_a_model_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = fs::read(fixture("odd.model")).unwrap();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(model) = ModelFile::parse(&bytes).and_then(SentencePiece::new) {
            let ids = model.encode("  the <|im_start|>abab\nsisi é", Start::Text);
            model.decode(ids.into_iter().map(Token::Id), true);
        }
    }
}
