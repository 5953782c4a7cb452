//! From a decoded picture to the tower's input: geometry, processor, normalisation (`preprocessing.md` sections 2,
//! 3 and 5).

use std::fmt;

use serde_json::Value;

use crate::picture::canvas::Canvas;
use crate::picture::decode::{MAX_PIXELS, PictureFault, RgbPicture};
use crate::picture::processor::{Processor, Resize, UnsupportedSetting};
use crate::picture::resample::{CHANNELS, Window, resize_bicubic, resize_window};

/// The shortest side that is taken: the reference mistakes a picture of 1 or 3 rows for one whose channels come
/// first (`preprocessing.md` section 3.4).
const MIN_SIDE: usize = 4;

/// What happens to a picture before the processor (`image_aspect_ratio`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geometry {
    /// Padded to a square with the mean colour (`pad`: LLaVA-1.5, VILA v1).
    Pad,
    /// Stretched to the processor's size (`resize`: VILA1.5).
    Stretch,
    /// Nothing.
    Processor,
}

impl Geometry {
    /// All geometries.
    pub const ALL: [Self; 3] = [Self::Pad, Self::Stretch, Self::Processor];

    /// Its name on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pad => "pad",
            Self::Stretch => "resize",
            Self::Processor => "processor",
        }
    }

    /// From `image_aspect_ratio` of `config.json`; absent, null and `square` leave the picture to the processor.
    ///
    /// # Errors
    ///
    /// Any other value, `anyres` and `dynamic` of later models among them.
    pub fn from_aspect_ratio(value: Option<&Value>) -> Result<Self, UnsupportedSetting> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(Self::Processor);
        };
        match value.as_str() {
            Some("pad") => Ok(Self::Pad),
            Some("resize") => Ok(Self::Stretch),
            Some("square") => Ok(Self::Processor),
            _ => Err(UnsupportedSetting::new(
                "image_aspect_ratio",
                value,
                "only `pad`, `resize` and `square` are known",
            )),
        }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From a decoded picture to the tower's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Before the processor.
    pub geometry: Geometry,
    /// The processor.
    pub processor: Processor,
}

impl Preprocess {
    /// Width and height of [`Self::pixels`] where they are the same for every picture.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        match (self.processor.crop, self.processor.resize, self.geometry) {
            (Some(crop), _, _) => Some(crop),
            (None, Some(Resize::Exact { width, height }), _) => Some((width, height)),
            (None, Some(Resize::ShortestEdge(edge)), Geometry::Pad | Geometry::Stretch) => Some((edge, edge)),
            (None, _, _) => None,
        }
    }

    /// The 8-bit picture that is normalised.
    ///
    /// # Errors
    ///
    /// A side below 4 pixels; a ratio of the sides so extreme that padding or resizing takes the picture above
    /// [`MAX_PIXELS`].
    pub fn pixels(&self, picture: &RgbPicture) -> Result<RgbPicture, PictureFault> {
        let (width, height) = (picture.width, picture.height);
        if width.min(height) < MIN_SIDE {
            return Err(PictureFault(format!(
                "picture of {width} x {height} pixels: a side below {MIN_SIDE} has no meaning in the reference, which \
                 takes rows for channels"
            )));
        }
        match (self.geometry, self.output_size()) {
            (Geometry::Pad, _) => {
                let square = Canvas::square(picture, self.pad_colour());
                within_limit(picture, square.width, square.height)?;
                self.processed(&square)
            }
            (Geometry::Stretch, Some((width, height))) => {
                self.processed(&Canvas::bare(&resize_bicubic(picture, width, height)))
            }
            _ => self.processed(&Canvas::bare(picture)),
        }
    }

    /// `[3, height, width]` in f32, channels first: rescaled in f64 and rounded, then mean and deviation in f32.
    pub fn normalise(&self, pixels: &RgbPicture) -> Vec<f32> {
        let Processor {
            rescale_factor,
            mean,
            std,
            ..
        } = self.processor;
        let mut planes = Vec::with_capacity(pixels.data.len());
        for channel in 0..3 {
            let (mean, std) = (mean[channel] as f32, std[channel] as f32);
            let table: [f32; 256] = std::array::from_fn(|sample| {
                let rescaled = (sample as f64 * rescale_factor) as f32;
                (rescaled - mean) / std
            });
            planes.extend(
                pixels
                    .data
                    .chunks_exact(3)
                    .map(|pixel| table[usize::from(pixel[channel])]),
            );
        }
        planes
    }

    /// `int(255 * mean)` of each channel.
    fn pad_colour(&self) -> [u8; CHANNELS] {
        self.processor.mean.map(|mean| (255.0 * mean) as u8)
    }

    /// Resized and cropped; of a picture that is cropped only the part that stays is computed.
    fn processed(&self, canvas: &Canvas<'_>) -> Result<RgbPicture, PictureFault> {
        let (width, height) = match self.processor.resize {
            Some(resize) => resize.target(canvas.width, canvas.height),
            None => (canvas.width, canvas.height),
        };
        let Some((crop_width, crop_height)) = self.processor.crop else {
            within_limit(canvas.picture, width, height)?;
            let whole = Window {
                left: 0,
                top: 0,
                width,
                height,
            };
            return Ok(resize_window(canvas, width, height, whole));
        };
        let (columns, rows) = (
            Overlap::centred(width, crop_width),
            Overlap::centred(height, crop_height),
        );
        let window = Window {
            left: columns.from,
            top: rows.from,
            width: columns.count,
            height: rows.count,
        };
        let seen = resize_window(canvas, width, height, window);
        if (seen.width, seen.height) == (crop_width, crop_height) {
            return Ok(seen);
        }
        Ok(on_black(&seen, (crop_width, crop_height), (columns.to, rows.to)))
    }
}

