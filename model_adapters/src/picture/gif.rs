//! The first frame of a GIF as Pillow's `GifImagePlugin` reads it (`preprocessing.md` section 1.2).

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions};

use crate::picture::decode::{PictureFault, RgbPicture, checked_size};
use crate::picture::png::colour_table;

/// Decodes the first frame on the logical screen, which grows where the frame reaches beyond it. The screen
/// around the frame has the colour of the transparent index, else of index 0; a transparent pixel shows the
/// colour that the palette has under it.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(corrupt)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let frame = decoder
        .next_frame_info()
        .map_err(corrupt)?
        .ok_or_else(|| corrupt("no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let background = frame.transparent.unwrap_or(0);
    let local_palette = frame.palette.clone();
    let (width, height) = checked_size(
        screen.0.max(left + frame_width) as u64,
        screen.1.max(top + frame_height) as u64,
    )?;
    checked_size(frame_width as u64, frame_height as u64)?;

    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(corrupt)?;
    let palette = local_palette
        .as_deref()
        .or(decoder.global_palette())
        .unwrap_or_default();
    let table = if is_grey_ramp(palette) {
        std::array::from_fn(|index| [index as u8; 3])
    } else {
        colour_table(palette)
    };

    let mut data = table[usize::from(background)].repeat(width * height);
    for (y, row) in indices.chunks_exact(frame_width).enumerate() {
        let start = ((top + y) * width + left) * 3;
        for (pixel, &index) in data[start..].chunks_exact_mut(3).zip(row) {
            pixel.copy_from_slice(&table[usize::from(index)]);
        }
    }
    Ok(RgbPicture { width, height, data })
}

fn corrupt(why: impl std::fmt::Display) -> PictureFault {
    PictureFault::corrupt("GIF", why)
}

/// Whether entry i is grey i throughout: then Pillow takes the indices for grey values, also those beyond the
/// palette's end.
fn is_grey_ramp(palette: &[u8]) -> bool {
    palette
        .chunks_exact(3)
        .enumerate()
        .all(|(index, colour)| colour.iter().all(|&value| usize::from(value) == index))
}
