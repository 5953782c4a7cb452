//! Whether stored values are all finite: read off the bits, at the speed of the memory they lie in.

use crate::checkpoint::Dtype;

/// Pieces below this many bytes are not worth a thread.
const SMALLEST_PIECE: usize = 1 << 22;

/// No value of `bytes`, little-endian elements of `dtype`, is NaN or infinite. Uses up to `threads` threads.
pub fn all_finite(bytes: &[u8], dtype: Dtype, threads: usize) -> bool {
    let pieces = threads.min(bytes.len() / SMALLEST_PIECE).max(1);
    // Whole elements in every piece.
    let length = bytes.len().div_ceil(pieces).next_multiple_of(8).max(8);
    let mut rest = bytes.chunks(length);
    let Some(first) = rest.next() else { return true };
    std::thread::scope(|scope| {
        let others: Vec<_> = rest
            .map(|piece| scope.spawn(move || piece_is_finite(piece, dtype)))
            .collect();
        let first = piece_is_finite(first, dtype);
        // A thread that died has seen nothing finite.
        others
            .into_iter()
            .fold(first, |all, other| all & other.join().unwrap_or(false))
    })
}

/// A value is not finite exactly when its exponent bits are all set.
fn piece_is_finite(bytes: &[u8], dtype: Dtype) -> bool {
    match dtype {
        Dtype::I16 | Dtype::I32 => true,
        Dtype::F16 => none_has_all(bytes, 0x7c00),
        Dtype::Bf16 => none_has_all(bytes, 0x7f80),
        Dtype::F32 => {
            let (values, _) = bytes.as_chunks::<4>();
            let exponent = 0x7f80_0000;
            !values.iter().fold(false, |found, value| {
                found | (u32::from_le_bytes(*value) & exponent == exponent)
            })
        }
    }
}

/// Branches on nothing within a block, so that the compiler may use its widest registers.
fn none_has_all(bytes: &[u8], exponent: u16) -> bool {
    bytes.chunks(1 << 16).all(|block| {
        let (values, _) = block.as_chunks::<2>();
        values
            .iter()
            .map(|value| u16::from(u16::from_le_bytes(*value) & exponent == exponent))
            .fold(0, |found, value| found | value)
            == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_pattern_of_sixteen_bits_is_judged_as_the_formats_do() {
        for bits in 0..=u16::MAX {
            let bytes = bits.to_le_bytes();
            assert_eq!(all_finite(&bytes, Dtype::F16, 1), f16::from_bits(bits).is_finite());
            assert_eq!(all_finite(&bytes, Dtype::Bf16, 1), bf16::from_bits(bits).is_finite());
            let wide = (u32::from(bits) << 16 | 0x1234).to_le_bytes();
            let value = f32::from_le_bytes(wide);
            assert_eq!(all_finite(&wide, Dtype::F32, 1), value.is_finite());
        }
    }

    #[test]
    fn one_bad_value_is_found_wherever_it_lies() {
        let mut bytes = vec![0_u8; 3 * SMALLEST_PIECE + 6];
        assert!(all_finite(&bytes, Dtype::F16, 4));
        assert!(all_finite(&[], Dtype::F16, 4));
        let infinity = f16::INFINITY.to_le_bytes();
        let last = bytes.len() - 2;
        for at in [0, SMALLEST_PIECE, SMALLEST_PIECE + 2, 2 * SMALLEST_PIECE - 2, last] {
            bytes[at..at + 2].copy_from_slice(&infinity);
            assert!(!all_finite(&bytes, Dtype::F16, 4), "{at}");
            bytes[at..at + 2].fill(0);
        }
    }
}
