//! From the bytes of a picture file to the pixels that a vision tower sees, bit for bit as Pillow and the
//! reference's processors make them (`preprocessing.md`).

mod decode;
mod preprocess;
mod resample;

pub use decode::{PictureFault, RgbPicture, decode};
pub use preprocess::{Geometry, Preprocess, Processor, Resize};
pub use resample::resize_bicubic;
