//! The products with AVX-512. A stretch of some outputs' inputs is turned once for all rows, so that a register holds an
//! input's values of sixteen outputs; the sums of fourteen rows and 32 outputs stay in registers over the stretch.
//!
//! What is needed next is fetched meanwhile: the next stretch of the matrix, which comes from memory, and the next rows.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::runner::torch::{on_all_threads, threads};

/// Values of a register.
const LANES: usize = 16;
/// Registers of a panel's line.
const HALVES: usize = 2;
/// Outputs of a panel.
const COLUMNS: usize = HALVES * LANES;
/// Rows whose sums with a panel are kept in registers at once: 28 of the 32, two of a panel and one of a row.
const ROWS: usize = 14;
/// Inputs of a stretch, at most. Rows of a tile lie in the nearest cache for so long, panels in the next one.
const STRETCH: usize = 512;
/// Panels that rows are read for at once.
const PANELS: usize = 4;
/// Outputs of a task.
const WIDTH: usize = PANELS * COLUMNS;
/// Tasks for every thread, at least: one that starts late may leave some to the others.
const TASKS: usize = 8;
/// Rows of a task, at least: for fewer, turning the matrix takes too large a part.
const HEIGHT: usize = 8 * ROWS;

/// Whether this processor has what the module is written in, and rows of `inputs` fill their registers.
pub fn suits(inputs: usize) -> bool {
    inputs.is_multiple_of(LANES) && std::arch::is_x86_feature_detected!("avx512f")
}

/// Writes `x · weightᵀ + bias` to `out`: `[rows, inputs]`, `[outputs, inputs]`, `[outputs]`, `[rows, outputs]`. The
/// processor must be one that [`suits`].
pub fn multiply(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, out: &mut [f32]) {
    let product = Product {
        x,
        rows: x.len() / inputs,
        weight,
        bias,
        inputs,
        outputs: weight.len() / inputs,
        out: out.as_mut_ptr(),
    };
    let (rows, outputs) = (product.rows, product.outputs);
    assert!(
        out.len() == rows * outputs && bias.is_none_or(|bias| bias.len() == outputs),
        "one sum for each row and output"
    );
    let groups = outputs.div_ceil(WIDTH);
    let wanted = (TASKS * threads()).div_ceil(groups.max(1));
    let part = rows.div_ceil(wanted.min(rows.div_ceil(HEIGHT))).next_multiple_of(ROWS);
    let parts = rows.div_ceil(part);
    let next = AtomicUsize::new(0);
    let take = || next.fetch_add(1, Ordering::Relaxed);
    on_all_threads(&|| {
        let mut room = Room::new();
        let mut task = take();
        while task < groups * parts {
            let following = take();
            let (output, row) = (task / parts * WIDTH, task % parts * part);
            let task_of = Task {
                outputs: output..outputs.min(output + WIDTH),
                rows: row..rows.min(row + part),
                following: following / parts * WIDTH,
            };
            // SAFETY: these outputs of these rows are this thread's alone.
            unsafe { product.compute(&task_of, &mut room) };
            task = following;
        }
    });
}

struct Product<'a> {
    x: &'a [f32],
    rows: usize,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    inputs: usize,
    outputs: usize,
    out: *mut f32,
}

// SAFETY: the threads write to places of `out` that differ.
unsafe impl Sync for Product<'_> {}

/// What a thread computes at a time.
struct Task {
    /// At most [`WIDTH`].
    outputs: Range<usize>,
    rows: Range<usize>,
    /// The first output of the thread's next task.
    following: usize,
}

/// An input's values of a panel's outputs.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; COLUMNS]);

/// A stretch of a row. Longer than that, so that those of a tile do not drive one another from the nearest cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row([f32; STRETCH + LANES]);

/// What a thread works in.
struct Room {
    /// [`STRETCH`] lines of each panel.
    panels: Vec<Line>,
    /// Of a tile; those that are not there are what they were.
    rows: Vec<Row>,
}

impl Room {
    fn new() -> Self {
        Self {
            panels: vec![Line([0.0; COLUMNS]); PANELS * STRETCH],
            rows: vec![Row([0.0; STRETCH + LANES]); ROWS],
        }
    }
}

