//! A picture that is being painted. Edges are smooth: a pixel is looked at in four by four points.

use super::outline;
use crate::demo::font::Font;
use crate::demo::world::Shape;

/// Parts of a pixel in which forms are measured.
pub const EIGHTHS: i32 = 8;

/// Points a side that a pixel is looked at in.
const POINTS: i32 = 4;

/// Red, green and blue of every pixel, row by row, from 0 to 255.
#[derive(Debug)]
pub struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<[i32; 3]>,
}

/// The nearest colour that there is.
fn clamped(colour: [i32; 3]) -> [i32; 3] {
    colour.map(|value| value.clamp(0, 255))
}

/// A colour made lighter or darker.
pub fn lit(colour: [i32; 3], by: i32) -> [i32; 3] {
    clamped(colour.map(|value| value + by))
}

impl Canvas {
    /// A black picture.
    pub fn new(width: i32, height: i32) -> Self {
        let count = usize::try_from(width * height).unwrap_or(0);
        Self {
            width,
            height,
            pixels: vec![[0; 3]; count],
        }
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        usize::try_from(self.width).unwrap_or(0)
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        usize::try_from(self.height).unwrap_or(0)
    }

    /// Width and height.
    pub fn size(&self) -> [i32; 2] {
        [self.width, self.height]
    }

    /// Three bytes a pixel.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = self.pixels.iter().flatten();
        bytes.map(|value| u8::try_from(*value).unwrap_or(u8::MAX)).collect()
    }

    /// The colour of a pixel, black outside.
    #[cfg(test)]
    pub fn at(&self, x: i32, y: i32) -> [i32; 3] {
        let index = self.index(x, y).unwrap_or(usize::MAX);
        self.pixels.get(index).copied().unwrap_or_default()
    }

    fn index(&self, x: i32, y: i32) -> Option<usize> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        inside.then(|| usize::try_from(y * self.width + x).unwrap_or(0))
    }

    /// Lays `colour` over a pixel; `part` of 255 of the pixel takes it.
    pub fn mix(&mut self, x: i32, y: i32, colour: [i32; 3], part: i32) {
        let Some(pixel) = self.index(x, y).and_then(|index| self.pixels.get_mut(index)) else {
            return;
        };
        for (old, new) in pixel.iter_mut().zip(clamped(colour)) {
            *old += (new - *old) * part / 255;
        }
    }

    /// Gives every pixel the colour that `colour` has for it.
    pub fn fill(&mut self, colour: impl Fn(i32, i32) -> [i32; 3]) {
        for y in 0..self.height {
            for x in 0..self.width {
                self.mix(x, y, colour(x, y), 255);
            }
        }
    }

    /// Paints what `inside` takes in, a function of eighths of pixels, within `around` pixels of `centre` (in eighths).
    pub fn form(
        &mut self,
        centre: [i32; 2],
        around: [i32; 2],
        inside: impl Fn(i32, i32) -> bool,
        colour: impl Fn(i32, i32) -> [i32; 3],
    ) {
        let [middle_x, middle_y] = centre.map(|at| at.div_euclid(EIGHTHS));
        let step = EIGHTHS / POINTS;
        for y in middle_y - around[1]..=middle_y + around[1] {
            for x in middle_x - around[0]..=middle_x + around[0] {
                let mut hit = 0;
                for point in 0..POINTS * POINTS {
                    let of = |pixel: i32, point: i32| pixel * EIGHTHS + point * step + step / 2;
                    hit += i32::from(inside(of(x, point % POINTS), of(y, point / POINTS)));
                }
                if hit > 0 {
                    self.mix(x, y, colour(x, y), 255 * hit / (POINTS * POINTS));
                }
            }
        }
    }

    /// A shape with a darker edge, lit from above. `centre` and `radius` in eighths of pixels.
    pub fn shape(&mut self, shape: Shape, centre: [i32; 2], radius: i32, colour: [i32; 3]) {
        let around = [radius / EIGHTHS + 3; 2];
        let grown = radius + EIGHTHS * 5 / 4;
        let within = |radius: i32| move |x: i32, y: i32| outline::covers(shape, x - centre[0], y - centre[1], radius);
        self.form(centre, around, within(grown), |_, _| {
            lit(colour.map(|value| value * 5 / 10), 0)
        });
        let lightness = |y: i32| (centre[1] - y * EIGHTHS) * 16 / radius.max(1);
        self.form(centre, around, within(radius), |_, y| lit(colour, lightness(y)));
    }

    /// A filled rectangle; `middle` and `half` in pixels.
    pub fn plate(&mut self, middle: [i32; 2], half: [i32; 2], colour: [i32; 3]) {
        let darker = colour.map(|value| value / 2);
        self.rectangle(middle, half, darker);
        self.rectangle(middle, half.map(|side| side - 1), colour);
    }

    /// A rectangle of one colour; `middle` and `half` in pixels.
    pub fn rectangle(&mut self, middle: [i32; 2], half: [i32; 2], colour: [i32; 3]) {
        for y in middle[1] - half[1]..middle[1] + half[1] {
            for x in middle[0] - half[0]..middle[0] + half[0] {
                self.mix(x, y, colour, 255);
            }
        }
    }

    /// Writes `text` around `middle`, capitals `height` pixels high.
    pub fn write(&mut self, font: &Font, text: &str, height: i32, middle: [i32; 2], colour: [i32; 3]) {
        let width = font.width(text, height);
        let corner = [middle[0] - width / 2, middle[1] - height / 2];
        for y in -height / 4..height + height / 3 {
            for x in 0..width {
                self.mix(corner[0] + x, corner[1] + y, colour, font.coverage(text, height, x, y));
            }
        }
    }

    /// Every pixel becomes the mean of those within `reach` of it, in rows, then in columns.
    pub fn blur(&mut self, reach: i32) {
        let (width, height) = (self.width(), self.height());
        for y in 0..height {
            self.blur_line(y * width, 1, width, reach);
        }
        for x in 0..width {
            self.blur_line(x, width, height, reach);
        }
    }

    fn blur_line(&mut self, first: usize, step: usize, count: usize, reach: i32) {
        let line: Vec<[i32; 3]> = (0..count)
            .filter_map(|at| self.pixels.get(first + at * step).copied())
            .collect();
        let last = i32::try_from(line.len()).unwrap_or(0) - 1;
        for at in 0..=last {
            let mut sum = [0; 3];
            for near in at - reach..=at + reach {
                let near = usize::try_from(near.clamp(0, last)).unwrap_or(0);
                for (sum, value) in sum.iter_mut().zip(line.get(near).copied().unwrap_or_default()) {
                    *sum += value;
                }
            }
            let place = first + usize::try_from(at).unwrap_or(0) * step;
            if let Some(pixel) = self.pixels.get_mut(place) {
                *pixel = sum.map(|sum| sum / (2 * reach + 1));
            }
        }
    }

    /// Leaves hardly any light, and noise.
    pub fn darken(&mut self, grain: u32) {
        let mut noise = super::backdrop::Noise(grain);
        for pixel in &mut self.pixels {
            let speck = noise.below(9);
            *pixel = pixel.map(|value| value / 24 + speck);
        }
    }
}
