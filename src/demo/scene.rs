//! What a scene is: things in a grid of three by three, signs that fill a row, or one large subject.
//!
//! The picture follows from the scene alone ([`super::draw`]), and so does the answer to every question. Which scene a seed
//! gives: [`chance`].

mod chance;

use std::fmt::Write as _;

use super::dice::Dice;
use super::world::{Backdrop, Character, Colour, Landmark, Place, SPANISH, Shape, Side, Size, Style};

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

impl Position {
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
    use super::*;
    use crate::demo::dice::Stream;

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
