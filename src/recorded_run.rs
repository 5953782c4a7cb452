//! The `run` that a manifest records: its command line read again, so that the same questions can be put to the same
//! model once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Parser as _, ValueEnum as _};
use model_adapters::picture::Geometry;

use crate::cli::{AspectRatio, Cli, Command, DtypeArg, RunArgs};
use crate::fault::Fault;
use crate::manifest::Manifest;

/// What may lie elsewhere now than when the run was made; `None` leaves it where it was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places<'a> {
    /// `--model`.
    pub model: Option<&'a Path>,
    /// `--data`.
    pub data: Option<&'a Path>,
    /// `--images`.
    pub images: Option<&'a Path>,
    /// `--device`.
    pub device: Option<&'a str>,
}

/// The options of the command that last worked on a run, with paths made whole; `None` where that was no `run`, but
/// for instance `demo`.
pub fn options(manifest: &Manifest) -> Option<RunArgs> {
    let segment = manifest.segments.last()?;
    let Command::Run(mut args) = Cli::try_parse_from(&segment.command).ok()?.command else {
        return None;
    };
    let whole = |path: &mut PathBuf| *path = segment.directory.join(&*path);
    whole(&mut args.data);
    whole(&mut args.out);
    args.images.iter_mut().for_each(whole);
    args.checkpoint.vision_tower.iter_mut().for_each(whole);
    // The id of a model in the hub's cache is no path.
    let model = segment.directory.join(&args.model);
    if model.exists() {
        args.model = model;
    }
    Some(args)
}

/// The options with which any of the run's questions is asked as it was: `auto` is what it came to, and what chose
/// among the questions is left out.
///
/// # Errors
///
/// An identity that this vila-bench does not know the words of.
pub fn pinned(manifest: &Manifest, places: Places<'_>) -> Result<Option<RunArgs>, Fault> {
    let Some(mut args) = options(manifest) else {
        return Ok(None);
    };
    let identity = &manifest.identity;
    if let Some(style) = known(identity, "prompt-style")? {
        args.prompt_style = style;
    }
    args.max_new_tokens = known(identity, "max-new-tokens")?.or(args.max_new_tokens);
    args.split = identity.get("split").cloned().or(args.split);
    args.profile = known(identity, "profile")?.or(args.profile);
    args.conv_template = known(identity, "conv-template")?.or(args.conv_template);
    if args.dtype == DtypeArg::Auto
        && let Some(dtype) = identity.get("dtype")
    {
        args.dtype = DtypeArg::from_str(dtype, false).map_err(|_| unknown("dtype", dtype))?;
    }
    if let Some(name) = identity.get("image-aspect-ratio") {
        let geometry = Geometry::ALL.into_iter().find(|geometry| geometry.name() == name);
        args.image_aspect_ratio = AspectRatio::Fixed(geometry.ok_or_else(|| unknown("image-aspect-ratio", name))?);
    }
    args.model = places.model.map_or(args.model, Path::to_owned);
    args.data = places.data.map_or(args.data, Path::to_owned);
    args.images = places.images.map(Path::to_owned).or(args.images);
    args.device = places.device.map_or(args.device, str::to_owned);
    args.limit = None;
    args.shard = None;
    args.trace = None;
    args.strict = false;
    args.dry_run = false;
    args.fresh = false;
    Ok(Some(args))
}

fn known<T: FromStr>(identity: &BTreeMap<String, String>, name: &str) -> Result<Option<T>, Fault> {
    let parse = |text: &String| text.parse().map_err(|_| unknown(name, text));
    identity.get(name).map(parse).transpose()
}

fn unknown(name: &str, value: &str) -> Fault {
    Fault::User(format!(
        "the manifest's {name} `{value}` is not known to this vila-bench; use the one that made the run"
    ))
}

#[cfg(test)]
mod tests {
    use benchmarks::PromptStyle;
    use model_adapters::profile::Profile;

    use super::*;
    use crate::manifest::Segment;
    use crate::results::FORMAT;

    fn manifest(command: &str, directory: &str, identity: &[(&str, &str)]) -> Manifest {
        let typed = command.split(' ').map(str::to_owned).collect();
        let mut segment = Segment::begin(typed, None, None, BTreeMap::new());
        segment.directory = PathBuf::from(directory);
        Manifest {
            format: FORMAT,
            identity: identity
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            model: PathBuf::from("m"),
            files: Vec::new(),
            data: Vec::new(),
            seed: String::new(),
            pictures: None,
            segments: vec![segment],
        }
    }

    #[test]
    fn paths_are_those_of_the_folder_that_the_command_was_typed_in() {
        let found = options(&manifest(
            "vila-bench run --model m --tasks pope --data eval --images /coco",
            "/work",
            &[],
        ));
        let args = found.unwrap();
        assert_eq!(args.data, Path::new("/work/eval"));
        assert_eq!(args.images.as_deref(), Some(Path::new("/coco")));
        assert_eq!(args.model, Path::new("m"), "not there: a name");
        assert!(options(&manifest("vila-bench demo", "/work", &[])).is_none());
        assert!(options(&manifest("vila-bench run --no-such-option", "/work", &[])).is_none());
    }

    #[test]
    fn what_was_chosen_stays_chosen_and_what_selects_questions_goes() {
        let identity = [
            ("prompt-style", "lmms-eval"),
            ("max-new-tokens", "128"),
            ("split", "val"),
            ("profile", "llava-1.2"),
            ("dtype", "float16"),
            ("image-aspect-ratio", "pad"),
            ("stop", "end-token"),
        ];
        let command = "vila-bench run --model m --tasks pope --data eval --limit 9 --shard 0/2 --fresh --device cuda";
        let places = Places {
            device: Some("cpu"),
            ..Places::default()
        };
        let args = pinned(&manifest(command, "", &identity), places).unwrap().unwrap();
        assert_eq!(args.prompt_style, PromptStyle::LmmsEval);
        assert_eq!((args.max_new_tokens, args.split.as_deref()), (Some(128), Some("val")));
        assert_eq!((args.profile, args.dtype), (Some(Profile::Llava12), DtypeArg::Float16));
        assert_eq!(args.image_aspect_ratio, AspectRatio::Fixed(Geometry::Pad));
        assert_eq!((args.limit, args.shard, args.fresh), (None, None, false));
        assert_eq!(args.device, "cpu");
        let later = manifest(command, "", &[("dtype", "float8")]);
        let error = pinned(&later, Places::default()).unwrap_err().to_string();
        assert!(
            error.starts_with("the manifest's dtype `float8` is not known"),
            "{error}"
        );
    }
}
