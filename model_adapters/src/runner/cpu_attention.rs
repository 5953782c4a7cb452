//! Attention in f32 on a CPU, at nearly the speed of its products.
//!
//! libtorch's fused kernel leaves its products to a library that rearranges its operands for every block of 32 or 64
//! queries: at the shapes of prompts it takes twice the time. Here keys and values of a head are rearranged once for all
//! queries, keys that a query does not see are not scored, and the products stay in registers.
//!
//! What one query gets does not depend on the queries beside it, nor on the number of threads.

use tch::{Kind, Tensor};

use crate::runner::attention::Partial;
use crate::runner::error::TorchError;

/// Fewer queries of a head are not worth rearranging its keys.
const QUERIES: usize = 16;

/// Which keys a query sees.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// All.
    All,
    /// The last query all, each before it one less than the next.
    UpToOwn,
    /// All, after this tensor `[b, 1, n, l]` is added to the scores: 0 or minus infinity, and for no query minus infinity
    /// throughout.
    Masked(&'a Tensor),
}

/// Sides of a problem.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    /// Heads of keys and values: query head `a` looks at head `a / (heads / kv_heads)` of them.
    kv_heads: usize,
    queries: usize,
    keys: usize,
    /// Of a head.
    width: usize,
}

/// Rows of f32 in memory: those of a tensor `[b, heads, n, width]` whose last axis is contiguous.
#[derive(Clone, Copy)]
struct Rows<'a> {
    first: *const f32,
    strides: [usize; 3],
    sizes: [usize; 3],
    width: usize,
    tensor: std::marker::PhantomData<&'a Tensor>,
}

// SAFETY: the tensor is only read, and stays as long as it is borrowed.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// `None` unless it is of f32, on the CPU, with a contiguous last axis.
    fn of(tensor: &'a Tensor) -> Result<Option<Self>, TorchError> {
        let suits = tensor.f_kind()? == Kind::Float && tensor.device() == tch::Device::Cpu;
        let (size, stride) = (tensor.size(), tensor.stride());
        let (&[b, heads, n, width], &[by_b, by_head, by_row, 1]) = (size.as_slice(), stride.as_slice()) else {
            return Ok(None);
        };
        if !suits || tensor.numel() == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            first: tensor.data_ptr().cast::<f32>(),
            strides: [by_b, by_head, by_row].map(|stride| stride as usize),
            sizes: [b, heads, n].map(|size| size as usize),
            width: width as usize,
            tensor: std::marker::PhantomData,
        }))
    }

    /// One row; panics where there is none.
    fn row(&self, batch: usize, head: usize, row: usize) -> &'a [f32] {
        let place = [batch, head, row];
        assert!(
            place.iter().zip(&self.sizes).all(|(place, size)| place < size),
            "no such row"
        );
        let offset: usize = place
            .iter()
            .zip(&self.strides)
            .map(|(place, stride)| place * stride)
            .sum();
        // SAFETY: within the tensor, whose last axis is contiguous.
        unsafe { std::slice::from_raw_parts(self.first.add(offset), self.width) }
    }
}

