//! Pillow's bicubic resize (`Resample.c`; `preprocessing.md` section 4). The passes stand here in plain Rust, and in
//! [`super::resample_avx2`] for processors that have it.

use crate::picture::canvas::{Canvas, Side};
use crate::picture::decode::RgbPicture;
#[cfg(target_arch = "x86_64")]
use crate::picture::resample_avx2;

/// Samples of an RGB pixel.
pub(super) const CHANNELS: usize = 3;

/// Fractional bits of a weight.
pub(super) const PRECISION: u32 = 22;

/// Where every sum starts: half of the last place that is kept.
pub(super) const ROUNDING: i32 = 1 << (PRECISION - 1);

/// Half the width of the bicubic kernel, in input samples of an enlargement.
const SUPPORT: f64 = 2.0;

/// A part of the resized picture, in its pixels; must lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// The inputs of one output pixel.
pub(super) struct Taps {
    /// The first input that lies in the picture.
    pub(super) start: usize,
    /// Weights of the inputs from there on to the picture's end, with [`PRECISION`] fractional bits.
    pub(super) weights: Vec<i32>,
    /// What the sum of each channel starts from: [`ROUNDING`], and what the inputs beside the picture add.
    pub(super) base: [i32; CHANNELS],
}

/// Resizes to `width` × `height`: horizontal pass first, 8 bits between the passes.
pub fn resize_bicubic(picture: &RgbPicture, width: usize, height: usize) -> RgbPicture {
    let window = Window {
        left: 0,
        top: 0,
        width,
        height,
    };
    resize_window(&Canvas::bare(picture), width, height, window)
}

/// What `window` of the canvas resized to `width` × `height` shows, without computing the rest.
pub(crate) fn resize_window(canvas: &Canvas<'_>, width: usize, height: usize, window: Window) -> RgbPicture {
    let (across, down) = (canvas.columns(), canvas.rows());
    let columns = (!across.stays(width)).then(|| taps(&across, canvas.colour, width, window.left, window.width));
    let lines = (!down.stays(height)).then(|| taps(&down, canvas.colour, height, window.top, window.height));

    let (first, last) = match &lines {
        Some(lines) => (
            lines.iter().map(|taps| taps.start).min().unwrap_or(0),
            lines
                .iter()
                .map(|taps| taps.start + taps.weights.len())
                .max()
                .unwrap_or(0),
        ),
        None => (window.top, window.top + window.height),
    };
    let stride = canvas.picture.width * CHANNELS;
    let needed = &canvas.picture.data[first * stride..last * stride];
    let narrowed = match &columns {
        Some(columns) => horizontal(needed, stride, columns),
        None => crop_columns(needed, stride, window.left, window.width),
    };
    let data = match &lines {
        Some(lines) => vertical(&narrowed, window.width * CHANNELS, lines, first),
        None => narrowed,
    };
    RgbPicture {
        width: window.width,
        height: window.height,
        data,
    }
}

/// The taps of outputs `from .. from + count` of a pass along `side` to `output` pixels.
///
/// Beside the picture everything has `colour` in both passes: the weights of one output sum to 1 within a few units of
/// their last place each, far less than half a sample, so that the first pass leaves one colour as it is.
fn taps(side: &Side, colour: [u8; CHANNELS], output: usize, from: usize, count: usize) -> Vec<Taps> {
    let scale = side.length as f64 / output as f64;
    let widening = scale.max(1.0);
    let support = SUPPORT * widening;
    // Multiplied with, as Pillow does: dividing by `widening` changes some weights.
    let narrowing = 1.0 / widening;
    (from..from + count)
        .map(|place| {
            let centre = (place as f64 + 0.5) * scale;
            // `as usize` truncates toward zero and takes negative values to 0.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(side.length);
            let mut exact: Vec<f64> = (0..end - start)
                .map(|i| cubic(((i + start) as f64 - centre + 0.5) * narrowing))
                .collect();
            let sum: f64 = exact.iter().fold(0.0, |sum, weight| sum + weight);
            if sum != 0.0 {
                exact.iter_mut().for_each(|weight| *weight /= sum);
            }
            let weights: Vec<i32> = exact.into_iter().map(fixed_point).collect();
            let before = side.picture.start.saturating_sub(start).min(weights.len());
            let behind = end.saturating_sub(side.picture.end).min(weights.len());
            let (seen, behind) = weights.split_at(weights.len() - behind);
            let (before, seen) = seen.split_at(before);
            let beside: i32 = before.iter().chain(behind).sum();
            Taps {
                start: start.saturating_sub(side.picture.start).min(side.picture.len()),
                weights: seen.to_vec(),
                base: colour.map(|sample| ROUNDING + beside * i32::from(sample)),
            }
        })
        .collect()
}

