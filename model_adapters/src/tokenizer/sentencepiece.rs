//! Byte-pair encoding as the SentencePiece library does it (`prompting.md` sections 4.2 and 4.4), from a model file.
//!
//! Merging keeps the symbols in a linked list and the possible merges in a heap, so a text of n characters takes
//! O(n log n) whatever it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::tokenizer::model_file::{ModelFile, Piece, PieceKind};

/// Stands for a space inside pieces.
pub(super) const SPACE: char = '▁';

/// What comes before the text that is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A new text: the model's dummy prefix, if it has one, goes in front.
    Text,
    /// Nothing, and no dummy prefix.
    Bare,
    /// Something that is no space: as `Bare`, but leading spaces stay even where the model removes them.
    Inside,
}

/// A vocabulary ready to encode and decode.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    /// For each piece, how many distinct scores lie below its own.
    ranks: Vec<usize>,
    /// Pieces that merging can make or that are found whole.
    plain: HashMap<String, u32>,
    /// Control, unknown and byte pieces.
    reserved: HashMap<String, u32>,
    /// By first character, longest first.
    user_defined: HashMap<char, Vec<String>>,
    unknown: u32,
    /// The id of each byte; none without byte fallback.
    bytes: Option<Vec<u32>>,
    unknown_surface: String,
    dummy_prefix: bool,
    collapse_spaces: bool,
}

/// A stretch of the normalised text that is one piece so far; empty once it was merged into its left neighbour.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
    frozen: bool,
}

/// A possible merge of two neighbouring symbols; the greatest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Merge {
    /// The place of the result's score among all scores of the model, equal for equal scores.
    rank: usize,
    left: Reverse<usize>,
    right: usize,
    /// Bytes of the result: once either half has changed, the merge is void.
    length: usize,
}

impl SentencePiece {
    /// Indexes a model file; the error says what it lacks, without the file's name.
    pub(super) fn new(file: ModelFile) -> Result<Self, String> {
        let (mut plain, mut reserved) = (HashMap::new(), HashMap::new());
        let mut user_defined: HashMap<char, Vec<String>> = HashMap::new();
        let mut unknown = None;
        let mut byte_ids = HashMap::new();
        for (id, piece) in file.pieces.iter().enumerate() {
            let id = u32::try_from(id).map_err(|_| "it has more than 2^32 pieces".to_owned())?;
            let names = match piece.kind {
                PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused => &mut plain,
                PieceKind::Control | PieceKind::Unknown | PieceKind::Byte(_) => &mut reserved,
            };
            if names.insert(piece.text.clone(), id).is_some() {
                return Err(format!("two pieces read `{}`", piece.text));
            }
            match piece.kind {
                PieceKind::Unknown if unknown.replace(id).is_some() => {
                    return Err("it has two unknown pieces".to_owned());
                }
                PieceKind::UserDefined => {
                    if let Some(first) = piece.text.chars().next() {
                        user_defined.entry(first).or_default().push(piece.text.clone());
                    }
                }
                PieceKind::Byte(byte) => {
                    byte_ids.insert(byte, id);
                }
                _ => {}
            }
        }
        for texts in user_defined.values_mut() {
            texts.sort_by_key(|text| Reverse(text.len()));
        }
        let unknown = unknown.ok_or("it has no unknown piece")?;
        let mut scores: Vec<f32> = file.pieces.iter().map(|piece| piece.score).collect();
        scores.sort_by(f32::total_cmp);
        scores.dedup();
        let rank = |piece: &Piece| scores.partition_point(|score| *score < piece.score);
        let bytes = if file.byte_fallback {
            let ids: Option<Vec<u32>> = (0..=u8::MAX).map(|byte| byte_ids.get(&byte).copied()).collect();
            Some(ids.ok_or("it promises byte fallback but lacks some of the pieces `<0x00>` to `<0xFF>`")?)
        } else {
            None
        };
        Ok(Self {
            ranks: file.pieces.iter().map(rank).collect(),
            plain,
            reserved,
            user_defined,
            unknown,
            bytes,
            unknown_surface: file.unknown_surface,
            dummy_prefix: file.dummy_prefix,
            collapse_spaces: file.collapse_spaces,
            pieces: file.pieces,
        })
    }

