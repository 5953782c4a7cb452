//! The algorithm on vocabularies of a few pieces, and against its definition tried slowly.

use proptest::prelude::*;

use crate::tokenizer::model_file::ModelFile;
use crate::tokenizer::model_file::tests::{model, piece};
use crate::tokenizer::sentencepiece::{SPACE, SentencePiece, Start, Token};

const BYTE_FALLBACK: &[u8] = &[0x98, 0x02, 1];
const NO_SPACE_REMOVAL: &[u8] = &[0x20, 0];

fn open(pieces: &[Vec<u8>], trainer: &[u8], normaliser: &[u8]) -> Result<SentencePiece, String> {
    SentencePiece::new(ModelFile::parse(&model(pieces, trainer, normaliser)).unwrap())
}

/// `<unk>`, `<s>`, the bytes, then `extra`, which starts at id 258.
fn with_bytes(extra: &[(&str, f32, u8)]) -> SentencePiece {
    let mut pieces = vec![piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3)];
    pieces.extend((0..=255).map(|byte| piece(&format!("<0x{byte:02X}>"), 0.0, 6)));
    pieces.extend(extra.iter().map(|(text, score, kind)| piece(text, *score, *kind)));
    open(&pieces, BYTE_FALLBACK, NO_SPACE_REMOVAL).unwrap()
}

fn texts(model: &SentencePiece, text: &str, start: Start) -> Vec<String> {
    let ids = model.encode(text, start);
    ids.iter().map(|id| model.text(*id).unwrap().to_owned()).collect()
}

#[test]
fn merges_by_score_and_ties_from_the_left() {
    let model = with_bytes(&[
        ("a", -9.0, 1),
        ("b", -9.0, 1),
        ("aa", -1.0, 1),
        ("ab", -0.5, 1),
        ("▁", -9.0, 1),
    ]);
    let cases: [(&str, &[&str]); 6] = [
        ("aaa", &["aa", "a"]),
        ("aaaaa", &["aa", "aa", "a"]),
        ("aab", &["a", "ab"]),
        ("aaab", &["aa", "ab"]),
        ("a b", &["a", "▁", "b"]),
        ("", &[]),
    ];
    for (text, pieces) in cases {
        assert_eq!(texts(&model, text, Start::Bare), pieces, "{text}");
    }
    assert_eq!(texts(&model, "aaa", Start::Text), ["▁", "aa", "a"]);
    assert_eq!(texts(&model, "", Start::Text), [""; 0]);
}

#[test]
fn falls_back_to_bytes_or_to_one_unknown_token() {
    let model = with_bytes(&[("a", -9.0, 1)]);
    assert_eq!(texts(&model, "aé\n", Start::Bare), ["a", "<0xC3>", "<0xA9>", "<0x0A>"]);
    // A text that looks like a reserved piece is letters.
    assert_eq!(texts(&model, "<s>", Start::Bare), ["<0x3C>", "<0x73>", "<0x3E>"]);
    let pieces = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1)];
    let model = open(&pieces, &[], NO_SPACE_REMOVAL).unwrap();
    assert_eq!(model.encode("éüaé", Start::Bare), [0, 1, 0]);
}

#[test]
fn finds_user_defined_pieces_first_and_freezes_them() {
    let model = with_bytes(&[
        ("a", -1.0, 1),
        ("<x>", 0.0, 4),
        ("<x>a", 0.0, 4),
        ("aa", -1.0, 1),
        ("<x>aa", 9.0, 1),
    ]);
    assert_eq!(texts(&model, "a<x>aa", Start::Bare), ["a", "<x>a", "a"]);
    assert_eq!(texts(&model, "aa<x>", Start::Bare), ["aa", "<x>"]);
}

#[test]
fn takes_unused_pieces_apart() {
    let extra = [
        ("a", -9.0, 1),
        ("b", -9.0, 1),
        ("ab", -1.0, 5),
        ("abab", -2.0, 5),
        ("ba", -3.0, 1),
    ];
    let model = with_bytes(&extra);
    assert_eq!(texts(&model, "abab", Start::Bare), ["a", "b", "a", "b"]);
    assert_eq!(texts(&model, "bab", Start::Bare), ["b", "a", "b"]);
}

#[test]
fn removes_spaces_where_the_model_says_so() {
    let pieces = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1), piece("▁", -2.0, 1)];
    let model = open(&pieces, &[], &[]).unwrap();
    let cases = [
        ("  a   a  ", Start::Text, "▁a▁a"),
        ("  a   a  ", Start::Bare, "a▁a"),
        ("  a   a  ", Start::Inside, "▁a▁a"),
        ("   ", Start::Text, ""),
        ("   ", Start::Inside, ""),
        ("▁ a", Start::Bare, "▁▁a"),
    ];
    for (text, start, pieces) in cases {
        assert_eq!(texts(&model, text, start).concat(), pieces, "{text:?} {start:?}");
    }
}

