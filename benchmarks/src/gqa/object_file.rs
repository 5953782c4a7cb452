//! Where the records of a GQA file lie: in one JSON object by id, or where that is too large in several.

use std::path::{Path, PathBuf};

/// The files of the object called `stem`: `<stem>.json`, or where it is too large for one, `<stem>/<stem>_*.json`.
pub(super) fn parts(folder: &Path, stem: &str) -> Option<Vec<PathBuf>> {
    let whole = folder.join(format!("{stem}.json"));
    if whole.is_file() {
        return Some(vec![whole]);
    }
    let folder = folder.join(stem);
    let entries = std::fs::read_dir(&folder).into_iter().flatten();
    let mut parts: Vec<(Option<usize>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let part = name.strip_prefix(stem)?.strip_prefix('_')?.strip_suffix(".json")?;
            Some((part.parse().ok(), folder.join(&name)))
        })
        .collect();
    parts.sort();
    (!parts.is_empty()).then(|| parts.into_iter().map(|(_, path)| path).collect())
}

/// The files of what belongs to a tier's questions, in the first of `folders` that has them: `val_choices.json`, which
/// is for `val_balanced` and `val_all` alike.
pub(super) fn of_tier(folders: &[PathBuf], tier: &str, what: &str) -> Option<Vec<PathBuf>> {
    let short = tier.split('_').next().unwrap_or(tier);
    let stems = [format!("{tier}_{what}"), format!("{short}_{what}")];
    folders
        .iter()
        .find_map(|folder| stems.iter().find_map(|stem| parts(folder, stem)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_large_object_may_be_a_folder_of_numbered_parts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(parts(folder.path(), "train"), None);
        let place = folder.path().join("train");
        fs::create_dir(&place).unwrap();
        assert_eq!(parts(folder.path(), "train"), None);
        for name in ["train_10.json", "train_2.json", "val_0.json", "train_0.txt"] {
            fs::write(place.join(name), "{}").unwrap();
        }
        let found = [place.join("train_2.json"), place.join("train_10.json")];
        assert_eq!(parts(folder.path(), "train").as_deref(), Some(&found[..]));
        let whole = folder.path().join("train.json");
        fs::write(&whole, "{}").unwrap();
        assert_eq!(parts(folder.path(), "train"), Some(vec![whole]));
    }

    #[test]
    fn what_belongs_to_a_tier_is_called_by_its_first_word_or_by_all() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["eval", ""].map(|sub| root.path().join(sub));
        assert_eq!(of_tier(&folders, "val_balanced", "choices"), None);
        for name in ["val_choices.json", "eval/val_choices.json", "val_balanced_choices.json"] {
            fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            fs::write(root.path().join(name), "{}").unwrap();
        }
        let eval = root.path().join("eval/val_choices.json");
        assert_eq!(of_tier(&folders, "val_balanced", "choices"), Some(vec![eval]));
        let own = root.path().join("val_balanced_choices.json");
        assert_eq!(of_tier(&folders[1..], "val_balanced", "choices"), Some(vec![own]));
    }
}