/// Which part of one side of a picture a centre crop shows, and where.
struct Overlap {
    /// First shown pixel of the picture.
    from: usize,
    /// Its place in the crop.
    to: usize,
    /// Pixels shown.
    count: usize,
}

impl Overlap {
    /// Pixel i of the crop is pixel `i + floor((side - crop) / 2)` of the picture: an odd pixel is cut off at the
    /// end, but zeros that fill up a small picture have theirs at the beginning.
    fn centred(side: usize, crop: usize) -> Self {
        if side >= crop {
            Self {
                from: (side - crop) / 2,
                to: 0,
                count: crop,
            }
        } else {
            Self {
                from: 0,
                to: (crop - side).div_ceil(2),
                count: side,
            }
        }
    }
}

/// The picture on black of `size` (width, height), its corner at `offset` (left, top).
fn on_black(picture: &RgbPicture, size: (usize, usize), offset: (usize, usize)) -> RgbPicture {
    let mut data = vec![0; size.0 * size.1 * CHANNELS];
    let rows = picture.data.chunks_exact(picture.width * CHANNELS);
    for (line, row) in data.chunks_exact_mut(size.0 * CHANNELS).skip(offset.1).zip(rows) {
        line[offset.0 * CHANNELS..][..row.len()].copy_from_slice(row);
    }
    RgbPicture {
        width: size.0,
        height: size.1,
        data,
    }
}

