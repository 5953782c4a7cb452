//! Rotary position embedding (`architecture.md` section 6.2): pairs (i, i + d/2), tables computed in f32 on the CPU.

use tch::{Kind, Tensor};

use crate::checkpoint::LlamaConfig;
use crate::runner::error::TorchError;
use crate::runner::torch::Placement;

/// Cosines and sines of every position up to a capacity, in the working dtype; both halves of a row are equal.
#[derive(Debug)]
pub struct RotaryTables {
    /// `[positions, d]`
    cos: Tensor,
    /// `[positions, d]`
    sin: Tensor,
}

/// The rows of the tables for some positions, `[n, d]` each.
#[derive(Debug)]
pub struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl RotaryTables {
    /// Tables for positions `0 .. positions`.
    pub fn new(config: &LlamaConfig, positions: usize, placement: Placement) -> Result<Self, TorchError> {
        let cpu = (Kind::Float, tch::Device::Cpu);
        let width = config.head_dim as i64;
        let exponents = Tensor::f_arange_start_step(0, width, 2, cpu)?.f_div_scalar(width)?;
        let frequencies = Tensor::f_pow_scalar(config.rope_theta, &exponents)?.f_reciprocal()?;
        let at = Tensor::f_arange(positions as i64, cpu)?.f_div_scalar(config.rope_divisor)?;
        let angles = at.f_outer(&frequencies)?;
        let angles = Tensor::f_cat(&[&angles, &angles], 1)?;
        let (kind, device) = placement.options();
        let place = |table: Tensor| table.f_to_kind(kind)?.f_to_device(device);
        Ok(Self {
            cos: place(angles.f_cos()?)?,
            sin: place(angles.f_sin()?)?,
        })
    }

    /// The rows of `count` positions from `start` on.
    pub fn at(&self, start: usize, count: usize) -> Result<Rotation, TorchError> {
        let rows = |table: &Tensor| table.f_narrow(0, start as i64, count as i64);
        Ok(Rotation {
            cos: rows(&self.cos)?,
            sin: rows(&self.sin)?,
        })
    }

    /// The rows of `positions` (`[n]`, i64, on the device), in any order.
    pub fn of(&self, positions: &Tensor) -> Result<Rotation, TorchError> {
        Ok(Rotation {
            cos: self.cos.f_index_select(0, positions)?,
            sin: self.sin.f_index_select(0, positions)?,
        })
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.cos.size().first().map_or(0, |&positions| positions as usize)
    }
}

impl Rotation {
    /// The rows at `places` (`[m]`, i64, on the device) among these.
    pub fn of(&self, places: &Tensor) -> Result<Self, TorchError> {
        Ok(Self {
            cos: self.cos.f_index_select(0, places)?,
            sin: self.sin.f_index_select(0, places)?,
        })
    }

    /// Rotates `[.., n, d]`; two products and a sum, each rounded.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        let half = x.size().last().copied().unwrap_or_default() / 2;
        let rotated = x.f_mul(&self.cos)?;
        let turned = x.f_mul(&self.sin)?;
        let (first, second) = (turned.f_narrow(-1, 0, half)?, turned.f_narrow(-1, half, half)?);
        let _first = rotated.f_narrow(-1, 0, half)?.f_sub_(&second)?;
        let _second = rotated.f_narrow(-1, half, half)?.f_add_(&first)?;
        Ok(rotated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::device::Device;
    use crate::runner::torch::Dtype;

    fn config(head_dim: usize, rope_divisor: f64) -> LlamaConfig {
        LlamaConfig {
            hidden_size: 2 * head_dim,
            intermediate_size: 8,
            layers: 1,
            heads: 2,
            kv_heads: 2,
            head_dim,
            vocabulary: 8,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_divisor,
            tied_embeddings: false,
            max_spliced_length: None,
        }
    }

    fn tables(head_dim: usize, rope_divisor: f64, dtype: Dtype) -> RotaryTables {
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        RotaryTables::new(&config(head_dim, rope_divisor), 16, placement).unwrap()
    }

    #[test]
    fn tables_have_the_values_of_the_protocol_page() {
        let single = tables(128, 1.0, Dtype::Float32);
        // sin of a small angle is the angle: at position 1 the sines of the last pairs are the frequencies.
        assert!((single.sin.double_value(&[1, 63]) - 1.1548e-4).abs() < 1e-8);
        assert!((single.sin.double_value(&[1, 1]) - 0.86596_f64.sin()).abs() < 1e-5);
        let half = tables(128, 1.0, Dtype::Float16);
        assert_eq!(half.cos.double_value(&[1, 0]), 0.540_527_343_75);
        assert_eq!(half.sin.double_value(&[1, 0]), 0.841_308_593_75);
        for column in [0, 1, 40, 63] {
            assert_eq!(
                half.cos.double_value(&[9, column]),
                half.cos.double_value(&[9, column + 64])
            );
            assert_eq!(
                half.sin.double_value(&[9, column]),
                half.sin.double_value(&[9, column + 64])
            );
        }
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let (plain, scaled) = (tables(8, 1.0, Dtype::Float32), tables(8, 4.0, Dtype::Float32));
        assert_eq!(plain.cos.get(3), scaled.cos.get(12));
        assert_ne!(plain.cos.get(3), scaled.cos.get(3));
    }

    #[test]
    fn pairs_are_half_a_head_apart() {
        let x = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.0]).reshape([1, 1, 1, 4]);
        let turned = tables(4, 1.0, Dtype::Float32).at(1, 1).unwrap().apply(&x).unwrap();
        let turned: Vec<f32> = Vec::try_from(turned.flatten(0, -1)).unwrap();
        let expected = [1.0_f32.cos(), 0.0, 1.0_f32.sin(), 0.0];
        for (ours, theirs) in turned.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-6, "{turned:?}");
        }
    }

    #[test]
    fn two_products_and_a_sum_are_rounded_each() {
        use half::f16;
        let x: Vec<f16> = [1.371, -2.113, 0.777, 3.019, -0.331, 1.913, 2.719, -1.117]
            .iter()
            .map(|&v| f16::from_f32(v))
            .collect();
        let tables = tables(8, 1.0, Dtype::Float16);
        let ours = tables.at(5, 1).unwrap();
        let ours = ours.apply(&Tensor::from_slice(&x).view([1, 1, 1, 8])).unwrap();
        let ours: Vec<f16> = Vec::try_from(ours.flatten(0, -1)).unwrap();
        let turned = |i: usize| if i < 4 { -x[i + 4].to_f32() } else { x[i - 4].to_f32() };
        let table = |sine: bool, i: usize| {
            let angle = 5.0 * (1.0 / 10_000_f32.powf((i % 4) as f32 / 4.0));
            f16::from_f32(if sine { angle.sin() } else { angle.cos() }).to_f32()
        };
        let thrice = |i: usize| {
            let first = f16::from_f32(x[i].to_f32() * table(false, i)).to_f32();
            f16::from_f32(first + f16::from_f32(turned(i) * table(true, i)).to_f32())
        };
        let once = |i: usize| f16::from_f32(x[i].to_f32() * table(false, i) + turned(i) * table(true, i));
        assert_eq!(ours, (0..8).map(thrice).collect::<Vec<_>>());
        assert_ne!(
            ours,
            (0..8).map(once).collect::<Vec<_>>(),
            "these numbers must tell three roundings from one"
        );
    }
}
