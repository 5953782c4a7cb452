//! The attention with AVX2 and FMA. A block of queries is scored against all keys that its last one sees, the scores
//! become shares, the shares are multiplied with the values: both products keep six rows and sixteen columns in
//! registers.

use std::arch::x86_64::{
    __m256, _CMP_NLT_UQ, _mm_add_ps, _mm_cvtss_f32, _mm_max_ps, _mm_movehdup_ps, _mm_movehl_ps, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_ps, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtps_epi32,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps,
    _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_sub_ps,
};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::runner::cpu_attention::{Out, Rows, Sizes, Visible};
use crate::runner::torch::{on_all_threads, threads};

/// Values of a register.
const LANES: usize = 8;
/// Rows whose sums are kept in registers at once, beside [`COLUMNS`]: 12 of the 16, two of a panel and one of a row.
const ROWS: usize = 6;
/// Columns of a panel: keys that are scored together, or places of a head that are mixed together.
const COLUMNS: usize = 2 * LANES;
/// Queries that use a panel while it is near.
const BLOCK: usize = 2 * ROWS;
/// Tasks for every thread, at least: one that starts late may leave some to the others.
const TASKS: usize = 3;

/// A row of a panel.
type Line = [f32; COLUMNS];

/// Whether this processor has what the module is written in.
pub fn suits() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Computes attention of all heads. The processor must be one that [`suits`].
pub fn compute(sizes: Sizes, [query, keys, values]: [Rows<'_>; 3], visible: Visible<'_>, out: Out<'_>) {
    assert!(
        out.mixed.len() == sizes.batch * sizes.queries * sizes.heads * sizes.width
            && out.weight.len() == sizes.batch * sizes.queries * sizes.heads,
        "a place for every result"
    );
    let problem = Problem {
        sizes,
        query,
        keys,
        values,
        visible,
        mixed: out.mixed.as_mut_ptr(),
        weight: out.weight.as_mut_ptr(),
    };
    let all_heads = sizes.batch * sizes.heads;
    let parts = (TASKS * threads())
        .div_ceil(all_heads)
        .min(sizes.queries.div_ceil(BLOCK));
    let part = sizes.queries.div_ceil(parts).next_multiple_of(BLOCK);
    let next = AtomicUsize::new(0);
    on_all_threads(&|| {
        let mut room = Room::default();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            let (head, first) = (task / parts, task % parts * part);
            if head >= all_heads {
                return;
            }
            let place = (head / sizes.heads, head % sizes.heads);
            for from in (first..sizes.queries.min(first + part)).step_by(BLOCK) {
                let count = BLOCK.min(sizes.queries - from);
                // SAFETY: these queries of this head are this thread's alone.
                unsafe { problem.block(place, from, count, &mut room) };
            }
        }
    });
}

struct Problem<'a> {
    sizes: Sizes,
    query: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    visible: Visible<'a>,
    mixed: *mut f32,
    weight: *mut f32,
}

// SAFETY: the threads write to places of `mixed` and `weight` that differ.
unsafe impl Sync for Problem<'_> {}

/// What a thread works in.
#[derive(Default)]
struct Room {
    /// The head, of which batch, whose keys and values are at hand.
    packed: Option<(usize, usize)>,
    /// Panels of sixteen keys, a line for each place of the head; keys that are not there are 0.
    keys: Vec<Line>,
    /// Panels of sixteen places of the head, a line for each key; places that are not there are 0.
    values: Vec<Line>,
    /// The queries of a block, scaled; those that are not there are what they were.
    query: Vec<f32>,
    /// A row of scores for each query of a block, then of shares.
    scores: Vec<f32>,
}

