//! The letters of signs: DejaVu Sans Bold, drawn once at one size (`tests/oracle/demo_font.py`) and made smaller here.

use std::io::Cursor;

use crate::fault::Fault;

/// A cell a character, grey levels are coverage.
const SHEET: &[u8] = include_bytes!("font/dejavu-sans-bold.png");

/// What the sheet holds, in its order.
const CHARACTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=?";

/// Side of a cell, in pixels.
const CELL: usize = 36;

/// The row of a cell on which capitals stand.
const BASELINE: i32 = 28;

/// How high capitals are in the sheet.
const CAPITAL: i32 = 24;

/// Between two letters, in the sheet's pixels.
const GAP: i32 = 3;

/// The sheet, decoded.
#[derive(Debug)]
pub struct Font {
    glyphs: Vec<Glyph>,
}

/// One character; columns without ink at its right are cut off.
#[derive(Debug)]
struct Glyph {
    width: i32,
    /// [`CELL`] rows of [`CELL`] values from 0 to 255.
    coverage: Vec<u8>,
}

impl Font {
    /// Decodes the sheet.
    ///
    /// # Errors
    ///
    /// A sheet that is none, which no input can cause.
    pub fn load() -> Result<Self, Fault> {
        let fault = |what: String| Fault::Bug(format!("the demo's font: {what}"));
        let decoder = png::Decoder::new(Cursor::new(SHEET));
        let mut reader = decoder.read_info().map_err(|error| fault(error.to_string()))?;
        let count = CHARACTERS.len();
        let mut pixels = vec![0; CELL * CELL * count];
        let found = (reader.info().width as usize, reader.info().height as usize);
        if found != (CELL * count, CELL) || reader.output_buffer_size() != Some(pixels.len()) {
            return Err(fault(format!("{found:?} pixels for {count} characters")));
        }
        reader
            .next_frame(&mut pixels)
            .map_err(|error| fault(error.to_string()))?;
        let glyph = |number: usize| {
            let row = |y: usize| {
                pixels
                    .get((y * count + number) * CELL..)
                    .and_then(|row| row.get(..CELL))
            };
            let coverage: Vec<u8> = (0..CELL).filter_map(row).flatten().copied().collect();
            let inked = |x: &usize| (0..CELL).any(|y| coverage.get(y * CELL + x).is_some_and(|value| *value > 0));
            let width = (0..CELL).rev().find(inked).map_or(0, |last| last + 1);
            Glyph {
                width: i32::try_from(width).unwrap_or(0),
                coverage,
            }
        };
        Ok(Self {
            glyphs: (0..count).map(glyph).collect(),
        })
    }

    /// How wide `text` is where capitals are `height` pixels high.
    pub fn width(&self, text: &str, height: i32) -> i32 {
        let inked: i32 = self.of(text).map(|glyph| glyph.width).sum();
        let gaps = i32::try_from(text.len().saturating_sub(1)).unwrap_or(0) * GAP;
        ((inked + gaps) * height + CAPITAL - 1) / CAPITAL
    }

    /// How much of the pixel at (`x`, `y`) letters cover, from 0 to 255, where `text` begins at 0 and its capitals lie
    /// between 0 and `height`.
    pub fn coverage(&self, text: &str, height: i32, x: i32, y: i32) -> i32 {
        // The pixel as a rectangle of the sheet, in parts of 1/height of the sheet's pixel.
        let (left, top) = (x * CAPITAL, y * CAPITAL + (BASELINE - CAPITAL) * height);
        let mut begin = 0;
        let mut sum = 0;
        for glyph in self.of(text) {
            let end = begin + glyph.width * height;
            if left < end && left + CAPITAL > begin {
                sum += glyph.within(left - begin, top, height);
            }
            begin = end + GAP * height;
        }
        sum / (CAPITAL * CAPITAL)
    }

    fn of(&self, text: &str) -> impl Iterator<Item = &Glyph> {
        text.chars()
            .filter_map(|character| CHARACTERS.find(character))
            .filter_map(|number| self.glyphs.get(number))
    }
}

impl Glyph {
    /// The coverage summed over a square of [`CAPITAL`] units whose corner is given, each pixel having `unit` of them.
    fn within(&self, left: i32, top: i32, unit: i32) -> i32 {
        let mut sum = 0;
        for row in top.div_euclid(unit)..=(top + CAPITAL - 1).div_euclid(unit) {
            let high = (top + CAPITAL).min((row + 1) * unit) - top.max(row * unit);
            for column in left.div_euclid(unit)..=(left + CAPITAL - 1).div_euclid(unit) {
                let wide = (left + CAPITAL).min((column + 1) * unit) - left.max(column * unit);
                sum += self.at(column, row) * high * wide;
            }
        }
        sum
    }

    fn at(&self, column: i32, row: i32) -> i32 {
        let (Ok(column), Ok(row)) = (usize::try_from(column), usize::try_from(row)) else {
            return 0;
        };
        if column >= CELL {
            return 0;
        }
        self.coverage.get(row * CELL + column).copied().map_or(0, i32::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_as_high_as_asked_and_lie_within_their_width() {
        let font = Font::load().unwrap();
        for height in [9, 16, 24, 30] {
            let width = font.width("HI", height);
            let ink = |x, y| font.coverage("HI", height, x, y);
            assert!((0..6).any(|x| ink(x, height / 2) > 200), "{height}");
            assert!(
                (-5..height + 5).all(|y| ink(-1, y) == 0 && ink(width + 1, y) == 0),
                "{height}"
            );
            assert!(
                (0..width).all(|x| ink(x, -2) == 0 && ink(x, height + 1) == 0),
                "{height}"
            );
            assert!((0..width).any(|x| ink(x, height - 1) > 200), "{height}");
        }
    }
}
