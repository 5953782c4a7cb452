//! MMBench's splits: which file they are, what it is called, and in which language it asks.

use std::path::Path;

/// One file of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// `dev` of 2023-07-12, the papers'.
    Dev,
    /// `test` of 2023-07-12.
    Test,
    /// The later `dev` in English, of 2023-10-03.
    DevEn,
    TestEn,
    /// The same in Chinese.
    DevCn,
    TestCn,
    /// CCBench, questions about Chinese culture.
    Cc,
}

/// The language of the questions, which decides the prompt's last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

/// What the organisers, LLaVA and VLMEvalKit call the files, in lower case.
const NAMES: [(&str, Split); 12] = [
    ("mmbench_dev_20230712", Split::Dev),
    ("mmbench_test_20230712", Split::Test),
    ("mmbench_dev_en", Split::DevEn),
    ("mmbench_dev_en_20231003", Split::DevEn),
    ("mmbench_test_en", Split::TestEn),
    ("mmbench_test_en_20231003", Split::TestEn),
    ("mmbench_dev_cn", Split::DevCn),
    ("mmbench_dev_cn_20231003", Split::DevCn),
    ("mmbench_test_cn", Split::TestCn),
    ("mmbench_test_cn_20231003", Split::TestCn),
    ("ccbench", Split::Cc),
    ("ccbench_20231003", Split::Cc),
];

/// How many rows the later `dev` and `test` have.
const LATER_ROWS: [usize; 2] = [4329, 6666];

impl Split {
    /// Those that are taken where none is named, in this order; else the first that is there.
    pub(super) const DEFAULTS: [Self; 2] = [Self::Dev, Self::DevEn];

    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::DevEn => "dev-en",
            Self::TestEn => "test-en",
            Self::DevCn => "dev-cn",
            Self::TestCn => "test-cn",
            Self::Cc => "cc",
        }
    }

    /// The split that a file is named after, with or without VILA's `_upload`.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?.to_lowercase();
        let stem = stem.strip_suffix("_upload").unwrap_or(&stem);
        NAMES.iter().find(|(name, _)| *name == stem).map(|(_, split)| *split)
    }

    /// The split of rows that say `dev` or `test`: the number of rows tells the later files. Those in Chinese say the
    /// same, and have the same right answers.
    pub(super) fn of_rows(said: &str, rows: usize) -> Option<Self> {
        match (said, LATER_ROWS.contains(&rows)) {
            ("dev", false) => Some(Self::Dev),
            ("dev", true) => Some(Self::DevEn),
            ("test", false) => Some(Self::Test),
            ("test", true) => Some(Self::TestEn),
            _ => None,
        }
    }

    /// What the rows say in their column `split`; CCBench has none.
    pub(super) const fn said(self) -> Option<&'static str> {
        match self {
            Self::Dev | Self::DevEn | Self::DevCn => Some("dev"),
            Self::Test | Self::TestEn | Self::TestCn => Some("test"),
            Self::Cc => None,
        }
    }

    /// Whether the right answers are public.
    pub(super) const fn is_labelled(self) -> bool {
        !matches!(self, Self::Test | Self::TestEn | Self::TestCn)
    }

    pub(super) const fn language(self) -> Language {
        match self {
            Self::Dev | Self::Test | Self::DevEn | Self::TestEn => Language::English,
            Self::DevCn | Self::TestCn | Self::Cc => Language::Chinese,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_read_from_names_and_rows() {
        let names = [
            ("mmbench_dev_20230712.tsv", Some(Split::Dev)),
            ("a/MMBench_DEV_EN.tsv", Some(Split::DevEn)),
            ("MMBench_TEST_EN.tsv", Some(Split::TestEn)),
            ("mmbench_test_20230712_upload.xlsx", Some(Split::Test)),
            ("mmbench_dev_cn_20231003.tsv", Some(Split::DevCn)),
            ("MMBench_TEST_CN.tsv", Some(Split::TestCn)),
            ("CCBench.tsv", Some(Split::Cc)),
            ("MMBench_DEV_RU.tsv", None),
            ("mmbench.tsv", None),
        ];
        for (name, expected) in names {
            assert_eq!(Split::of_name(Path::new(name)), expected, "{name}");
        }
        assert_eq!(Split::of_rows("dev", 4377), Some(Split::Dev));
        assert_eq!(Split::of_rows("dev", 4329), Some(Split::DevEn));
        assert_eq!(Split::of_rows("test", 6666), Some(Split::TestEn));
        assert_eq!(Split::of_rows("val", 7), None);
    }
}
