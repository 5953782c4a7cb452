//! The picture processors of the towers: `preprocessor_config.json` of CLIP and SigLIP, and InternViT's, which is
//! fixed (`preprocessing.md` section 3, `checkpoints.md` 8.1).

use serde_json::{Map, Value};

/// `PIL.Image.Resampling.BICUBIC`.
const BICUBIC: u64 = 3;

/// The longest side that a configuration may ask for, in pixels; every known tower stays below 1,000.
const MAX_SIDE: u64 = 8192;

/// The mean of CLIP's training pictures.
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];

/// The standard deviation of CLIP's training pictures.
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// SigLIP's mean and standard deviation: 0..1 becomes -1..1.
const SIGLIP_MEAN_AND_STD: [f64; 3] = [0.5; 3];

/// ImageNet's mean, which InternViT was trained with.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];

/// ImageNet's standard deviation.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// What both processors have for `size` where the file is silent.
const DEFAULT_SIDE: usize = 224;

/// A setting of a configuration file that this preprocessing does not know; the user's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}: {known}")]
pub struct UnsupportedSetting {
    /// The key in the file.
    pub key: String,
    /// Its value, as JSON.
    pub found: String,
    /// What is known instead.
    pub known: &'static str,
}

impl UnsupportedSetting {
    pub(crate) fn new(key: &str, found: &Value, known: &'static str) -> Self {
        Self {
            key: key.to_owned(),
            found: found.to_string(),
            known,
        }
    }
}

/// How the processor changes the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes this long, the ratio stays.
    ShortestEdge(usize),
    /// Stretched.
    Exact {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
}

impl Resize {
    /// Width and height of what becomes of a picture of `width` × `height` pixels.
    ///
    /// The longer side is `int(edge * long / short)`: product first, one f64 division, truncated.
    pub fn target(self, width: usize, height: usize) -> (usize, usize) {
        let longer = |edge: usize, long: usize, short: usize| ((edge * long) as f64 / short as f64) as usize;
        match self {
            Self::Exact { width, height } => (width, height),
            Self::ShortestEdge(edge) if width <= height => (edge, longer(edge, height, width)),
            Self::ShortestEdge(edge) => (longer(edge, width, height), edge),
        }
    }
}

/// `preprocessor_config.json` of CLIP and SigLIP. Resampling is bicubic, pictures are RGB before they come here.
#[derive(Debug, Clone, PartialEq)]
pub struct Processor {
    /// Change of size, if any.
    pub resize: Option<Resize>,
    /// Side lengths (width, height) of the centre crop, if any.
    pub crop: Option<(usize, usize)>,
    /// Factor from 0..255 to 0..1.
    pub rescale_factor: f64,
    /// Subtracted, per channel.
    pub mean: [f64; 3],
    /// Divides, per channel.
    pub std: [f64; 3],
}

/// Which processor reads a file that does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorClass {
    /// `CLIPImageProcessor`.
    Clip,
    /// `SiglipImageProcessor`.
    Siglip,
    /// What `intern_encoder.py` of VILA-1.5 does; no file describes it.
    InternVit,
}

impl Processor {
    /// The published processor of that class for pictures of `size` x `size`.
    pub fn published(class: ProcessorClass, size: usize) -> Self {
        match class {
            ProcessorClass::Clip => Self::clip(size),
            ProcessorClass::Siglip => Self::siglip(size),
            ProcessorClass::InternVit => Self::intern_vit(size),
        }
    }

    /// CLIP's: shorter side to `size`, centre crop to a square, CLIP's mean and deviation.
    pub fn clip(size: usize) -> Self {
        Self {
            resize: Some(Resize::ShortestEdge(size)),
            crop: Some((size, size)),
            rescale_factor: 1.0 / 255.0,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        }
    }

    /// SigLIP's: stretched to a square, mean and deviation 0.5.
    pub fn siglip(size: usize) -> Self {
        Self {
            resize: Some(Resize::Exact {
                width: size,
                height: size,
            }),
            crop: None,
            rescale_factor: 1.0 / 255.0,
            mean: SIGLIP_MEAN_AND_STD,
            std: SIGLIP_MEAN_AND_STD,
        }
    }

