//! JPEG through libjpeg-turbo's API (`preprocessing.md` sections 1.2 and 1.3).
//!
//! The library's defaults are what Pillow uses: integer slow inverse DCT, fancy upsampling, block smoothing.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, BufRead, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use image::{DynamicImage, ImageDecoder as _};
use mozjpeg::{ColorSpace, Decompress};

use crate::names::UnknownName;
use crate::picture::decode::{PictureFault, RgbPicture, checked_size};

/// Bytes taken for a picture before its first row is there, at most.
const RESERVED: usize = 16 << 20;

/// Whose rounding a decoded JPEG file has: the standard leaves the inverse transform and the upsampling of colour open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JpegDecoder {
    /// libjpeg-turbo: Pillow's, and so the references'.
    #[default]
    LibjpegTurbo,
    /// `zune-jpeg`, behind the `image` crate: what a program in Rust sees.
    Zune,
}

impl JpegDecoder {
    /// All decoders.
    pub const ALL: [Self; 2] = [Self::LibjpegTurbo, Self::Zune];

    /// Its name on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LibjpegTurbo => "libjpeg-turbo",
            Self::Zune => "zune",
        }
    }
}

impl FromStr for JpegDecoder {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|decoder| decoder.name() == text);
        found.ok_or_else(|| UnknownName::new("JPEG decoder", text, Self::ALL.map(Self::name)))
    }
}

/// Decodes a JPEG file.
pub(crate) fn decode(bytes: &[u8], decoder: JpegDecoder) -> Result<RgbPicture, PictureFault> {
    match decoder {
        JpegDecoder::LibjpegTurbo => libjpeg_turbo(bytes),
        JpegDecoder::Zune => zune(bytes),
    }
}

fn zune(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let decoder = image::codecs::jpeg::JpegDecoder::new(Cursor::new(bytes)).map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = checked_size(width, height)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    Ok(RgbPicture {
        width,
        height,
        data: decoded.into_rgb8().into_raw(),
    })
}

fn libjpeg_turbo(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    // mozjpeg reports libjpeg's fatal errors by unwinding, and only so (`resume_unwind`: the panic hook stays
    // silent). Nothing that the closure owns outlives it.
    catch_unwind(AssertUnwindSafe(|| decompress(bytes)))
        .unwrap_or_else(|payload| Err(corrupt(libjpeg_words(&*payload))))
}

fn decompress(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let ran_dry = Cell::new(false);
    let source = Source {
        bytes,
        ran_dry: &ran_dry,
    };
    let header = Decompress::builder().from_reader(source).map_err(corrupt)?;
    let (width, height) = checked_size(header.width() as u64, header.height() as u64)?;
    let (space, samples) = match header.components().len() {
        1 => (ColorSpace::JCS_GRAYSCALE, 1),
        3 => (ColorSpace::JCS_RGB, 3),
        4 => (ColorSpace::JCS_CMYK, 4),
        other => {
            return Err(PictureFault(format!(
                "JPEG file with {other} components: 1, 3 or 4 are known"
            )));
        }
    };
    let mut image = header.to_colorspace(space).map_err(corrupt)?;
    // A header may claim more than the file holds.
    let mut data = Vec::with_capacity((width * height * samples).min(RESERVED));
    for _ in 0..height {
        let read = data.len();
        data.resize(read + width * samples, 0);
        image.read_scanlines_into(&mut data[read..]).map_err(corrupt)?;
        if ran_dry.get() {
            return Err(corrupt("image file is truncated"));
        }
    }
    // What follows the last row must be sound, but Pillow does not miss the end marker.
    image.finish().map_err(corrupt)?;
    let data = match samples {
        1 => data.into_iter().flat_map(|grey| [grey; 3]).collect(),
        3 => data,
        _ => {
            let (inks, _) = data.as_chunks();
            inks.iter().copied().flat_map(rgb_of_inverted_cmyk).collect()
        }
    };
    Ok(RgbPicture { width, height, data })
}

/// The file's bytes, and whether libjpeg asked for more than there are: it then makes an end marker up and fills
/// the rest with grey, where Pillow raises an error.
struct Source<'a> {
    bytes: &'a [u8],
    ran_dry: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() {
            self.ran_dry.set(true);
        }
        Ok(self.bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.consume(count);
    }
}

fn corrupt(why: impl std::fmt::Display) -> PictureFault {
    PictureFault::corrupt("JPEG", why)
}

fn libjpeg_words(payload: &(dyn Any + Send)) -> &str {
    let words = payload.downcast_ref::<String>().map_or("unknown error", String::as_str);
    words.strip_prefix("libjpeg fatal error: ").unwrap_or(words)
}

/// Pillow takes every CMYK file for one with Adobe's inverted samples, and converts without a profile.
fn rgb_of_inverted_cmyk(stored: [u8; 4]) -> [u8; 3] {
    let [cyan, magenta, yellow, black] = stored.map(|sample| 255 - sample);
    let paper = 255 - black;
    [cyan, magenta, yellow].map(|ink| paper.saturating_sub(divided_by_255(ink, paper)))
}

/// `a · b / 255`, rounded (`MULDIV255`).
fn divided_by_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_without_profile() {
        // Stored inverted: C 10, M 200, Y 30, K 40.
        let cases = [
            ([245, 55, 225, 215], [207, 46, 190]),
            ([255, 255, 255, 255], [255, 255, 255]),
            ([0, 0, 0, 255], [0, 0, 0]),
            ([255, 255, 255, 0], [0, 0, 0]),
        ];
        for (stored, rgb) in cases {
            assert_eq!(rgb_of_inverted_cmyk(stored), rgb);
        }
    }

    #[test]
    fn libjpegs_own_words_come_through() {
        let arithmetic = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x08\0\x08\x09\x01\x11\0";
        let fault = libjpeg_turbo(arithmetic).unwrap_err().to_string();
        assert_eq!(fault, "corrupt JPEG file: Bogus marker length");
    }

    #[test]
    fn the_decoders_see_one_picture_and_round_it_apart() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
        let read = |name: &str, decoder| decode(&std::fs::read(folder.join(name)).unwrap(), decoder).unwrap();
        for name in ["420-large.jpg", "grey.jpg", "444-q90.jpg"] {
            let [ours, other] = JpegDecoder::ALL.map(|decoder| read(name, decoder));
            assert_eq!((ours.width, ours.height), (other.width, other.height), "{name}");
            let apart = ours.data.iter().zip(&other.data).map(|(a, b)| a.abs_diff(*b));
            assert!(apart.clone().max().unwrap() < 40, "{name}: {:?}", apart.max());
        }
        let large = JpegDecoder::ALL.map(|decoder| read("420-large.jpg", decoder));
        assert_ne!(large[0], large[1]);
        assert_eq!("zune".parse(), Ok(JpegDecoder::Zune));
        assert!(
            "turbo"
                .parse::<JpegDecoder>()
                .unwrap_err()
                .to_string()
                .contains("libjpeg-turbo")
        );
    }
}