/// Queries `[b, A, n, d]` over keys and values `[b, K, l, d]`, in f32. `None` where libtorch's own attention serves
/// better, or alone.
pub fn attention(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    seen: Seen<'_>,
) -> Result<Option<Partial>, TorchError> {
    let ((batch, heads, queries, width), (_, kv_heads, count, _)) = (query.size4()?, keys.size4()?);
    let sizes = Sizes {
        batch: batch as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        queries: queries as usize,
        keys: count as usize,
        width: width as usize,
    };
    let fit = keys.size() == [batch, kv_heads, count, width] && values.size() == keys.size();
    let causal_fits = !matches!(seen, Seen::UpToOwn) || queries <= count;
    if sizes.queries < QUERIES || !fit || !causal_fits || kv_heads == 0 || heads % kv_heads != 0 {
        return Ok(None);
    }
    let mask = match seen {
        Seen::Masked(mask) if mask.size() != [batch, 1, queries, count] => return Ok(None),
        Seen::Masked(mask) => Some(Rows::of(mask)?),
        Seen::All | Seen::UpToOwn => None,
    };
    let (Some(query), Some(keys), Some(values)) = (Rows::of(query)?, Rows::of(keys)?, Rows::of(values)?) else {
        return Ok(None);
    };
    let visible = match (seen, mask) {
        (Seen::All, _) => Visible::All,
        (Seen::UpToOwn, _) => Visible::UpToOwn,
        (Seen::Masked(_), Some(Some(mask))) => Visible::Masked(mask),
        (Seen::Masked(_), _) => return Ok(None),
    };
    let options = (Kind::Float, tch::Device::Cpu);
    // Heads side by side, so that joining them copies nothing.
    let mixed = Tensor::f_empty([batch, queries, heads, width], options)?;
    let weight = Tensor::f_empty([batch, heads, queries], options)?;
    // SAFETY: fresh contiguous tensors of f32 that nobody else knows.
    let out = unsafe {
        let of = |tensor: &Tensor| std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel());
        Out {
            mixed: of(&mixed),
            weight: of(&weight),
        }
    };
    if !compute(sizes, [query, keys, values], visible, out) {
        return Ok(None);
    }
    Ok(Some(Partial {
        mixed: mixed.f_transpose(1, 2)?,
        weight,
    }))
}

/// As [`Seen`], the mask's rows at hand.
#[derive(Clone, Copy)]
enum Visible<'a> {
    All,
    UpToOwn,
    Masked(Rows<'a>),
}

/// Where the result goes.
struct Out<'a> {
    /// `[b, n, A, d]`
    mixed: &'a mut [f32],
    /// Log-sum-exp of the scaled scores, `[b, A, n]`.
    weight: &'a mut [f32],
}