    /// InternViT's: stretched to a square, ImageNet's mean and deviation.
    pub fn intern_vit(size: usize) -> Self {
        Self {
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            ..Self::siglip(size)
        }
    }

    /// From the content of `preprocessor_config.json`. Absent and null keys have the processor class's defaults;
    /// a file that names no class is read as `unnamed`. Names that end in `Fast` are read as the
    /// processors that the papers used, which resize with Pillow.
    ///
    /// # Errors
    ///
    /// Another class, another resampling than bicubic, `do_normalize` off, an unknown `do_` switch on, sizes that are no sizes.
    pub fn from_json(json: &Value, unnamed: ProcessorClass) -> Result<Self, UnsupportedSetting> {
        let Value::Object(keys) = json else {
            return Err(UnsupportedSetting::new(
                "preprocessor_config.json",
                json,
                "must be an object",
            ));
        };
        let settings = Settings(keys);
        settings.refuse_other_switches()?;
        let class = settings.class()?.unwrap_or(unnamed);
        let defaults = Self::published(class, DEFAULT_SIDE);
        match settings.get("resample") {
            Some(resample) if resample.as_u64() != Some(BICUBIC) => {
                return Err(UnsupportedSetting::new(
                    "resample",
                    resample,
                    "only 3 (bicubic) is known",
                ));
            }
            _ => {}
        }
        let resizes = settings.switch("do_resize", true)?;
        let crops = settings.switch("do_center_crop", class == ProcessorClass::Clip)?;
        let rescales = settings.switch("do_rescale", true)?;
        settings.switch("do_convert_rgb", true)?;
        if !settings.switch("do_normalize", true)? {
            // The colour of the padding would still follow the mean.
            return Err(settings.unsupported("do_normalize", "only true is known"));
        }

        let resize = settings.resize()?.or(defaults.resize);
        let crop = settings.crop()?.unwrap_or((DEFAULT_SIDE, DEFAULT_SIDE));
        let factor = settings.number("rescale_factor")?.unwrap_or(defaults.rescale_factor);
        let mean = settings.channels("image_mean")?.unwrap_or(defaults.mean);
        let std = settings.channels("image_std")?.unwrap_or(defaults.std);
        if std.contains(&0.0) {
            return Err(settings.unsupported("image_std", "must not be 0"));
        }
        Ok(Self {
            resize: resize.filter(|_| resizes),
            crop: crops.then_some(crop),
            rescale_factor: if rescales { factor } else { 1.0 },
            mean,
            std,
        })
    }
}

/// The file's keys; null is absent.
struct Settings<'a>(&'a Map<String, Value>);

impl<'a> Settings<'a> {
    const SIZE: &'static str = "must be a number of pixels from 1 to 8192, `{\"shortest_edge\": n}` or \
                                `{\"height\": n, \"width\": n}`";

    const CROP_SIZE: &'static str = "must be a number of pixels from 1 to 8192 or `{\"height\": n, \"width\": n}`";

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn unsupported(&self, key: &str, known: &'static str) -> UnsupportedSetting {
        UnsupportedSetting::new(key, self.get(key).unwrap_or(&Value::Null), known)
    }

    fn class(&self) -> Result<Option<ProcessorClass>, UnsupportedSetting> {
        for key in ["image_processor_type", "feature_extractor_type"] {
            let Some(class) = self.get(key) else { continue };
            return match class.as_str() {
                Some("CLIPImageProcessor" | "CLIPImageProcessorFast" | "CLIPFeatureExtractor") => {
                    Ok(Some(ProcessorClass::Clip))
                }
                Some("SiglipImageProcessor" | "SiglipImageProcessorFast") => Ok(Some(ProcessorClass::Siglip)),
                _ => Err(self.unsupported(key, "only `CLIPImageProcessor` and `SiglipImageProcessor` are known")),
            };
        }
        Ok(None)
    }

