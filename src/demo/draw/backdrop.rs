//! What is behind everything: seven surfaces with patterns of their own.

use super::canvas::{Canvas, lit};
use crate::demo::scene::Scene;
use crate::demo::world::Backdrop;

/// Cheap numbers for patterns.
#[derive(Debug)]
pub struct Noise(pub u32);

impl Noise {
    /// From 0 to `n - 1`.
    pub fn below(&mut self, n: i32) -> i32 {
        // Knuth's multiplier; the upper half is the random one.
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from(self.0 >> 16).unwrap_or(0) * n / (1 << 16)
    }
}

/// Covers the canvas.
pub fn paint(canvas: &mut Canvas, scene: &Scene) {
    let [width, height] = canvas.size();
    let mut noise = Noise(scene.grain);
    let base: [i32; 3] = match scene.backdrop {
        Backdrop::Plain => [198, 198, 202],
        Backdrop::Grass => [104, 164, 76],
        Backdrop::Sand => [224, 198, 150],
        Backdrop::Water => [98, 158, 200],
        Backdrop::Night => [34, 34, 66],
        Backdrop::Bricks => [164, 92, 74],
        Backdrop::Snow => [232, 238, 246],
    };
    let [red, green, blue] = scene.tint;
    let base = [base[0] + red, base[1] + green, base[2] + blue];
    canvas.fill(|_, y| lit(base, (height / 2 - y) * 24 / height));
    match scene.backdrop {
        Backdrop::Plain => {}
        Backdrop::Grass => {
            for _ in 0..width * height / 60 {
                let (x, y, long) = (noise.below(width), noise.below(height), 3 + noise.below(4));
                let shade = noise.below(2) * 44 - 22;
                (0..long).for_each(|up| canvas.mix(x, y - up, lit(base, shade), 200));
            }
        }
        Backdrop::Sand => {
            for _ in 0..width * height / 40 {
                let shade = noise.below(2) * 52 - 30;
                canvas.mix(noise.below(width), noise.below(height), lit(base, shade), 190);
            }
        }
        Backdrop::Water => {
            for y in (3..height).step_by(9) {
                for x in 0..width {
                    // A wave of parabolas: up, then down.
                    let along = (x + y * 5) % 24 - 12;
                    let rise = (along.abs() * (12 - along.abs()) * along.signum()) / 14;
                    canvas.mix(x, y + rise, lit(base, 46), 220);
                    canvas.mix(x, y + rise + 1, lit(base, 24), 160);
                }
            }
        }
        Backdrop::Night => {
            for _ in 0..26 {
                let (x, y) = (noise.below(width), noise.below(height));
                canvas.mix(x, y, [250, 250, 220], 255);
                for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                    canvas.mix(x + dx, y + dy, [250, 250, 220], 70);
                }
            }
        }
        Backdrop::Bricks => {
            for y in 0..height {
                let offset = if y / 10 % 2 == 0 { 0 } else { 11 };
                for x in 0..width {
                    if y % 10 == 0 || (x + offset) % 22 == 0 {
                        canvas.mix(x, y, lit(base, 58), 210);
                    }
                }
            }
        }
        Backdrop::Snow => {
            for _ in 0..46 {
                let (x, y) = (noise.below(width), noise.below(height));
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    canvas.mix(x + dx, y + dy, lit(base, -44), 150);
                }
            }
        }
    }
}
