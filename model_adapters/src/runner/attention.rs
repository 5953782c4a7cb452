//! Scaled dot-product attention, whole or in parts (`architecture.md` section 6.3).
//!
//! Questions about one picture share most of their keys. Attention over the shared keys and attention over a
//! question's own are computed apart and joined by their log-sum-exp, so that nothing shared is ever copied.

use tch::{Kind, Tensor};

use crate::runner::cpu_attention::{Seen, attention};
use crate::runner::error::TorchError;
use crate::runner::torch::Placement;

/// Queries that are computed together on a CPU that [`attention`] does not know. libtorch's causal kernel there scores
/// the first 512 keys for every query; in strips of 64, each against the keys up to its end, 640 positions take three
/// quarters of the time.
const STRIP: i64 = 64;

/// Which keys a query may see, the same in every layer.
#[derive(Debug)]
pub enum Visible {
    /// All: one new position.
    All,
    /// Those up to its own: a prefill from position 0.
    Causal,
    /// Those that the mask `[n, length + n]` marks: several new positions after others.
    Masked(Tensor),
    /// Those up to its own, in strips. The mask `[STRIP, STRIP + total]` is added to the scores: its last columns
    /// hide a strip's own later keys.
    Strips(Tensor),
}

impl Visible {
    /// What `count` new positions see behind `start` others.
    pub fn causal(start: i64, count: i64, placement: Placement, grouped: bool) -> Result<Self, TorchError> {
        let (kind, device) = placement.options();
        Ok(if count == 1 {
            Self::All
        } else if device == tch::Device::Cpu && kind == Kind::Float && !grouped {
            let mask = Tensor::f_zeros([STRIP, STRIP + start + count], (kind, device))?;
            let hidden = Tensor::f_full([STRIP, STRIP], f64::NEG_INFINITY, (kind, device))?.f_triu(1)?;
            mask.f_narrow(1, start + count, STRIP)?.f_copy_(&hidden)?;
            Self::Strips(mask)
        } else if start == 0 {
            Self::Causal
        } else {
            Self::Masked(Tensor::f_ones([count, start + count], (Kind::Bool, device))?.f_tril(start)?)
        })
    }
}

/// Fused attention: scores and softmax in f32 inside the kernel; query head `a` uses key/value head `a / (A/K)`.
/// Queries `[b, A, n, d]`, keys and values `[b, K, l, d]`; gives `[b, n, A · d]`.
pub fn attend(query: &Tensor, keys: &Tensor, values: &Tensor, visible: &Visible) -> Result<Tensor, TorchError> {
    let seen = match visible {
        Visible::All => Seen::All,
        Visible::Causal | Visible::Masked(_) | Visible::Strips(_) => Seen::UpToOwn,
    };
    if let Some(whole) = attention(query, keys, values, seen)? {
        return join_heads(&whole.mixed);
    }
    let grouped = query.size4()?.1 != keys.size4()?.1;
    let fused = |query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>, causal: bool| {
        let mixed = Tensor::f_scaled_dot_product_attention(query, keys, values, mask, 0.0, causal, None, grouped)?;
        join_heads(&mixed)
    };
    match visible {
        Visible::All => fused(query, keys, values, None, false),
        Visible::Causal => fused(query, keys, values, None, true),
        Visible::Masked(mask) => fused(query, keys, values, Some(mask), false),
        Visible::Strips(mask) => {
            let (count, total) = (query.size4()?.2, keys.size4()?.2);
            let strip = |from: i64| {
                let rows = STRIP.min(count - from);
                let before = total - count + from;
                let seen = |x: &Tensor| x.f_narrow(2, 0, before + rows);
                let own_keys = mask.size2()?.1 - STRIP;
                let mask = mask
                    .f_narrow(0, 0, rows)?
                    .f_narrow(1, own_keys - before, before + rows)?;
                fused(
                    &query.f_narrow(2, from, rows)?,
                    &seen(keys)?,
                    &seen(values)?,
                    Some(&mask),
                    false,
                )
            };
            let strips = (0..count).step_by(STRIP as usize).map(strip);
            Ok(Tensor::f_cat(&strips.collect::<Result<Vec<_>, TorchError>>()?, 1)?)
        }
    }
}

