//! Linears of four bits (`checkpoints.md` section 10): three ways to pack a weight `[N, K]` of 0 to 15 with a scale and
//! a zero point for each group of columns. Sources: `mit-han-lab/llm-awq` `awq/quantize/qmodule.py` (v2, v1), AutoAWQ
//! (gemm).

use std::fmt;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::checkpoint::tensors::{Dtype, Entry, TensorView};

/// Columns that share a scale, in the two formats of llm-awq.
const GROUP: usize = 128;
/// Columns of one v2 block: 16 words of four nibbles for each of four rows.
const BLOCK: usize = 64;
/// Words of a v2 block that belong to one row.
const WORDS: usize = 16;
/// Column of nibble t within eight of AutoAWQ's words.
const GEMM_ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

/// How a weight of four bits is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// llm-awq's current format: `qweight` i16 `[N/4, K]` interleaved, `scales` and `zeros` (holding `-(scale · zero)`)
    /// f16 `[8·W, N]` with `W = ceil(K / 128 / 8)`.
    V2,
    /// llm-awq's first format: `qweight` i32 `[N, K/8]`, `zeros` i32 `[N, W]`, `scales` f16 `[N, 8·W]`.
    V1,
    /// AutoAWQ's: `qweight` i32 `[K, N/8]`, `zeros` i32 `[K/G, N/8]`, `scales` f16 `[K/G, N]`.
    Gemm,
}

impl Packing {
    /// The names of the zero points beside `qweight` and `scales`.
    pub(super) const fn zeros_name(self) -> &'static str {
        match self {
            Self::V2 => "scaled_zeros",
            Self::V1 | Self::Gemm => "qzeros",
        }
    }

    /// Tells the formats apart by the buffers' types and shapes (a square weight's `qweight` alone would not do), and
    /// gives the group size too. `None`: they are not a weight `[outputs, inputs]` in any of them.
    pub(super) fn of(outputs: usize, inputs: usize, buffers: [(Option<Dtype>, &[usize]); 3]) -> Option<(Self, usize)> {
        let [(words, qweight), (floats, scales), (zero_type, zeros)] = buffers;
        let width = (inputs / GROUP).div_ceil(8);
        let whole = inputs.is_multiple_of(GROUP);
        if floats != Some(Dtype::F16) {
            return None;
        }
        let group = inputs
            .checked_div(scales.first().copied().unwrap_or_default())
            .unwrap_or_default();
        if words == Some(Dtype::I16)
            && whole
            && outputs.is_multiple_of(4)
            && zero_type == Some(Dtype::F16)
            && qweight == [outputs / 4, inputs]
            && scales == [8 * width, outputs]
            && zeros == scales
        {
            Some((Self::V2, GROUP))
        } else if words != Some(Dtype::I32) || zero_type != Some(Dtype::I32) {
            None
        } else if whole
            && qweight == [outputs, inputs / 8]
            && zeros == [outputs, width]
            && scales == [outputs, 8 * width]
        {
            Some((Self::V1, GROUP))
        } else if group > 0
            && outputs.is_multiple_of(8)
            && qweight == [inputs, outputs / 8]
            && scales == [inputs / group, outputs]
            && inputs.is_multiple_of(group)
            && zeros == [inputs / group, outputs / 8]
        {
            Some((Self::Gemm, group))
        } else {
            None
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "AWQ v2",
            Self::V1 => "AWQ v1",
            Self::Gemm => "AutoAWQ",
        })
    }
}

/// A weight of four bits with the mapped files that it lies in, which stay mapped for as long as this lives.
#[derive(Debug, Clone)]
pub struct StoredQuantised {
    pub(super) packing: Packing,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) group: usize,
    pub(super) qweight: Entry,
    pub(super) scales: Entry,
    pub(super) zeros: Entry,
}

impl StoredQuantised {
    /// The weight and its bytes.
    pub fn view(&self) -> QuantisedView<'_> {
        QuantisedView {
            packing: self.packing,
            outputs: self.outputs,
            inputs: self.inputs,
            group: self.group,
            qweight: self.qweight.view(),
            scales: self.scales.view(),
            zeros: self.zeros.view(),
        }
    }

    /// Weights in it.
    pub fn parameters(&self) -> u64 {
        self.outputs as u64 * self.inputs as u64
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.qweight.bytes() + self.scales.bytes() + self.zeros.bytes()
    }
}

/// A linear's weight in four bits; types and shapes of the three buffers are those of its [`Packing`].
#[derive(Debug, Clone, Copy)]
pub struct QuantisedView<'a> {
    /// Format.
    pub packing: Packing,
    /// Rows N of the weight.
    pub outputs: usize,
    /// Columns K.
    pub inputs: usize,
    /// Columns that share a scale and a zero point.
    pub group: usize,
    /// Packed values.
    pub qweight: TensorView<'a>,
    /// Scales.
    pub scales: TensorView<'a>,
    /// Zero points; in [`Packing::V2`] times minus the scale.
    pub zeros: TensorView<'a>,
}

