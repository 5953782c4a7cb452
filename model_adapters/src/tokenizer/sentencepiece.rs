//! Byte-pair encoding as the SentencePiece library does it (`prompting.md` sections 4.2 and 4.4), from a model file.
//!
//! Here the vocabulary and the way from text to ids; `merge` joins characters to pieces, `decode` goes back.

mod decode;
mod merge;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::tokenizer::model_file::{ModelFile, Piece, PieceKind};

pub(super) use decode::Token;

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
}