fn within_limit(picture: &RgbPicture, width: usize, height: usize) -> Result<(), PictureFault> {
    let pixels = (width as u64).saturating_mul(height as u64);
    if pixels <= MAX_PIXELS {
        return Ok(());
    }
    Err(PictureFault(format!(
        "picture of {} x {} pixels: preprocessing makes {width} x {height} of it, more than {MAX_PIXELS} pixels",
        picture.width, picture.height
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Red counts the columns, green the rows, both from 1.
    fn counted(width: usize, height: usize) -> RgbPicture {
        let data = (1..=height).flat_map(|y| (1..=width).flat_map(move |x| [x as u8, y as u8, 0]));
        RgbPicture {
            width,
            height,
            data: data.collect(),
        }
    }

    fn red(picture: &RgbPicture, y: usize) -> Vec<u8> {
        let row = picture.data.chunks_exact(picture.width * 3).nth(y).unwrap();
        row.iter().step_by(3).copied().collect()
    }

    fn green(picture: &RgbPicture, x: usize) -> Vec<u8> {
        let rows = picture.data.chunks_exact(picture.width * 3);
        rows.map(|row| row[x * 3 + 1]).collect()
    }

    fn clip(geometry: Geometry) -> Preprocess {
        Preprocess {
            geometry,
            processor: Processor::clip(336),
        }
    }

    fn siglip(geometry: Geometry) -> Preprocess {
        Preprocess {
            geometry,
            processor: Processor::siglip(384),
        }
    }

    #[test]
    fn geometry_by_name() {
        let cases = [
            (None, Geometry::Processor),
            (Some(json!(null)), Geometry::Processor),
            (Some(json!("square")), Geometry::Processor),
            (Some(json!("pad")), Geometry::Pad),
            (Some(json!("resize")), Geometry::Stretch),
        ];
        for (value, geometry) in cases {
            assert_eq!(Geometry::from_aspect_ratio(value.as_ref()), Ok(geometry));
        }
        for value in [
            json!("anyres"),
            json!("anyres_max_9"),
            json!("dynamic_s2"),
            json!("PAD"),
            json!(1),
        ] {
            let fault = Geometry::from_aspect_ratio(Some(&value)).unwrap_err().to_string();
            assert_eq!(
                fault,
                format!("`image_aspect_ratio` is {value}: only `pad`, `resize` and `square` are known")
            );
        }
    }

    #[test]
    fn padding_puts_an_odd_pixel_at_the_end() {
        let cases: [((usize, usize), &[u8]); 4] = [
            ((4, 6), &[9, 1, 2, 3, 4, 9]),
            ((4, 7), &[9, 1, 2, 3, 4, 9, 9]),
            ((6, 4), &[9, 1, 2, 3, 4, 9]),
            ((7, 4), &[9, 1, 2, 3, 4, 9, 9]),
        ];
        for ((width, height), line) in cases {
            let side = line.len();
            let window = Window {
                left: 0,
                top: 0,
                width: side,
                height: side,
            };
            let square = resize_window(&Canvas::square(&counted(width, height), [9; 3]), side, side, window);
            assert_eq!((square.width, square.height), (side, side));
            let found = if width < height {
                red(&square, 0)
            } else {
                green(&square, 0)
            };
            assert_eq!(found, line, "{width} x {height}");
        }
    }

    #[test]
    fn padding_has_the_mean_truncated() {
        assert_eq!(clip(Geometry::Pad).pad_colour(), [122, 116, 104]);
        assert_eq!(siglip(Geometry::Pad).pad_colour(), [127, 127, 127]);
    }

    #[test]
    fn a_crop_larger_than_the_picture_is_filled_with_black() {
        let preprocess = Preprocess {
            geometry: Geometry::Processor,
            processor: Processor {
                resize: None,
                crop: Some((7, 4)),
                ..Processor::clip(336)
            },
        };
        let pixels = preprocess.pixels(&counted(4, 7)).unwrap();
        assert_eq!(red(&pixels, 0), [0, 0, 1, 2, 3, 4, 0]);
        assert_eq!(green(&pixels, 2), [2, 3, 4, 5]);
    }

    #[test]
    fn sizes_that_are_the_same_for_every_picture() {
        let without_crop = |geometry| Preprocess {
            geometry,
            processor: Processor {
                crop: None,
                ..Processor::clip(336)
            },
        };
        let cases = [
            (clip(Geometry::Pad), Some((336, 336))),
            (clip(Geometry::Processor), Some((336, 336))),
            (siglip(Geometry::Stretch), Some((384, 384))),
            (without_crop(Geometry::Pad), Some((336, 336))),
            (without_crop(Geometry::Stretch), Some((336, 336))),
            (without_crop(Geometry::Processor), None),
        ];
        for (preprocess, size) in cases {
            assert_eq!(preprocess.output_size(), size);
            let pixels = preprocess.pixels(&counted(40, 30)).unwrap();
            assert_eq!((pixels.width, pixels.height), size.unwrap_or((448, 336)));
        }
    }

    #[test]
    fn pictures_that_cannot_be_preprocessed() {
        for (width, height) in [(3, 100), (100, 1), (3, 3)] {
            let fault = clip(Geometry::Pad)
                .pixels(&counted(width, height))
                .unwrap_err()
                .to_string();
            assert!(
                fault.starts_with(&format!("picture of {width} x {height} pixels: a side below 4")),
                "{fault}"
            );
        }
        let long = counted(4, 20_000);
        let fault = clip(Geometry::Pad).pixels(&long).unwrap_err().to_string();
        assert_eq!(
            fault,
            "picture of 4 x 20000 pixels: preprocessing makes 20000 x 20000 of it, more than 178956970 pixels"
        );
        assert!(clip(Geometry::Processor).pixels(&long).is_ok());
    }

    #[test]
    fn normalised_values() {
        // Table of `preprocessing.md` section 5.
        let cases: [(u8, [f64; 3], f64); 6] = [
            (0, [-1.7922626, -1.7520971, -1.4802198], -1.0),
            (104, [-0.27402619, -0.19128920, -0.0013328948], -0.18431371),
            (116, [-0.098845072, -0.011196004, 0.16930789], -0.090196073),
            (122, [-0.011254520, 0.078850597, 0.25462827], -0.043137252),
            (128, [0.076336145, 0.16889732, 0.33994877], 0.0039216280),
            (255, [1.9303361, 2.0748837, 2.1458969], 1.0),
        ];
        for (sample, by_clip, by_siglip) in cases {
            let pixel = RgbPicture {
                width: 1,
                height: 1,
                data: vec![sample; 3],
            };
            assert_eq!(clip(Geometry::Pad).normalise(&pixel), by_clip.map(|value| value as f32));
            assert_eq!(siglip(Geometry::Stretch).normalise(&pixel), [by_siglip as f32; 3]);
        }
    }

    #[test]
    fn channels_come_first() {
        let identity = Preprocess {
            geometry: Geometry::Processor,
            processor: Processor {
                rescale_factor: 1.0,
                mean: [0.0; 3],
                std: [1.0; 3],
                ..Processor::clip(336)
            },
        };
        let planes = identity.normalise(&counted(2, 2));
        assert_eq!(planes, [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
