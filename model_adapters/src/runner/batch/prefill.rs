//! One prefill pass: the shared prefixes and the suffixes of several groups as one packed row of positions.
//!
//! The linears run over the packed positions, without padding. Attention goes part by part: a prefix is causal within
//! itself; the suffixes of its questions look at the prefix, which the same pass computes, and each at itself.
//! Positions that several questions have in common behind the prefix are computed once as well ([`Trie`]), and what
//! stands before the picture only in the first pass of a run ([`Root`]).

use std::rc::Rc;

use tch::Tensor;

use crate::runner::attention::{Partial, Visible, attend, join_heads};
use crate::runner::batch::cohort::{Cohort, Question, Row, Segment, attend_by_row, feed, own_room};
use crate::runner::batch::root::Root;
use crate::runner::batch::sharing::Trie;
use crate::runner::error::TorchError;
use crate::runner::kv_cache::KvCache;
use crate::runner::llama::{Finishing, Llama, Mixing};

/// The packed positions of a pass under construction.
pub struct Pass<'a> {
    llama: &'a Llama,
    /// `[1, n, H]` each.
    embedded: Vec<Tensor>,
    positions: Vec<i64>,
    /// The packed position of every row's last token.
    last: Vec<i64>,
    parts: Vec<Part>,
    end: usize,
    /// What prompts begin with, where it is known: not among the packed positions.
    root: Option<&'a Root>,
}

/// Rows that share a prefix, or one row on its own.
struct Part {
    /// Packed positions.
    length: i64,
    kind: PartKind,
    cache: KvCache,
    padding: Vec<i64>,
    questions: Vec<Question>,
}

enum PartKind {
    /// One row, causal within itself.
    Alone { visible: Visible },
    /// Rows behind a prefix.
    Shared { prefix: Prefix, layout: Layout },
}

/// Where the keys and values of a prefix come from.
pub enum PrefixSource {
    /// An earlier pass.
    Known(Rc<Segment>),
    /// This pass, from the embedded positions `[1, n, H]` behind the root, if it begins with that.
    New { embedded: Tensor, behind_root: bool },
}

/// The prefix of a part while its pass runs.
enum Prefix {
    /// The first `length` packed positions of the part, with the root's before them where it has one; its layers so
    /// far.
    New {
        length: i64,
        behind_root: bool,
        visible: Visible,
        layers: Vec<(Tensor, Tensor)>,
    },
    /// An earlier pass.
    Known(Rc<Segment>),
}

/// How the packed nodes of a trie become rows, `[m, width]`, right-aligned, and back.
struct Layout {
    rows: i64,
    width: i64,
    /// The node in each place of the rows, `[m · width]`; places of padding hold the row's first node.
    to_rows: Tensor,
    /// One place of each node, `[nodes]`.
    to_nodes: Tensor,
    /// `[m, 1, width, width]`: causal, padding hidden. Padding sees itself, so that no softmax is empty.
    mask: Tensor,
}

impl<'a> Pass<'a> {
    /// Without positions. Those of `root` are known.
    pub fn new(llama: &'a Llama, root: Option<&'a Root>) -> Self {
        Self {
            llama,
            embedded: Vec::new(),
            positions: Vec::new(),
            last: Vec::new(),
            parts: Vec::new(),
            end: 0,
            root,
        }
    }

    /// Positions of the root, where something stands behind it.
    fn rooted(&self, behind_root: bool) -> usize {
        let root = self.root.filter(|_| behind_root);
        root.map_or(0, Root::positions)
    }

    /// Packed positions so far.
    pub fn positions(&self) -> usize {
        self.positions.len()
    }

    /// Adds one question whose whole prompt is its own: its positions `[1, n, H]`, without the root's where it begins
    /// with that.
    pub fn add_alone(&mut self, embedded: Tensor, behind_root: bool, question: Question) -> Result<(), TorchError> {
        let (start, whole) = (self.rooted(behind_root), question.prompt_positions);
        let length = (whole - start) as i64;
        self.positions.extend(start as i64..whole as i64);
        self.embedded.push(embedded);
        self.last.push(self.positions.len() as i64 - 1);
        self.end = self.end.max(whole);
        let mut cache = self.llama.caches(1, whole + own_room(question.limits.max_new_tokens))?;
        if let Some(root) = self.root.filter(|_| behind_root) {
            cache.begin(root.layers())?;
        }
        self.parts.push(Part {
            length,
            kind: PartKind::Alone {
                visible: self.llama.visible(start, length)?,
            },
            cache,
            padding: vec![0],
            questions: vec![question],
        });
        Ok(())
    }

