//! Finding a model or a vision tower by the name that a user or a configuration gives it: a folder, or a hub id in the
//! local cache (`checkpoints.md` section 8.2; `huggingface_hub/constants.py`). No network access, ever.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::config::ConfigFile;
use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::weights::{CONTAINERS, pt_files};

/// The revision that an id without `@revision` means.
const MAIN: &str = "main";

/// The local hub cache of a process.
#[derive(Debug, Clone)]
pub(super) struct HubCache {
    root: Option<PathBuf>,
}

/// A folder that a name led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The folder.
    pub folder: PathBuf,
    /// It is a snapshot of the hub cache, which may hold only some of the files.
    pub cached: bool,
    /// What the user should know about the choice.
    pub remark: Option<String>,
}

impl HubCache {
    /// That of this process: the first of the variables that is set says where it lies.
    pub fn of_environment() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set("HOME");
        let expanded = |path: PathBuf| match (path.strip_prefix("~"), &home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        };
        let hub = |path: PathBuf| path.join("hub");
        let root = set("TRANSFORMERS_CACHE")
            .or_else(|| set("HF_HUB_CACHE"))
            .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| set("HF_HOME").map(hub))
            .or_else(|| set("XDG_CACHE_HOME").map(|path| hub(path.join("huggingface"))))
            .or_else(|| home.clone().map(|path| hub(path.join(".cache/huggingface"))));
        Self {
            root: root.map(expanded),
        }
    }

    /// The model that `named` names: a folder, or a hub id with exactly one slash.
    pub fn model(&self, named: &Path) -> Result<Found, CheckpointError> {
        let absent = match fs::metadata(named) {
            Ok(found) if found.is_dir() => return Ok(Found::folder(named)),
            Ok(_) => return Err(CheckpointError::file(named, "is a file: give the checkpoint's folder")),
            Err(error) => error,
        };
        match named
            .to_str()
            .filter(|id| id.matches('/').count() == 1 && is_hub_id(id))
        {
            None => Err(CheckpointError::unreadable(named, &absent)),
            Some(id) => {
                let mut places = vec![format!("folder `{id}`")];
                self.snapshot(named, id, &mut places)?.ok_or_else(|| {
                    let what = format!(
                        "is neither a folder nor a model of the local hub cache (looked at: {}); nothing is fetched: \
                         download it first, or give its folder",
                        places.join(", ")
                    );
                    CheckpointError::file(named, what)
                })
            }
        }
    }

    /// The module that `config` in folder `model` calls `named` at `key`: a folder, also relative to `model` or, by its
    /// last part, beside it (the references try neither of these two); else a hub id. `option` is what else the user
    /// can do.
    pub fn module(
        &self,
        named: &str,
        model: &Path,
        config: &ConfigFile,
        key: &str,
        option: &str,
    ) -> Result<Found, CheckpointError> {
        let path = Path::new(named);
        let beside = path.file_name().and_then(|last| Some(model.parent()?.join(last)));
        let candidates = [Some(path.to_owned()), Some(model.join(path)), beside];
        let candidates: Vec<PathBuf> = candidates.into_iter().flatten().collect();
        if let Some(folder) = candidates.iter().find(|folder| !named.is_empty() && folder.is_dir()) {
            return Ok(Found::folder(folder));
        }
        let mut places: Vec<String> = candidates
            .iter()
            .map(|path| quoted(&path.display().to_string()))
            .collect();
        if is_hub_id(named)
            && let Some(found) = self.snapshot(model, named, &mut places)?
        {
            return Ok(found);
        }
        let what = format!(
            "names {}, which is not on this machine (looked at: {}); nothing is fetched: download it first{option}",
            quoted(named),
            places.join(", ")
        );
        Err(config.fault_at(key, what))
    }

    /// The snapshot of `id`; `None` where the cache does not know the id. What was looked at is added to `places`.
    fn snapshot(&self, about: &Path, id: &str, places: &mut Vec<String>) -> Result<Option<Found>, CheckpointError> {
        let Some(root) = &self.root else {
            places.push("no hub cache: neither `HF_HOME` nor `HOME` is set".to_owned());
            return Ok(None);
        };
        let (id, revision) = id.split_once('@').unwrap_or((id, MAIN));
        let repository = root.join(format!("models--{}", id.replace('/', "--")));
        if !repository.is_dir() {
            places.push(quoted(&repository.display().to_string()));
            return Ok(None);
        }
        let found = |folder, remark| {
            Ok(Some(Found {
                folder,
                cached: true,
                remark,
            }))
        };
        let reference = repository.join("refs").join(revision);
        let commit = fs::read_to_string(&reference).map(|text| text.trim().to_owned());
        let snapshots = repository.join("snapshots");
        let folder = snapshots.join(commit.as_deref().unwrap_or(revision));
        let is_commit = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        if is_commit(commit.as_deref().unwrap_or(revision)) && folder.is_dir() {
            return found(folder, None);
        }
        if let Ok(commit) = commit {
            let what = format!(
                "the cached model {} has no snapshot {}, which `{}` asks for: download it anew",
                quoted(id),
                quoted(&commit),
                reference.display()
            );
            return Err(CheckpointError::file(about, what));
        }
        let mut all: Vec<PathBuf> = fs::read_dir(&snapshots)
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir())
                    .collect()
            })
            .unwrap_or_default();
        all.sort();
        match all.as_slice() {
            [only] if revision == MAIN => {
                let remark = format!(
                    "`{}` is missing: taking the only snapshot of {}, `{}`",
                    reference.display(),
                    quoted(id),
                    only.display()
                );
                found(only.clone(), Some(remark))
            }
            [] => {
                places.push(format!("`{}`, which is empty", snapshots.display()));
                Ok(None)
            }
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|path| quoted(&last_part(&path.display().to_string())))
                    .collect();
                let what = format!(
                    "the cached model {} has no `refs/{revision}` and the snapshots {}: name one as `{id}@SNAPSHOT`",
                    quoted(id),
                    names.join(", ")
                );
                Err(CheckpointError::file(about, what))
            }
        }
    }
}

