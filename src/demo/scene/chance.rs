//! Which scene a seed gives. Every throw of the dice is part of the frozen suite: another order is another suite.

use super::{Board, Position, Quality, Scene, Sign, Subject, Thing};
use crate::demo::dice::Dice;
use crate::demo::world::{Backdrop, Character, Colour, Landmark, SPANISH, Shape, Size, Style, WORDS};

/// Widths and heights, in pixels.
const FORMATS: [(i32, i32); 5] = [(112, 112), (112, 112), (112, 112), (128, 104), (104, 128)];

/// How far a thing reaches over its neighbour before it is made big, in per cent of the neighbour's width.
const COVERED: i32 = 25;

impl Scene {
    /// Two to five things, and sometimes signs.
    pub fn things(dice: &mut Dice) -> Self {
        let signs = match dice.below(100) {
            0..50 => 0,
            50..88 => 1,
            _ => 2,
        };
        Self::arranged(dice, signs)
    }

    /// At least one sign among things.
    pub fn with_sign(dice: &mut Dice) -> Self {
        let signs = 1 + usize::from(dice.chance(40));
        Self::arranged(dice, signs)
    }

    /// One thing or one sign, as somebody would hold it before a camera.
    pub fn lone(dice: &mut Dice) -> Self {
        let mut scene = Self::empty(dice);
        let (mut things, mut signs) = (Vec::new(), Vec::new());
        if dice.chance(55) {
            let colour = scene.free_colour(dice, &[]);
            let shape = dice.one(Shape::ALL);
            let (row, column) = (dice.below(3), dice.below(3));
            things.push(Thing::new(dice, shape, colour, Size::Big, (row, column)));
        } else {
            let row = dice.below(3);
            signs.push(scene.sign(dice, &things, &signs, row));
        }
        scene.subject = Subject::Things(things, signs);
        scene
    }

    /// Somebody's face.
    pub fn face(dice: &mut Dice) -> Self {
        let mut scene = Self::empty(dice);
        scene.subject = Subject::Face(dice.one(Character::ALL), Position::drawn(dice));
        scene
    }

    /// A building.
    pub fn landmark(dice: &mut Dice) -> Self {
        let mut scene = Self::empty(dice);
        scene.subject = Subject::Landmark(dice.one(Landmark::ALL), Position::drawn(dice));
        scene
    }

    /// A painting.
    pub fn artwork(dice: &mut Dice) -> Self {
        let mut scene = Self::empty(dice);
        let first = dice.one(Colour::ALL);
        let mut second = dice.one(Colour::ALL);
        while second == first {
            second = dice.one(Colour::ALL);
        }
        scene.subject = Subject::Artwork(dice.one(Style::ALL), [first, second]);
        scene
    }

    /// A poster.
    pub fn poster(dice: &mut Dice) -> Self {
        let mut scene = Self::empty(dice);
        // The poster's paper is white, its title black.
        let colours = [Colour::Red, Colour::Blue, Colour::Green, Colour::Orange, Colour::Purple];
        scene.subject = Subject::Poster(dice.one(Shape::ALL), dice.one(colours), dice.one(WORDS));
        scene
    }

    /// A board with a sum.
    pub fn sum(dice: &mut Dice) -> Self {
        let board = Board::Sum(1 + dice.below(9), 1 + dice.below(9));
        Self::board(dice, board)
    }

    /// A board with two lines of Python.
    pub fn code(dice: &mut Dice) -> Self {
        let board = Board::Code(1 + dice.below(9), 1 + dice.below(9));
        Self::board(dice, board)
    }

    /// A board with a Spanish word.
    pub fn spanish(dice: &mut Dice) -> Self {
        let board = Board::Spanish(dice.below(SPANISH.len()));
        Self::board(dice, board)
    }

    /// The same scene so badly taken that nothing can be told.
    pub fn spoilt(mut self, dice: &mut Dice) -> Self {
        self.quality = dice.one([Quality::Smeared, Quality::Smeared, Quality::Dark, Quality::Finger]);
        self
    }

    fn board(dice: &mut Dice, board: Board) -> Self {
        let mut scene = Self::empty(dice);
        scene.subject = Subject::Board(board);
        scene
    }

    fn empty(dice: &mut Dice) -> Self {
        let (width, height) = dice.one(FORMATS);
        let backdrop = match dice.below(10) {
            0..4 => Backdrop::Plain,
            _ => dice.one(Backdrop::ALL),
        };
        Self {
            width,
            height,
            backdrop,
            tint: [dice.around(8), dice.around(8), dice.around(8)],
            subject: Subject::Things(Vec::new(), Vec::new()),
            quality: if dice.chance(10) { Quality::Soft } else { Quality::Sharp },
            grain: u32::try_from(dice.below(1 << 30)).unwrap_or(0),
        }
    }

