//! Reads a SentencePiece model file (`tokenizer.model`): the pieces and the few switches that matter
//! (`prompting.md` section 4.1; schema `sentencepiece_model.proto`). Whatever would make encoding differ from plain
//! byte-pair merging is refused by name.

use crate::tokenizer::wire::{Fields, Value, WireError};

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// Made by merging.
    Normal,
    /// Stands for what no other piece covers.
    Unknown,
    /// Never found in a text, decodes to nothing (`<s>`).
    Control,
    /// Found in a text before any merging.
    UserDefined,
    /// Made by merging, but taken apart again at the end.
    Unused,
    /// One byte of a character that no piece covers.
    Byte(u8),
}

/// One piece; its id is its position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Its text, with `▁` for a space.
    pub(super) text: String,
    /// Higher merges first; never NaN, never negative zero.
    pub(super) score: f32,
    /// What it is for.
    pub(super) kind: PieceKind,
}

/// The content of a model file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelFile {
    /// The vocabulary.
    pub(super) pieces: Vec<Piece>,
    /// Characters without a piece become byte pieces.
    pub(super) byte_fallback: bool,
    /// What the unknown piece decodes to.
    pub(super) unknown_surface: String,
    /// A text gets a `▁` in front.
    pub(super) dummy_prefix: bool,
    /// Runs of spaces collapse, spaces at both ends go.
    pub(super) collapse_spaces: bool,
}

const BPE: u64 = 2;

