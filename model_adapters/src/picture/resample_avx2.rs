//! Both passes of the resize with AVX2: eight 32-bit products at once. The sums are the same to the last bit as those
//! in plain Rust, since whole numbers may be added in any order.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_cvtsi64_si128, _mm_cvtsi128_si32, _mm_packs_epi32, _mm_packus_epi16,
    _mm_set1_epi32, _mm_setr_epi8, _mm_shuffle_epi8, _mm_srai_epi32, _mm256_add_epi32, _mm256_castsi128_si256,
    _mm256_castsi256_si128, _mm256_cvtepu8_epi32, _mm256_extracti128_si256, _mm256_mullo_epi32,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_srai_epi32,
};

use crate::picture::resample::{CHANNELS, PRECISION, ROUNDING, Taps, clamped};

/// Samples that one register holds as 32-bit sums.
const LANES: usize = 8;
/// Bytes that are read for two pixels, of which the last two are not used.
const PAIR: usize = 8;

/// As `plain_horizontal` of [`crate::picture::resample`]; two taps at once, the three samples of each side by side.
#[target_feature(enable = "avx2")]
pub(super) fn horizontal(rows: &[u8], stride: usize, columns: &[Taps]) -> Vec<u8> {
    let places = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    let twice = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    let rounding = _mm_set1_epi32(ROUNDING);
    let pairs: Vec<(usize, Vec<i64>)> = columns.iter().map(|taps| (taps.start, pairs(&taps.weights))).collect();
    let mut out = vec![0; rows.len() / stride * columns.len() * CHANNELS];
    let mut pixels = out.chunks_exact_mut(CHANNELS);
    for first in (0..rows.len()).step_by(stride) {
        for ((start, pairs), pixel) in pairs.iter().zip(&mut pixels) {
            let mut sums = _mm256_setzero_si256();
            let mut at = first + start * CHANNELS;
            for &weights in pairs {
                let samples = _mm256_cvtepu8_epi32(_mm_shuffle_epi8(pair_at(rows, at), places));
                let weights = _mm256_castsi128_si256(_mm_cvtsi64_si128(weights));
                let weights = _mm256_permutevar8x32_epi32(weights, twice);
                sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(samples, weights));
                at += 2 * CHANNELS;
            }
            let halves = (_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let sums = _mm_add_epi32(_mm_add_epi32(halves.0, halves.1), rounding);
            let samples = bytes_of(_mm_srai_epi32::<{ PRECISION as i32 }>(sums)).to_le_bytes();
            pixel.copy_from_slice(&samples[..CHANNELS]);
        }
    }
    out
}

/// Two weights each, the first in the lower half; an odd last one is followed by 0.
fn pairs(weights: &[i32]) -> Vec<i64> {
    let pair = |pair: &[i32]| i64::from(pair.get(1).copied().unwrap_or_default()) << 32 | i64::from(pair[0] as u32);
    weights.chunks(2).map(pair).collect()
}

/// The bytes of two pixels from `at` on. What stands behind the first in a row may belong to the next row: its weight
/// is 0.
#[target_feature(enable = "avx2")]
fn pair_at(rows: &[u8], at: usize) -> __m128i {
    let mut bytes = [0; PAIR];
    match rows.get(at..at + PAIR) {
        Some(whole) => bytes.copy_from_slice(whole),
        None => {
            let rest = &rows[at..];
            bytes[..rest.len()].copy_from_slice(rest);
        }
    }
    _mm_cvtsi64_si128(i64::from_le_bytes(bytes))
}

/// As `plain_vertical` of [`crate::picture::resample`]; eight samples of a row at once.
#[target_feature(enable = "avx2")]
pub(super) fn vertical(rows: &[u8], stride: usize, lines: &[Taps], first: usize) -> Vec<u8> {
    let mut out = vec![0; lines.len() * stride];
    for (line, taps) in out.chunks_exact_mut(stride).zip(lines) {
        let rows = &rows[(taps.start - first) * stride..];
        let (whole, rest) = line.as_chunks_mut::<LANES>();
        for (number, samples) in whole.iter_mut().enumerate() {
            let mut sums = _mm256_set1_epi32(ROUNDING);
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
            *sample = clamped(column.fold(ROUNDING, |sum, (&sample, &weight)| sum + i32::from(sample) * weight));
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
