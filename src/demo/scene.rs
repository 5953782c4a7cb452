//! What a scene is, drawn from a seed: things in a grid of three by three, signs that fill a row, or one large subject.
//!
//! The picture follows from the scene alone ([`super::draw`]), and so does the answer to every question.

use std::fmt::Write as _;

use super::dice::Dice;
use super::world::{Backdrop, Character, Colour, Landmark, Place, SPANISH, Shape, Side, Size, Style, WORDS};

/// Widths and heights, in pixels.
const FORMATS: [(i32, i32); 5] = [(112, 112), (112, 112), (112, 112), (128, 104), (104, 128)];

/// How far a thing reaches over its neighbour before it is made big, in per cent of the neighbour's width.
const COVERED: i32 = 25;

/// Everything that decides a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// In pixels.
    pub width: i32,
    /// In pixels.
    pub height: i32,
    /// What is behind all.
    pub backdrop: Backdrop,
    /// What is added to the backdrop's red, green and blue.
    pub tint: [i32; 3],
    /// What is shown.
    pub subject: Subject,
    /// How well it was taken.
    pub quality: Quality,
    /// Seed of the backdrop's pattern.
    pub grain: u32,
}

/// What a picture shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Things and signs in a grid.
    Things(Vec<Thing>, Vec<Sign>),
    /// Somebody's face.
    Face(Character, Position),
    /// A building.
    Landmark(Landmark, Position),
    /// A framed painting in two colours.
    Artwork(Style, [Colour; 2]),
    /// A poster: a thing and its title.
    Poster(Shape, Colour, &'static str),
    /// A board with writing.
    Board(Board),
}

/// What a board says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// `3+4=?`
    Sum(usize, usize),
    /// Two lines of Python, `A=3` and `A+2`.
    Code(usize, usize),
    /// A word of [`SPANISH`].
    Spanish(usize),
}

/// How well a picture was taken. The last three show nothing that could be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// As it should be.
    Sharp,
    /// A little out of focus.
    Soft,
    /// Nothing but patches of colour.
    Smeared,
    /// No light.
    Dark,
    /// A finger before the lens.
    Finger,
}

/// A coloured shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thing {
    /// Its form.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// How large it is.
    pub size: Size,
    /// Its row, from the top.
    pub row: usize,
    /// Its column, from the left.
    pub column: usize,
    /// How far its centre lies from the cell's, in pixels to the right and down.
    pub shift: [i32; 2],
    /// Whether it lies before the thing to its left and hides a part of it.
    pub covers: bool,
}

/// A plate with a word or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// What is printed on it.
    pub text: String,
    /// The plate's colour.
    pub plate: Colour,
    /// The row that it fills.
    pub row: usize,
    /// How far it lies from the middle, in pixels to the right.
    pub shift: i32,
}

/// Where a large subject stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Pixels to the right of the middle.
    pub x: i32,
    /// Pixels below it.
    pub y: i32,
    /// Its size in per cent of the usual.
    pub scale: i32,
}

impl Thing {
    /// `red circle`
    pub fn noun(&self) -> String {
        format!("{} {}", self.colour.name(), self.shape.name())
    }

    /// Where in the picture it is.
    pub fn place(&self) -> Place {
        Place::of(self.row, self.column)
    }

    /// Whether it lies on that side of `other`.
    pub fn is_at(&self, side: Side, other: &Self) -> bool {
        match side {
            Side::Left => self.column < other.column,
            Side::Right => self.column > other.column,
            Side::Above => self.row < other.row,
            Side::Below => self.row > other.row,
        }
    }
}

impl Sign {
    /// The text as an answer.
    pub fn said(&self) -> String {
        self.text.to_lowercase()
    }

