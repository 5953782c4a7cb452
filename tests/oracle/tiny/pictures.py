"""Five small pictures, each of another mode, and the way from a file to pixels."""

import numpy as np
import torch
from PIL import Image


def scene(width, height, phase):
    """Smooth colour waves with a disc, a bar and fine noise: something for every frequency of a resize."""
    rng = np.random.RandomState(1000 + phase)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [
        127 + 100 * np.sin((x * (c + 1) + y * (3 - c)) / (7 + 3 * phase) + c + phase) for c in range(3)
    ]
    rgb = np.stack(waves, axis=2)
    disc = (x - width * 0.3) ** 2 + (y - height * 0.55) ** 2 < (min(width, height) * 0.25) ** 2
    rgb[disc] = [(230, 30, 40), (30, 60, 220), (250, 220, 20), (20, 160, 60), (240, 240, 240)][phase % 5]
    rgb[:, int(width * 0.7) : int(width * 0.7) + 3] = 0
    rgb += rng.normal(0, 8, rgb.shape)
    return rgb.clip(0, 255).astype(np.uint8)


def write_pictures(folder):
    """One file per picture mode; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = Image.fromarray(scene(101, 67, 0))
    grey = Image.fromarray(scene(60, 80, 1)).convert("L")
    alpha = np.dstack([scene(37, 90, 2), np.tile(np.linspace(0, 255, 37).astype(np.uint8), (90, 1))])
    palette = Image.fromarray(scene(64, 48, 3)).quantize(40, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    rotated = Image.fromarray(scene(72, 50, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(folder / "wide-rgb.jpg", quality=85, subsampling="4:2:0")
    grey.save(folder / "grey.jpg", quality=80)
    Image.fromarray(alpha, "RGBA").save(folder / "tall-rgba.png", optimize=True)
    palette.save(folder / "palette.png", transparency=3)
    rotated.save(folder / "exif-rotated.jpg", quality=90, subsampling="4:4:4", exif=exif)
    names = ["wide-rgb.jpg", "grey.jpg", "tall-rgba.png", "palette.png", "exif-rotated.jpg"]
    return [folder / name for name in names]


def open_rgb(path):
    """As every evaluation script of the references opens a picture: no EXIF rotation."""
    with Image.open(path) as image:
        return image.convert("RGB")


def expand2square(image, colour):
    """Pads to a square, the picture in the middle."""
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), colour)
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def processed(processor, image):
    """The 8-bit picture [H, W, 3] before rescaling, and the normalised one [3, H, W] in float32."""
    whole = processor(image, return_tensors="pt")["pixel_values"][0]
    eight_bit = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    assert eight_bit.dtype == np.uint8
    assert whole.dtype == torch.float32
    return torch.from_numpy(eight_bit.transpose(1, 2, 0).copy()), whole
