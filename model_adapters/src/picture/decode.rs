//! Encoded bytes to 8-bit RGB as `PIL.Image.open(path).convert("RGB")` gives it.

/// Why a picture cannot be used; a failure of the sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PictureFault(pub String);

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
pub fn decode(bytes: &[u8]) -> Result<RgbPicture, PictureFault> {
    let _ = bytes;
    unimplemented!()
}