impl ModelFile {
    /// Reads the bytes of a file; the error says what is wrong, without the file's name.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut file = Self {
            pieces: Vec::new(),
            byte_fallback: false,
            unknown_surface: " \u{2047} ".to_owned(),
            dummy_prefix: true,
            collapse_spaces: true,
        };
        let mut model_type = 1;
        for field in Fields::new(bytes) {
            let (number, value) = field.map_err(not_a_model)?;
            match number {
                1 => {
                    let piece = message(number, value).and_then(Self::piece);
                    let position = file.pieces.len();
                    file.pieces
                        .push(piece.map_err(|what| format!("piece {position}: {what}"))?);
                }
                2 => file.trainer_spec(message(number, value)?, &mut model_type)?,
                3 => file.normaliser_spec(message(number, value)?)?,
                5 => refuse_character_map(message(number, value)?)?,
                _ => {}
            }
        }
        if model_type != BPE {
            return Err(format!("its model type is {model_type}, only {BPE} (BPE) is supported"));
        }
        Ok(file)
    }

    fn piece(message: &[u8]) -> Result<Piece, String> {
        let (mut text, mut score, mut kind) = ("", 0.0, 1);
        for field in Fields::new(message) {
            match field.map_err(not_a_model)? {
                (1, Value::Bytes(bytes)) => {
                    text = std::str::from_utf8(bytes).map_err(|_| "its text is not UTF-8".to_owned())?;
                }
                (2, Value::Fixed32(bits)) => score = f32::from_bits(bits),
                (3, Value::Varint(number)) => kind = number,
                (number @ 1..=3, _) => return Err(WireError::Unexpected(number).to_string()),
                _ => {}
            }
        }
        if text.is_empty() {
            return Err("it has no text".to_owned());
        }
        if score.is_nan() {
            return Err("its score is not a number".to_owned());
        }
        let kind = match kind {
            1 => PieceKind::Normal,
            2 => PieceKind::Unknown,
            3 => PieceKind::Control,
            4 => PieceKind::UserDefined,
            5 => PieceKind::Unused,
            6 => PieceKind::Byte(byte(text).ok_or_else(|| format!("`{text}` is no byte piece such as `<0x0A>`"))?),
            _ => return Err(format!("unknown piece type {kind}")),
        };
        Ok(Piece {
            text: text.to_owned(),
            // Zero may carry either sign in the file; scores are later ordered by their bits.
            score: score + 0.0,
            kind,
        })
    }

    fn trainer_spec(&mut self, message: &[u8], model_type: &mut u64) -> Result<(), String> {
        for field in Fields::new(message) {
            match field.map_err(not_a_model)? {
                (3, Value::Varint(number)) => *model_type = number,
                (24, Value::Varint(flag)) if flag != 0 => {
                    return Err("`treat_whitespace_as_suffix` is not supported".to_owned());
                }
                (35, Value::Varint(flag)) => self.byte_fallback = flag != 0,
                (44, Value::Bytes(bytes)) => self.unknown_surface = String::from_utf8_lossy(bytes).into_owned(),
                (44, _) => return Err(not_a_model(WireError::Unexpected(44))),
                (number @ (3 | 24 | 35), value) if !matches!(value, Value::Varint(_)) => {
                    return Err(not_a_model(WireError::Unexpected(number)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn normaliser_spec(&mut self, message: &[u8]) -> Result<(), String> {
        refuse_character_map(message)?;
        for field in Fields::new(message) {
            match field.map_err(not_a_model)? {
                (3, Value::Varint(flag)) => self.dummy_prefix = flag != 0,
                (4, Value::Varint(flag)) => self.collapse_spaces = flag != 0,
                (5, Value::Varint(0)) => return Err("`escape_whitespaces` false is not supported".to_owned()),
                (number @ 3..=5, value) if !matches!(value, Value::Varint(_)) => {
                    return Err(not_a_model(WireError::Unexpected(number)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A `NormalizerSpec` with a compiled character map rewrites the text beyond white space.
fn refuse_character_map(normaliser: &[u8]) -> Result<(), String> {
    for field in Fields::new(normaliser) {
        match field.map_err(not_a_model)? {
            (2, Value::Bytes(map)) if !map.is_empty() => {
                return Err("it has a normalisation map (`precompiled_charsmap`), which is not supported".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

fn message(number: u32, value: Value<'_>) -> Result<&[u8], String> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(not_a_model(WireError::Unexpected(number))),
    }
}

fn not_a_model(error: WireError) -> String {
    format!("not a SentencePiece model, or cut off: {error}")
}

/// The byte that a piece such as `<0x0A>` stands for.
fn byte(text: &str) -> Option<u8> {
    let byte = u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()?;
    (format!("<0x{byte:02X}>") == text).then_some(byte)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A message field of wire type 2.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        bytes.push(u8::try_from(content.len()).ok().filter(|length| *length < 128).unwrap());
        bytes.extend_from_slice(content);
        bytes
    }

    /// The bytes of one piece; `kind` as in the file.
    pub(in crate::tokenizer) fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let mut bytes = field(1, text.as_bytes());
        bytes.push(0x15);
        bytes.extend_from_slice(&score.to_le_bytes());
        bytes.extend_from_slice(&[0x18, kind]);
        field(1, &bytes)
    }

    /// A BPE model of `pieces` with the given trainer and normaliser fields.
    pub(in crate::tokenizer) fn model(pieces: &[Vec<u8>], trainer: &[u8], normaliser: &[u8]) -> Vec<u8> {
        let trainer = field(2, &[&[0x18, 2], trainer].concat());
        [pieces.concat(), trainer, field(3, normaliser)].concat()
    }

    #[test]
    fn reads_pieces_and_switches() {
        let pieces = [
            piece("<unk>", 0.0, 2),
            piece("<s>", -0.0, 3),
            piece("▁a", -1.5, 1),
            piece("<0x0A>", 0.0, 6),
        ];
        let file = ModelFile::parse(&model(&pieces, &[0x98, 0x02, 1], &[0x20, 0])).unwrap();
        let kinds: Vec<_> = file.pieces.iter().map(|piece| piece.kind).collect();
        assert_eq!(
            kinds,
            [
                PieceKind::Unknown,
                PieceKind::Control,
                PieceKind::Normal,
                PieceKind::Byte(10)
            ]
        );
        assert_eq!((file.pieces[2].text.as_str(), file.pieces[2].score), ("▁a", -1.5));
        assert!(file.pieces[1].score.is_sign_positive());
        assert!(file.byte_fallback && file.dummy_prefix && !file.collapse_spaces);
        assert_eq!(file.unknown_surface, " ⁇ ");
        let file = ModelFile::parse(&model(&pieces, &[0xE2, 0x02, 1, b'?'], &[0x18, 0])).unwrap();
        assert!(!file.byte_fallback && !file.dummy_prefix && file.collapse_spaces);
        assert_eq!(file.unknown_surface, "?");
    }

    #[test]
    fn says_what_it_refuses() {
        let unknown = piece("<unk>", 0.0, 2);
        let unigram = [unknown.clone(), field(2, &[0x18, 1])].concat();
        let cases: [(Vec<u8>, &str); 11] = [
            (unknown.clone(), "its model type is 1, only 2 (BPE) is supported"),
            (unigram, "its model type is 1, only 2 (BPE) is supported"),
            (
                b"version https".to_vec(),
                "not a SentencePiece model, or cut off: unknown wire type 6",
            ),
            (model(&[piece("", 0.0, 1)], &[], &[]), "piece 0: it has no text"),
            (
                model(&[unknown.clone(), piece("a", f32::NAN, 1)], &[], &[]),
                "piece 1: its score is not a number",
            ),
            (model(&[piece("a", 0.0, 7)], &[], &[]), "piece 0: unknown piece type 7"),
            (
                model(&[piece("<0x0a>", 0.0, 6)], &[], &[]),
                "piece 0: `<0x0a>` is no byte piece such as `<0x0A>`",
            ),
            (
                model(&[field(1, &field(1, &[0xFF]))], &[], &[]),
                "piece 0: its text is not UTF-8",
            ),
            (
                model(&[], &[], &[0x12, 1, 0]),
                "it has a normalisation map (`precompiled_charsmap`), which is not supported",
            ),
            (
                model(&[], &[], &[0x28, 0]),
                "`escape_whitespaces` false is not supported",
            ),
            (
                model(&[], &[0xC0, 0x01, 1], &[]),
                "`treat_whitespace_as_suffix` is not supported",
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(ModelFile::parse(&bytes), Err(error.to_owned()));
        }
    }

    #[test]
    fn every_cut_of_a_model_is_an_error_or_a_shorter_model() {
        let pieces = [piece("<unk>", 0.0, 2), piece("ab", -1.0, 1)];
        // The trainer comes first here, so that a cut between two pieces is itself a whole model.
        let whole = [model(&[], &[], &[0x20, 0]), pieces.concat()].concat();
        let complete = ModelFile::parse(&whole).unwrap();
        let lengths: Vec<_> = (0..whole.len())
            .filter_map(|cut| ModelFile::parse(&whole[..cut]).ok())
            .collect();
        assert_eq!(complete.pieces.len(), 2);
        // After the trainer, after the normaliser, after the first piece.
        assert_eq!(
            lengths.iter().map(|file| file.pieces.len()).collect::<Vec<_>>(),
            [0, 0, 1]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ModelFile::parse(&bytes);
        }

        #[test]
        fn no_changed_byte_makes_it_panic(at in 0usize..80, to in any::<u8>()) {
            let mut bytes = model(&[piece("<unk>", 0.0, 2), piece("▁a", -1.5, 1)], &[0x98, 0x02, 1], &[0x20, 0]);
            let length = bytes.len();
            bytes[at % length] = to;
            if let Ok(file) = ModelFile::parse(&bytes) {
                prop_assert!(file.pieces.iter().all(|piece| !piece.text.is_empty() && !piece.score.is_nan()));
            }
        }
    }
}