/// What is fetched while something else is computed: the rows of a matrix from a place on.
#[derive(Clone, Copy)]
struct Ahead {
    at: *const f32,
    stride: usize,
    rows: usize,
}

/// Where the sums of a tile go.
#[derive(Clone, Copy)]
struct Place {
    at: *mut f32,
    stride: usize,
    /// Those that are there.
    columns: usize,
    /// What the sums are added to: the values that are there already, or else these.
    first: Option<[__m512; HALVES]>,
}

impl Product<'_> {
    /// Computes a task.
    ///
    /// # Safety
    ///
    /// No other thread may compute any of it, and the processor must be one that [`suits`].
    #[target_feature(enable = "avx512f")]
    unsafe fn compute(&self, task: &Task, room: &mut Room) {
        let panels = task.outputs.len().div_ceil(COLUMNS);
        // Tiles of a stretch fetch the next one together.
        let tiles = task.rows.len().div_ceil(ROWS) * panels;
        let pace = task.outputs.len().div_ceil(tiles.max(1));
        let rows_ahead = ROWS.div_ceil(panels.max(1));
        let stretch = self
            .inputs
            .div_ceil(self.inputs.div_ceil(STRETCH))
            .next_multiple_of(LANES);
        for start in (0..self.inputs).step_by(stretch) {
            let length = stretch.min(self.inputs - start);
            for (number, panel) in room.panels.chunks_exact_mut(STRETCH).take(panels).enumerate() {
                let first = task.outputs.start + number * COLUMNS;
                self.turn(
                    first..task.outputs.end.min(first + COLUMNS),
                    start,
                    &mut panel[..length],
                );
            }
            let mut ahead = match start + stretch {
                behind if behind < self.inputs => task.outputs.start * self.inputs + behind,
                _ => task.following * self.inputs,
            };
            for row in task.rows.clone().step_by(ROWS) {
                let high = ROWS.min(task.rows.end - row);
                for (to, row) in room.rows.iter_mut().zip(row..row + high) {
                    to.0[..length].copy_from_slice(&self.x[row * self.inputs + start..][..length]);
                }
                for (number, panel) in room.panels.chunks_exact(STRETCH).take(panels).enumerate() {
                    let output = task.outputs.start + number * COLUMNS;
                    let columns = COLUMNS.min(task.outputs.end - output);
                    let place = Place {
                        // SAFETY: within the product.
                        at: unsafe { self.out.add(row * self.outputs + output) },
                        stride: self.outputs,
                        columns,
                        first: (start == 0).then(|| self.bias_of(output, columns)),
                    };
                    let of = |at: *const f32, rows| Ahead {
                        at,
                        stride: self.inputs,
                        rows,
                    };
                    let next_rows = (row + ROWS + number * rows_ahead) * self.inputs + start;
                    let ahead_of = [
                        of(self.x.as_ptr().wrapping_add(next_rows), rows_ahead),
                        of(self.weight.as_ptr().wrapping_add(ahead), pace),
                    ];
                    ahead += pace * self.inputs;
                    // SAFETY: the place is this thread's, as far as rows and columns are there.
                    unsafe { TILES[high - 1](&room.rows, &panel[..length], place, ahead_of) };
                }
            }
        }
    }

    /// Writes the inputs from `start` on of `outputs`, at most [`COLUMNS`], to the lines of a panel; outputs that are
    /// not there are 0.
    #[target_feature(enable = "avx512f")]
    fn turn(&self, outputs: Range<usize>, start: usize, panel: &mut [Line]) {
        for half in 0..HALVES {
            let outputs = outputs.start + half * LANES..outputs.end;
            for (number, lines) in panel.chunks_exact_mut(LANES).enumerate() {
                let mut block = [_mm512_setzero_ps(); LANES];
                for (register, output) in block.iter_mut().zip(outputs.clone()) {
                    let values = &self.weight[output * self.inputs + start + number * LANES..][..LANES];
                    // SAFETY: a register of values.
                    *register = unsafe { _mm512_loadu_ps(values.as_ptr()) };
                }
                for (line, register) in lines.iter_mut().zip(turned(block)) {
                    // SAFETY: a register of places.
                    unsafe { _mm512_storeu_ps(line.0[half * LANES..].as_mut_ptr(), register) };
                }
            }
        }
    }

    /// Of so many outputs, or 0.
    #[target_feature(enable = "avx512f")]
    fn bias_of(&self, output: usize, columns: usize) -> [__m512; HALVES] {
        let Some(bias) = self.bias else {
            return [_mm512_setzero_ps(); HALVES];
        };
        let mut values = [0.0; COLUMNS];
        values[..columns].copy_from_slice(&bias[output..output + columns]);
        // SAFETY: a register of values each.
        [0, 1].map(|half| unsafe { _mm512_loadu_ps(values[half * LANES..].as_ptr()) })
    }
}