impl QuantisedView<'_> {
    /// Writes `rows` of the weight, row-major, to `out`, which has room for them (what is over stays as it is). Product
    /// and sum in float32, one rounding to float16 (`checkpoints.md` section 10.4).
    pub fn dequantise_rows(&self, rows: Range<usize>, out: &mut [f16]) {
        let mut row = vec![0.0; self.inputs];
        let end = rows.end.min(self.outputs);
        for (n, out) in (rows.start..end).zip(out.chunks_exact_mut(self.inputs.max(1))) {
            match self.packing {
                Packing::V2 => self.v2(n, &mut row),
                Packing::V1 => self.v1(n, &mut row),
                Packing::Gemm => self.gemm(n, &mut row),
            }
            out.convert_from_f32_slice(&row);
        }
    }

    fn v2(&self, n: usize, row: &mut [f32]) {
        for (block, columns) in row.chunks_exact_mut(BLOCK).enumerate() {
            let group = block * BLOCK / self.group;
            let at = group * self.outputs + n;
            let (scale, zero) = (half_at(&self.scales, at), half_at(&self.zeros, at));
            let first = n / 4 * self.inputs + block * BLOCK + n % 4 * WORDS;
            for word in 0..WORDS {
                let packed = word16_at(&self.qweight, first + word);
                for nibble in 0..4 {
                    if let Some(value) = columns.get_mut(v2_column(4 * word + nibble)) {
                        *value = f32::from(packed >> (4 * nibble) & 15) * scale + zero;
                    }
                }
            }
        }
    }

    fn v1(&self, n: usize, row: &mut [f32]) {
        let width = self.zeros.shape.get(1).copied().unwrap_or_default();
        for (group, columns) in row.chunks_exact_mut(self.group).enumerate() {
            let scale = half_at(&self.scales, n * 8 * width + group);
            let zero = nibble(word32_at(&self.zeros, n * width + group / 8), group % 8);
            for (c, eight) in columns.chunks_exact_mut(8).enumerate() {
                let packed = word32_at(&self.qweight, n * (self.inputs / 8) + group * self.group / 8 + c);
                for (t, value) in eight.iter_mut().enumerate() {
                    *value = (nibble(packed, t) - zero) * scale;
                }
            }
        }
    }

    fn gemm(&self, n: usize, row: &mut [f32]) {
        let (word, t) = (
            n / 8,
            GEMM_ORDER
                .iter()
                .position(|column| *column == n % 8)
                .unwrap_or_default(),
        );
        for (group, columns) in row.chunks_exact_mut(self.group).enumerate() {
            let scale = half_at(&self.scales, group * self.outputs + n);
            let zero = nibble(word32_at(&self.zeros, group * (self.outputs / 8) + word), t);
            for (k, value) in columns.iter_mut().enumerate() {
                let packed = word32_at(&self.qweight, (group * self.group + k) * (self.outputs / 8) + word);
                *value = (nibble(packed, t) - zero) * scale;
            }
        }
    }
}

/// The column, within a block, of position `x` of a row's 64 nibbles in order.
const fn v2_column(x: usize) -> usize {
    let (b, y) = (x / 32, x % 32);
    let (g, e, d) = (y / 8, y % 8 / 4, y % 4);
    32 * b + 8 * d + 2 * g + e
}

/// Number `t` of a word's eight values, lowest first.
fn nibble(word: u32, t: usize) -> f32 {
    (word >> (4 * t) & 15) as f32
}

fn bytes_at<const SIZE: usize>(view: &TensorView<'_>, at: usize) -> [u8; SIZE] {
    let found = view.bytes.get(at * SIZE..(at + 1) * SIZE);
    found.and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; SIZE])
}

fn half_at(view: &TensorView<'_>, at: usize) -> f32 {
    f16::from_le_bytes(bytes_at(view, at)).to_f32()
}

fn word16_at(view: &TensorView<'_>, at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(view, at))
}