impl Found {
    fn folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            cached: false,
            remark: None,
        }
    }

    /// Names what a partial snapshot lacks of `files` and of its weights; a folder that the user made says so itself
    /// when it is read.
    pub fn require(&self, files: &[&str]) -> Result<(), CheckpointError> {
        if !self.cached {
            return Ok(());
        }
        let mut lacks: Vec<String> = files
            .iter()
            .filter(|name| !self.folder.join(name).is_file())
            .map(|name| quoted(name))
            .collect();
        let container = CONTAINERS.iter().find(|name| self.folder.join(name).is_file());
        match container.filter(|name| name.ends_with(".index.json")) {
            Some(index) => {
                let index = ConfigFile::read(&self.folder.join(index))?;
                if let Some(map) = index.object("weight_map")? {
                    let map = map.json();
                    let shards = map
                        .as_object()
                        .into_iter()
                        .flat_map(|map| map.values())
                        .filter_map(|name| name.as_str());
                    let shards: std::collections::BTreeSet<&str> = shards.collect();
                    lacks.extend(
                        shards
                            .into_iter()
                            .filter(|name| !self.folder.join(name).is_file())
                            .map(quoted),
                    );
                }
            }
            None if container.is_none() && pt_files(&self.folder).is_empty() => lacks.push("weights".to_owned()),
            None => {}
        }
        if lacks.is_empty() {
            return Ok(());
        }
        let what = format!(
            "is a partial snapshot, it lacks {}: download the whole repository",
            lacks.join(", ")
        );
        Err(CheckpointError::file(&self.folder, what))
    }
}

