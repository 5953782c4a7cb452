//! The fourteen subtasks and how their files lie (`mme.md`, sections 1 and 2).

/// A subtask, named as its folder and its result file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subtask {
    /// Whether a thing is there.
    Existence,
    /// How many there are.
    Count,
    /// Where one is from another.
    Position,
    /// Which colour it has.
    Color,
    /// Films by their posters.
    Posters,
    /// People by their faces.
    Celebrity,
    /// What kind of place it is.
    Scene,
    /// Buildings and sights by name.
    Landmark,
    /// Paintings and sculptures.
    Artwork,
    /// Words in the picture.
    Ocr,
    /// What follows from the picture.
    CommonsenseReasoning,
    /// Sums.
    NumericalCalculation,
    /// Chinese into English.
    TextTranslation,
    /// What a program prints.
    CodeReasoning,
}

impl Subtask {
    /// Those whose scores make up the perception total, in the order in which they are summed.
    pub(super) const PERCEPTION: [Self; 10] = [
        Self::Existence,
        Self::Count,
        Self::Position,
        Self::Color,
        Self::Posters,
        Self::Celebrity,
        Self::Scene,
        Self::Landmark,
        Self::Artwork,
        Self::Ocr,
    ];

    /// Those whose scores make up the cognition total, in the order in which they are summed.
    pub(super) const COGNITION: [Self; 4] = [
        Self::CommonsenseReasoning,
        Self::NumericalCalculation,
        Self::TextTranslation,
        Self::CodeReasoning,
    ];

    /// All, perception first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::PERCEPTION.into_iter().chain(Self::COGNITION)
    }

    /// On disk, and in metric ids.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Existence => "existence",
            Self::Count => "count",
            Self::Position => "position",
            Self::Color => "color",
            Self::Posters => "posters",
            Self::Celebrity => "celebrity",
            Self::Scene => "scene",
            Self::Landmark => "landmark",
            Self::Artwork => "artwork",
            Self::Ocr => "OCR",
            Self::CommonsenseReasoning => "commonsense_reasoning",
            Self::NumericalCalculation => "numerical_calculation",
            Self::TextTranslation => "text_translation",
            Self::CodeReasoning => "code_reasoning",
        }
    }

    /// The subtask of that name, else a message that lists them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::all().find(|subtask| subtask.id() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::id).collect();
            format!("unknown subtask `{text}`; MME has {}", known.join(", "))
        })
    }

    /// How many questions the release asks.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Existence | Self::Count | Self::Position | Self::Color => 60,
            Self::Posters => 294,
            Self::Celebrity => 340,
            Self::Scene | Self::Landmark | Self::Artwork => 400,
            Self::CommonsenseReasoning => 140,
            Self::Ocr | Self::NumericalCalculation | Self::TextTranslation | Self::CodeReasoning => 40,
        }
    }

    /// Whether the release keeps pictures and questions in folders of their own.
    pub const fn is_nested(self) -> bool {
        matches!(
            self,
            Self::Posters | Self::Celebrity | Self::Scene | Self::Landmark | Self::Artwork
        )
    }

    /// The suffix of all its pictures in the release, for a copy that has the questions alone.
    pub(super) const fn picture_suffix(self) -> &'static str {
        match self {
            Self::CommonsenseReasoning | Self::NumericalCalculation | Self::TextTranslation | Self::CodeReasoning => {
                "png"
            }
            _ => "jpg",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subtask_is_counted_and_parses_back() {
        assert_eq!(Subtask::PERCEPTION.map(Subtask::size).iter().sum::<usize>(), 2114);
        assert_eq!(Subtask::COGNITION.map(Subtask::size).iter().sum::<usize>(), 260);
        for subtask in Subtask::all() {
            assert_eq!(Subtask::parse(subtask.id()), Ok(subtask));
        }
        let error = Subtask::parse("ocr").unwrap_err();
        assert!(
            error.starts_with("unknown subtask `ocr`; MME has existence, count, "),
            "{error}"
        );
    }
}
