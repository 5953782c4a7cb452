//! The products with AVX2 and FMA: sums of eight lanes, one for every row and output, which stay in registers over a
//! stretch of the inputs.

use std::arch::x86_64::{
    __m128i, __m256, _MM_HINT_T1, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps,
    _mm_movehl_ps, _mm_prefetch, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_slli_epi32,
};
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};

use crate::runner::torch::on_all_threads;

/// Values of a register.
const LANES: usize = 8;
/// Rows and outputs whose sums are kept in registers at once: 12 of the 16, beside three of the matrix and one of a row.
const TILE: (usize, usize) = (4, 3);
/// Outputs of a block: while one is computed, the next is fetched.
const BLOCK: usize = 4 * TILE.1;
/// Inputs of a stretch, of which all rows together stay in the nearest cache.
const STRETCH: usize = 256;
/// Outputs that a thread takes at a time.
const SHARE: usize = 8 * BLOCK;

/// Whether this processor has what the module is written in, and rows of `inputs` fill their registers.
pub fn suits(inputs: usize) -> bool {
    inputs.is_multiple_of(LANES)
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}

/// What a matrix is made of.
pub trait Value: Copy + Sync {
    /// The eight values from `at` on, exactly.
    ///
    /// # Safety
    ///
    /// There must be so many, and a processor that [`suits`].
    unsafe fn eight(at: *const Self) -> __m256;
}

impl Value for f32 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn eight(at: *const Self) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(at) }
    }
}

impl Value for f16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn eight(at: *const Self) -> __m256 {
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast::<__m128i>()) })
    }
}

impl Value for bf16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn eight(at: *const Self) -> __m256 {
        // SAFETY: the caller's promise.
        let upper = unsafe { _mm_loadu_si128(at.cast::<__m128i>()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(upper)))
    }
}

/// Writes `x · weightᵀ` to `out`: `[rows, inputs]`, `[outputs, inputs]`, `[rows, outputs]`. The processor must be one that
/// [`suits`].
pub fn multiply<V: Value>(x: &[f32], weight: &[V], inputs: usize, out: &mut [f32]) {
    let product = Product {
        x: &by_stretches(x, inputs),
        rows: x.len() / inputs,
        weight,
        inputs,
        outputs: weight.len() / inputs,
        out: out.as_mut_ptr(),
    };
    assert!(
        out.len() == product.rows * product.outputs,
        "one sum for each row and output"
    );
    let next = AtomicUsize::new(0);
    let take = || next.fetch_add(SHARE, Ordering::Relaxed);
    on_all_threads(&|| {
        let mut sums = Vec::new();
        let mut share = take();
        while share < product.outputs {
            let (end, following) = ((share + SHARE).min(product.outputs), take());
            for from in (share..end).step_by(BLOCK) {
                let count = BLOCK.min(end - from);
                let ahead = if from + count < end { from + count } else { following };
                // SAFETY: these outputs are this thread's alone.
                unsafe { product.compute(from, count, ahead, &mut sums) };
            }
            share = following;
        }
    });
}

/// The rows of `x`, stretch by stretch: far apart, as they lie in `x`, rows drive one another from the nearest cache.
fn by_stretches(x: &[f32], inputs: usize) -> Vec<f32> {
    let mut packed = Vec::with_capacity(x.len());
    for start in (0..inputs).step_by(STRETCH) {
        let stretch = start..inputs.min(start + STRETCH);
        x.chunks_exact(inputs)
            .for_each(|row| packed.extend_from_slice(&row[stretch.clone()]));
    }
    packed
}

struct Product<'a, V> {
    /// As [`by_stretches`] gives it.
    x: &'a [f32],
    rows: usize,
    weight: &'a [V],
    inputs: usize,
    outputs: usize,
    out: *mut f32,
}

// SAFETY: the threads write to places of `out` that differ.
unsafe impl<V: Sync> Sync for Product<'_, V> {}

/// Of up to four rows and three outputs; those of rows that are not there are never looked at.
type Sums = [[__m256; TILE.1]; TILE.0];

/// Some of the inputs.
#[derive(Clone, Copy)]
struct Stretch {
    start: usize,
    length: usize,
}

/// What is fetched while something else is computed.
#[derive(Clone, Copy)]
struct Ahead {
    at: *const i8,
    /// Bytes for every register of inputs, at most two lines.
    pace: usize,
}

impl Ahead {
    const NOTHING: Self = Self {
        at: std::ptr::null(),
        pace: 0,
    };
}