fn last_part(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// `name` or `owner/name`, either with `@revision`; never a path out of the cache.
fn is_hub_id(id: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    let (id, revision) = id.split_once('@').unwrap_or((id, MAIN));
    is_name(revision) && id.split('/').count() <= 2 && id.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::checkpoint::text::folder_name;

    const ID: &str = "openai/clip-vit-large-patch14-336";
    const COMMIT: &str = "ce19dc912ca5cd21c8a653c79e251e808ccabcd1";

    /// A cache with these snapshots, the files of each being links into `blobs`, and `refs/main` if given.
    fn cache(snapshots: &[&str], main: Option<&str>) -> (TempDir, HubCache) {
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("models--openai--clip-vit-large-patch14-336");
        for folder in ["refs", "blobs", "snapshots"] {
            fs::create_dir_all(repository.join(folder)).unwrap();
        }
        fs::write(repository.join("blobs/1234"), "{}").unwrap();
        for snapshot in snapshots {
            let folder = repository.join("snapshots").join(snapshot);
            fs::create_dir(&folder).unwrap();
            symlink("../../blobs/1234", folder.join("config.json")).unwrap();
        }
        if let Some(commit) = main {
            fs::write(repository.join("refs/main"), commit).unwrap();
        }
        let cache = HubCache {
            root: Some(root.path().to_owned()),
        };
        (root, cache)
    }

    fn module(cache: &HubCache, named: &str, model: &Path) -> Result<Found, String> {
        let config = ConfigFile::of(json!({}));
        let found = cache.module(named, model, &config, "mm_vision_tower", ", or give --vision-tower DIR");
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_variable_that_is_set_says_where_the_cache_lies() {
        let all = [
            ("TRANSFORMERS_CACHE", "/t", "/t"),
            ("HF_HUB_CACHE", "/h", "/h"),
            ("HUGGINGFACE_HUB_CACHE", "~/g", "/home/u/g"),
            ("HF_HOME", "/hf", "/hf/hub"),
            ("XDG_CACHE_HOME", "/x", "/x/huggingface/hub"),
            ("HOME", "/home/u", "/home/u/.cache/huggingface/hub"),
        ];
        for (first, (name, _, wanted)) in all.iter().enumerate() {
            let variable = |asked: &str| {
                let set = all.iter().position(|(name, _, _)| *name == asked)?;
                let (_, value, _) = all[set];
                // Those before it are set but empty, which counts as unset.
                Some(OsString::from(if set < first { "" } else { value }))
            };
            assert_eq!(HubCache::of(variable).root, Some(PathBuf::from(wanted)), "{name}");
        }
        assert_eq!(HubCache::of(|_| None).root, None);
    }

    #[test]
    fn snapshots_of_a_cache() {
        let other = "0000";
        for (snapshots, main, id, wanted) in [
            (&[COMMIT, other][..], Some(COMMIT), ID.to_owned(), COMMIT),
            (
                &[COMMIT],
                Some("ce19dc912ca5cd21c8a653c79e251e808ccabcd1\n"),
                ID.to_owned(),
                COMMIT,
            ),
            (&[COMMIT, other], None, format!("{ID}@{other}"), other),
            (&[COMMIT], None, ID.to_owned(), COMMIT),
        ] {
            let (root, cache) = cache(snapshots, main);
            let found = module(&cache, &id, root.path()).unwrap();
            assert!(found.folder.ends_with(wanted) && found.cached, "{found:?}");
            assert!(found.folder.join("config.json").is_file(), "through the link");
            let guessed = main.is_none() && id == ID;
            assert_eq!(found.remark.is_some(), guessed, "{found:?}");
            assert_eq!(folder_name(&found.folder), "clip-vit-large-patch14-336");
        }
    }

    #[test]
    fn what_is_not_in_the_cache_is_named_with_every_place() {
        let cases = [
            (
                &["1111", "2222"][..],
                None,
                ID,
                "the snapshots `1111`, `2222`: name one as",
            ),
            (&["1111"], Some("9999"), ID, "has no snapshot `9999`"),
            (&["1111"], Some("../../x"), ID, "has no snapshot `../../x`"),
            (
                &[],
                None,
                ID,
                "which is empty); nothing is fetched: download it first, or give --vision-tower DIR",
            ),
            (
                &["1111"],
                None,
                "openai/other",
                "models--openai--other`); nothing is fetched",
            ),
            (
                &["1111"],
                None,
                "../evil/../../x",
                "names `../evil/../../x`, which is not on this machine",
            ),
            (&["1111"], None, "", "names ``, which is not on this machine"),
        ];
        for (snapshots, main, id, wanted) in cases {
            let (root, cache) = cache(snapshots, main);
            let error = module(&cache, id, &root.path().join("model")).unwrap_err();
            assert!(error.contains(wanted), "{error}\nwanted {wanted}");
        }
        let nowhere = HubCache { root: None };
        assert!(
            module(&nowhere, ID, Path::new("/nowhere/model"))
                .unwrap_err()
                .contains("no hub cache")
        );
    }

    #[test]
    fn folders_come_before_the_cache() {
        let (root, cache) = cache(&[COMMIT], Some(COMMIT));
        let model = root.path().join("models/llava");
        for folder in ["models/llava/inside/tower", "models/clip-vit-large-patch14-336"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let absolute = model.join("inside/tower").display().to_string();
        for (named, wanted) in [
            (absolute.as_str(), "inside/tower"),
            ("inside/tower", "inside/tower"),
            (ID, "models/clip-vit-large-patch14-336"),
        ] {
            let found = module(&cache, named, &model).unwrap();
            assert!(found.folder.ends_with(wanted) && !found.cached, "{found:?}");
        }
    }

    #[test]
    fn a_partial_snapshot_says_what_it_lacks() {
        let (root, cache) = cache(&[COMMIT], Some(COMMIT));
        let found = module(&cache, ID, root.path()).unwrap();
        let lacks = |found: &Found| {
            found
                .require(&["config.json", "preprocessor_config.json"])
                .unwrap_err()
                .to_string()
        };
        assert!(
            lacks(&found).contains("lacks `preprocessor_config.json`, weights: "),
            "{}",
            lacks(&found)
        );
        let index = json!({"weight_map": {"a": "x-1.bin", "b": "x-2.bin", "c": "x-1.bin"}}).to_string();
        fs::write(found.folder.join("pytorch_model.bin.index.json"), index).unwrap();
        fs::write(found.folder.join("x-2.bin"), "").unwrap();
        assert!(
            lacks(&found).contains("lacks `preprocessor_config.json`, `x-1.bin`: "),
            "{}",
            lacks(&found)
        );
        for name in ["x-1.bin", "preprocessor_config.json"] {
            fs::write(found.folder.join(name), "").unwrap();
        }
        found.require(&["config.json", "preprocessor_config.json"]).unwrap();
    }

    #[test]
    fn models_by_folder_and_by_id() {
        let (root, cache) = cache(&[COMMIT], Some(COMMIT));
        let found = cache.model(Path::new(ID)).unwrap();
        assert_eq!(
            (folder_name(&found.folder).as_str(), found.cached),
            ("clip-vit-large-patch14-336", true)
        );
        fs::create_dir(root.path().join("VILA1.5-3b")).unwrap();
        let found = cache.model(&root.path().join("VILA1.5-3b/")).unwrap();
        assert_eq!(
            (folder_name(&found.folder).as_str(), found.cached),
            ("VILA1.5-3b", false)
        );
        let error = cache.model(Path::new("some/model")).unwrap_err().to_string();
        assert!(
            error.contains("is neither a folder nor a model of the local hub cache"),
            "{error}"
        );
        let error = cache.model(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read `/no/such/folder`: No such file"),
            "{error}"
        );
    }
}
