//! Where a benchmark's data lie: `ROOT`, the benchmark's folder in it, and its pictures.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::DataError;
use crate::picture::{Picture, PictureError};

/// What the user gave.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// `--data`: one folder per benchmark, or the benchmark's folder itself.
    pub root: PathBuf,
    /// `--images`: where pictures are looked for after the layout's own places.
    pub images: Option<PathBuf>,
    /// `--split`.
    pub split: Option<String>,
    /// `--grades`: what a judge gave the answers, for benchmarks that are scored so.
    pub grades: Option<PathBuf>,
}

impl DataSource {
    /// The folders in which the benchmark called `name` may lie, to be tried in this order: those under `root`
    /// with that name, compared without case, `-` and `_`; then `root` itself.
    pub fn folders(&self, name: &str) -> Result<Vec<PathBuf>, DataError> {
        let wanted = fold(name);
        let entries = fs::read_dir(&self.root).map_err(|error| DataError::unreadable(&self.root, &error))?;
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| DataError::unreadable(&self.root, &error))?;
            if fold(&entry.file_name().to_string_lossy()) == wanted && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort();
        folders.push(self.root.clone());
        Ok(folders)
    }
}

/// A name as names of folders are compared.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Finds pictures by name in a few folders. Each folder is listed once, however many names are asked for.
#[derive(Debug)]
pub struct PictureFolders {
    folders: Vec<PathBuf>,
    listings: HashMap<PathBuf, HashSet<OsString>>,
}

impl PictureFolders {
    /// Looks in each of `subfolders` (`""` for the folder itself) of the benchmark's `folder`, then of `images`.
    pub fn new(folder: &Path, subfolders: &[&str], images: Option<&Path>) -> Self {
        let bases = std::iter::once(folder).chain(images);
        let places = bases.flat_map(|base| {
            subfolders.iter().map(move |sub| match *sub {
                "" => base.to_owned(),
                sub => base.join(sub),
            })
        });
        Self {
            folders: places.collect(),
            listings: HashMap::new(),
        }
    }

    /// Where it looks, in that order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The picture that the data call `name`: in each folder under the whole of that name, then under its last
    /// part. A name that would lead out of the folders is not followed; links that lie in them are.
    pub fn find(&mut self, name: &str) -> Result<PathBuf, PictureError> {
        let Some((parent, file)) = inside(name) else {
            return Err(PictureError::LeavesFolder { name: name.to_owned() });
        };
        for folder in &self.folders {
            let mut places = vec![folder.join(parent)];
            if parent != Path::new("") {
                places.push(folder.clone());
            }
            for place in places {
                let names = self.listings.entry(place.clone()).or_insert_with(|| list(&place));
                if names.contains(file) {
                    return Ok(place.join(file));
                }
            }
        }
        Err(PictureError::Missing { name: name.to_owned() })
    }

    /// The picture called `name`, present or not, under the key `key`.
    pub fn picture(&mut self, key: &str, name: &str) -> Picture {
        match self.find(name) {
            Ok(path) => Picture::file(key, path),
            Err(reason) => Picture::absent(key, reason),
        }
    }
}

/// A relative name's folder and file, `None` if it does not stay where it is put.
fn inside(name: &str) -> Option<(&Path, &OsStr)> {
    let path = Path::new(name);
    let stays = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays {
        return None;
    }
    Some((path.parent()?, path.file_name()?))
}

/// The names in a folder; none if it is not there, which is what most of the places are.
fn list(folder: &Path) -> HashSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    #[test]
    fn folders_are_compared_without_case_and_dashes() {
        let root = tempfile::tempdir().unwrap();
        for name in ["MM-Vet", "mm_vet", "mme", "MMVET2"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("mmvet"), b"a file, not a folder").unwrap();
        let source = DataSource {
            root: root.path().to_owned(),
            images: None,
            split: None,
            grades: None,
        };
        let found = source.folders("mm-vet").unwrap();
        assert_eq!(
            found,
            [
                root.path().join("MM-Vet"),
                root.path().join("mm_vet"),
                root.path().to_owned()
            ]
        );
        assert_eq!(source.folders("pope").unwrap(), [root.path().to_owned()]);
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let source = DataSource {
            root: PathBuf::from("/nonexistent"),
            images: None,
            split: None,
            grades: None,
        };
        let error = source.folders("pope").unwrap_err().to_string();
        assert!(error.starts_with("cannot read `/nonexistent`: "), "{error}");
    }

    #[test]
    fn the_layout_comes_before_images_and_the_whole_name_before_its_last_part() {
        let root = tempfile::tempdir().unwrap();
        let (folder, images) = (root.path().join("pope"), root.path().join("coco"));
        touch(&folder.join("val2014/a.jpg"));
        touch(&images.join("val2014/a.jpg"));
        touch(&images.join("b.jpg"));
        touch(&images.join("val2014/sub/c.jpg"));
        touch(&images.join("c.jpg"));
        let mut finder = PictureFolders::new(&folder, &["val2014", ""], Some(&images));
        assert_eq!(finder.find("a.jpg"), Ok(folder.join("val2014/a.jpg")));
        assert_eq!(finder.find("val2014/a.jpg"), Ok(folder.join("val2014/a.jpg")));
        assert_eq!(finder.find("other/b.jpg"), Ok(images.join("b.jpg")));
        assert_eq!(finder.find("./b.jpg"), Ok(images.join("b.jpg")));
        assert_eq!(finder.find("sub/c.jpg"), Ok(images.join("val2014/sub/c.jpg")));
        assert_eq!(
            finder.find("d.jpg"),
            Err(PictureError::Missing {
                name: "d.jpg".to_owned()
            })
        );
        assert_eq!(finder.folders().len(), 4);
    }

    #[test]
    fn names_that_leave_the_folder_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("secret.jpg"));
        let folder = root.path().join("pope");
        touch(&folder.join("a.jpg"));
        let absolute = root.path().join("secret.jpg").display().to_string();
        let mut finder = PictureFolders::new(&folder, &[""], None);
        for name in [
            "../secret.jpg",
            absolute.as_str(),
            "x/../../secret.jpg",
            "..",
            "",
            ".",
            "/",
        ] {
            let expected = PictureError::LeavesFolder { name: name.to_owned() };
            assert_eq!(finder.find(name), Err(expected), "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_a_folder_are_followed() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("store/a.jpg"));
        let folder = root.path().join("pope");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(root.path().join("store"), folder.join("val2014")).unwrap();
        let mut finder = PictureFolders::new(&folder, &["val2014"], None);
        let picture = finder.picture("a.jpg", "a.jpg");
        assert_eq!(picture.read(), Ok(b"x".to_vec()));
    }

    #[test]
    fn a_folder_is_listed_once() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("a.jpg"));
        let mut finder = PictureFolders::new(root.path(), &["", "absent"], None);
        for n in 0..10_000 {
            assert!(finder.find(&format!("{n}.jpg")).is_err());
        }
        assert_eq!(finder.listings.len(), 2);
        touch(&root.path().join("7.jpg"));
        assert!(finder.find("7.jpg").is_err());
    }
}
