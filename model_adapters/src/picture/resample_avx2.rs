//! Both passes of the resize with AVX2. The sums are the same to the last bit as those in plain Rust, since whole numbers
//! may be added in any order.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_cvtsi64_si128, _mm_cvtsi128_si32, _mm_packs_epi32, _mm_packus_epi16,
    _mm_set_epi64x, _mm_setr_epi8, _mm_setr_epi32, _mm_shuffle_epi8, _mm_srai_epi32, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_cvtepu8_epi32, _mm256_extracti128_si256, _mm256_madd_epi16,
    _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_setr_epi16, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_slli_epi32, _mm256_srai_epi32,
};

use crate::picture::resample::{CHANNELS, PRECISION, Taps, clamped};

/// Samples that one register holds as 32-bit sums.
const LANES: usize = 8;
/// Taps that one register holds with all their channels.
const QUAD: usize = 4;
/// Bytes that are read for them, of which the last four are not used.
const READ: usize = 16;
/// Rows that one reading of the weights serves.
const ROWS: usize = 4;
/// Bits of a weight's lower part. Both parts then fit the 16 bits of a factor, and all sums of products 32.
const SPLIT: i32 = 12;

/// The inputs of one output pixel of a row.
struct Column {
    /// Byte of a row at which the first begins.
    start: usize,
    quads: Vec<Quad>,
    /// One channel each; the last is not used.
    base: __m128i,
}

/// The two parts of four weights, `high · 2^12 + low`, each in the order of [`quad_at`].
struct Quad {
    high: __m256i,
    low: __m256i,
}

impl Column {
    /// Taps that fill up the last quad weigh 0.
    #[target_feature(enable = "avx2")]
    fn of(taps: &Taps) -> Self {
        let [red, green, blue] = taps.base;
        let quad = |weights: &[i32]| {
            let weight = |tap: usize| weights.get(tap).copied().unwrap_or_default();
            let part = |of: fn(i32) -> i16| {
                let [a, b, c, d] = [0, 1, 2, 3].map(|tap| of(weight(tap)));
                _mm256_setr_epi16(a, b, a, b, a, b, 0, 0, c, d, c, d, c, d, 0, 0)
            };
            Quad {
                high: part(|weight| (weight >> SPLIT) as i16),
                low: part(|weight| (weight & ((1 << SPLIT) - 1)) as i16),
            }
        };
        Self {
            start: taps.start * CHANNELS,
            quads: taps.weights.chunks(QUAD).map(quad).collect(),
            base: _mm_setr_epi32(red, green, blue, 0),
        }
    }
}

/// As `plain_horizontal` of [`crate::picture::resample`]; four taps at once, of several rows in turn.
#[target_feature(enable = "avx2")]
pub(super) fn horizontal(rows: &[u8], stride: usize, columns: &[Taps]) -> Vec<u8> {
    let columns: Vec<Column> = columns.iter().map(|taps| Column::of(taps)).collect();
    let line = columns.len() * CHANNELS;
    let height = rows.len() / stride;
    let mut out = vec![0; height * line];
    // Whole blocks behind which enough bytes stand that any reading may go on there.
    let blocks = rows.len().saturating_sub(READ) / (ROWS * stride);
    let (most, last) = out.split_at_mut(blocks * ROWS * line);
    for (number, block) in most.chunks_exact_mut(ROWS * line).enumerate() {
        lines::<ROWS>(&rows[number * ROWS * stride..], stride, &columns, block);
    }
    let mut rest = rows[blocks * ROWS * stride..].to_vec();
    rest.resize(rest.len() + READ, 0);
    for (number, single) in last.chunks_exact_mut(line).enumerate() {
        lines::<1>(&rest[number * stride..], stride, &columns, single);
    }
    out
}