    fn arranged(dice: &mut Dice, signs: usize) -> Self {
        let mut scene = Self::empty(dice);
        let mut rows = [0, 1, 2];
        dice.shuffle(&mut rows);
        let (for_signs, for_things) = rows.split_at(signs);
        let mut cells: Vec<(usize, usize)> = for_things
            .iter()
            .flat_map(|row| [0, 1, 2].map(|column| (*row, column)))
            .collect();
        dice.shuffle(&mut cells);
        let most = if signs == 2 { 3 } else { 5 };
        let count = if signs == 2 { 1 } else { 2 } + dice.below(most - if signs == 2 { 0 } else { 1 });
        // What a crowd has in common, so that there is something to count.
        let (same_shape, same_colour) = match dice.below(100) {
            0..25 => (Some(dice.one(Shape::ALL)), None),
            25..40 => (None, Some(scene.free_colour(dice, &[]))),
            _ => (None, None),
        };
        let mut things: Vec<Thing> = Vec::new();
        for cell in cells.into_iter().take(count) {
            let before = things.last().copied();
            let (mut shape, mut colour) = match before {
                Some(before) if dice.chance(30) => scene.companion(dice, before),
                _ => (dice.one(Shape::ALL), scene.free_colour(dice, &[])),
            };
            if let Some(same) = same_shape
                && dice.chance(75)
            {
                shape = same;
            }
            if let Some(same) = same_colour
                && dice.chance(75)
            {
                colour = same;
            }
            let size = dice.one(Size::ALL);
            things.push(Thing::new(dice, shape, colour, size, cell));
        }
        things.sort_by_key(|thing| (thing.row, thing.column));
        if dice.chance(20) {
            scene.cover_one(dice, &mut things);
        }
        let mut drawn = Vec::new();
        for row in for_signs {
            drawn.push(scene.sign(dice, &things, &drawn, *row));
        }
        drawn.sort_by_key(|sign: &Sign| sign.row);
        scene.subject = Subject::Things(things, drawn);
        scene
    }

    /// Moves one thing before its left neighbour and makes it big: a quarter to nearly a half of the other is hidden.
    fn cover_one(&self, dice: &mut Dice, things: &mut [Thing]) {
        let neighbours: Vec<usize> = (1..things.len())
            .filter(|at| {
                let (left, right) = (things[at - 1], things[*at]);
                left.row == right.row
                    && left.column + 1 == right.column
                    && left.size == Size::Big
                    && left.noun() != right.noun()
            })
            .collect();
        let Some(at) = dice.any(&neighbours) else { return };
        let (left, right) = (things[at - 1], things[at]);
        let touching = self.radius(left.size) + self.radius(right.size);
        let distance = touching - 2 * self.radius(left.size) * COVERED / 100;
        let moved = left.shift[0] + distance - self.width / 3;
        things[at].shift = [moved, left.shift[1]];
        things[at].size = Size::Big;
        things[at].covers = true;
    }

    /// A colour that is seen before the backdrop and is none of `taken`.
    fn free_colour(&self, dice: &mut Dice, taken: &[Colour]) -> Colour {
        loop {
            let colour = dice.one(Colour::ALL);
            if !self.backdrop.hides().contains(&colour) && !taken.contains(&colour) {
                return colour;
            }
        }
    }

    /// What often goes with a thing.
    fn companion(&self, dice: &mut Dice, of: Thing) -> (Shape, Colour) {
        let (shape, colour) = (of.shape as usize, of.colour as usize);
        let colour = Colour::ALL[(colour + 3) % Colour::ALL.len()];
        let shape = Shape::ALL[(shape + 1) % Shape::ALL.len()];
        if self.backdrop.hides().contains(&colour) {
            return (shape, self.free_colour(dice, &[]));
        }
        (shape, colour)
    }

    /// A sign whose plate has a colour that nothing else has, but where too many colours are there already.
    fn sign(&self, dice: &mut Dice, things: &[Thing], signs: &[Sign], row: usize) -> Sign {
        let plates = [
            Colour::White,
            Colour::Yellow,
            Colour::Blue,
            Colour::Red,
            Colour::Green,
            Colour::Black,
        ];
        let free: Vec<Colour> = plates
            .into_iter()
            .filter(|plate| {
                !self.backdrop.hides().contains(plate)
                    && things.iter().all(|thing| thing.colour != *plate)
                    && signs.iter().all(|sign| sign.plate != *plate)
            })
            .collect();
        // One scene of a thousand has none left; a white sign is no white thing to any question.
        let plate = dice.any(&free).unwrap_or(Colour::White);
        let text = if dice.chance(65) {
            dice.one(WORDS).to_owned()
        } else {
            (10 + dice.below(90) + if dice.chance(40) { 100 * (1 + dice.below(9)) } else { 0 }).to_string()
        };
        Sign {
            text,
            plate,
            row,
            shift: dice.around(4),
        }
    }
}

impl Thing {
    fn new(dice: &mut Dice, shape: Shape, colour: Colour, size: Size, (row, column): (usize, usize)) -> Self {
        Self {
            shape,
            colour,
            size,
            row,
            column,
            shift: [dice.around(2), dice.around(2)],
            covers: false,
        }
    }
}

impl Position {
    fn drawn(dice: &mut Dice) -> Self {
        Self {
            x: dice.around(8),
            y: dice.around(6),
            scale: 80 + i32::try_from(dice.below(21)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::dice::Stream;

    #[test]
    fn things_and_signs_have_places_and_colours_of_their_own() {
        let (mut covering, mut alike, mut signs_seen) = (0, 0, [0; 3]);
        for number in 0..3000 {
            let scene = Scene::things(&mut Dice::new(2, Stream::Training, number));
            let (things, signs) = (scene.all_things(), scene.signs());
            signs_seen[signs.len()] += 1;
            assert!((1..=5).contains(&things.len()) && (signs.len() == 2 || things.len() >= 2));
            let cells: BTreeSet<(usize, usize)> = things.iter().map(|thing| (thing.row, thing.column)).collect();
            assert_eq!(cells.len(), things.len());
            for thing in things {
                assert!(signs.iter().all(|sign| sign.row != thing.row));
                alike += usize::from(signs.iter().any(|sign| sign.plate == thing.colour));
                assert!(
                    !scene.backdrop.hides().contains(&thing.colour),
                    "{}",
                    scene.description()
                );
                covering += usize::from(thing.covers);
            }
        }
        assert!(
            covering > 100 && alike < 15 && signs_seen.iter().all(|count| *count > 200),
            "{covering} {alike} {signs_seen:?}"
        );
    }
}