    /// Adds `questions` behind a prefix of so many positions. `trie` holds what follows it, a path a question.
    pub fn add_shared(
        &mut self,
        prefix: PrefixSource,
        prefix_positions: usize,
        trie: &Trie,
        questions: Vec<Question>,
    ) -> Result<(), TorchError> {
        let start = self.positions.len();
        let prefix = match prefix {
            PrefixSource::Known(segment) => Prefix::Known(segment),
            PrefixSource::New { embedded, behind_root } => {
                let start = self.rooted(behind_root);
                let length = (prefix_positions - start) as i64;
                self.embedded.push(embedded);
                self.positions.extend(start as i64..prefix_positions as i64);
                Prefix::New {
                    length,
                    behind_root,
                    visible: self.llama.visible(start, length)?,
                    layers: Vec::new(),
                }
            }
        };
        let first_node = self.positions.len();
        let ids: Vec<i64> = trie.nodes.iter().map(|node| node.id).collect();
        self.embedded.push(self.llama.embed_ids(&ids)?);
        let position = |depth: usize| (prefix_positions + depth) as i64;
        self.positions
            .extend(trie.nodes.iter().map(|node| position(node.depth)));
        let last = |path: &Vec<usize>| path.last().map(|&node| (first_node + node) as i64);
        self.last.extend(trie.paths.iter().filter_map(last));
        let (layout, padding) = Layout::of(trie, self.llama)?;
        self.end = self.end.max(prefix_positions + layout.width as usize);
        let limit = questions.iter().map(|question| question.limits.max_new_tokens).max();
        let capacity = layout.width as usize + own_room(limit.unwrap_or_default());
        self.parts.push(Part {
            length: (self.positions.len() - start) as i64,
            kind: PartKind::Shared { prefix, layout },
            cache: self.llama.caches(questions.len(), capacity)?,
            padding,
            questions,
        });
        Ok(())
    }

    /// Runs the pass; gives its parts as cohorts whose rows have their first tokens.
    pub fn run(self) -> Result<Vec<Cohort>, TorchError> {
        let device = self.llama.placement().device.tch();
        let place = |numbers: &[i64]| Tensor::f_from_slice(numbers)?.f_to_device(device);
        let rotation = self.llama.rotation_of(&place(&self.positions)?, self.end)?;
        let embedded = Tensor::f_cat(&self.embedded, 1)?;
        let mut parts = Parts {
            parts: self.parts,
            root: self.root,
        };
        let last = self
            .llama
            .run_for(&place(&self.last)?, &embedded, &rotation, &mut parts)?;
        let cohorts = parts.parts.into_iter().map(|part| part.into_cohort(self.llama));
        let mut cohorts: Vec<Cohort> = cohorts.collect::<Result<_, _>>()?;
        feed(&mut cohorts, &self.llama.logits(&last.f_squeeze_dim(0)?)?)?;
        Ok(cohorts)
    }
}

struct Parts<'a> {
    parts: Vec<Part>,
    root: Option<&'a Root>,
}

impl Mixing for Parts<'_> {
    fn mix(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError> {
        let mut mixed = Vec::new();
        let mut start = 0;
        for part in &mut self.parts {
            let of = |x: &Tensor| x.f_narrow(2, start, part.length);
            let (query, key, value) = (of(query)?, of(key)?, of(value)?);
            start += part.length;
            part.mix(layer, self.root, [&query, &key, &value], &mut mixed)?;
        }
        Ok(Tensor::f_cat(&mixed, 1)?)
    }
}

