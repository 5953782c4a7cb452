//! What fills a whole picture: faces, buildings, paintings, posters, boards, and a finger before the lens.

use super::backdrop::Noise;
use super::canvas::{Canvas, EIGHTHS, lit};
use crate::demo::font::Font;
use crate::demo::scene::Position;
use crate::demo::world::{Character, Colour, Landmark, Shape, Style};

const STONE: [i32; 3] = [150, 150, 156];
const PAPER: [i32; 3] = [246, 244, 238];

/// A pen for one subject: measures in hundredths of its unit around a middle.
struct Pen<'a> {
    canvas: &'a mut Canvas,
    middle: [i32; 2],
    /// Pixels of a hundred hundredths.
    unit: i32,
}

impl Pen<'_> {
    fn new<'a>(canvas: &'a mut Canvas, at: Position) -> Pen<'a> {
        let [width, height] = canvas.size();
        Pen {
            middle: [width / 2 + at.x, height / 2 + at.y],
            unit: width.min(height) * at.scale / 200,
            canvas,
        }
    }

    fn point(&self, [x, y]: [i32; 2]) -> [i32; 2] {
        [
            (self.middle[0] * 100 + x * self.unit) / 100,
            (self.middle[1] * 100 + y * self.unit) / 100,
        ]
    }

    fn bar(&mut self, from: [i32; 2], to: [i32; 2], colour: [i32; 3]) {
        let ([left, top], [right, bottom]) = (self.point(from), self.point(to));
        for y in top..bottom {
            for x in left..right {
                self.canvas.mix(x, y, colour, 255);
            }
        }
    }

    fn shape(&mut self, shape: Shape, centre: [i32; 2], radius: i32, colour: [i32; 3]) {
        let centre = self.point(centre).map(|at| at * EIGHTHS);
        self.canvas
            .shape(shape, centre, radius * self.unit * EIGHTHS / 100, colour);
    }

    /// What of a disc, in hundredths, lies on rows that `takes`.
    fn disc(&mut self, centre: [i32; 2], radius: i32, colour: [i32; 3], takes: impl Fn(i32) -> bool) {
        let [x, y] = self.point(centre).map(|at| at * EIGHTHS);
        let radius = radius * self.unit * EIGHTHS / 100;
        let inside = |px: i32, py: i32| (px - x).pow(2) + (py - y).pow(2) <= radius * radius && takes(py - y);
        self.canvas
            .form([x, y], [radius / EIGHTHS + 1; 2], inside, |_, _| colour);
    }
}

/// Each character has a colour, a headgear and a mouth of its own.
pub fn face(canvas: &mut Canvas, character: Character, at: Position) {
    let (skin, hat, laughs) = match character {
        Character::Anna => (Colour::Yellow, Some((Shape::Triangle, Colour::Red)), true),
        Character::Ben => (Colour::Blue, None, true),
        Character::Clara => (Colour::Green, Some((Shape::Heart, Colour::Red)), false),
        Character::David => (Colour::Orange, Some((Shape::Square, Colour::Black)), true),
        Character::Emma => (Colour::Purple, Some((Shape::Star, Colour::Yellow)), true),
        Character::Felix => (Colour::White, None, false),
    };
    let mut pen = Pen::new(canvas, at);
    if let Some((shape, colour)) = hat {
        pen.shape(shape, [0, -60], 32, colour.rgb());
    }
    pen.shape(Shape::Circle, [0, 14], 62, skin.rgb());
    for x in [-22, 22] {
        pen.disc([x, 0], 14, [252; 3], |_| true);
        pen.disc([x, 2], 6, [20; 3], |_| true);
    }
    if laughs {
        pen.disc([0, 30], 26, [110, 20, 30], |y| y > 0);
    } else {
        pen.bar([-22, 38], [22, 45], [60, 20, 30]);
    }
}

