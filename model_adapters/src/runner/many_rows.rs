//! Products of many rows with a matrix in f32 on a CPU with AVX-512, as prefill and vision tower have them.
//!
//! libtorch leaves them to MKL, which on two cores of a Zen 4 computes 130 to 187 GFlop/s at the shapes of a decoder 768
//! wide; here it is 206 to 213 of the 232 that those cores can. Intel's processors were not measured. Without AVX-512
//! libtorch's own product stays.
//!
//! The sums of an output are taken in one order however many rows there are, so a row's products do not depend on its
//! batch.

use tch::{Kind, Tensor};

use crate::runner::error::TorchError;

/// Fewer rows are not worth rearranging the matrix.
const ROWS: usize = 64;

/// `x Wᵀ + b` for `x` of f32, `[.., inputs]`, `weight` `[outputs, inputs]` and `bias` `[outputs]`: `[.., outputs]`. `None`
/// where libtorch's own product serves better, or alone.
pub fn product(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>, TorchError> {
    let (mut shape, (outputs, inputs)) = (x.size(), weight.size2()?);
    let rows = x.numel() / (inputs.max(1) as usize);
    if rows <= ROWS || shape.last() != Some(&inputs) || bias.is_some_and(|bias| bias.size() != [outputs]) {
        return Ok(None);
    }
    let bias = match bias.map(values) {
        Some(None) => return Ok(None),
        bias => bias.flatten(),
    };
    let (Some(x), Some(weight)) = (values(x), values(weight)) else {
        return Ok(None);
    };
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let y = Tensor::f_empty(&shape, (Kind::Float, tch::Device::Cpu))?;
    // SAFETY: a fresh contiguous tensor of f32 that nobody else knows.
    let out = unsafe { std::slice::from_raw_parts_mut(y.data_ptr().cast::<f32>(), y.numel()) };
    Ok(multiply(x, weight, bias, inputs as usize, out).then_some(y))
}

/// Of a contiguous tensor of f32 on the CPU.
fn values(tensor: &Tensor) -> Option<&[f32]> {
    let suits = tensor.device() == tch::Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous();
    // SAFETY: so many values lie there, and stay as long as the tensor is borrowed.
    suits.then(|| unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

/// Writes the products of the rows of `x` with those of `weight`, and `bias`, to `out`, row by row; whether this
/// processor can.
fn multiply(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, out: &mut [f32]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx512::suits(inputs) {
        avx512::multiply(x, weight, bias, inputs, out);
        return true;
    }
    let _unused = (x, weight, bias, inputs, out);
    false
}

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random(shape: &[i64], seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn(shape, (Kind::Float, tch::Device::Cpu))
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        let values = Vec::<f32>::try_from(x.contiguous().flatten(0, -1)).unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    /// By libtorch in double precision, and what rounding may add to that.
    fn is_right(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, found: &Tensor) -> bool {
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let exact = wide(x).linear(&wide(weight), bias.map(wide).as_ref());
        let scale = wide(x)
            .abs()
            .linear(&wide(weight).abs(), bias.map(|bias| wide(bias).abs()).as_ref());
        let distance = ((wide(found) - exact).abs() / scale).max();
        f64::try_from(distance).unwrap() < 1e-6
    }

    fn skipped() -> bool {
        let skipped = product(&random(&[65, 16], 0), &random(&[1, 16], 0), None)
            .unwrap()
            .is_none();
        if skipped {
            eprintln!("skipped: this processor has no AVX-512");
        }
        skipped
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn products_are_right_and_each_rows_own(
            rows in ROWS as i64 + 1..400,
            outputs in 1..400_i64,
            sixteens in 1..60_i64,
            has_bias: bool,
        ) {
            if skipped() {
                return Ok(());
            }
            let (x, weight) = (random(&[rows, sixteens * 16], 1), random(&[outputs, sixteens * 16], 2));
            let bias = has_bias.then(|| random(&[outputs], 3));
            let all = product(&x, &weight, bias.as_ref()).unwrap().unwrap();
            prop_assert_eq!(all.size(), [rows, outputs]);
            prop_assert!(is_right(&x, &weight, bias.as_ref(), &all));
            let few = ROWS as i64 + 1;
            let last = |x: &Tensor| x.narrow(0, rows - few, few);
            let alone = product(&last(&x), &weight, bias.as_ref()).unwrap().unwrap();
            prop_assert_eq!(bits(&alone), bits(&last(&all)));
        }
    }

    #[test]
    fn shapes_stay() {
        if skipped() {
            return;
        }
        let (x, weight) = (random(&[80, 32], 4), random(&[5, 32], 5));
        let flat = product(&x, &weight, None).unwrap().unwrap();
        let deep = product(&x.view([2, 40, 32]), &weight, None).unwrap().unwrap();
        assert_eq!(deep.size(), [2, 40, 5]);
        assert_eq!(bits(&deep), bits(&flat));
    }

    #[test]
    fn what_does_not_suit_is_left_to_libtorch() {
        let left = |x: &Tensor, weight: &Tensor| product(x, weight, None).unwrap().is_none();
        let (x, weight) = (random(&[80, 32], 1), random(&[48, 32], 2));
        assert!(left(&x.narrow(0, 0, ROWS as i64), &weight), "few rows");
        assert!(left(&random(&[80, 24], 1), &random(&[48, 24], 2)), "no whole registers");
        assert!(left(&x, &random(&[48, 16], 2)), "another width");
        assert!(left(&x.to_kind(Kind::Half), &weight.to_kind(Kind::Half)), "16 bits");
        assert!(
            left(&x, &random(&[32, 48], 2).transpose(0, 1)),
            "a matrix that is not contiguous"
        );
        assert!(
            left(&random(&[32, 80], 1).transpose(0, 1), &weight),
            "rows that are not"
        );
        let bias = random(&[47], 3);
        assert!(product(&x, &weight, Some(&bias)).unwrap().is_none(), "another bias");
    }
}