    fn switch(&self, key: &str, default: bool) -> Result<bool, UnsupportedSetting> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => Err(self.unsupported(key, "must be true or false")),
        }
    }

    /// A step that is switched on but not known would be left out silently.
    fn refuse_other_switches(&self) -> Result<(), UnsupportedSetting> {
        const KNOWN: [&str; 5] = [
            "do_resize",
            "do_center_crop",
            "do_rescale",
            "do_normalize",
            "do_convert_rgb",
        ];
        for key in self.0.keys() {
            if key.starts_with("do_") && !KNOWN.contains(&key.as_str()) && self.switch(key, false)? {
                return Err(self.unsupported(key, "this step is not known"));
            }
        }
        Ok(())
    }

    fn number(&self, key: &str) -> Result<Option<f64>, UnsupportedSetting> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_f64()
            .map(Some)
            .ok_or_else(|| self.unsupported(key, "must be a number"))
    }

    fn channels(&self, key: &str) -> Result<Option<[f64; 3]>, UnsupportedSetting> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let numbers: Option<Vec<f64>> = match value {
            Value::Array(values) => values.iter().map(Value::as_f64).collect(),
            single => single.as_f64().map(|number| vec![number; 3]),
        };
        let three = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
        three
            .map(Some)
            .ok_or_else(|| self.unsupported(key, "must be three numbers"))
    }

    fn resize(&self) -> Result<Option<Resize>, UnsupportedSetting> {
        let Some(value) = self.get("size") else { return Ok(None) };
        let edge = match value {
            Value::Object(keys) if keys.len() == 1 => keys.get("shortest_edge").and_then(side),
            number => side(number),
        };
        let exact = || exact(value).map(|(width, height)| Resize::Exact { width, height });
        let resize = edge.map(Resize::ShortestEdge).or_else(exact);
        resize.map(Some).ok_or_else(|| self.unsupported("size", Self::SIZE))
    }

    fn crop(&self) -> Result<Option<(usize, usize)>, UnsupportedSetting> {
        let Some(value) = self.get("crop_size") else {
            return Ok(None);
        };
        let crop = side(value).map(|side| (side, side)).or_else(|| exact(value));
        crop.map(Some)
            .ok_or_else(|| self.unsupported("crop_size", Self::CROP_SIZE))
    }
}

/// A number of pixels.
fn side(value: &Value) -> Option<usize> {
    let pixels = value.as_u64().filter(|pixels| (1..=MAX_SIDE).contains(pixels))?;
    usize::try_from(pixels).ok()
}