/// Buildings of rectangles and triangles.
pub fn landmark(canvas: &mut Canvas, landmark: Landmark, at: Position) {
    let mut pen = Pen::new(canvas, at);
    match landmark {
        Landmark::Pyramid => {
            pen.shape(Shape::Circle, [52, -52], 22, Colour::Yellow.rgb());
            pen.shape(Shape::Triangle, [0, 12], 74, [206, 164, 96]);
        }
        Landmark::Tower => {
            pen.bar([-24, -50], [24, 84], [196, 48, 44]);
            pen.shape(Shape::Triangle, [0, -62], 36, [110, 30, 34]);
            for y in [-30, 5, 40] {
                pen.bar([-8, y], [8, y + 18], [250, 236, 170]);
            }
        }
        Landmark::Bridge => {
            pen.bar([-92, -10], [92, 52], STONE);
            pen.bar([-92, -22], [92, -8], lit(STONE, -40));
            for x in [-46, 46] {
                pen.disc([x, 54], 34, [60, 90, 120], |y| y < 0);
            }
        }
        Landmark::Castle => {
            pen.bar([-70, -20], [70, 76], STONE);
            for x in [-70, -22, 26] {
                pen.bar([x, -52], [x + 44, -18], lit(STONE, -18));
                pen.bar([x + 14, -54], [x + 30, -38], lit(STONE, 60));
            }
            pen.disc([0, 62], 24, [70, 50, 40], |_| true);
            pen.bar([-24, 62], [24, 76], [70, 50, 40]);
        }
        Landmark::Lighthouse => {
            for (number, y) in (-50..80).step_by(26).enumerate() {
                let colour = if number % 2 == 0 {
                    [214, 44, 48]
                } else {
                    [250, 250, 250]
                };
                pen.bar([-22, y], [22, y + 26], colour);
            }
            pen.bar([-30, -60], [30, -48], [40, 40, 48]);
            pen.shape(Shape::Circle, [0, -72], 16, [252, 224, 90]);
        }
        Landmark::Temple => {
            pen.bar([-76, 60], [76, 78], [244, 244, 240]);
            for x in [-66, -30, 6, 42] {
                pen.bar([x, -18], [x + 24, 62], [244, 244, 240]);
                pen.bar([x + 16, -18], [x + 24, 62], [196, 196, 196]);
            }
            for step in 0..9 {
                let (x, y) = (80 - step * 9, -20 - step * 6);
                pen.bar([-x, y - 6], [x, y], [236 - step * 2, 234 - step * 2, 224]);
            }
            pen.bar([-76, -20], [76, -6], [214, 212, 206]);
        }
    }
}

/// A pattern in two colours within a wooden frame.
pub fn artwork(canvas: &mut Canvas, style: Style, [ground, figure]: [Colour; 2]) {
    let [width, height] = canvas.size();
    let middle = [width / 2, height / 2];
    let half = [width * 2 / 5, height * 2 / 5];
    canvas.plate(middle, half, [124, 82, 44]);
    canvas.plate(middle, half.map(|side| side - 5), PAPER);
    let half = half.map(|side| side - 7);
    for y in -half[1]..half[1] {
        for x in -half[0]..half[0] {
            let painted = match style {
                Style::Stripes => x.div_euclid(8) % 2 == 0,
                Style::Dots => {
                    let (dx, dy) = (x.rem_euclid(18) - 9, y.rem_euclid(18) - 9);
                    dx * dx + dy * dy < 32
                }
                Style::Checks => (x.div_euclid(11) + y.div_euclid(11)) % 2 == 0,
                Style::Rings => [(4, 10), (16, 22), (28, 34), (40, 46)]
                    .iter()
                    .any(|(from, to)| (from * from..to * to).contains(&(x * x + y * y))),
            };
            let colour = if painted { figure } else { ground };
            canvas.mix(middle[0] + x, middle[1] + y, colour.rgb(), 255);
        }
    }
}

/// A thing and a title on paper.
pub fn poster(canvas: &mut Canvas, font: &Font, shape: Shape, colour: Colour, title: &str) {
    let [width, height] = canvas.size();
    let middle = [width / 2, height / 2];
    canvas.plate(middle, [width / 2 - 6, height / 2 - 5], PAPER);
    let thing = [width / 2, height * 34 / 100].map(|at| at * EIGHTHS);
    canvas.shape(shape, thing, height * EIGHTHS * 22 / 100, colour.rgb());
    let mut capitals = height / 5;
    while font.width(title, capitals) > width - 24 {
        capitals -= 1;
    }
    canvas.write(font, title, capitals, [width / 2, height * 77 / 100], [30; 3]);
}

/// Chalk on a green board.
pub fn board(canvas: &mut Canvas, font: &Font, lines: &[String]) {
    let [width, height] = canvas.size();
    let middle = [width / 2, height / 2];
    canvas.plate(middle, [width / 2 - 4, height / 2 - 10], [140, 100, 60]);
    canvas.rectangle(middle, [width / 2 - 7, height / 2 - 13], [40, 84, 66]);
    let count = i32::try_from(lines.len()).unwrap_or(1).max(1);
    for (number, line) in (0..).zip(lines) {
        let mut capitals = height / 4;
        while font.width(line, capitals) > width - 24 {
            capitals -= 1;
        }
        let y = height / 2 + (2 * number + 1 - count) * height * 17 / 100;
        canvas.write(font, line, capitals, [width / 2, y], [240, 240, 230]);
    }
}

/// A finger's blurred tip over nearly everything.
pub fn finger(canvas: &mut Canvas, grain: u32) {
    let [width, height] = canvas.size();
    let mut noise = Noise(grain);
    let centre = [noise.below(width), height * 3 / 4].map(|at| at * EIGHTHS);
    let radius = width.max(height) * EIGHTHS;
    let inside = |x: i32, y: i32| {
        let (x, y) = (i64::from(x - centre[0]), i64::from(y - centre[1]));
        x * x + y * y < i64::from(radius).pow(2)
    };
    let skin = |x: i32, y: i32| lit([206, 140, 112], (x - width / 2) / 5 - (y - height / 2) / 6);
    canvas.blur(6);
    canvas.form(centre, [width, height], inside, skin);
    canvas.blur(4);
}
