//! Pillow's bicubic resize (`Resample.c`; `preprocessing.md` section 4).

use crate::picture::decode::RgbPicture;

/// Resizes to `width` × `height`: horizontal pass first, 8 bits between the passes.
pub fn resize_bicubic(picture: &RgbPicture, width: usize, height: usize) -> RgbPicture {
    let _ = (picture, width, height);
    unimplemented!()
}
