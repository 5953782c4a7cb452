//! Geometry and normalisation (`preprocessing.md` sections 2, 3 and 5).

use crate::picture::decode::{PictureFault, RgbPicture};

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

/// How the processor changes the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes this long, the ratio stays.
    ShortestEdge(usize),
    /// Stretched.
    Exact {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
}

/// `preprocessor_config.json` of CLIP and SigLIP.
#[derive(Debug, Clone, PartialEq)]
pub struct Processor {
    /// Change of size, if any.
    pub resize: Option<Resize>,
    /// Side lengths (width, height) of the centre crop, if any.
    pub crop: Option<(usize, usize)>,
    /// Factor from 0..255 to 0..1.
    pub rescale_factor: f64,
    /// Subtracted, per channel.
    pub mean: [f64; 3],
    /// Divides, per channel.
    pub std: [f64; 3],
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
    /// The 8-bit picture that is normalised.
    pub fn pixels(&self, picture: &RgbPicture) -> Result<RgbPicture, PictureFault> {
        let _ = picture;
        unimplemented!()
    }

    /// `[3, height, width]` in f32, channels first.
    pub fn normalise(&self, pixels: &RgbPicture) -> Vec<f32> {
        let _ = pixels;
        unimplemented!()
    }
}
