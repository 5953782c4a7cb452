//! The text side of a checkpoint: its tokenizer, how many embedding rows that leaves, its conversation template.

use std::path::Path;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::layout::Layout;
use crate::checkpoint::open::Checkpoint;
use crate::profile::Profile;
use crate::template::ConvTemplate;
use crate::tokenizer::{OpenOptions, Tokenizer, TokenizerError, VocabularyFile};

impl Checkpoint {
    /// The tokenizer as the reference of `profile` builds it: with its choice of file, with its `legacy` and with the
    /// tokens that it adds.
    ///
    /// # Errors
    ///
    /// No tokenizer files, or files that cannot be read.
    pub fn open_tokenizer(&self, profile: Profile) -> Result<Tokenizer, TokenizerError> {
        let mut extra = Vec::new();
        if self.image_patch {
            extra.push("<im_patch>".to_owned());
        }
        if self.image_start_end {
            extra.extend(["<im_start>", "<im_end>"].map(str::to_owned));
        }
        let options = OpenOptions {
            first: match self.layout {
                Layout::A | Layout::B => VocabularyFile::TokenizerModel,
                Layout::D => VocabularyFile::TokenizerJson,
            },
            legacy: profile.legacy(),
            extra,
        };
        Tokenizer::open_with(&self.tokenizer_folder, &options)
    }

    /// How many rows of embedding and head are used: every reference but llava-hf cuts both to the tokenizer's length
    /// (`checkpoints.md` section 4.1).
    ///
    /// # Errors
    ///
    /// A tokenizer with more tokens than the embedding has rows.
    pub fn vocabulary_rows(&self, tokenizer: &Tokenizer) -> Result<usize, CheckpointError> {
        vocabulary_rows(self.layout, tokenizer.len(), self.llama.vocabulary)
            .map_err(|what| CheckpointError::file(&self.tokenizer_folder, what))
    }

    /// The reference program that goes with the folder's name and the layout.
    pub fn profile(&self) -> Profile {
        Profile::choose(&folder_name(&self.folder), self.layout)
    }

    /// The conversation template that goes with the folder's name and the layout.
    pub fn conv_template(&self) -> ConvTemplate {
        ConvTemplate::choose(&folder_name(&self.folder), self.layout)
    }
}

fn vocabulary_rows(layout: Layout, tokens: usize, rows: usize) -> Result<usize, String> {
    match layout {
        Layout::D => Ok(rows),
        Layout::A | Layout::B if tokens <= rows => Ok(tokens),
        Layout::A | Layout::B => Err(format!(
            "the tokenizer has {tokens} tokens, but the embedding {rows} rows: the references would fill the rest with \
             random numbers; use the tokenizer files that came with the checkpoint"
        )),
    }
}

/// The last component of the folder's full path: `.` and links have names too. A snapshot of a hub cache,
/// `models--org--name/snapshots/…`, has the name of its repository.
pub(super) fn folder_name(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let above = |levels| {
        Some(
            full.ancestors()
                .nth(levels)?
                .file_name()?
                .to_string_lossy()
                .into_owned(),
        )
    };
    let repository = above(2).filter(|_| above(1).as_deref() == Some("snapshots"));
    match repository.as_deref().and_then(|name| name.strip_prefix("models--")) {
        Some(id) => id.rsplit("--").next().unwrap_or(id).to_owned(),
        None => above(0).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedding_rows_follow_the_tokenizer_except_in_llava_hf() {
        for layout in [Layout::A, Layout::B] {
            assert_eq!(vocabulary_rows(layout, 32_000, 32_000), Ok(32_000));
            assert_eq!(vocabulary_rows(layout, 64_000, 64_064), Ok(64_000));
            assert!(vocabulary_rows(layout, 32_001, 32_000).is_err());
        }
        assert_eq!(vocabulary_rows(Layout::D, 32_002, 32_064), Ok(32_064));
        let error = vocabulary_rows(Layout::B, 3, 2).unwrap_err();
        assert!(
            error.starts_with("the tokenizer has 3 tokens, but the embedding 2 rows: "),
            "{error}"
        );
    }

    #[test]
    fn a_folder_has_its_own_name_even_as_a_dot() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            Some(folder_name(Path::new(".")).as_ref()),
            here.file_name().and_then(|name| name.to_str())
        );
        assert_eq!(folder_name(Path::new("/nowhere/VILA1.5-3b/")), "VILA1.5-3b");
        let snapshot = Path::new("/hub/models--liuhaotian--llava-v1.5-7b/snapshots/12bf");
        assert_eq!(folder_name(snapshot), "llava-v1.5-7b");
    }
}
