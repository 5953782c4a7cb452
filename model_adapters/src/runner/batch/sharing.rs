//! What the prompts of a group have in common (`batching.md` section 2), counted in ids and never in text: with
//! byte-level BPE a question that begins with a line feed merges with the one behind the picture.

use std::collections::HashMap;

use crate::tokenizer::PromptToken;

/// How many tokens all `prompts` begin with. The last token of a prompt is never among them: its logits are asked for.
pub fn common_prefix(prompts: &[&[PromptToken]]) -> usize {
    let Some((first, others)) = prompts.split_first() else {
        return 0;
    };
    let shortest = prompts.iter().map(|prompt| prompt.len()).min().unwrap_or_default();
    let equal = |other: &&[PromptToken]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    let common = others.iter().map(equal).min().unwrap_or(shortest);
    common.min(shortest.saturating_sub(1))
}

/// Some id sequences with their common beginnings laid on top of each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trie {
    /// Each distinct position once, before those that follow it.
    pub nodes: Vec<Node>,
    /// The nodes that each sequence passes, first to last.
    pub paths: Vec<Vec<usize>>,
}

/// A token behind a certain sequence of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i64,
    /// How many tokens stand before it.
    pub depth: usize,
}

impl Trie {
    /// Lays `sequences` on top of each other.
    pub fn of<'a>(sequences: impl IntoIterator<Item = &'a [i64]>) -> Self {
        let mut trie = Self::default();
        let mut children: HashMap<(Option<usize>, i64), usize> = HashMap::new();
        for sequence in sequences {
            let mut path: Vec<usize> = Vec::with_capacity(sequence.len());
            for (depth, &id) in sequence.iter().enumerate() {
                let node = *children.entry((path.last().copied(), id)).or_insert_with(|| {
                    trie.nodes.push(Node { id, depth });
                    trie.nodes.len() - 1
                });
                path.push(node);
            }
            trie.paths.push(path);
        }
        trie
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompt(picture_at: usize, ids: &[u32]) -> Vec<PromptToken> {
        let mut tokens: Vec<PromptToken> = ids.iter().map(|&id| PromptToken::Text(id)).collect();
        tokens.insert(picture_at, PromptToken::Picture(0));
        tokens
    }

    #[test]
    fn a_prefix_ends_where_the_first_prompt_differs_and_before_every_last_token() {
        let cases: [(&[&[u32]], usize); 5] = [
            (&[&[1, 2, 3, 4], &[1, 2, 5]], 3),
            (&[&[1, 2, 3], &[1, 2, 3]], 3),
            (&[&[1, 2, 3], &[1, 2]], 2),
            (&[&[1, 2, 3]], 3),
            (&[&[1], &[1, 9]], 1),
        ];
        for (ids, expected) in cases {
            let prompts: Vec<Vec<PromptToken>> = ids.iter().map(|ids| prompt(1, ids)).collect();
            let prompts: Vec<&[PromptToken]> = prompts.iter().map(Vec::as_slice).collect();
            assert_eq!(common_prefix(&prompts), expected, "{ids:?}");
        }
        assert_eq!(common_prefix(&[]), 0);
        let apart = [prompt(0, &[1, 2]), prompt(1, &[1, 2])];
        assert_eq!(common_prefix(&[&apart[0], &apart[1]]), 0);
    }

    #[test]
    fn repeated_questions_add_no_node() {
        let sequences: [&[i64]; 4] = [&[3, 4, 5], &[3, 4, 6, 7], &[3, 4, 5], &[8]];
        let trie = Trie::of(sequences);
        let nodes: Vec<(i64, usize)> = trie.nodes.iter().map(|node| (node.id, node.depth)).collect();
        assert_eq!(nodes, [(3, 0), (4, 1), (5, 2), (6, 2), (7, 3), (8, 0)]);
        assert_eq!(trie.paths, [vec![0, 1, 2], vec![0, 1, 3, 4], vec![0, 1, 2], vec![5]]);
    }

    proptest! {
        #[test]
        fn a_path_spells_its_sequence(
            sequences in prop::collection::vec(prop::collection::vec(0_i64..3, 0..6), 0..12),
        ) {
            let trie = Trie::of(sequences.iter().map(Vec::as_slice));
            prop_assert_eq!(trie.paths.len(), sequences.len());
            for (path, sequence) in trie.paths.iter().zip(&sequences) {
                let spelled: Vec<i64> = path.iter().map(|&node| trie.nodes[node].id).collect();
                prop_assert_eq!(&spelled, sequence);
                prop_assert!(path.iter().enumerate().all(|(depth, &node)| trie.nodes[node].depth == depth));
                prop_assert!(path.is_sorted());
            }
        }
    }
}
