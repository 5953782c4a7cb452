//! From the bytes of a picture file to the pixels that a vision tower sees, bit for bit as Pillow and the
//! reference's processors make them (`preprocessing.md`).

mod canvas;
mod decode;
mod gif;
mod jpeg;
mod png;
mod preprocess;
mod processor;
mod resample;
#[cfg(target_arch = "x86_64")]
mod resample_avx2;

pub use decode::{MAX_PIXELS, PictureFault, RgbPicture, decode, decode_with, is_jpeg};
pub use jpeg::JpegDecoder;
pub use preprocess::{Geometry, Preprocess};
pub use processor::{Processor, ProcessorClass, Resize, UnsupportedSetting};
pub use resample::resize_bicubic;
