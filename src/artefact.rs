//! Writing a file or a folder whole or not at all: into a temporary one beside it, flushed, renamed.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use benchmarks::ExportFile;
use serde::Serialize;

use crate::fault::Fault;

/// Replaces `path` by what `fill` writes; on any failure the old file stays as it was.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Fault> {
    replace(path, fill).map_err(|error| Fault::write(path, &error))
}

/// Replaces `path` by `value` as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Fault> {
    write(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Makes `path` a folder of these files. A folder that holds something already is refused by the system and stays.
pub fn write_folder(path: &Path, files: &[ExportFile]) -> Result<(), Fault> {
    fill_folder(path, |folder| {
        for file in files {
            let path = folder.join(&file.name);
            let written = fs::create_dir_all(parent(&path));
            let written = written.and_then(|()| replace(&path, |out| out.write_all(&file.bytes)));
            written.map_err(|error| Fault::write(&path, &error))?;
        }
        Ok(())
    })
}

/// Makes `path` a folder of what `fill` puts into the folder it is given. A folder that holds something already is
/// refused by the system and stays.
pub fn fill_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Fault>) -> Result<(), Fault> {
    let fault = |error: io::Error| Fault::write(path, &error);
    let folder = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(parent(path))
        .map_err(fault)?;
    fill(folder.path())?;
    fs::rename(folder.path(), path).map_err(fault)?;
    // It has moved: nothing is left to clean up.
    let _ = folder.keep();
    Ok(())
}

/// Creates a folder and its parents; a file in its place is named.
pub fn create_folder(path: &Path) -> Result<(), Fault> {
    if let Some(file) = path.ancestors().find(|ancestor| ancestor.is_file()) {
        return Err(Fault::User(format!(
            "cannot create folder `{}`: `{}` is a file; give another --out",
            path.display(),
            file.display()
        )));
    }
    fs::create_dir_all(path).map_err(|error| Fault::file("create", path, &error))
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A temporary file is private by default; a result is as public as the user's umask makes any other file.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent(path))?;
    {
        let mut out = BufWriter::new(file.as_file_mut());
        fill(&mut out)?;
        out.flush()?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The folder that `path` lies in.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_new_or_stays_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("results");
        let file = |text: &str| ExportFile {
            name: "color.txt".to_owned(),
            bytes: text.as_bytes().to_owned(),
        };
        write_folder(&path, &[file("old")]).unwrap();
        assert!(write_folder(&path, &[file("new")]).is_err());
        assert_eq!(fs::read_to_string(path.join("color.txt")).unwrap(), "old");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = create_folder(&file.path().join("runs")).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`{}` is a file", file.path().display())),
            "{error}"
        );
    }
}
