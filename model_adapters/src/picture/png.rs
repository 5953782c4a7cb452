//! PNG as Pillow's `PngImagePlugin` reads it: the mode table of `preprocessing.md` section 1.2.
//!
//! The samples are taken raw: no expansion, no `tRNS`, no scaling of 16 bits, all of which would lose which row
//! of the table a file belongs to.

use std::io::{self, Cursor};

use ::png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Reader, Transformations};

use crate::picture::decode::{PictureFault, RgbPicture, checked_size};

/// Decodes a PNG file; of an animated one, the default image.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_transformations(Transformations::IDENTITY);
    let header = decoder.read_header_info().map_err(corrupt)?;
    let (width, height) = checked_size(header.width, header.height)?;

    let mut reader = decoder.read_info().map_err(corrupt)?;
    let frame = reader
        .info()
        .frame_control
        .map(|frame| (frame.width as usize, frame.height as usize));
    if frame.is_some_and(|size| size != (width, height)) {
        return Err(corrupt("first frame does not fill the canvas"));
    }
    let (samples, line_size) = samples(&mut reader)?;
    let data = match reader.output_color_type() {
        (ColorType::Indexed, depth) => {
            let palette = reader.info().palette.as_deref().unwrap_or_default();
            look_up(&samples, width, line_size, depth, &colour_table(palette))
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => clamped_grey(&samples),
        (ColorType::Grayscale, depth) => look_up(&samples, width, line_size, depth, &grey_table(depth)),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => pick(&samples, 4, [0, 0, 0]),
        (ColorType::GrayscaleAlpha, _) => pick(&samples, 2, [0, 0, 0]),
        (ColorType::Rgb, BitDepth::Sixteen) => pick(&samples, 6, [0, 2, 4]),
        (ColorType::Rgb, _) => samples,
        (ColorType::Rgba, BitDepth::Sixteen) => pick(&samples, 8, [0, 2, 4]),
        (ColorType::Rgba, _) => pick(&samples, 4, [0, 1, 2]),
    };
    Ok(RgbPicture { width, height, data })
}

/// The samples as they are stored, deinterlaced, and the bytes of a row. As in Pillow, a file that has all its rows may
/// have lost its end, but what is there of it must have the right checksum.
fn samples(reader: &mut Reader<Cursor<&[u8]>>) -> Result<(Vec<u8>, usize), PictureFault> {
    let overflow = || corrupt("size overflows");
    let line_size = reader.output_line_size(reader.info().width).ok_or_else(overflow)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or_else(overflow)?];
    if reader.info().interlaced {
        reader.next_frame(&mut samples).map_err(corrupt)?;
        return Ok((samples, line_size));
    }
    for row in samples.chunks_exact_mut(line_size) {
        reader.read_row(row).map_err(corrupt)?;
    }
    match reader.next_row() {
        Err(DecodingError::IoError(why)) if why.kind() == io::ErrorKind::UnexpectedEof => {}
        end => drop(end.map_err(corrupt)?),
    }
    Ok((samples, line_size))
}

/// The colours of a palette, index by index; Pillow shows indices beyond its end as black.
pub(crate) fn colour_table(palette: &[u8]) -> [[u8; 3]; 256] {
    let mut table = [[0; 3]; 256];
    for (colour, entry) in table.iter_mut().zip(palette.chunks_exact(3)) {
        colour.copy_from_slice(entry);
    }
    table
}

fn corrupt(why: impl std::fmt::Display) -> PictureFault {
    PictureFault::corrupt("PNG", why)
}

/// Grey of 1, 2, 4 or 8 bits, scaled to 0..=255.
fn grey_table(depth: BitDepth) -> [[u8; 3]; 256] {
    let scale = match depth {
        BitDepth::One => 255,
        BitDepth::Two => 85,
        BitDepth::Four => 17,
        BitDepth::Eight | BitDepth::Sixteen => 1,
    };
    std::array::from_fn(|value| [(value * scale) as u8; 3])
}

/// Samples of up to 8 bits, most significant first, each row on a byte boundary, through a colour table.
fn look_up(samples: &[u8], width: usize, line_size: usize, depth: BitDepth, table: &[[u8; 3]; 256]) -> Vec<u8> {
    let bits = (depth as usize).min(8);
    let mask = 0xff_u8 >> (8 - bits);
    let mut data = Vec::with_capacity(samples.len() / line_size.max(1) * width * 3);
    for row in samples.chunks_exact(line_size) {
        let values = row.iter().flat_map(|&byte| {
            let shifts = (0..8 / bits).rev().map(move |place| place * bits);
            shifts.map(move |shift| (byte >> shift) & mask)
        });
        data.extend(values.take(width).flat_map(|value| table[usize::from(value)]));
    }
    data
}

/// Three bytes of every pixel of `stride` bytes: alpha and the low bytes of 16-bit samples fall away.
fn pick(samples: &[u8], stride: usize, places: [usize; 3]) -> Vec<u8> {
    samples
        .chunks_exact(stride)
        .flat_map(|pixel| places.map(|place| pixel[place]))
        .collect()
}

/// 16-bit grey: Pillow clamps it to 0..=255, it does not scale.
fn clamped_grey(samples: &[u8]) -> Vec<u8> {
    samples
        .chunks_exact(2)
        .flat_map(|sample| [if sample[0] == 0 { sample[1] } else { 255 }; 3])
        .collect()
}