/// Attention over some of the keys that a query sees, and how much these keys weigh.
#[derive(Debug)]
pub struct Partial {
    /// `[b, A, n, d]`
    pub mixed: Tensor,
    /// Log-sum-exp of the scaled scores, `[b, A, n]`, f32.
    pub weight: Tensor,
}

impl Partial {
    /// Queries `[b, A, n, d]` over keys and values `[b, K, l, d]`. `mask`, `[b, 1, n, l]`, is added to the scores:
    /// 0 or minus infinity.
    pub fn over(query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Result<Self, TorchError> {
        let seen = mask.map_or(Seen::All, Seen::Masked);
        if let Some(partial) = attention(query, keys, values, seen)? {
            return Ok(partial);
        }
        let (batch, heads, count, width) = query.size4()?;
        let kv_heads = keys.size4()?.1;
        if heads == kv_heads {
            return Self::of_equal_heads(query, keys, values, mask);
        }
        // Query heads that share a key head become further queries of it: keys are not repeated in memory.
        let group = heads / kv_heads;
        let folded = query.f_reshape([batch, kv_heads, group * count, width])?;
        let mask = mask.map(|mask| mask.f_repeat([1, 1, group, 1])).transpose()?;
        let part = Self::of_equal_heads(&folded, keys, values, mask.as_ref())?;
        Ok(Self {
            mixed: part.mixed.f_reshape([batch, heads, count, width])?,
            weight: part.weight.f_reshape([batch, heads, count])?,
        })
    }

    fn of_equal_heads(
        query: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Self, TorchError> {
        if query.device() == tch::Device::Cpu {
            Self::fused_on_cpu(query, keys, values, mask)
        } else {
            Self::written_out(query, keys, values, mask)
        }
    }

    fn fused_on_cpu(query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Result<Self, TorchError> {
        let (mixed, weight) =
            Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(query, keys, values, 0.0, false, mask, None)?;
        Ok(Self { mixed, weight })
    }

    /// The formula, for devices whose fused kernels do not all give the log-sum-exp.
    fn written_out(query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Result<Self, TorchError> {
        let wide = |x: &Tensor| x.f_to_kind(Kind::Float);
        let width = query.size4()?.3;
        let mut scores = wide(query)?
            .f_div_scalar((width as f64).sqrt())?
            .f_matmul(&wide(keys)?.f_transpose(2, 3)?)?;
        if let Some(mask) = mask {
            scores = scores.f_add_(mask)?;
        }
        let weight = scores.f_logsumexp([-1_i64].as_slice(), true)?;
        let shares = scores.f_sub_(&weight)?.f_exp_()?;
        Ok(Self {
            mixed: shares.f_matmul(&wide(values)?)?.f_to_kind(query.f_kind()?)?,
            weight: weight.f_squeeze_dim(-1)?,
        })
    }

    /// The attention over both parts' keys, `[b, A, n, d]`.
    pub fn join(&self, other: &Self) -> Result<Tensor, TorchError> {
        let share = other.weight.f_sub(&self.weight)?.f_sigmoid_()?.f_unsqueeze(-1)?;
        let share = share.f_to_kind(self.mixed.f_kind()?)?;
        Ok(self.mixed.f_lerp_tensor(&other.mixed, &share)?)
    }
}

/// `[b, A, n, d]` to `[b, n, A · d]`.
pub fn join_heads(mixed: &Tensor) -> Result<Tensor, TorchError> {
    let (batch, heads, count, width) = mixed.size4()?;
    Ok(mixed.f_transpose(1, 2)?.f_reshape([batch, count, heads * width])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::device::Device;
    use crate::runner::torch::Dtype;

    fn random(shape: [i64; 4], seed: f64) -> Tensor {
        let count = shape.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Float, tch::Device::Cpu)) * seed)
            .sin()
            .view(shape)
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        f64::try_from((a - b).abs().max()).unwrap()
    }

    #[test]
    fn parts_join_to_the_whole() {
        for kv_heads in [4, 2, 1] {
            let query = random([1, 4, 6, 8], 1.3);
            let (keys, values) = (random([1, kv_heads, 9, 8], 0.7), random([1, kv_heads, 9, 8], 2.1));
            let whole = attend(&query, &keys, &values, &Visible::All).unwrap();
            let whole = whole.view([1, 6, 4, 8]).transpose(1, 2);
            for split in 1..9 {
                let part = |start, count| {
                    let cut = |x: &Tensor| x.narrow(2, start, count);
                    Partial::over(&query, &cut(&keys), &cut(&values), None).unwrap()
                };
                let joined = part(0, split).join(&part(split, 9 - split)).unwrap();
                assert!(
                    distance(&joined, &whole) < 1e-6,
                    "{kv_heads} heads, split after {split}"
                );
            }
        }
    }

    #[test]
    fn strips_see_what_the_causal_kernel_shows() {
        let placement = Placement {
            device: Device::Cpu,
            dtype: Dtype::Float32,
        };
        for (start, count) in [(0, 2), (0, 64), (0, 65), (0, 300), (1, 63), (35, 130), (100, 64)] {
            let query = random([1, 4, count, 8], 1.3);
            let (keys, values) = (
                random([1, 4, start + count, 8], 0.7),
                random([1, 4, start + count, 8], 2.1),
            );
            let strips = Visible::causal(start, count, placement, false).unwrap();
            assert!(matches!(strips, Visible::Strips(_)));
            let masked = Tensor::ones([count, start + count], (Kind::Bool, tch::Device::Cpu)).tril(start);
            let ours = attend(&query, &keys, &values, &strips).unwrap();
            let whole = attend(&query, &keys, &values, &Visible::Masked(masked)).unwrap();
            assert!(distance(&ours, &whole) < 1e-6, "{count} behind {start}");
        }
    }

    #[test]
    fn the_fused_kernel_agrees_with_the_formula() {
        let (query, keys, values) = (
            random([3, 2, 5, 8], 1.3),
            random([3, 2, 7, 8], 0.7),
            random([3, 2, 7, 8], 2.1),
        );
        let hidden = Tensor::zeros([3, 1, 5, 7], (Kind::Float, tch::Device::Cpu));
        let _hidden = hidden.narrow(3, 0, 2).narrow(0, 1, 2).fill_(f64::NEG_INFINITY);
        for mask in [None, Some(&hidden)] {
            let fused = Partial::fused_on_cpu(&query, &keys, &values, mask).unwrap();
            let formula = Partial::written_out(&query, &keys, &values, mask).unwrap();
            assert!(distance(&fused.mixed, &formula.mixed) < 1e-6);
            assert!(distance(&fused.weight, &formula.weight) < 1e-5);
        }
    }

    #[test]
    fn a_mask_hides_keys_from_every_head_of_a_group() {
        let (query, keys, values) = (
            random([2, 4, 3, 8], 1.3),
            random([2, 2, 5, 8], 0.7),
            random([2, 2, 5, 8], 2.1),
        );
        let mask = Tensor::zeros([2, 1, 3, 5], (Kind::Float, tch::Device::Cpu));
        let _mask = mask.narrow(3, 0, 2).fill_(f64::NEG_INFINITY);
        let masked = Partial::over(&query, &keys, &values, Some(&mask)).unwrap();
        let without = Partial::over(&query, &keys.narrow(2, 2, 3), &values.narrow(2, 2, 3), None).unwrap();
        assert!(distance(&masked.mixed, &without.mixed) < 1e-6);
        assert!(distance(&masked.weight, &without.weight) < 1e-6);
    }
}