fn word32_at(view: &TensorView<'_>, at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(view, at))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use safetensors::SafeTensors;

    use super::*;

    /// Made by `tests/oracle/awq.py`.
    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/awq.safetensors");

    const FORMATS: [(&str, Packing); 3] = [("v2", Packing::V2), ("v1", Packing::V1), ("gemm", Packing::Gemm)];

    /// The weight `name` of the fixture, and the values that it stands for.
    fn with_weight(name: &str, test: impl FnOnce(QuantisedView<'_>, Vec<f16>)) {
        let file = SafeTensors::deserialize(FIXTURE).unwrap();
        let part = |part: &str| file.tensor(&format!("{name}.{part}")).unwrap();
        let zeros = if name.ends_with("v2") { "scaled_zeros" } else { "qzeros" };
        let [qweight, scales, zeros, weight] = ["qweight", "scales", zeros, "weight"].map(part);
        fn view<'a>(tensor: &'a safetensors::tensor::TensorView<'_>) -> TensorView<'a> {
            TensorView {
                file: Path::new("x.safetensors"),
                name: "x",
                dtype: Dtype::of(tensor.dtype()).unwrap(),
                shape: tensor.shape(),
                bytes: tensor.data(),
            }
        }
        let [outputs, inputs] = weight.shape().try_into().unwrap();
        let buffers = [&qweight, &scales, &zeros].map(|found| (Dtype::of(found.dtype()), found.shape()));
        let (packing, group) = Packing::of(outputs, inputs, buffers).unwrap();
        let wanted = weight
            .data()
            .chunks_exact(2)
            .map(|two| f16::from_le_bytes([two[0], two[1]]));
        let quantised = QuantisedView {
            packing,
            outputs,
            inputs,
            group,
            qweight: view(&qweight),
            scales: view(&scales),
            zeros: view(&zeros),
        };
        test(quantised, wanted.collect());
    }

    #[test]
    fn every_format_unpacks_to_the_oracles_values_bit_for_bit() {
        for shape in ["wide", "square"] {
            for (format, packing) in FORMATS {
                with_weight(&format!("{shape}.{format}"), |weight, wanted| {
                    assert_eq!((weight.packing, weight.group), (packing, GROUP), "{shape}");
                    let mut all = vec![f16::ZERO; wanted.len()];
                    weight.dequantise_rows(0..weight.outputs, &mut all);
                    assert_eq!(all, wanted, "{shape} {format}");
                    let mut two = vec![f16::NAN; 2 * weight.inputs];
                    weight.dequantise_rows(3..5, &mut two);
                    assert_eq!(two, wanted[3 * weight.inputs..5 * weight.inputs], "{shape} {format}");
                });
            }
        }
    }

    #[test]
    fn words_of_v2_hold_what_the_page_says() {
        // (word, row, columns from the lowest nibble) of `checkpoints.md` section 10.1.
        let cases = [
            (0, 0, [0, 8, 16, 24]),
            (1, 0, [1, 9, 17, 25]),
            (16, 1, [0, 8, 16, 24]),
            (64, 0, [64, 72, 80, 88]),
        ];
        for (word, row, columns) in cases {
            for (nibble, column) in columns.into_iter().enumerate() {
                let mut packed = vec![0_u8; 2 * 128];
                packed[2 * word..2 * word + 2].copy_from_slice(&(9_u16 << (4 * nibble)).to_le_bytes());
                let one = f16::ONE.to_le_bytes().repeat(4 * 8);
                let zero = vec![0; 2 * 4 * 8];
                let view = |dtype, shape, bytes| TensorView {
                    file: Path::new("x.safetensors"),
                    name: "x",
                    dtype,
                    shape,
                    bytes,
                };
                let weight = QuantisedView {
                    packing: Packing::V2,
                    outputs: 4,
                    inputs: 128,
                    group: 128,
                    qweight: view(Dtype::I16, &[1, 128], &packed),
                    scales: view(Dtype::F16, &[8, 4], &one),
                    zeros: view(Dtype::F16, &[8, 4], &zero),
                };
                let mut all = vec![f16::ZERO; 4 * 128];
                weight.dequantise_rows(0..4, &mut all);
                let set: Vec<usize> = (0..all.len()).filter(|at| all[*at] != f16::ZERO).collect();
                assert_eq!(set, [128 * row + column], "word {word}, nibble {nibble}");
                assert_eq!(all[128 * row + column], f16::from_f32(9.0));
            }
        }
    }

    #[test]
    fn scales_are_padded_to_eight_groups() {
        for (inputs, rows) in [
            (2560, 24),
            (4096, 32),
            (5120, 40),
            (6912, 56),
            (11_008, 88),
            (13_824, 112),
            (14_336, 112),
        ] {
            let scales = [rows, 4];
            let qweight = [1, inputs];
            let buffers = [
                (Some(Dtype::I16), &qweight[..]),
                (Some(Dtype::F16), &scales),
                (Some(Dtype::F16), &scales),
            ];
            assert_eq!(Packing::of(4, inputs, buffers), Some((Packing::V2, 128)), "{inputs}");
        }
    }

    #[test]
    fn buffers_of_no_format() {
        let (i32s, f16s) = (Some(Dtype::I32), Some(Dtype::F16));
        let cases: [[(Option<Dtype>, &[usize]); 3]; 5] = [
            [(None, &[4, 16]), (f16s, &[4, 8]), (i32s, &[4, 1])],
            [(i32s, &[4, 16]), (Some(Dtype::F32), &[4, 8]), (i32s, &[4, 1])],
            [(i32s, &[4, 16]), (f16s, &[4, 16]), (i32s, &[4, 1])],
            [(Some(Dtype::I16), &[1, 128]), (f16s, &[1, 4]), (f16s, &[1, 4])],
            [(i32s, &[]), (f16s, &[0]), (i32s, &[])],
        ];
        for buffers in cases {
            assert_eq!(Packing::of(4, 128, buffers), None, "{buffers:?}");
        }
    }
}
