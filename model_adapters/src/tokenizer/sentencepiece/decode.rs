//! From ids back to text (`prompting.md` section 4.4).

use crate::tokenizer::model_file::PieceKind;
use crate::tokenizer::sentencepiece::{SPACE, SentencePiece};

impl SentencePiece {
    /// The text of `tokens`, each an id or, where no piece reads so, a text of its own. Bytes that are no UTF-8
    /// become U+FFFD one by one. With `dummy_prefix` the first `▁` of the text goes, if encoding puts one there.
    pub(in crate::tokenizer) fn decode<'t>(
        &self,
        tokens: impl IntoIterator<Item = Token<'t>>,
        dummy_prefix: bool,
    ) -> String {
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
pub(in crate::tokenizer) enum Token<'t> {
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