/// Whether this processor can.
fn compute(sizes: Sizes, inputs: [Rows<'_>; 3], visible: Visible<'_>, out: Out<'_>) -> bool {
    #[cfg(target_arch = "x86_64")]
    if avx2::suits() {
        avx2::compute(sizes, inputs, visible, out);
        return true;
    }
    let _unused = (sizes, inputs, visible, out);
    false
}

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random(shape: [i64; 4], seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn(shape, (Kind::Float, tch::Device::Cpu))
    }

    /// As a linear gives it: `[b, n, heads, d]` in memory.
    fn interleaved([batch, heads, count, width]: [i64; 4], seed: i64) -> Tensor {
        random([batch, count, heads, width], seed).transpose(1, 2)
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        let values = Vec::<f32>::try_from(x.contiguous().flatten(0, -1)).unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    fn skipped() -> bool {
        let x = random([1, 1, 4, 4], 0);
        let skipped = attention(&x, &x, &x, Seen::All).unwrap().is_none();
        if skipped {
            eprintln!("skipped: this processor has no AVX2 and FMA");
        }
        skipped
    }

    /// The formula in double precision: what is mixed, and the log-sum-exp.
    fn formula(query: &Tensor, keys: &Tensor, values: &Tensor, mask: &Tensor) -> (Tensor, Tensor) {
        let group = query.size()[1] / keys.size()[1];
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let repeated = |x: &Tensor| wide(x).repeat_interleave_self_int(group, 1, None);
        let width = query.size()[3] as f64;
        let scores = wide(query).matmul(&repeated(keys).transpose(2, 3)) / width.sqrt() + wide(mask);
        let weight = scores.logsumexp([-1_i64].as_slice(), true);
        (
            (scores - &weight).exp().matmul(&repeated(values)),
            weight.squeeze_dim(-1),
        )
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        f64::try_from((a - b).abs().max()).unwrap()
    }

    /// Minus infinity for the keys behind those that a query sees.
    fn causal(queries: i64, keys: i64) -> Tensor {
        let all = Tensor::full(
            [1, 1, queries, keys],
            f64::NEG_INFINITY,
            (Kind::Float, tch::Device::Cpu),
        );
        all.triu(keys - queries + 1)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn attention_is_that_of_the_formula_and_each_querys_own(
            batch in 1..3_i64,
            (kv_heads, group) in (1..4_i64, 1..3_i64),
            queries in QUERIES as i64..40,
            more in 0..50_i64,
            width in 1..40_i64,
            seen in 0..3_usize,
        ) {
            if skipped() {
                return Ok(());
            }
            let keys = queries + more;
            let query = interleaved([batch, kv_heads * group, queries, width], 1) * 3;
            let (k, v) = (interleaved([batch, kv_heads, keys, width], 2), interleaved([batch, kv_heads, keys, width], 3));
            let random_mask = random([batch, 1, queries, keys], 4).gt(0.5).to_kind(Kind::Float) * -1e30;
            let mask = match seen {
                0 => Tensor::zeros([batch, 1, queries, keys], (Kind::Float, tch::Device::Cpu)),
                1 => causal(queries, keys).repeat([batch, 1, 1, 1]),
                _ => random_mask,
            };
            let by = |mask| match seen {
                0 => Seen::All,
                1 => Seen::UpToOwn,
                _ => Seen::Masked(mask),
            };
            let ours = attention(&query, &k, &v, by(&mask)).unwrap().unwrap();
            let (mixed, weight) = formula(&query, &k, &v, &mask);
            prop_assert!(distance(&ours.mixed, &mixed) < 1e-5);
            prop_assert!(distance(&ours.weight, &weight) < 1e-4);

            // The last queries on their own, and the keys as they lie elsewhere.
            let last = |x: &Tensor, axis| x.narrow(axis, queries - QUERIES as i64, QUERIES as i64);
            let few_mask = last(&mask, 2);
            let few = attention(&last(&query, 2).contiguous(), &k.contiguous(), &v.contiguous(), by(&few_mask));
            let few = few.unwrap().unwrap();
            prop_assert_eq!(bits(&few.mixed), bits(&last(&ours.mixed, 2)));
            prop_assert_eq!(bits(&few.weight), bits(&last(&ours.weight, 2)));
        }
    }

    #[test]
    fn heads_lie_side_by_side() {
        if skipped() {
            return;
        }
        let x = random([1, 3, 20, 8], 5);
        let mixed = attention(&x, &x, &x, Seen::UpToOwn).unwrap().unwrap().mixed;
        assert_eq!(mixed.size(), [1, 3, 20, 8]);
        assert!(mixed.transpose(1, 2).is_contiguous());
    }

    #[test]
    fn scores_far_apart_stay_finite() {
        if skipped() {
            return;
        }
        let x = random([1, 1, 16, 16], 6) * 100;
        let partial = attention(&x, &x, &x, Seen::All).unwrap().unwrap();
        assert!(bool::try_from(partial.mixed.isfinite().all()).unwrap());
        // Every query is nearest to itself, by far.
        assert!(distance(&partial.mixed, &x) < 1e-3);
    }

    #[test]
    fn a_key_that_is_no_number_is_seen_in_every_query() {
        if skipped() {
            return;
        }
        let (x, keys) = (random([1, 1, 20, 8], 9), random([1, 1, 20, 8], 10));
        let _key = keys.narrow(2, 7, 1).fill_(f64::NAN);
        let partial = attention(&x, &keys, &x, Seen::All).unwrap().unwrap();
        assert!(bool::try_from(partial.mixed.isnan().all()).unwrap());
        assert!(bool::try_from(partial.weight.isnan().all()).unwrap());
    }

    #[test]
    fn what_does_not_suit_is_left_to_libtorch() {
        let left =
            |query: &Tensor, keys: &Tensor, seen: Seen<'_>| attention(query, keys, keys, seen).unwrap().is_none();
        let x = random([1, 2, 8, 4], 7);
        assert!(left(&x.narrow(2, 0, 3), &x, Seen::All), "few queries");
        assert!(left(&x, &x.narrow(2, 0, 7), Seen::UpToOwn), "queries that see nothing");
        assert!(
            left(&x.to_kind(Kind::Half), &x.to_kind(Kind::Half), Seen::All),
            "16 bits"
        );
        assert!(left(&x, &random([1, 2, 8, 5], 7), Seen::All), "another width");
        assert!(left(&x.narrow(1, 0, 1), &x, Seen::All), "more heads of keys");
        assert!(left(&x, &x, Seen::Masked(&random([1, 1, 8, 7], 8))), "another mask");
    }
}