/// Keys' cubic with a = -0.5, evaluated in Pillow's order.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounded half away from zero; the rounded weights of one output need not sum to one, and Pillow leaves it so.
fn fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (weight * f64::from(1 << PRECISION) + half) as i32
}

pub(super) fn clamped(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn horizontal(rows: &[u8], stride: usize, columns: &[Taps]) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: all that the function asks for is a processor with AVX2, which this one has.
        return unsafe { resample_avx2::horizontal(rows, stride, columns) };
    }
    plain_horizontal(rows, stride, columns)
}

/// Rows of `stride` bytes to rows of one pixel a column.
fn plain_horizontal(rows: &[u8], stride: usize, columns: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() / stride * columns.len() * CHANNELS);
    for row in rows.chunks_exact(stride) {
        for taps in columns {
            let mut sums = taps.base;
            for (pixel, &weight) in row[taps.start * CHANNELS..].chunks_exact(CHANNELS).zip(&taps.weights) {
                sums[0] += i32::from(pixel[0]) * weight;
                sums[1] += i32::from(pixel[1]) * weight;
                sums[2] += i32::from(pixel[2]) * weight;
            }
            out.extend_from_slice(&sums.map(clamped));
        }
    }
    out
}

fn crop_columns(rows: &[u8], stride: usize, left: usize, width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() / stride * width * CHANNELS);
    for row in rows.chunks_exact(stride) {
        out.extend_from_slice(&row[left * CHANNELS..(left + width) * CHANNELS]);
    }
    out
}

fn vertical(rows: &[u8], stride: usize, lines: &[Taps], first: usize) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: all that the function asks for is a processor with AVX2, which this one has.
        return unsafe { resample_avx2::vertical(rows, stride, lines, first) };
    }
    plain_vertical(rows, stride, lines, first)
}

