//! A picture on a canvas of one colour, as `expand2square` makes it (`preprocessing.md` section 2). The canvas is never
//! made: a resize knows what the inputs beside the picture add to its sums.

use std::ops::Range;

use crate::picture::decode::RgbPicture;
use crate::picture::resample::CHANNELS;

/// A picture and what surrounds it.
pub(crate) struct Canvas<'a> {
    /// In the middle, as near as whole pixels allow.
    pub(crate) picture: &'a RgbPicture,
    /// Of the canvas, in pixels; at least that of the picture.
    pub(crate) width: usize,
    /// Of the canvas, in pixels; at least that of the picture.
    pub(crate) height: usize,
    /// Of the pixels beside the picture.
    pub(crate) colour: [u8; CHANNELS],
}

/// One side of a canvas.
pub(crate) struct Side {
    /// In pixels.
    pub(crate) length: usize,
    /// Where the picture lies.
    pub(crate) picture: Range<usize>,
}

impl<'a> Canvas<'a> {
    /// As large as the picture.
    pub(crate) const fn bare(picture: &'a RgbPicture) -> Self {
        Self {
            picture,
            width: picture.width,
            height: picture.height,
            colour: [0; CHANNELS],
        }
    }

    /// As long on each side as the picture's longer one; an odd pixel of `colour` is at the right or at the bottom.
    pub(crate) fn square(picture: &'a RgbPicture, colour: [u8; CHANNELS]) -> Self {
        let side = picture.width.max(picture.height);
        Self {
            picture,
            width: side,
            height: side,
            colour,
        }
    }

    /// From left to right.
    pub(crate) const fn columns(&self) -> Side {
        Side::with_in_the_middle(self.width, self.picture.width)
    }

    /// From top to bottom.
    pub(crate) const fn rows(&self) -> Side {
        Side::with_in_the_middle(self.height, self.picture.height)
    }
}

impl Side {
    const fn with_in_the_middle(length: usize, picture: usize) -> Self {
        let start = (length - picture) / 2;
        Self {
            length,
            picture: start..start + picture,
        }
    }

    /// Whether a pass to `output` pixels leaves this side as it is.
    pub(crate) fn stays(&self, output: usize) -> bool {
        output == self.length && self.picture == (0..self.length)
    }
}