/// The first `N` rows to `N` lines.
#[target_feature(enable = "avx2")]
fn lines<const N: usize>(rows: &[u8], stride: usize, columns: &[Column], out: &mut [u8]) {
    let line = columns.len() * CHANNELS;
    for (number, column) in columns.iter().enumerate() {
        let mut high = [_mm256_setzero_si256(); N];
        let mut low = high;
        let mut at = column.start;
        for quad in &column.quads {
            for row in 0..N {
                let samples = quad_at(rows, row * stride + at);
                high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(samples, quad.high));
                low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(samples, quad.low));
            }
            at += QUAD * CHANNELS;
        }
        for row in 0..N {
            let sums = _mm256_add_epi32(_mm256_slli_epi32::<SPLIT>(high[row]), low[row]);
            let halves = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let sums = _mm_add_epi32(halves, column.base);
            let samples = bytes_of(_mm_srai_epi32::<{ PRECISION as i32 }>(sums)).to_le_bytes();
            out[row * line + number * CHANNELS..][..CHANNELS].copy_from_slice(&samples[..CHANNELS]);
        }
    }
}

/// The samples of four pixels from byte `at` on, widened; of the first two pixels red beside red, green beside green,
/// blue beside blue in the lower half, those of the others in the upper. What stands behind a row's last pixel may
/// belong to the next row: its weight is 0.
#[target_feature(enable = "avx2")]
fn quad_at(rows: &[u8], at: usize) -> __m256i {
    let places = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 6, 9, 7, 10, 8, 11, -1, -1);
    let mut bytes = [0; READ];
    bytes.copy_from_slice(&rows[at..at + READ]);
    let pixels = u128::from_le_bytes(bytes);
    let pixels = _mm_set_epi64x((pixels >> 64) as i64, pixels as i64);
    _mm256_cvtepu8_epi16(_mm_shuffle_epi8(pixels, places))
}

/// As `plain_vertical` of [`crate::picture::resample`]; eight samples of a row at once.
#[target_feature(enable = "avx2")]
pub(super) fn vertical(rows: &[u8], stride: usize, lines: &[Taps], first: usize) -> Vec<u8> {
    let mut out = vec![0; lines.len() * stride];
    for (line, taps) in out.chunks_exact_mut(stride).zip(lines) {
        let rows = &rows[(taps.start - first) * stride..];
        let [red, green, blue] = taps.base;
        // Eight samples start at any of the three channels.
        let bases = [
            _mm256_setr_epi32(red, green, blue, red, green, blue, red, green),
            _mm256_setr_epi32(blue, red, green, blue, red, green, blue, red),
            _mm256_setr_epi32(green, blue, red, green, blue, red, green, blue),
        ];
        let (whole, rest) = line.as_chunks_mut::<LANES>();
        for (number, samples) in whole.iter_mut().enumerate() {
            let mut sums = bases[number % CHANNELS];
            for (row, &weight) in rows.chunks_exact(stride).zip(&taps.weights) {
                sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(eight(row, number), _mm256_set1_epi32(weight)));
            }
            let sums = _mm256_srai_epi32::<{ PRECISION as i32 }>(sums);
            let low = bytes_of(_mm256_castsi256_si128(sums));
            let high = bytes_of(_mm256_extracti128_si256::<1>(sums));
            samples[..4].copy_from_slice(&low.to_le_bytes());
            samples[4..].copy_from_slice(&high.to_le_bytes());
        }
        for (place, sample) in (stride - rest.len()..).zip(rest) {
            let column = rows.iter().skip(place).step_by(stride).zip(&taps.weights);
            *sample = clamped(column.fold(taps.base[place % CHANNELS], |sum, (&sample, &weight)| {
                sum + i32::from(sample) * weight
            }));
        }
    }
    out
}

/// Samples `8 · number ..` of `row`, widened.
#[target_feature(enable = "avx2")]
fn eight(row: &[u8], number: usize) -> __m256i {
    let mut bytes = [0; LANES];
    bytes.copy_from_slice(&row[number * LANES..][..LANES]);
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)))
}

/// Four sums, their fractions gone, clamped to bytes. Both packings saturate: below 0 gives 0, above 255 gives 255.
#[target_feature(enable = "avx2")]
fn bytes_of(sums: __m128i) -> i32 {
    let words = _mm_packs_epi32(sums, sums);
    _mm_cvtsi128_si32(_mm_packus_epi16(words, words))
}