impl<V: Value> Product<'_, V> {
    /// Computes `count` outputs of all rows, from the `from`-th on, and fetches as many from `ahead` on.
    ///
    /// # Safety
    ///
    /// No other thread may compute any of them, and the processor must be one that [`suits`].
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn compute(&self, from: usize, count: usize, ahead: usize, sums: &mut Vec<Sums>) {
        let (wide, high) = (count / TILE.1, self.rows.div_ceil(TILE.0));
        sums.clear();
        sums.resize(wide * high, [[_mm256_setzero_ps(); TILE.1]; TILE.0]);
        let mut ahead = Ahead {
            at: self.weight.as_ptr().wrapping_add(ahead * self.inputs).cast(),
            pace: TILE.1 * LANES * size_of::<V>() / high,
        };
        for start in (0..self.inputs).step_by(STRETCH) {
            let stretch = Stretch {
                start,
                length: STRETCH.min(self.inputs - start),
            };
            for (number, sums) in sums.iter_mut().enumerate() {
                let (row, output) = (number % high * TILE.0, from + number / high * TILE.1);
                // SAFETY: rows, outputs and inputs lie within the product.
                unsafe { self.add_rows(row, output, stretch, sums, ahead) };
                ahead.at = ahead.at.wrapping_byte_add(stretch.length / LANES * ahead.pace);
            }
        }
        for (number, sums) in sums.iter().enumerate() {
            let (row, output) = (number % high * TILE.0, from + number / high * TILE.1);
            for (row, sums) in (row..self.rows).zip(sums) {
                for (output, &sum) in (output..).zip(sums) {
                    // SAFETY: within the product, and this thread's.
                    unsafe { *self.out.add(row * self.outputs + output) = total(sum) };
                }
            }
        }
        for output in from + wide * TILE.1..from + count {
            for row in 0..self.rows {
                let mut sums = [[_mm256_setzero_ps()]];
                for start in (0..self.inputs).step_by(STRETCH) {
                    let stretch = Stretch {
                        start,
                        length: STRETCH.min(self.inputs - start),
                    };
                    // SAFETY: as above.
                    unsafe { self.add(row, output, stretch, &mut sums, Ahead::NOTHING) };
                }
                // SAFETY: as above.
                unsafe { *self.out.add(row * self.outputs + output) = total(sums[0][0]) };
            }
        }
    }

    /// Adds the products of a stretch to the sums of up to four rows from `row` on, and of three outputs.
    ///
    /// # Safety
    ///
    /// Row, outputs and inputs must be there, and the processor must be one that [`suits`].
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add_rows(&self, row: usize, output: usize, stretch: Stretch, sums: &mut Sums, ahead: Ahead) {
        // SAFETY: the caller's promise, and there are as many rows as each case names.
        unsafe {
            match (self.rows - row, sums) {
                (1, [first, ..]) => self.add(row, output, stretch, std::array::from_mut(first), ahead),
                (2, [sums @ .., _, _]) => self.add::<2, 3>(row, output, stretch, sums, ahead),
                (3, [sums @ .., _]) => self.add::<3, 3>(row, output, stretch, sums, ahead),
                (_, sums) => self.add(row, output, stretch, sums, ahead),
            }
        }
    }

    /// As [`Self::add_rows`], for `R` rows and `N` outputs. What lies `ahead` is fetched with every register of the
    /// matrix.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add<const R: usize, const N: usize>(
        &self,
        row: usize,
        output: usize,
        Stretch { start, length }: Stretch,
        sums: &mut [[__m256; N]; R],
        ahead: Ahead,
    ) {
        let x = self.x.as_ptr().wrapping_add(start * self.rows + row * length);
        let x: [*const f32; R] = std::array::from_fn(|at| x.wrapping_add(at * length));
        let weight = self.weight.as_ptr().wrapping_add(output * self.inputs + start);
        let weight: [*const V; N] = std::array::from_fn(|at| weight.wrapping_add(at * self.inputs));
        let mut kept = *sums;
        for at in (0..length).step_by(LANES) {
            let mut outputs = [_mm256_setzero_ps(); N];
            // SAFETY: the caller's promise; fetching ahead is allowed from anywhere.
            unsafe {
                for (values, weight) in outputs.iter_mut().zip(&weight) {
                    *values = V::eight(weight.add(at));
                }
                let next = ahead.at.wrapping_add(at / LANES * ahead.pace);
                _mm_prefetch::<_MM_HINT_T1>(next);
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(ahead.pace / 2));
                for (sums, x) in kept.iter_mut().zip(&x) {
                    let x = _mm256_loadu_ps(x.add(at));
                    for (sum, &values) in sums.iter_mut().zip(&outputs) {
                        *sum = _mm256_fmadd_ps(x, values, *sum);
                    }
                }
            }
        }
        *sums = kept;
    }
}

/// The eight lanes of a sum together.
#[target_feature(enable = "avx2,fma,f16c")]
fn total(sum: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