/// Rows of `stride` bytes to one row a line; `first` is the place of the first row of `rows` in the whole picture.
fn plain_vertical(rows: &[u8], stride: usize, lines: &[Taps], first: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * stride);
    let mut sums = vec![0; stride];
    for taps in lines {
        for pixel in sums.chunks_exact_mut(CHANNELS) {
            pixel.copy_from_slice(&taps.base);
        }
        let start = (taps.start - first) * stride;
        for (row, &weight) in rows[start..].chunks_exact(stride).zip(&taps.weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += i32::from(sample) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| clamped(sum)));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grey_row(values: &[u8]) -> RgbPicture {
        RgbPicture {
            width: values.len(),
            height: 1,
            data: values.iter().flat_map(|&value| [value; 3]).collect(),
        }
    }

    fn transposed(picture: &RgbPicture) -> RgbPicture {
        let pixel = |x: usize, y: usize| &picture.data[(y * picture.width + x) * 3..][..3];
        RgbPicture {
            width: picture.height,
            height: picture.width,
            data: (0..picture.width)
                .flat_map(|x| (0..picture.height).flat_map(move |y| pixel(x, y).to_vec()))
                .collect(),
        }
    }

    #[test]
    fn weights_of_the_worked_example() {
        let cases: [(usize, usize, usize, &[i32]); 5] = [
            (2, 0, 0, &[1923834, 1923834, 502623, -155987]),
            // Sums to 4194303: not renormalised.
            (3, 0, 0, &[3157725, 1276527, -239949]),
            (3, 1, 0, &[-147644, 2244796, 2244796, -147644]),
            (3, 2, 1, &[-239949, 1276527, 3157725]),
            (6, 0, 0, &[4470245, -275941]),
        ];
        for (output, place, start, weights) in cases {
            let side = Canvas::bare(&grey_row(&[0; 4])).columns();
            let taps = &taps(&side, [0; CHANNELS], output, place, 1)[0];
            assert_eq!((taps.start, &taps.weights[..]), (start, weights), "{place} of {output}");
        }
    }

    #[test]
    fn values_of_the_worked_example_in_both_directions() {
        let row = grey_row(&[0, 10, 200, 255]);
        let cases: [&[u8]; 4] = [
            &[19, 210],
            &[0, 103, 252],
            &[0, 0, 33, 174, 240, 255],
            &[0, 10, 200, 255],
        ];
        for values in cases {
            let expected = grey_row(values);
            assert_eq!(resize_bicubic(&row, values.len(), 1), expected);
            let column = resize_bicubic(&transposed(&row), 1, values.len());
            assert_eq!(column, transposed(&expected));
        }
    }

    fn any_picture() -> impl Strategy<Value = RgbPicture> {
        (1..24_usize, 1..24_usize).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * 3).prop_map(move |data| RgbPicture {
                width,
                height,
                data,
            })
        })
    }

    #[cfg(target_arch = "x86_64")]
    proptest! {
        #[test]
        fn the_passes_with_avx2_are_the_plain_ones_to_the_last_bit(
            picture in any_picture(),
            width in 1..60_usize,
            height in 1..60_usize,
            colour in any::<[u8; CHANNELS]>(),
        ) {
            if !std::arch::is_x86_feature_detected!("avx2") {
                eprintln!("skipped: this processor has no AVX2");
                return Ok(());
            }
            let canvas = Canvas::square(&picture, colour);
            let stride = picture.width * CHANNELS;
            let columns = taps(&canvas.columns(), colour, width, 0, width);
            let plain = plain_horizontal(&picture.data, stride, &columns);
            // SAFETY: this processor has AVX2.
            let wide = unsafe { resample_avx2::horizontal(&picture.data, stride, &columns) };
            prop_assert_eq!(&plain, &wide);
            let (stride, lines) = (width * CHANNELS, taps(&canvas.rows(), colour, height, 0, height));
            // SAFETY: as above.
            let wide = unsafe { resample_avx2::vertical(&plain, stride, &lines, 0) };
            prop_assert_eq!(plain_vertical(&plain, stride, &lines, 0), wide);
        }
    }

    proptest! {
        #[test]
        fn a_window_is_a_part_of_the_whole(
            picture in any_picture(),
            width in 1..40_usize,
            height in 1..40_usize,
            corner in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            let (left, top) = ((corner.0 * width as f64) as usize, (corner.1 * height as f64) as usize);
            let window = Window { left, top, width: (width - left).div_ceil(2), height: (height - top).div_ceil(2) };
            let whole = resize_bicubic(&picture, width, height);
            let part: Vec<u8> = whole
                .data
                .chunks_exact(width * 3)
                .skip(top)
                .take(window.height)
                .flat_map(|row| row[left * 3..(left + window.width) * 3].to_vec())
                .collect();
            prop_assert_eq!(resize_window(&Canvas::bare(&picture), width, height, window).data, part);
        }

        #[test]
        fn a_canvas_that_is_never_made_resizes_as_one_that_is(
            picture in any_picture(),
            colour in any::<[u8; CHANNELS]>(),
            width in 1..40_usize,
            height in 1..40_usize,
        ) {
            let canvas = Canvas::square(&picture, colour);
            let mut made = RgbPicture {
                width: canvas.width,
                height: canvas.height,
                data: colour.repeat(canvas.width * canvas.height),
            };
            let (left, top) = (canvas.columns().picture.start, canvas.rows().picture.start);
            for (row, line) in picture.data.chunks_exact(picture.width * CHANNELS).enumerate() {
                made.data[((top + row) * made.width + left) * CHANNELS..][..line.len()].copy_from_slice(line);
            }
            let window = Window { left: 0, top: 0, width, height };
            prop_assert_eq!(resize_window(&canvas, width, height, window), resize_bicubic(&made, width, height));
        }

        #[test]
        fn one_colour_stays_one_colour(
            colour in any::<[u8; 3]>(),
            from in (1..300_usize, 1..30_usize),
            to in (1..30_usize, 1..300_usize),
        ) {
            let picture = RgbPicture { width: from.0, height: from.1, data: colour.repeat(from.0 * from.1) };
            prop_assert_eq!(resize_bicubic(&picture, to.0, to.1).data, colour.repeat(to.0 * to.1));
        }
    }
}
