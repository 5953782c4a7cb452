//! Encoded bytes to 8-bit RGB as `PIL.Image.open(path).convert("RGB")` gives it (`preprocessing.md` section 1).
//!
//! No EXIF rotation, no ICC profile, no gamma, no compositing; the first frame of an animation.

use std::fmt;
use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder};

use crate::picture::jpeg::JpegDecoder;
use crate::picture::{gif, jpeg, png};

/// The largest picture, in pixels: above this Pillow raises `DecompressionBombError`.
pub const MAX_PIXELS: u64 = 2 * 89_478_485;

/// Why a picture cannot be used; a failure of the sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PictureFault(pub String);

impl PictureFault {
    /// A file of a known format that its decoder refuses.
    pub(crate) fn corrupt(format: &str, why: impl fmt::Display) -> Self {
        Self(format!("corrupt {format} file: {why}"))
    }
}

/// An 8-bit RGB picture, interleaved, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbPicture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `width · height · 3` bytes.
    pub data: Vec<u8>,
}

/// Decodes a JPEG, PNG, GIF, BMP or WebP file; the format is told from the content.
///
/// # Errors
///
/// Any other format, a corrupt or truncated file, more than [`MAX_PIXELS`] pixels (told from the header, before
/// memory is taken).
pub fn decode(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    decode_with(bytes, JpegDecoder::default())
}

/// As [`decode`], JPEG files by another program's rule.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with(bytes: &[u8], decoder: JpegDecoder) -> Result<RgbPicture, PictureFault> {
    match bytes {
        _ if is_jpeg(bytes) => jpeg::decode(bytes, decoder),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => png::decode(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes),
        [b'B', b'M', ..] => bmp(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
        [] => Err(PictureFault("empty picture file".into())),
        _ => Err(PictureFault(
            "unknown picture format: not a JPEG, PNG, GIF, BMP or WebP file".into(),
        )),
    }
}

/// Whether a file calls itself a JPEG.
pub const fn is_jpeg(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xd8, 0xff, ..])
}

/// Holds the size that a header states against Pillow's limit.
pub(crate) fn checked_size(width: impl Into<u64>, height: impl Into<u64>) -> Result<(usize, usize), PictureFault> {
    let (width, height) = (width.into(), height.into());
    if width == 0 || height == 0 {
        return Err(PictureFault(format!("empty picture: {width} x {height} pixels")));
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS => Ok((width as usize, height as usize)),
        _ => Err(PictureFault(format!(
            "picture of {width} x {height} pixels: more than the {MAX_PIXELS} that Pillow opens"
        ))),
    }
}

/// Pillow's 5- and 6-bit samples are truncated where this decoder's are rounded; such files are refused, so that no
/// picture is off by one unnoticed.
fn bmp(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    // The depth is at 24 behind the oldest header (12 bytes), at 28 behind all others.
    let depth = if bytes.get(14) == Some(&12) { 24 } else { 28 };
    if bytes.get(depth) == Some(&16) {
        return Err(PictureFault("BMP file with 16-bit pixels: convert it to PNG".into()));
    }
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|why| PictureFault::corrupt("BMP", why))?;
    without_alpha("BMP", decoder)
}

fn webp(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|why| PictureFault::corrupt("WebP", why))?;
    without_alpha("WebP", decoder)
}

fn without_alpha(format: &str, decoder: impl ImageDecoder) -> Result<RgbPicture, PictureFault> {
    let (width, height) = decoder.dimensions();
    let (width, height) = checked_size(width, height)?;
    let samples = match decoder.color_type() {
        ColorType::Rgb8 => 3,
        ColorType::Rgba8 => 4,
        other => return Err(PictureFault(format!("{format} file with {other:?} pixels"))),
    };
    let mut data = vec![0; width * height * samples];
    decoder
        .read_image(&mut data)
        .map_err(|why| PictureFault::corrupt(format, why))?;
    if samples == 4 {
        data = data
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
    }
    Ok(RgbPicture { width, height, data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURES: [&[u8]; 5] = [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"RIFF\0\0\0\0WEBP",
    ];

    #[test]
    fn what_is_no_picture_is_named() {
        let unknown = "unknown picture format: not a JPEG, PNG, GIF, BMP or WebP file";
        for (bytes, message) in [
            (&b""[..], "empty picture file"),
            (b"P6 1 1 255", unknown),
            (b"GIF90a", unknown),
        ] {
            assert_eq!(decode(bytes).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_size_is_told_from_the_header() {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x02\0\0\0".to_vec();
        bytes.extend([0xc4, 0xcd, 0xaa, 0x9d]);
        let fault = decode(&bytes).unwrap_err().to_string();
        assert_eq!(
            fault,
            "picture of 50000 x 50000 pixels: more than the 178956970 that Pillow opens"
        );
    }

    #[test]
    fn sizes_at_the_limit() {
        assert_eq!(checked_size(10_u64, MAX_PIXELS / 10), Ok((10, 17_895_697)));
        assert!(checked_size(10_u64, MAX_PIXELS / 10 + 1).is_err());
        assert!(checked_size(u64::MAX, 2_u64).is_err());
        assert!(checked_size(0_u64, 5_u64).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(format in 0..5_usize, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [SIGNATURES[format], &rest].concat();
            if let Ok(picture) = decode(&bytes) {
                prop_assert_eq!(picture.data.len(), picture.width * picture.height * 3);
            }
        }
    }
}
