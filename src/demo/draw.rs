//! A scene as a JPEG file. Integers only, and a JPEG encoder without floating point, so that the bytes are the same on
//! every machine.

mod backdrop;
mod canvas;
mod outline;
mod subject;

use mozjpeg::{ColorSpace, Compress};

use super::font::Font;
use super::scene::{Quality, Scene, Sign, Subject, Thing};
use super::world::Colour;
use crate::fault::Fault;
use canvas::{Canvas, EIGHTHS};

/// JPEG quality.
const QUALITY: f32 = 90.0;

/// Draws scenes.
#[derive(Debug)]
pub struct Painter {
    font: Font,
}

impl Painter {
    /// Makes the letters ready.
    ///
    /// # Errors
    ///
    /// None that an input can cause.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self { font: Font::load()? })
    }

    /// The scene's picture as a JPEG file.
    ///
    /// # Errors
    ///
    /// None that an input can cause.
    pub fn jpeg(&self, scene: &Scene) -> Result<Vec<u8>, Fault> {
        encode(&self.picture(scene))
            .map_err(|error| Fault::Bug(format!("a drawn picture could not be encoded: {error}")))
    }

    fn picture(&self, scene: &Scene) -> Canvas {
        let mut canvas = Canvas::new(scene.width, scene.height);
        backdrop::paint(&mut canvas, scene);
        match &scene.subject {
            Subject::Things(things, signs) => {
                for thing in things {
                    paint_thing(&mut canvas, scene, thing);
                }
                for sign in signs {
                    self.paint_sign(&mut canvas, scene, sign);
                }
            }
            Subject::Face(character, at) => subject::face(&mut canvas, *character, *at),
            Subject::Landmark(landmark, at) => subject::landmark(&mut canvas, *landmark, *at),
            Subject::Artwork(style, colours) => subject::artwork(&mut canvas, *style, *colours),
            Subject::Poster(shape, colour, title) => subject::poster(&mut canvas, &self.font, *shape, *colour, title),
            Subject::Board(board) => subject::board(&mut canvas, &self.font, &board.lines()),
        }
        match scene.quality {
            Quality::Sharp => {}
            Quality::Soft => canvas.blur(1),
            Quality::Smeared => {
                canvas.blur(scene.width / 5);
                canvas.blur(scene.width / 5);
            }
            Quality::Dark => canvas.darken(scene.grain),
            Quality::Finger => subject::finger(&mut canvas, scene.grain),
        }
        canvas
    }

    fn paint_sign(&self, canvas: &mut Canvas, scene: &Scene, sign: &Sign) {
        let cell = scene.height / 3;
        let row = i32::try_from(sign.row).unwrap_or(0);
        let middle = [scene.width / 2 + sign.shift, cell * row + cell / 2];
        let mut capitals = cell * 2 / 3;
        while self.font.width(&sign.text, capitals) > scene.width - 20 {
            capitals -= 1;
        }
        let half = [self.font.width(&sign.text, capitals) / 2 + 6, cell / 2 - 2];
        canvas.plate(middle, half, sign.plate.rgb());
        canvas.write(&self.font, &sign.text, capitals, middle, ink_on(sign.plate).rgb());
    }
}

/// What is read well on a plate.
fn ink_on(plate: Colour) -> Colour {
    match plate {
        Colour::White | Colour::Yellow | Colour::Orange => Colour::Black,
        _ => Colour::White,
    }
}

fn paint_thing(canvas: &mut Canvas, scene: &Scene, thing: &Thing) {
    let centre = scene.centre(thing).map(|at| at * EIGHTHS);
    canvas.shape(
        thing.shape,
        centre,
        scene.radius(thing.size) * EIGHTHS,
        thing.colour.rgb(),
    );
}

fn encode(canvas: &Canvas) -> std::io::Result<Vec<u8>> {
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    // No search for better coefficients, which reckons with floating point.
    compress.set_fastest_defaults();
    compress.set_optimize_coding(true);
    compress.set_size(canvas.width(), canvas.height());
    compress.set_quality(QUALITY);
    compress.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
    let mut started = compress.start_compress(Vec::new())?;
    started.write_scanlines(&canvas.bytes())?;
    started.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::dice::{Dice, Stream};
    use crate::demo::world::Shape;

    /// Whether the picture's pixel at `at` has a colour near `wanted`.
    fn near(canvas: &Canvas, at: [i32; 2], wanted: [i32; 3]) -> bool {
        let found = canvas.at(at[0], at[1]);
        found.iter().zip(wanted).all(|(one, other)| (one - other).abs() < 60)
    }

    #[test]
    fn every_thing_is_seen_where_the_scene_has_it() {
        let painter = Painter::new().unwrap();
        let (mut covered, mut least) = (0, 100);
        for number in 0..400 {
            let scene = Scene::things(&mut Dice::new(11, Stream::Training, number));
            let canvas = painter.picture(&scene);
            for thing in scene.all_things() {
                let centre = scene.centre(thing);
                assert!(near(&canvas, centre, thing.colour.rgb()), "{number}: {thing:?}");
                covered += usize::from(thing.covers);
                // Three quarters of its outline's box are in the picture and show its colour.
                let radius = scene.radius(thing.size);
                let inside = |x: i32, y: i32| {
                    outline::covers(
                        thing.shape,
                        (x - centre[0]) * EIGHTHS,
                        (y - centre[1]) * EIGHTHS,
                        radius * EIGHTHS,
                    )
                };
                let (mut all, mut seen) = (0, 0);
                for y in centre[1] - radius..=centre[1] + radius {
                    for x in centre[0] - radius..=centre[0] + radius {
                        if inside(x, y) {
                            all += 1;
                            seen += usize::from(near(&canvas, [x, y], thing.colour.rgb()));
                        }
                    }
                }
                least = least.min(seen * 100 / all);
            }
        }
        assert!(covered > 5 && least >= 50, "{covered} {least}");
    }

    #[test]
    fn shapes_are_told_apart_by_their_area() {
        let area = |shape| {
            let side = -64..64;
            side.clone()
                .flat_map(|y| side.clone().map(move |x| (x, y)))
                .filter(|(x, y)| outline::covers(shape, *x, *y, 60))
                .count()
        };
        let mut areas = Shape::ALL.map(area);
        areas.sort_unstable();
        assert!(
            areas.windows(2).all(|pair| pair[1] > pair[0] + pair[0] / 50),
            "{areas:?}"
        );
    }

    #[test]
    fn a_picture_is_a_small_jpeg() {
        let painter = Painter::new().unwrap();
        for number in 0..50 {
            let scene = Scene::things(&mut Dice::new(3, Stream::Training, number));
            let jpeg = painter.jpeg(&scene).unwrap();
            assert_eq!(jpeg, painter.jpeg(&scene).unwrap());
            assert!((1000..9000).contains(&jpeg.len()), "{}", jpeg.len());
        }
    }
}