impl Finishing for Parts<'_> {
    /// The last token of every row is asked for.
    fn finish(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError> {
        let mut mixed = Vec::with_capacity(self.parts.len());
        let (mut row, mut start) = (0, 0);
        for part in &mut self.parts {
            let of = |x: &Tensor| x.f_narrow(2, start, part.length);
            let (key, value) = (of(key)?, of(value)?);
            start += part.length;
            let rows = part.questions.len() as i64;
            let query = query.f_narrow(2, row, rows)?;
            row += rows;
            mixed.push(part.finish(layer, self.root, [&query, &key, &value])?);
        }
        Ok(Tensor::f_cat(&mixed, 1)?)
    }
}

impl Part {
    /// Appends `[1, n, A · d]` to `mixed`, in one or two pieces.
    fn mix(
        &mut self,
        layer: usize,
        root: Option<&Root>,
        new: [&Tensor; 3],
        mixed: &mut Vec<Tensor>,
    ) -> Result<(), TorchError> {
        let [query, key, value] = new;
        match &mut self.kind {
            PartKind::Alone { visible } => {
                let (keys, values) = self.cache.append(layer, key, value)?;
                mixed.push(attend(query, &keys, &values, visible)?);
            }
            PartKind::Shared { prefix, layout } => {
                let head = prefix.packed();
                let tail = |x: &Tensor| x.f_narrow(2, head, self.length - head);
                let queries = tail(query)?;
                let (keys, values) = prefix.of_layer(layer, root, key, value)?;
                if let Prefix::New { visible, .. } = prefix {
                    mixed.push(attend(&query.f_narrow(2, 0, head)?, &keys, &values, visible)?);
                }
                let shared = Partial::over(&queries, &keys, &values, None)?;
                let (keys, values) = (layout.rows_of(&tail(key)?)?, layout.rows_of(&tail(value)?)?);
                let (keys, values) = self.cache.append(layer, &keys, &values)?;
                let own = Partial::over(&layout.rows_of(&queries)?, &keys, &values, Some(&layout.mask))?;
                mixed.push(join_heads(&shared.join(&layout.nodes_of(&own)?)?)?);
            }
        }
        Ok(())
    }

    /// The same for the last tokens of the rows, `[1, A, m, d]`, and all keys and values: `[1, m, A · d]`.
    fn finish(&mut self, layer: usize, root: Option<&Root>, new: [&Tensor; 3]) -> Result<Tensor, TorchError> {
        let [query, key, value] = new;
        match &mut self.kind {
            PartKind::Alone { .. } => {
                let (keys, values) = self.cache.append(layer, key, value)?;
                attend(query, &keys, &values, &Visible::All)
            }
            PartKind::Shared { prefix, layout } => {
                let head = prefix.packed();
                let tail = |x: &Tensor| x.f_narrow(2, head, self.length - head);
                let (keys, values) = prefix.of_layer(layer, root, key, value)?;
                let shared = Partial::over(query, &keys, &values, None)?;
                let (keys, values) = (layout.rows_of(&tail(key)?)?, layout.rows_of(&tail(value)?)?);
                let (keys, values) = self.cache.append(layer, &keys, &values)?;
                let mask = layout.mask.f_narrow(2, layout.width - 1, 1)?;
                attend_by_row(query, &shared, &keys, &values, Some(&mask))
            }
        }
    }

    fn into_cohort(mut self, llama: &Llama) -> Result<Cohort, TorchError> {
        let row = |question| Row {
            question,
            ids: Vec::new(),
            choices: Vec::new(),
        };
        let (segment, width) = match self.kind {
            PartKind::Alone { .. } => (None, self.length as usize),
            PartKind::Shared { prefix, layout } => {
                let segment = match prefix {
                    Prefix::Known(segment) => segment,
                    Prefix::New { layers, .. } => Rc::new(Segment::new(layers, llama)),
                };
                (Some(segment), layout.width as usize)
            }
        };
        self.cache.advance(width);
        let rows = self.questions.into_iter().map(row).collect();
        Cohort::new(segment, self.cache, self.padding, rows, llama)
    }
}

impl Prefix {
    /// How many positions of the part are its own.
    const fn packed(&self) -> i64 {
        match self {
            Self::New { length, .. } => *length,
            Self::Known(_) => 0,
        }
    }

