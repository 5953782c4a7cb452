//! Products of a few rows with a matrix on a CPU, as decode steps have them, at the speed at which the matrix can be
//! read. libtorch's own (MKL's) first rearranges the whole matrix, every time: for 8 rows that takes several times as
//! long as reading it.
//!
//! The sums of an output are taken in one order however many rows there are, so a row's products do not depend on its
//! batch, nor on whether the matrix lies in 32 bits or in 16.

use half::{bf16, f16};
use tch::{Kind, Tensor};

use crate::runner::error::TorchError;

/// Above this libtorch's own product is as fast.
const ROWS: usize = 64;

/// The values of a matrix `[outputs, inputs]`, row by row.
#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

/// `x Wᵀ` for `x` of f32, `[.., inputs]`, and `weight` of f32 or of 16 bits, `[outputs, inputs]`: `[.., outputs]`. `None`
/// where libtorch's own product serves better, or alone.
pub fn product(x: &Tensor, weight: &Tensor) -> Result<Option<Tensor>, TorchError> {
    let (mut shape, (outputs, inputs)) = (x.size(), weight.size2()?);
    let rows = x.numel() / (inputs.max(1) as usize);
    let suits = (1..=ROWS).contains(&rows) && shape.last() == Some(&inputs) && x.f_kind()? == Kind::Float;
    if !suits || x.device() != tch::Device::Cpu {
        return Ok(None);
    }
    let Some(values) = values(weight)? else {
        return Ok(None);
    };
    let x = x.f_contiguous()?;
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let y = Tensor::f_empty(&shape, (Kind::Float, tch::Device::Cpu))?;
    // SAFETY: both are contiguous tensors of f32 on the CPU, of so many values; nobody else knows `y`.
    let (x, out) = unsafe {
        let out = std::slice::from_raw_parts_mut(y.data_ptr().cast::<f32>(), y.numel());
        (std::slice::from_raw_parts(x.data_ptr().cast::<f32>(), x.numel()), out)
    };
    Ok(multiply(x, values, inputs as usize, out).then_some(y))
}

/// The values of `weight`, where they lie one behind the other in memory of the host.
fn values(weight: &Tensor) -> Result<Option<Values<'_>>, TorchError> {
    if weight.device() != tch::Device::Cpu || !weight.is_contiguous() {
        return Ok(None);
    }
    let (at, count) = (weight.data_ptr(), weight.numel());
    // SAFETY: a contiguous tensor on the CPU, of so many values of this kind, which stay as long as it is borrowed;
    // libtorch aligns what it allocates, and tensors over foreign bytes are only made of aligned ones.
    Ok(unsafe {
        match weight.f_kind()? {
            Kind::Float => Some(Values::F32(std::slice::from_raw_parts(at.cast(), count))),
            Kind::Half => Some(Values::F16(std::slice::from_raw_parts(at.cast(), count))),
            Kind::BFloat16 => Some(Values::Bf16(std::slice::from_raw_parts(at.cast(), count))),
            _ => None,
        }
    })
}

/// Writes the products of the rows of `x` with those of `weight` to `out`, row by row; whether this processor can.
fn multiply(x: &[f32], weight: Values<'_>, inputs: usize, out: &mut [f32]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2::suits(inputs) {
        match weight {
            Values::F32(weight) => avx2::multiply(x, weight, inputs, out),
            Values::F16(weight) => avx2::multiply(x, weight, inputs, out),
            Values::Bf16(weight) => avx2::multiply(x, weight, inputs, out),
        }
        return true;
    }
    false
}

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random(shape: [i64; 2], seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn(shape, (Kind::Float, tch::Device::Cpu))
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        let values = Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    /// By libtorch in double precision, and what rounding may add to that.
    fn is_right(x: &Tensor, weight: &Tensor, found: &Tensor) -> bool {
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let exact = wide(x).matmul(&wide(weight).transpose(0, 1));
        let scale = wide(x).abs().matmul(&wide(weight).abs().transpose(0, 1));
        let distance = (wide(found) - exact).abs() / scale;
        f64::try_from(distance.max()).unwrap() < 1e-6
    }

    fn skipped() -> bool {
        let skipped = product(&random([1, 8], 0), &random([1, 8], 0)).unwrap().is_none();
        if skipped {
            eprintln!("skipped: this processor has no AVX2, FMA and F16C");
        }
        skipped
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn products_are_right_and_each_rows_own(
            rows in 1..=ROWS as i64,
            outputs in 1..240_i64,
            eights in 1..70_i64,
            kind in prop::sample::select(vec![Kind::Float, Kind::Half, Kind::BFloat16]),
        ) {
            if skipped() {
                return Ok(());
            }
            let (x, weight) = (random([rows, eights * 8], 1), random([outputs, eights * 8], 2).to_kind(kind));
            let all = product(&x, &weight).unwrap().unwrap();
            prop_assert_eq!(all.size(), [rows, outputs]);
            prop_assert!(is_right(&x, &weight, &all));
            let wide = product(&x, &weight.to_kind(Kind::Float)).unwrap().unwrap();
            prop_assert_eq!(bits(&all), bits(&wide));
            for row in 0..rows {
                let alone = product(&x.narrow(0, row, 1), &weight).unwrap().unwrap();
                prop_assert_eq!(bits(&all.narrow(0, row, 1)), bits(&alone));
            }
        }
    }

    #[test]
    fn shapes_stay_and_rows_that_are_not_contiguous_are_read_as_they_are() {
        if skipped() {
            return;
        }
        let (x, weight) = (random([6, 16], 3), random([5, 16], 4));
        let whole = product(&x.view([2, 3, 16]), &weight).unwrap().unwrap();
        assert_eq!(whole.size(), [2, 3, 5]);
        let turned = x.transpose(0, 1).contiguous().transpose(0, 1);
        assert!(!turned.is_contiguous());
        assert_eq!(bits(&product(&turned, &weight).unwrap().unwrap()), bits(&whole));
    }

    #[test]
    fn what_does_not_suit_is_left_to_libtorch() {
        let weight = random([5, 16], 4);
        let left = |x: &Tensor, weight: &Tensor| product(x, weight).unwrap().is_none();
        assert!(left(&random([ROWS as i64 + 1, 16], 0), &weight), "many rows");
        assert!(left(&random([0, 16], 0), &weight), "none");
        assert!(left(&random([2, 15], 0), &random([5, 15], 0)), "no multiple of eight");
        assert!(left(&random([2, 16], 0).to_kind(Kind::Half), &weight), "16 bits");
        let turned = random([16, 5], 4).transpose(0, 1);
        assert!(left(&random([2, 16], 0), &turned), "a matrix that is not contiguous");
    }
}