impl Room {
    /// Rearranges keys and values of a head.
    fn pack(&mut self, keys: Rows<'_>, values: Rows<'_>, (batch, head): (usize, usize)) {
        if self.packed.replace((batch, head)) == Some((batch, head)) {
            return;
        }
        let ([.., count], width) = (keys.sizes, keys.width);
        self.keys.clear();
        self.keys.resize(count.div_ceil(COLUMNS) * width, [0.0; COLUMNS]);
        self.values.clear();
        self.values.resize(width.div_ceil(COLUMNS) * count, [0.0; COLUMNS]);
        for key in 0..count {
            let panel = &mut self.keys[key / COLUMNS * width..][..width];
            for (line, &value) in panel.iter_mut().zip(keys.row(batch, head, key)) {
                line[key % COLUMNS] = value;
            }
            let row = values.row(batch, head, key);
            for (panel, places) in self.values.chunks_exact_mut(count).zip(row.chunks(COLUMNS)) {
                panel[key][..places.len()].copy_from_slice(places);
            }
        }
    }
}

impl Problem<'_> {
    /// Keys that a query can see.
    const fn limit(&self, query: usize) -> usize {
        match self.visible {
            Visible::All | Visible::Masked(_) => self.sizes.keys,
            Visible::UpToOwn => self.sizes.keys - self.sizes.queries + query + 1,
        }
    }

    /// Computes `count` queries of a head from the `from`-th on, at most [`BLOCK`].
    ///
    /// # Safety
    ///
    /// No other thread may compute any of them, and the processor must be one that [`suits`].
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block(&self, (batch, head): (usize, usize), from: usize, count: usize, room: &mut Room) {
        let Sizes {
            heads,
            kv_heads,
            queries,
            keys,
            width,
            ..
        } = self.sizes;
        room.pack(self.keys, self.values, (batch, head / (heads / kv_heads)));
        let seen = self.limit(from + count - 1);
        let stride = seen.next_multiple_of(COLUMNS);
        room.scores.resize(BLOCK * keys.next_multiple_of(COLUMNS), 0.0);
        room.query.resize(BLOCK * width, 0.0);
        let scale = (width as f32).sqrt().recip();
        for (row, scaled) in room.query.chunks_exact_mut(width).take(count).enumerate() {
            for (scaled, &value) in scaled.iter_mut().zip(self.query.row(batch, head, from + row)) {
                *scaled = value * scale;
            }
        }

        let panels = room.keys.chunks_exact(width).take(stride / COLUMNS);
        for (number, panel) in panels.enumerate() {
            for first in (0..count).step_by(ROWS) {
                let sums = products(rows_of(&room.query[first * width..], width), panel);
                for (row, sums) in (first..).zip(sums) {
                    store(sums, &mut room.scores[row * stride + number * COLUMNS..]);
                }
            }
        }

        let mut shares = [0.0; BLOCK];
        for row in 0..count {
            let scores = &mut room.scores[row * stride..][..stride];
            if let Visible::Masked(mask) = self.visible {
                let added = mask.row(batch, 0, from + row);
                scores.iter_mut().zip(added).for_each(|(score, added)| *score += added);
            }
            scores[self.limit(from + row)..].fill(f32::NEG_INFINITY);
            let (highest, sum) = exponentials(scores);
            shares[row] = sum.recip();
            // SAFETY: within the result, and this thread's.
            unsafe { *self.weight.add((batch * heads + head) * queries + from + row) = highest + sum.ln() };
        }

        for (number, panel) in room.values.chunks_exact(keys).enumerate() {
            let columns = COLUMNS.min(width - number * COLUMNS);
            for first in (0..count).step_by(ROWS) {
                let sums = products(rows_of(&room.scores[first * stride..], stride), &panel[..seen]);
                for (row, mut sums) in (first..count).zip(sums) {
                    let share = _mm256_set1_ps(shares[row]);
                    for sum in &mut sums {
                        *sum = _mm256_mul_ps(*sum, share);
                    }
                    let mut line = [0.0; COLUMNS];
                    store(sums, &mut line);
                    let place = ((batch * queries + from + row) * heads + head) * width + number * COLUMNS;
                    // SAFETY: within the result, and this thread's.
                    unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), self.mixed.add(place), columns) };
                }
            }
        }
    }
}