#[test]
fn decodes_bytes_spaces_and_reserved_pieces() {
    let model = with_bytes(&[("▁a", -1.0, 1), ("a", -9.0, 1), ("▁", -9.0, 1)]);
    let byte = |byte: u8| u32::from(byte) + 2;
    let cases: [(&[u32], bool, &str); 9] = [
        (&[258, 258], false, " a a"),
        (&[258, 258], true, "a a"),
        (&[260, 258], true, " a"),
        (&[259, 1, 259], false, "aa"),
        (&[0], false, " ⁇ "),
        (&[byte(0xC3), byte(0xA9)], false, "é"),
        // Each bad byte is one U+FFFD; good ones of the same run stay.
        (
            &[byte(0xE2), byte(0x82), byte(b'x'), byte(0xC3), byte(0xA9)],
            false,
            "\u{FFFD}\u{FFFD}xé",
        ),
        // A control piece ends the run.
        (&[byte(0xC3), 1, byte(0xA9)], false, "\u{FFFD}\u{FFFD}"),
        (
            &[byte(0xED), byte(0xA0), byte(0x80), byte(0xF5)],
            false,
            "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}",
        ),
    ];
    for (ids, dummy_prefix, text) in cases {
        let tokens = ids.iter().map(|id| Token::Id(*id));
        assert_eq!(model.decode(tokens, dummy_prefix), text, "{ids:?}");
    }
    assert_eq!(model.decode([Token::Text("▁"), Token::Id(259)], false), "▁a");
}

#[test]
fn names_what_a_vocabulary_lacks() {
    let unknown = piece("<unk>", 0.0, 2);
    let cases = [
        (vec![piece("a", 0.0, 1)], "it has no unknown piece"),
        (vec![unknown.clone(), piece("<u>", 0.0, 2)], "it has two unknown pieces"),
        (vec![piece("a", 0.0, 1), piece("a", -1.0, 4)], "two pieces read `a`"),
        (
            vec![unknown, piece("<0x00>", 0.0, 6)],
            "it promises byte fallback but lacks some of the pieces `<0x00>` to `<0xFF>`",
        ),
    ];
    for (pieces, error) in cases {
        assert_eq!(open(&pieces, BYTE_FALLBACK, &[]).map(|_| ()), Err(error.to_owned()));
    }
}

/// Merges by trying every pair again after each merge.
fn slowly<'a>(model: &'a SentencePiece, text: &str) -> Vec<&'a str> {
    let mut symbols: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let mut best: Option<(f32, usize)> = None;
        for at in 1..symbols.len() {
            let Some(id) = model.plain.get(&symbols[at - 1..=at].concat()) else {
                continue;
            };
            let score = model.get(*id).unwrap().score;
            if best.is_none_or(|(high, _)| score > high) {
                best = Some((score, at));
            }
        }
        let Some((_, at)) = best else { break };
        let right = symbols.remove(at);
        symbols[at - 1].push_str(&right);
    }
    symbols
        .iter()
        .map(|symbol| model.text(model.id(symbol).unwrap()).unwrap())
        .collect()
}

proptest! {
    #[test]
    fn merges_as_the_definition_says(
        scores in proptest::collection::vec(-4i8..0, 14),
        text in "[ab]{0,40}",
    ) {
        let names = ["a", "b", "aa", "ab", "ba", "bb", "aab", "aba", "baa", "abab", "aaaa", "bbb", "abba", "bab"];
        let extra: Vec<_> = names.iter().zip(&scores).map(|(name, score)| (*name, f32::from(*score), 1)).collect();
        let model = with_bytes(&extra);
        prop_assert_eq!(texts(&model, &text, Start::Bare), slowly(&model, &text));
    }

    #[test]
    fn decoding_undoes_encoding(text in "\\PC{0,30}|[ab \n\u{1F600}]{0,30}") {
        // `▁` itself is the one character that does not come back.
        prop_assume!(!text.contains(SPACE));
        let extra = [("▁", -3.0, 1), ("▁a", -1.0, 1), ("a", -9.0, 1), ("ab", -2.0, 1), ("▁▁", -4.0, 1)];
        let model = with_bytes(&extra);
        let ids = model.encode(&text, Start::Text);
        prop_assert_eq!(model.decode(ids.into_iter().map(Token::Id), true), text);
    }
}