    /// Its keys and values, `[1, K, n, d]`, in a layer that comes next: where they are new, from the part's.
    fn of_layer(
        &mut self,
        layer: usize,
        root: Option<&Root>,
        key: &Tensor,
        value: &Tensor,
    ) -> Result<(Tensor, Tensor), TorchError> {
        match self {
            Self::Known(segment) => segment.layer(layer),
            Self::New {
                length,
                behind_root,
                layers,
                ..
            } => {
                let own = |x: &Tensor| x.f_narrow(2, 0, *length);
                let (own_keys, own_values) = (own(key)?, own(value)?);
                let (keys, values) = match root.filter(|_| *behind_root) {
                    Some(root) => {
                        let (keys, values) = root.layer(layer)?;
                        (
                            Tensor::f_cat(&[keys, &own_keys], 2)?,
                            Tensor::f_cat(&[values, &own_values], 2)?,
                        )
                    }
                    None => (own_keys.f_contiguous()?, own_values.f_contiguous()?),
                };
                layers.push((keys.shallow_clone(), values.shallow_clone()));
                Ok((keys, values))
            }
        }
    }
}

impl Layout {
    /// The layout, and the padding before each row.
    fn of(trie: &Trie, llama: &Llama) -> Result<(Self, Vec<i64>), TorchError> {
        let rows = trie.paths.len();
        let width = trie.paths.iter().map(Vec::len).max().unwrap_or_default();
        let mut to_rows: Vec<i64> = Vec::with_capacity(rows * width);
        let mut to_nodes = vec![0; trie.nodes.len()];
        let mut padding = Vec::with_capacity(rows);
        for path in &trie.paths {
            let pad = width - path.len();
            padding.push(pad as i64);
            let first = path.first().copied().unwrap_or_default();
            to_rows.extend(std::iter::repeat_n(first as i64, pad));
            for &node in path {
                if let Some(place) = to_nodes.get_mut(node) {
                    *place = to_rows.len() as i64;
                }
                to_rows.push(node as i64);
            }
        }
        let placement = llama.placement();
        let (kind, device) = placement.options();
        let place = |numbers: &[i64]| Tensor::f_from_slice(numbers)?.f_to_device(device);
        let at = Tensor::f_arange(width as i64, (tch::Kind::Int64, device))?;
        let (query, key) = (at.f_view([1, 1, -1, 1])?, at.f_view([1, 1, 1, -1])?);
        let pad = place(&padding)?.f_view([-1, 1, 1, 1])?;
        let seen_padding = key.f_lt_tensor(&pad)?.f_logical_and(&query.f_ge_tensor(&pad)?)?;
        let hidden = key.f_gt_tensor(&query)?.f_logical_or(&seen_padding)?;
        let mask = Tensor::f_zeros([rows as i64, 1, width as i64, width as i64], (kind, device))?
            .f_masked_fill_(&hidden, f64::NEG_INFINITY)?;
        let layout = Self {
            rows: rows as i64,
            width: width as i64,
            to_rows: place(&to_rows)?,
            to_nodes: place(&to_nodes)?,
            mask,
        };
        Ok((layout, padding))
    }

    /// Nodes `[1, heads, nodes, d]` to rows `[m, heads, width, d]`.
    fn rows_of(&self, nodes: &Tensor) -> Result<Tensor, TorchError> {
        let (_, heads, _, size) = nodes.size4()?;
        // Positions are the outer axis in memory: whole positions are copied.
        let rows = nodes.f_transpose(1, 2)?.f_index_select(1, &self.to_rows)?;
        Ok(rows.f_view([self.rows, self.width, heads, size])?.f_transpose(1, 2)?)
    }

    /// Rows back to nodes, mixed `[1, heads, nodes, d]`.
    fn nodes_of(&self, rows: &Partial) -> Result<Partial, TorchError> {
        let (_, heads, _, size) = rows.mixed.size4()?;
        let places = self.rows * self.width;
        let mixed = rows.mixed.f_transpose(1, 2)?.f_reshape([1, places, heads, size])?;
        let weight = rows.weight.f_transpose(1, 2)?.f_reshape([1, places, heads])?;
        Ok(Partial {
            mixed: mixed.f_index_select(1, &self.to_nodes)?.f_transpose(1, 2)?,
            weight: weight.f_index_select(1, &self.to_nodes)?.f_transpose(1, 2)?,
        })
    }
}