/// Sums of a row, a register for each half of a panel.
type Sums = [__m256; COLUMNS / LANES];

/// Six rows that lie so far apart.
#[inline]
fn rows_of(values: &[f32], stride: usize) -> [&[f32]; ROWS] {
    [0, 1, 2, 3, 4, 5].map(|row| &values[row * stride..][..stride])
}

/// The products of six rows with a panel: of every row as many values as the panel has lines.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn products(rows: [&[f32]; ROWS], panel: &[Line]) -> [Sums; ROWS] {
    assert!(
        rows.iter().all(|row| row.len() >= panel.len()),
        "a value for every line"
    );
    let mut sums = [[_mm256_setzero_ps(); COLUMNS / LANES]; ROWS];
    for (at, line) in panel.iter().enumerate() {
        // SAFETY: a line has two registers, and every row has as many values as there are lines.
        unsafe {
            let columns = [
                _mm256_loadu_ps(line.as_ptr()),
                _mm256_loadu_ps(line.as_ptr().add(LANES)),
            ];
            for (row, sums) in rows.iter().zip(&mut sums) {
                let value = _mm256_set1_ps(*row.get_unchecked(at));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = _mm256_fmadd_ps(value, column, *sum);
                }
            }
        }
    }
    sums
}

/// Writes a row's sums to the first places of `to`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(sums: Sums, to: &mut [f32]) {
    let (registers, _) = to.as_chunks_mut::<LANES>();
    for (place, sum) in registers.iter_mut().zip(sums) {
        // SAFETY: a register of places.
        unsafe { _mm256_storeu_ps(place.as_mut_ptr(), sum) };
    }
}

/// Turns scores, whole registers of them, into the exponentials of their distances to the highest; gives that one and
/// the sum of all.
#[target_feature(enable = "avx2,fma")]
fn exponentials(scores: &mut [f32]) -> (f32, f32) {
    let (registers, _) = scores.as_chunks_mut::<LANES>();
    let mut highest = _mm256_set1_ps(f32::NEG_INFINITY);
    for register in &*registers {
        // SAFETY: a register of values, here and below.
        highest = _mm256_max_ps(highest, unsafe { _mm256_loadu_ps(register.as_ptr()) });
    }
    let four = _mm_max_ps(_mm256_castps256_ps128(highest), _mm256_extractf128_ps::<1>(highest));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    let highest = _mm_cvtss_f32(_mm_max_ps(two, _mm_movehdup_ps(two)));
    let mut sums = _mm256_setzero_ps();
    for register in registers {
        let distance = _mm256_sub_ps(unsafe { _mm256_loadu_ps(register.as_ptr()) }, _mm256_set1_ps(highest));
        let value = exponential(distance);
        sums = _mm256_add_ps(sums, value);
        unsafe { _mm256_storeu_ps(register.as_mut_ptr(), value) };
    }
    let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    (highest, _mm_cvtss_f32(_mm_add_ps(two, _mm_movehdup_ps(two))))
}

/// `e^x` for x of at most 0, to about one unit of the last place; 0 below -87, NaN of NaN. `x = n ln 2 + r` with |r| at most half of
/// ln 2, and `e^r` by its series.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exponential(x: __m256) -> __m256 {
    /// ln 2, the first bits of it and the rest.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    /// Of r^7 down to r^2.
    const SERIES: [f32; 6] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let is_near = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, _mm256_set1_ps(-87.0));
    let n = _mm256_round_ps::<0>(_mm256_mul_ps(x, _mm256_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2.0), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2.1), r);
    let mut series = _mm256_setzero_ps();
    for factor in SERIES {
        series = _mm256_fmadd_ps(series, r, _mm256_set1_ps(factor));
    }
    let small = _mm256_fmadd_ps(_mm256_mul_ps(series, r), r, r);
    let small = _mm256_add_ps(small, _mm256_set1_ps(1.0));
    let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    _mm256_and_ps(_mm256_mul_ps(small, _mm256_castsi256_ps(exponent)), is_near)
}