    /// The number of pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The texts of all pieces, in the order of their ids.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(|piece| piece.text.as_str())
    }

    /// The text of a piece.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.get(id).map(|piece| piece.text.as_str())
    }

    /// The id of the piece that reads `text`.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.reserved.get(text).or_else(|| self.plain.get(text)).copied()
    }

    fn get(&self, id: u32) -> Option<&Piece> {
        self.pieces.get(usize::try_from(id).ok()?)
    }

    /// The ids of `text`, without begin and end tokens.
    pub(super) fn encode(&self, text: &str, start: Start) -> Vec<u32> {
        let text = self.normalise(text, start);
        let mut symbols = self.symbols(&text);
        let halves = self.merge(&text, &mut symbols);
        let mut ids = Vec::new();
        let mut last_unknown = false;
        let mut next = (!symbols.is_empty()).then_some(0);
        while let Some(symbol) = next.map(|at| symbols[at]) {
            next = symbol.next;
            let mut waiting = vec![&text[symbol.start..symbol.end]];
            while let Some(part) = waiting.pop() {
                let id = self.id(part);
                if let (Some(PieceKind::Unused), Some(&left)) = (self.kind(id), halves.get(part)) {
                    let (left, right) = part.split_at(left);
                    waiting.extend([right, left]);
                    continue;
                }
                let known = id.filter(|id| *id != self.unknown);
                match (known, &self.bytes) {
                    (Some(id), _) => ids.push(id),
                    (None, Some(bytes)) => ids.extend(part.bytes().map(|byte| bytes[usize::from(byte)])),
                    // Neighbours without a piece are one unknown token together.
                    (None, None) if last_unknown => {}
                    (None, None) => ids.push(self.unknown),
                }
                last_unknown = known.is_none();
            }
        }
        ids
    }

    fn kind(&self, id: Option<u32>) -> Option<PieceKind> {
        self.get(id?).map(|piece| piece.kind)
    }

    fn normalise(&self, text: &str, start: Start) -> String {
        let mut out = String::with_capacity(text.len() * 2 + SPACE.len_utf8());
        let text = match start {
            Start::Inside => text,
            Start::Text | Start::Bare if self.collapse_spaces => text.trim_start_matches(' '),
            Start::Text | Start::Bare => text,
        };
        if text.is_empty() {
            return out;
        }
        if start == Start::Text && self.dummy_prefix {
            out.push(SPACE);
        }
        let mut after_space = false;
        for letter in text.chars() {
            let space = letter == ' ';
            if !(space && after_space && self.collapse_spaces) {
                out.push(if space { SPACE } else { letter });
            }
            after_space = space;
        }
        if self.collapse_spaces {
            out.truncate(out.trim_end_matches(SPACE).len());
        }
        out
    }

    /// Cuts a normalised text into user-defined pieces and single characters.
    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let user_defined = self.user_defined.get(&first).and_then(|longest_first| {
                longest_first
                    .iter()
                    .find(|piece| text[start..].starts_with(piece.as_str()))
            });
            let end = start + user_defined.map_or(first.len_utf8(), String::len);
            symbols.push(Symbol {
                start,
                end,
                previous: symbols.len().checked_sub(1),
                next: (end < text.len()).then_some(symbols.len() + 1),
                frozen: user_defined.is_some(),
            });
            start = end;
        }
        symbols
    }

    /// Merges until nothing merges any more. Gives back, for each unused piece that was made, the length of its
    /// left half when it was last seen.
    fn merge<'t>(&self, text: &'t str, symbols: &mut [Symbol]) -> HashMap<&'t str, usize> {
        let mut halves = HashMap::new();
        let mut agenda = BinaryHeap::new();
        let mut consider = |agenda: &mut BinaryHeap<Merge>, symbols: &[Symbol], left: usize, right: usize| {
            let (first, second) = (symbols[left], symbols[right]);
            if first.frozen || second.frozen {
                return;
            }
            let whole = &text[first.start..second.end];
            let Some(id) = self.plain.get(whole).and_then(|id| usize::try_from(*id).ok()) else {
                return;
            };
            agenda.push(Merge {
                rank: self.ranks[id],
                left: Reverse(left),
                right,
                length: whole.len(),
            });
            if self.pieces[id].kind == PieceKind::Unused {
                halves.insert(whole, first.end - first.start);
            }
        };
        for right in 1..symbols.len() {
            consider(&mut agenda, symbols, right - 1, right);
        }
        while let Some(merge) = agenda.pop() {
            let Merge {
                left: Reverse(left),
                right,
                length,
                ..
            } = merge;
            let (first, second) = (symbols[left], symbols[right]);
            let stale = first.start == first.end || second.start == second.end || second.end - first.start != length;
            if stale {
                continue;
            }
            symbols[left].end = second.end;
            symbols[left].next = second.next;
            symbols[right].end = second.start;
            if let Some(next) = second.next {
                symbols[next].previous = Some(left);
                consider(&mut agenda, symbols, left, next);
            }
            if let Some(previous) = first.previous {
                consider(&mut agenda, symbols, previous, left);
            }
        }
        halves
    }

    /// The text of `tokens`, each an id or, where no piece reads so, a text of its own. Bytes that are no UTF-8
    /// become U+FFFD one by one. With `dummy_prefix` the first `▁` of the text goes, if encoding puts one there.
    pub(super) fn decode<'t>(&self, tokens: impl IntoIterator<Item = Token<'t>>, dummy_prefix: bool) -> String {
        let drop_space = (dummy_prefix && self.dummy_prefix) || self.collapse_spaces;
        let mut out = String::new();
        let mut bytes = Vec::new();
        let mut dropped = false;
        for token in tokens {
            let piece = match token {
                Token::Id(id) => self.get(id),
                Token::Text(_) => None,
            };
            if let Some(PieceKind::Byte(byte)) = piece.map(|piece| piece.kind) {
                bytes.push(byte);
                continue;
            }
            push_utf8(&mut out, &mut bytes);
            match (token, piece) {
                (Token::Text(text), _) => out.push_str(text),
                (_, Some(piece)) => match piece.kind {
                    PieceKind::Control => {}
                    PieceKind::Unknown => out.push_str(&self.unknown_surface),
                    _ => {
                        let text = piece.text.as_str();
                        let rest = text
                            .strip_prefix(SPACE)
                            .filter(|_| drop_space && !dropped && out.is_empty());
                        // Where spaces collapse, all leading ones go, not only one.
                        dropped |= rest.is_some() && !self.collapse_spaces;
                        out.extend(
                            rest.unwrap_or(text)
                                .chars()
                                .map(|letter| if letter == SPACE { ' ' } else { letter }),
                        );
                    }
                },
                (Token::Id(_), None) => {}
            }
        }
        push_utf8(&mut out, &mut bytes);
        out
    }
}

/// What a text is decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A piece.
    Id(u32),
    /// Goes into the text as it stands.
    Text(&'t str),
}

/// Moves a run of byte pieces into `out`.
fn push_utf8(out: &mut String, bytes: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::model_file::tests::{model, piece};
    use proptest::prelude::*;

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
}
