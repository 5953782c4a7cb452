//! Joining characters to pieces. The symbols are kept in a linked list and the possible merges in a heap, so a text of n
//! characters takes O(n log n) whatever it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::tokenizer::model_file::PieceKind;
use crate::tokenizer::sentencepiece::SentencePiece;

/// A stretch of the normalised text that is one piece so far; empty once it was merged into its left neighbour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    previous: Option<usize>,
    /// The symbol to the right.
    pub next: Option<usize>,
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
    /// Cuts a normalised text into user-defined pieces and single characters.
    pub(super) fn symbols(&self, text: &str) -> Vec<Symbol> {
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
    pub(super) fn merge<'t>(&self, text: &'t str, symbols: &mut [Symbol]) -> HashMap<&'t str, usize> {
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
}