    /// Whether it shows a number.
    pub fn is_number(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_digit())
    }
}

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

    /// Half the width of a thing, in pixels.
    pub fn radius(&self, size: Size) -> i32 {
        let unit = self.width.min(self.height);
        match size {
            Size::Big => unit * 15 / 112,
            Size::Small => unit * 9 / 112,
        }
    }

    /// The centre of a thing, in pixels.
    pub fn centre(&self, thing: &Thing) -> [i32; 2] {
        let middle = |side: i32, cell: usize| side * (2 * i32::try_from(cell).unwrap_or(0) + 1) / 6;
        [
            middle(self.width, thing.column) + thing.shift[0],
            middle(self.height, thing.row) + thing.shift[1],
        ]
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

    /// The things in it.
    pub fn all_things(&self) -> &[Thing] {
        match &self.subject {
            Subject::Things(things, _) => things,
            _ => &[],
        }
    }

    /// The signs in it.
    pub fn signs(&self) -> &[Sign] {
        match &self.subject {
            Subject::Things(_, signs) => signs,
            _ => &[],
        }
    }

    /// Whether anything can be told from the picture.
    pub fn is_clear(&self) -> bool {
        matches!(self.quality, Quality::Sharp | Quality::Soft)
    }

    /// Things of that form.
    pub fn count_shape(&self, shape: Shape) -> usize {
        self.all_things().iter().filter(|thing| thing.shape == shape).count()
    }

    /// Things of that colour.
    pub fn count_colour(&self, colour: Colour) -> usize {
        self.all_things().iter().filter(|thing| thing.colour == colour).count()
    }

    /// Whether there is such a thing.
    pub fn has(&self, colour: Colour, shape: Shape) -> bool {
        self.all_things()
            .iter()
            .any(|thing| thing.colour == colour && thing.shape == shape)
    }

    /// A colour and a form that no thing has together; every other time one of the two is there.
    pub fn absent(&self, dice: &mut Dice) -> (Colour, Shape) {
        loop {
            let (mut colour, mut shape) = (dice.one(Colour::ALL), dice.one(Shape::ALL));
            if let Some(near) = dice.any(self.all_things()) {
                match dice.below(4) {
                    0 => colour = near.colour,
                    1 => shape = near.shape,
                    _ => {}
                }
            }
            if !self.has(colour, shape) {
                return (colour, shape);
            }
        }
    }

    /// The things that no other one equals in form and colour.
    pub fn distinct(&self) -> Vec<Thing> {
        let alike = |one: &Thing| {
            self.all_things()
                .iter()
                .filter(|other| other.noun() == one.noun())
                .count()
        };
        self.all_things()
            .iter()
            .filter(|thing| alike(thing) == 1)
            .copied()
            .collect()
    }

    /// The things whose form alone names them.
    pub fn named_by_shape(&self) -> Vec<Thing> {
        let things = self.all_things().iter();
        things
            .filter(|thing| self.count_shape(thing.shape) == 1)
            .copied()
            .collect()
    }

    /// The things whose colour alone names them.
    pub fn named_by_colour(&self) -> Vec<Thing> {
        let things = self.all_things().iter();
        things
            .filter(|thing| self.count_colour(thing.colour) == 1)
            .copied()
            .collect()
    }

    /// The one thing on that side of `thing`, where there is exactly one.
    pub fn only_one_at(&self, side: Side, thing: &Thing) -> Option<Thing> {
        let mut found = self.all_things().iter().filter(|other| other.is_at(side, thing));
        found.next().copied().filter(|_| found.next().is_none())
    }

    /// What the scene shows, in one line and without what people would not tell apart: scenes that agree in it are one
    /// to whoever answers questions.
    pub fn description(&self) -> String {
        let mut text = format!("{}, {:?}: ", self.backdrop.name(), self.quality);
        match &self.subject {
            Subject::Things(things, signs) => {
                for thing in things {
                    let _ = write!(
                        text,
                        "{} {} {}{}; ",
                        thing.size.name(),
                        thing.noun(),
                        thing.place().name(),
                        if thing.covers { " in front" } else { "" }
                    );
                }
                for sign in signs {
                    let _ = write!(text, "{} sign {} in row {}; ", sign.plate.name(), sign.text, sign.row);
                }
            }
            Subject::Face(character, at) => {
                let _ = write!(text, "face of {} {}", character.name(), at.description());
            }
            Subject::Landmark(landmark, at) => {
                let _ = write!(text, "{} {}", landmark.name(), at.description());
            }
            Subject::Artwork(style, [first, second]) => {
                let _ = write!(text, "painting of {} {} {}", style.name(), first.name(), second.name());
            }
            Subject::Poster(shape, colour, title) => {
                let _ = write!(text, "poster {} {} {title}", colour.name(), shape.name());
            }
            Subject::Board(board) => {
                let _ = write!(text, "board {}", board.lines().join(" / "));
            }
        }
        text
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

    fn description(self) -> String {
        format!("{} {} {}", self.x, self.y, self.scale)
    }
}

impl Board {
    /// What is written on it.
    pub fn lines(self) -> Vec<String> {
        match self {
            Self::Sum(a, b) => vec![format!("{a}+{b}=?")],
            Self::Code(a, b) => vec![format!("A={a}"), format!("A+{b}")],
            Self::Spanish(word) => vec![SPANISH.get(word).map_or("", |(word, _)| word).to_owned()],
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

    #[test]
    fn what_is_absent_is_absent() {
        for number in 0..500 {
            let mut dice = Dice::new(4, Stream::Training, number);
            let scene = Scene::things(&mut dice);
            let (colour, shape) = scene.absent(&mut dice);
            assert!(!scene.has(colour, shape));
        }
    }
}