/// Width and height of `{"height": n, "width": n}`.
fn exact(value: &Value) -> Option<(usize, usize)> {
    let keys = value.as_object().filter(|keys| keys.len() == 2)?;
    Some((side(keys.get("width")?)?, side(keys.get("height")?)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EXACT_336: Resize = Resize::Exact {
        width: 336,
        height: 336,
    };

    #[test]
    fn published_files_are_the_presets() {
        let clip = json!({
            "crop_size": 336, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3, "size": 336
        });
        let llava_hf = json!({
            "crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "do_convert_rgb": true,
            "do_normalize": true, "do_rescale": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711], "processor_class": "LlavaProcessor", "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 336}
        });
        let siglip = json!({
            "do_convert_rgb": null, "do_normalize": true, "do_rescale": true, "do_resize": true,
            "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 0.00392156862745098,
            "size": {"height": 384, "width": 384}
        });
        assert_eq!(
            Processor::from_json(&clip, ProcessorClass::Clip),
            Ok(Processor::clip(336))
        );
        assert_eq!(
            Processor::from_json(&llava_hf, ProcessorClass::Clip),
            Ok(Processor::clip(336))
        );
        assert_eq!(
            Processor::from_json(&siglip, ProcessorClass::Clip),
            Ok(Processor::siglip(384))
        );
    }

    #[test]
    fn absent_keys_have_the_class_defaults() {
        assert_eq!(
            Processor::from_json(&json!({}), ProcessorClass::Clip),
            Ok(Processor::clip(224))
        );
        let nulls = json!({"size": null, "crop_size": null, "do_resize": null, "resample": null, "image_mean": null});
        assert_eq!(
            Processor::from_json(&nulls, ProcessorClass::Clip),
            Ok(Processor::clip(224))
        );
        let siglip = json!({"image_processor_type": "SiglipImageProcessor"});
        assert_eq!(
            Processor::from_json(&siglip, ProcessorClass::Clip),
            Ok(Processor::siglip(224))
        );
    }

    #[test]
    fn every_spelling_of_a_size() {
        let cases = [
            (json!(336), Resize::ShortestEdge(336)),
            (json!({"shortest_edge": 336}), Resize::ShortestEdge(336)),
            (json!({"height": 336, "width": 336}), EXACT_336),
            (
                json!({"height": 20, "width": 30}),
                Resize::Exact { width: 30, height: 20 },
            ),
        ];
        for (size, resize) in cases {
            let processor = Processor::from_json(&json!({ "size": size }), ProcessorClass::Clip).unwrap();
            assert_eq!(processor.resize, Some(resize), "{size}");
        }
        for (crop, expected) in [(json!(20), (20, 20)), (json!({"height": 20, "width": 30}), (30, 20))] {
            let processor = Processor::from_json(&json!({ "crop_size": crop }), ProcessorClass::Clip).unwrap();
            assert_eq!(processor.crop, Some(expected), "{crop}");
        }
    }

    #[test]
    fn switches_that_are_off() {
        let off = json!({"do_resize": false, "do_center_crop": false, "do_rescale": false,
                         "do_convert_rgb": false, "do_pad": false});
        let processor = Processor::from_json(&off, ProcessorClass::Clip).unwrap();
        let expected = Processor {
            resize: None,
            crop: None,
            rescale_factor: 1.0,
            ..Processor::clip(224)
        };
        assert_eq!(processor, expected);
    }

    #[test]
    fn one_number_for_all_channels() {
        let processor =
            Processor::from_json(&json!({"image_mean": 0.25, "image_std": 2}), ProcessorClass::Clip).unwrap();
        assert_eq!((processor.mean, processor.std), ([0.25; 3], [2.0; 3]));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let cases = [
            (json!([]), "`preprocessor_config.json` is []: must be an object"),
            (json!({"resample": 2}), "`resample` is 2: only 3 (bicubic) is known"),
            (
                json!({"resample": "bicubic"}),
                "`resample` is \"bicubic\": only 3 (bicubic) is known",
            ),
            (json!({"do_pad": true}), "`do_pad` is true: this step is not known"),
            (
                json!({"do_resize": "yes"}),
                "`do_resize` is \"yes\": must be true or false",
            ),
            (
                json!({"image_processor_type": "BlipImageProcessor"}),
                "`image_processor_type` is \"BlipImageProcessor\": only `CLIPImageProcessor` and \
                 `SiglipImageProcessor` are known",
            ),
            (
                json!({"image_mean": [0.5, 0.5]}),
                "`image_mean` is [0.5,0.5]: must be three numbers",
            ),
            (json!({"image_std": [1, 0, 1]}), "`image_std` is [1,0,1]: must not be 0"),
            (
                json!({"rescale_factor": "1/255"}),
                "`rescale_factor` is \"1/255\": must be a number",
            ),
        ];
        for (json, message) in cases {
            assert_eq!(
                Processor::from_json(&json, ProcessorClass::Clip)
                    .unwrap_err()
                    .to_string(),
                message
            );
        }
        for size in [
            json!(0),
            json!(-1),
            json!(8193),
            json!(3.5),
            json!("336"),
            json!({"longest_edge": 336}),
            json!({"shortest_edge": 336, "longest_edge": 400}),
            json!({"height": 336}),
        ] {
            for key in ["size", "crop_size"] {
                assert_eq!(
                    Processor::from_json(&json!({ key: size }), ProcessorClass::Clip)
                        .unwrap_err()
                        .key,
                    key,
                    "{size}"
                );
            }
        }
        assert!(Processor::from_json(&json!({"crop_size": {"shortest_edge": 336}}), ProcessorClass::Clip).is_err());
    }

    #[test]
    fn the_longer_side_is_truncated() {
        let cases = [
            ((640, 480), (448, 336)),
            ((500, 375), (448, 336)),
            ((427, 640), (336, 503)),
            ((336, 336), (336, 336)),
            ((4, 1000), (336, 84000)),
        ];
        for ((width, height), target) in cases {
            assert_eq!(
                Resize::ShortestEdge(336).target(width, height),
                target,
                "{width} x {height}"
            );
            assert_eq!(EXACT_336.target(width, height), (336, 336));
        }
    }
}
