//! What there can be in a picture of the demo, and what each thing is called.

/// Declares a closed list whose members have one name each.
macro_rules! list {
    ($(#[$doc:meta])* $name:ident, { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant,)+ }

        impl $name {
            /// Every member.
            pub const ALL: [Self; [$($text,)+].len()] = [$(Self::$variant,)+];

            /// What people call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

list! {
    /// The form of a thing.
    Shape, {
        Circle = "circle",
        Square = "square",
        Triangle = "triangle",
        Star = "star",
        Heart = "heart",
        Diamond = "diamond",
    }
}

list! {
    /// The colour of a thing or a sign.
    Colour, {
        Red = "red",
        Blue = "blue",
        Green = "green",
        Yellow = "yellow",
        Orange = "orange",
        Purple = "purple",
        White = "white",
        Black = "black",
    }
}

list! {
    /// How large a thing is.
    Size, {
        Big = "big",
        Small = "small",
    }
}

list! {
    /// What is behind everything.
    Backdrop, {
        Plain = "wall",
        Grass = "grass",
        Sand = "sand",
        Water = "water",
        Night = "night sky",
        Bricks = "bricks",
        Snow = "snow",
    }
}

list! {
    /// Somebody with a face.
    Character, {
        Anna = "Anna",
        Ben = "Ben",
        Clara = "Clara",
        David = "David",
        Emma = "Emma",
        Felix = "Felix",
    }
}

list! {
    /// A building that is known by its form.
    Landmark, {
        Pyramid = "Sun Pyramid",
        Tower = "Red Tower",
        Bridge = "Stone Bridge",
        Castle = "Grey Castle",
        Lighthouse = "Striped Lighthouse",
        Temple = "White Temple",
    }
}

list! {
    /// The pattern of a painting.
    Style, {
        Stripes = "stripes",
        Dots = "dots",
        Checks = "checks",
        Rings = "rings",
    }
}

list! {
    /// One of the eight neighbours of the centre, or the centre.
    Place, {
        TopLeft = "top left",
        Top = "top",
        TopRight = "top right",
        Left = "left",
        Middle = "middle",
        Right = "right",
        BottomLeft = "bottom left",
        Bottom = "bottom",
        BottomRight = "bottom right",
    }
}

list! {
    /// How one thing lies to another.
    Side, {
        Left = "left",
        Right = "right",
        Above = "above",
        Below = "below",
    }
}

impl Shape {
    /// More than one of it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Circle => "circles",
            Self::Square => "squares",
            Self::Triangle => "triangles",
            Self::Star => "stars",
            Self::Heart => "hearts",
            Self::Diamond => "diamonds",
        }
    }

    /// How many straight sides it has, where people count them.
    pub const fn sides(self) -> Option<usize> {
        match self {
            Self::Triangle => Some(3),
            Self::Square | Self::Diamond => Some(4),
            Self::Star => Some(10),
            Self::Circle | Self::Heart => None,
        }
    }
}

impl Colour {
    /// Red, green, blue.
    pub const fn rgb(self) -> [i32; 3] {
        match self {
            Self::Red => [216, 40, 44],
            Self::Blue => [40, 88, 216],
            Self::Green => [40, 160, 64],
            Self::Yellow => [248, 214, 40],
            Self::Orange => [244, 126, 24],
            Self::Purple => [142, 62, 184],
            Self::White => [250, 250, 250],
            Self::Black => [28, 28, 32],
        }
    }
}

impl Backdrop {
    /// As it stands in a sentence.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Plain => "a wall",
            Self::Night => "the night sky",
            _ => self.name(),
        }
    }

    /// Colours that a thing before it must not have: nobody would see it well.
    pub const fn hides(self) -> &'static [Colour] {
        match self {
            Self::Plain => &[],
            Self::Grass => &[Colour::Green],
            Self::Sand => &[Colour::Yellow, Colour::Orange],
            Self::Water => &[Colour::Blue],
            Self::Night => &[Colour::Black, Colour::Blue],
            Self::Bricks => &[Colour::Red, Colour::Orange],
            Self::Snow => &[Colour::White],
        }
    }
}

impl Place {
    /// The place in column `column` of row `row` of three by three.
    pub const fn of(row: usize, column: usize) -> Self {
        match (row, column) {
            (0, 0) => Self::TopLeft,
            (0, 1) => Self::Top,
            (0, _) => Self::TopRight,
            (1, 0) => Self::Left,
            (1, 1) => Self::Middle,
            (1, _) => Self::Right,
            (_, 0) => Self::BottomLeft,
            (_, 1) => Self::Bottom,
            (_, _) => Self::BottomRight,
        }
    }
}

impl Side {
    /// What the other thing then is.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// As it stands between two things.
    pub const fn relation(self) -> &'static str {
        match self {
            Self::Left => "to the left of",
            Self::Right => "to the right of",
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// What signs say besides numbers.
pub const WORDS: [&str; 56] = [
    "ANT", "APPLE", "BALL", "BANK", "BEAR", "BIRD", "BOAT", "BOOK", "BUS", "CAFE", "CAKE", "CAR", "CAT", "COW", "CUP",
    "DOG", "DOOR", "DUCK", "EGG", "EXIT", "FARM", "FIRE", "FISH", "FOX", "GAME", "GATE", "GO", "GOLD", "HAT", "HOME",
    "HOTEL", "ICE", "JAM", "KEY", "KING", "LAMP", "LION", "MAP", "MILK", "MOON", "OPEN", "PARK", "PIZZA", "POST",
    "RAIN", "SALE", "SHIP", "SHOP", "SNOW", "STOP", "SUN", "TAXI", "TEA", "TRAIN", "TREE", "ZOO",
];

/// Spanish words that boards show, with what they mean.
pub const SPANISH: [(&str, &str); 10] = [
    ("GATO", "cat"),
    ("PERRO", "dog"),
    ("SOL", "sun"),
    ("LUNA", "moon"),
    ("PAN", "bread"),
    ("AGUA", "water"),
    ("CASA", "house"),
    ("LIBRO", "book"),
    ("ROJO", "red"),
    ("VERDE", "green"),
];

/// A number up to twenty in words.
pub fn in_words(number: usize) -> Option<&'static str> {
    const NAMES: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    NAMES.get(number).copied()
}

/// `a red circle`, `an orange heart`.
pub fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}