type Tile = unsafe fn(&[Row], &[Line], Place, [Ahead; 2]);

/// By the number of rows, less one.
const TILES: [Tile; ROWS] = [
    tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>, tile::<9>, tile::<10>,
    tile::<11>, tile::<12>, tile::<13>, tile::<14>,
];

/// Adds the products of the first `R` rows with a panel's lines to what belongs in their place.
///
/// # Safety
///
/// The place must have `R` rows that nobody else uses, and the processor must be one that [`suits`].
#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize>(rows: &[Row], panel: &[Line], place: Place, ahead: [Ahead; 2]) {
    assert!(rows.len() >= R && panel.len() <= STRETCH, "a value for every line");
    let mut sums = [[_mm512_setzero_ps(); HALVES]; R];
    for row in 0..R {
        for half in 0..HALVES {
            let at = place.at.wrapping_add(row * place.stride + half * LANES);
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
    for (number, lines) in panel.chunks_exact(LANES).enumerate() {
        for ahead in ahead {
            for row in 0..ahead.rows {
                let at = ahead.at.wrapping_add(row * ahead.stride + number * LANES);
                _mm_prefetch::<_MM_HINT_T1>(at.cast());
            }
        }
        for (at, line) in (number * LANES..).zip(lines) {
            // SAFETY: a line has two registers, and every row has as many values as there are lines.
            unsafe {
                let columns = [0, LANES].map(|at| _mm512_loadu_ps(line.0.as_ptr().add(at)));
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let value = _mm512_set1_ps(*row.0.get_unchecked(at));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = _mm512_fmadd_ps(value, column, *sum);
                    }
                }
            }
        }
    }
    for half in 0..HALVES {
        let there = place.columns.saturating_sub(half * LANES).min(LANES);
        let mask = ((1_u32 << there) - 1) as u16;
        for (row, sums) in sums.iter().enumerate() {
            let at = place.at.wrapping_add(row * place.stride + half * LANES);
            // SAFETY: what the mask lets through is there, and this thread's.
            unsafe {
                let before = place
                    .first
                    .map_or_else(|| _mm512_maskz_loadu_ps(mask, at), |first| first[half]);
                _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(before, sums[half]));
            }
        }
    }
}

/// Sixteen rows as sixteen columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn turned(rows: [__m512; LANES]) -> [__m512; LANES] {
    // In quarters of a register: of four rows each, the columns c, c + 4, c + 8 and c + 12.
    let mut quads = [[_mm512_setzero_ps(); 4]; 4];
    let (fours, _) = rows.as_chunks::<4>();
    for (quad, &[a, b, c, d]) in quads.iter_mut().zip(fours) {
        let low = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|x| _mm512_castps_pd(x));
        let high = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|x| _mm512_castps_pd(x));
        *quad = [
            _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], low[1])),
            _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], low[1])),
            _mm512_castpd_ps(_mm512_unpacklo_pd(high[0], high[1])),
            _mm512_castpd_ps(_mm512_unpackhi_pd(high[0], high[1])),
        ];
    }
    let mut columns = rows;
    for c in 0..4 {
        let [a, b, d, e] = quads.map(|quad| quad[c]);
        // Quarters 0 and 2 of both, or 1 and 3.
        let even = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(d, e)];
        let odd = [_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(d, e)];
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even[0], even[1]);
        columns[c + 4] = _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]);
        columns[c + 8] = _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]);
        columns[c + 12] = _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}
