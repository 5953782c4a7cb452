//! The products with AVX2 and FMA: sums of eight lanes, one for every row and output, which stay in registers over a
//! stretch of the inputs.

use std::arch::x86_64::{
    __m128i, __m256, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps,
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
/// Outputs between which a stretch of the rows is used again while it is near.
const NEAR: usize = 4 * TILE.1;
/// Inputs of a stretch.
const STRETCH: usize = 256;
/// Outputs that a thread takes at a time.
const SHARE: usize = 8 * NEAR;
/// Bytes that are fetched ahead at once.
const LINE: usize = 64;

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
        x: x.as_ptr(),
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
    on_all_threads(&|| {
        let mut sums = Vec::new();
        loop {
            let from = next.fetch_add(SHARE, Ordering::Relaxed);
            if from >= product.outputs {
                return;
            }
            let end = (from + SHARE).min(product.outputs);
            for near in (from..end).step_by(NEAR) {
                // SAFETY: these outputs are this thread's alone.
                unsafe { product.compute(near, NEAR.min(end - near), &mut sums) };
            }
        }
    });
}

struct Product<'a, V> {
    x: *const f32,
    rows: usize,
    weight: &'a [V],
    inputs: usize,
    outputs: usize,
    out: *mut f32,
}

// SAFETY: the threads read `x`, and write to places of `out` that differ.
unsafe impl<V: Sync> Sync for Product<'_, V> {}

/// Of up to four rows and three outputs; those of rows that are not there are never looked at.
type Sums = [[__m256; TILE.1]; TILE.0];

impl<V: Value> Product<'_, V> {
    /// Computes `count` outputs of all rows, from the `from`-th on.
    ///
    /// # Safety
    ///
    /// No other thread may compute any of them, and the processor must be one that [`suits`].
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn compute(&self, from: usize, count: usize, sums: &mut Vec<Sums>) {
        let (wide, high) = (count / TILE.1, self.rows.div_ceil(TILE.0));
        sums.clear();
        sums.resize(wide * high, [[_mm256_setzero_ps(); TILE.1]; TILE.0]);
        for start in (0..self.inputs).step_by(STRETCH) {
            let inputs = STRETCH.min(self.inputs - start);
            for (number, sums) in sums.iter_mut().enumerate() {
                let (row, output) = (number / wide * TILE.0, from + number % wide * TILE.1);
                // The outputs behind these, as many and as far as this stretch.
                let ahead = (from + count) * self.inputs + start * count;
                let ahead = self
                    .weight
                    .as_ptr()
                    .wrapping_add(ahead)
                    .wrapping_byte_add(number * inputs / LANES * LINE);
                // SAFETY: rows, outputs and inputs lie within the product.
                unsafe { self.add_rows(row, output, start, inputs, sums, ahead) };
            }
        }
        for (number, sums) in sums.iter().enumerate() {
            let (row, output) = (number / wide * TILE.0, from + number % wide * TILE.1);
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
                // SAFETY: as above.
                unsafe {
                    self.add(row, output, 0, self.inputs, &mut sums, std::ptr::null());
                    *self.out.add(row * self.outputs + output) = total(sums[0][0]);
                }
            }
        }
    }

    /// Adds the products of inputs `start ..` to the sums of up to four rows from `row` on, and of three outputs.
    ///
    /// # Safety
    ///
    /// Row, outputs and inputs must be there, and the processor must be one that [`suits`].
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add_rows(
        &self,
        row: usize,
        output: usize,
        start: usize,
        inputs: usize,
        sums: &mut Sums,
        ahead: *const V,
    ) {
        // SAFETY: the caller's promise, and there are as many rows as each case names.
        unsafe {
            match (self.rows - row, sums) {
                (1, [first, ..]) => self.add(row, output, start, inputs, std::array::from_mut(first), ahead),
                (2, [sums @ .., _, _]) => self.add::<2, 3>(row, output, start, inputs, sums, ahead),
                (3, [sums @ .., _]) => self.add::<3, 3>(row, output, start, inputs, sums, ahead),
                (_, sums) => self.add(row, output, start, inputs, sums, ahead),
            }
        }
    }

    /// As [`Self::add_rows`], for `R` rows and `N` outputs. A line from `ahead` on is fetched with every register of the
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
        start: usize,
        inputs: usize,
        sums: &mut [[__m256; N]; R],
        ahead: *const V,
    ) {
        let place = |line: usize| line * self.inputs + start;
        let x: [*const f32; R] = std::array::from_fn(|at| self.x.wrapping_add(place(row + at)));
        let weight: [*const V; N] = std::array::from_fn(|at| self.weight.as_ptr().wrapping_add(place(output + at)));
        let mut kept = *sums;
        for at in (0..inputs).step_by(LANES) {
            let mut outputs = [_mm256_setzero_ps(); N];
            // SAFETY: the caller's promise; fetching ahead is allowed from anywhere.
            unsafe {
                for (values, weight) in outputs.iter_mut().zip(&weight) {
                    *values = V::eight(weight.add(at));
                }
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_byte_add(at / LANES * LINE).cast());
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
