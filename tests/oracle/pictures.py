"""Makes model_adapters/tests/fixtures/pictures: picture files, and what Pillow and transformers make of them.

Usage: python tests/oracle/pictures.py [OUT]

Packages as in requirements.txt. `expected.json` holds
  decode      one entry a file: SHA-256 of `Image.open(file).convert("RGB")`, or null where Pillow refuses it;
              with `bytes`, of the file cut to so many bytes
  resize      noise pictures (`noise` below) through `Image.resize(.., BICUBIC)`
  preprocess  noise pictures through `expand2square` or `resize`, then the slow processors of transformers: SHA-256 of
              the u8 pixels (row by row, RGB) and of the f32 tensor (channels first, little endian)
"""

import hashlib
import io
import json
import pathlib
import struct
import sys
import zlib

import numpy
from PIL import Image, features
from transformers import CLIPImageProcessor, SiglipImageProcessor

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parents[1] / "model_adapters/tests/fixtures/pictures"

WIDTH, HEIGHT = 37, 29


def noise(width, height, seed):
    """RGB bytes that model_adapters/tests/pictures.rs makes in the same way."""
    values = numpy.arange(width * height * 3, dtype=numpy.uint32) * numpy.uint32(2654435761) + numpy.uint32(seed)
    values ^= values >> numpy.uint32(15)
    values *= numpy.uint32(0x2C1B3C6D)
    values ^= values >> numpy.uint32(12)
    return Image.fromarray((values >> numpy.uint32(24)).astype(numpy.uint8).reshape(height, width, 3))


def scene(width=WIDTH, height=HEIGHT):
    """Gradients, an edge and some noise: every stage of a lossy codec has something to do."""
    y, x = numpy.mgrid[0:height, 0:width]
    red = x * 255 / (width - 1)
    green = y * 255 / (height - 1)
    blue = numpy.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2, 230, 25)
    smooth = numpy.stack([red, green, blue], axis=2)
    grain = numpy.asarray(noise(width, height, 7), dtype=numpy.float64) - 127.5
    return Image.fromarray(numpy.clip(smooth + grain / 5, 0, 255).astype(numpy.uint8))


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def sha(data):
    return hashlib.sha256(bytes(data)).hexdigest()


# JPEG

def segments(jpeg):
    """(marker, payload) up to and with SOS, then the entropy-coded rest."""
    place, found = 2, []
    while True:
        marker, length = jpeg[place + 1], struct.unpack(">H", jpeg[place + 2 : place + 4])[0]
        found.append((marker, jpeg[place + 4 : place + 2 + length]))
        place += 2 + length
        if marker == 0xDA:
            return found, jpeg[place:]


def joined(parts, rest):
    body = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in parts)
    return b"\xff\xd8" + body + rest


def relabelled(jpeg, ids=None, adobe=None, jfif=False, sampling=None, precision=None):
    """Another component id, Adobe transform, sampling or precision on the same coefficients."""
    parts, rest = segments(jpeg)
    parts = [(marker, data) for marker, data in parts if marker != 0xEE and (jfif or marker != 0xE0)]
    out = []
    for marker, data in parts:
        data = bytearray(data)
        if marker in (0xC0, 0xC2):
            for i in range(data[5]):
                if ids:
                    data[6 + 3 * i] = ids[i]
                if sampling:
                    data[7 + 3 * i] = sampling[i]
            if precision:
                data[0] = precision
        if marker == 0xDA and ids:
            for i in range(data[0]):
                data[1 + 2 * i] = ids[i]
        out.append((marker, bytes(data)))
    if adobe is not None:
        out.insert(0, (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe])))
    return joined(out, rest)


def jpegs():
    rgb, even = scene(), scene(32, 32)
    cmyk = Image.merge("CMYK", [*scene().split(), noise(WIDTH, HEIGHT, 3).getchannel(0)])
    plain = saved(rgb, "JPEG", quality=85, subsampling=0)
    yield "444-q90.jpg", saved(rgb, "JPEG", quality=90, subsampling=0)
    yield "422-q85.jpg", saved(rgb, "JPEG", quality=85, subsampling=1)
    yield "420-q75.jpg", saved(rgb, "JPEG", quality=75, subsampling=2)
    yield "420-q20.jpg", saved(rgb, "JPEG", quality=20, subsampling=2)
    yield "420-progressive.jpg", saved(rgb, "JPEG", quality=75, subsampling=2, progressive=True)
    yield "420-restarts.jpg", saved(rgb, "JPEG", quality=75, subsampling=2, restart_marker_blocks=2)
    yield "420-large.jpg", saved(scene(213, 161), "JPEG", quality=60, subsampling=2, optimize=True)
    yield "422-large.jpg", saved(scene(161, 213), "JPEG", quality=60, subsampling=1, optimize=True)
    yield "440.jpg", relabelled(saved(even, "JPEG", subsampling=1), jfif=True, sampling=[0x12, 0x11, 0x11])
    yield "411.jpg", relabelled(saved(even, "JPEG", subsampling=2), jfif=True, sampling=[0x41, 0x11, 0x11])
    yield "grey.jpg", saved(rgb.convert("L"), "JPEG", quality=85)
    yield "grey-progressive.jpg", saved(rgb.convert("L"), "JPEG", quality=85, progressive=True)
    yield "narrow.jpg", saved(scene(5, 200), "JPEG", quality=75, subsampling=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif-rotated.jpg", saved(rgb, "JPEG", quality=85, exif=exif)
    yield "icc.jpg", saved(rgb, "JPEG", quality=85, icc_profile=b"not a profile")

    # Which colour space three components are in.
    yield "jfif-ids-rgb.jpg", relabelled(plain, ids=b"RGB", jfif=True)
    yield "adobe-0.jpg", relabelled(plain, adobe=0)
    yield "adobe-1.jpg", relabelled(plain, adobe=1)
    yield "adobe-2.jpg", relabelled(plain, adobe=2)
    yield "jfif-adobe-0.jpg", relabelled(plain, adobe=0, jfif=True)
    yield "ids-123.jpg", relabelled(plain)
    yield "ids-rgb.jpg", relabelled(plain, ids=b"RGB")
    yield "ids-other.jpg", relabelled(plain, ids=[0, 1, 2])

    # Four components.
    four = saved(cmyk, "JPEG", quality=85)
    yield "cmyk-adobe-0.jpg", relabelled(four, adobe=0)
    yield "cmyk-no-adobe.jpg", relabelled(four)
    yield "ycck-adobe-2.jpg", relabelled(four, adobe=2)
    yield "cmyk-420.jpg", saved(cmyk, "JPEG", quality=70, subsampling=2)

    # What Pillow refuses, and what it does not.
    yield "12-bit.jpg", relabelled(plain, jfif=True, precision=12)
    two = struct.pack(">BHHB", 8, HEIGHT, WIDTH, 2) + bytes([1, 0x11, 0, 2, 0x11, 0])
    parts = [(marker, two if marker == 0xC0 else data) for marker, data in segments(plain)[0]]
    yield "two-components.jpg", joined(parts, segments(plain)[1])
    parts, rest = segments(plain)
    yield "early-end-marker.jpg", joined(parts, rest[: len(rest) // 2] + b"\xff\xd9")
    yield "no-end-marker.jpg", plain[:-2]
    yield "bytes-after-the-end.jpg", plain + b"more"
    yield "no-tables.jpg", joined([part for part in parts if part[0] != 0xC4], rest)
    yield "only-start.jpg", b"\xff\xd8\xff"
    flipped = bytearray(rest)
    for place in range(40, len(rest) - 2, 97):
        flipped[place] ^= 0x10
    yield "flipped-bits.jpg", joined(parts, bytes(flipped))
    huge = struct.pack(">BHHB", 8, 50000, 50000, 3) + bytes([1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1])
    yield "huge.jpg", joined([(marker, huge if marker == 0xC0 else data) for marker, data in parts], rest)


# PNG

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(values, depth):
    """Filter type 0; `values` [height, width, samples]."""
    height = values.shape[0]
    if depth == 16:
        packed = values.astype(">u2").reshape(height, -1).view(numpy.uint8)
    elif depth == 8:
        packed = values.astype(numpy.uint8).reshape(height, -1)
    else:
        bits = (values.reshape(height, -1, 1) >> numpy.arange(depth - 1, -1, -1)) & 1
        packed = numpy.packbits(bits.reshape(height, -1).astype(numpy.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(values, depth, colour, *chunks, interlaced=False, palette=None, width=None, height=None):
    header = struct.pack(
        ">IIBBBBB", width or values.shape[1], height or values.shape[0], depth, colour, 0, 0, int(interlaced)
    )
    if interlaced:
        passes = [values[y::down, x::right] for x, y, right, down in ADAM7]
        raw = b"".join(rows(part, depth) for part in passes if part.size)
    else:
        raw = rows(values, depth)
    body = [(b"IHDR", header)]
    if palette is not None:
        body.append((b"PLTE", bytes(palette)))
    body += [*chunks, (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in body)


def ramp(depth, samples, width=19, height=11):
    """Values that reach both ends of their range."""
    count = width * height * samples
    values = (numpy.arange(count) * 40503 + 17) % (1 << depth)
    values[0], values[-1] = (1 << depth) - 1, 0
    return values.reshape(height, width, samples)


def pngs():
    for depth in (1, 2, 4, 8, 16):
        yield f"grey-{depth}.png", png(ramp(depth, 1), depth, 0)
        yield f"grey-{depth}-interlaced.png", png(ramp(depth, 1), depth, 0, interlaced=True)
        yield f"grey-{depth}-trns.png", png(ramp(depth, 1), depth, 0, (b"tRNS", b"\0\1"))
    for depth in (1, 2, 4, 8):
        colours = bytes((i * 53 + 11 * (i % 3)) % 256 for i in range(3 << depth))
        yield f"palette-{depth}.png", png(ramp(depth, 1), depth, 3, palette=colours)
        yield f"palette-{depth}-interlaced.png", png(ramp(depth, 1), depth, 3, palette=colours, interlaced=True)
        yield f"palette-{depth}-trns.png", png(ramp(depth, 1), depth, 3, (b"tRNS", b"\0\x80"), palette=colours)
    yield "palette-short.png", png(ramp(4, 1), 4, 3, palette=bytes(range(60, 75)))
    for name, colour in (("rgb", 2), ("grey-alpha", 4), ("rgba", 6)):
        for depth in (8, 16):
            values = ramp(depth, SAMPLES[colour])
            yield f"{name}-{depth}.png", png(values, depth, colour)
            yield f"{name}-{depth}-interlaced.png", png(values, depth, colour, interlaced=True)
    yield "rgb-8-trns.png", png(ramp(8, 3), 8, 2, (b"tRNS", b"\0\x11\0\x22\0\x33"))
    yield "rgb-16-trns.png", png(ramp(16, 3), 16, 2, (b"tRNS", b"\0\x11\0\x22\0\x33"))
    yield "rgb-filters.png", saved(scene(), "PNG", optimize=True)
    yield "rgb-gamma.png", png(ramp(8, 3), 8, 2, (b"gAMA", struct.pack(">I", 100000)))
    yield "hidden-colour.png", png(numpy.tile([10, 20, 30, 0], (4, 5, 1)), 8, 6)
    frames = [scene(), noise(WIDTH, HEIGHT, 1)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "animated-default.png", saved(
        frames[0], "PNG", save_all=True, append_images=[frames[1], scene()], default_image=True
    )
    yield "huge.png", png(ramp(8, 3), 8, 2, width=50000, height=50000)
    yield "no-width.png", zero_width()
    yield "missing-rows.png", png(ramp(8, 3), 8, 2, height=20)
    broken = bytearray(png(ramp(8, 3), 8, 2))
    broken[20] ^= 1
    yield "bad-header-checksum.png", bytes(broken)
    garbage = bytearray(png(ramp(8, 3), 8, 2))
    garbage[60:90] = bytes(30)
    yield "bad-data.png", bytes(garbage)


def zero_width():
    file = bytearray(png(ramp(8, 3), 8, 2))
    file[16:20] = bytes(4)
    file[29:33] = struct.pack(">I", zlib.crc32(bytes(file[12:29])))
    return bytes(file)


# GIF, BMP, WebP

def gifs():
    palette = scene().quantize(16)
    plain = saved(palette, "GIF")
    yield "palette.gif", plain
    yield "interlaced.gif", saved(palette, "GIF", interlace=1)
    yield "transparent.gif", saved(palette, "GIF", transparency=3, optimize=False)
    yield "grey.gif", saved(scene().convert("L"), "GIF")
    small = bytearray(saved(palette, "GIF", transparency=3, optimize=False))
    small[6:10] = struct.pack("<HH", WIDTH + 9, HEIGHT + 5)
    place = small.index(b"\x2c\0\0\0\0")
    small[place + 1 : place + 5] = struct.pack("<HH", 4, 3)
    yield "frame-within-transparent.gif", bytes(small)
    small = bytearray(plain)
    small[6:10] = struct.pack("<HH", WIDTH + 9, HEIGHT + 5)
    place = small.index(b"\x2c\0\0\0\0")
    small[place + 1 : place + 5] = struct.pack("<HH", 4, 3)
    yield "frame-within.gif", bytes(small)
    large = bytearray(plain)
    large[6:10] = struct.pack("<HH", 7, 5)
    yield "frame-beyond.gif", bytes(large)
    frames = [scene().quantize(32), noise(WIDTH, HEIGHT, 5).quantize(32)]
    yield "animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)
    yield "no-frame.gif", plain[: plain.index(b"\x2c\0\0\0\0")] + b";"
    yield "huge.gif", plain[:6] + struct.pack("<HH", 65535, 65535) + plain[10:]


def bmp(bits, compression, width, height, body, tables=b""):
    """`tables`: masks or palette, between header and rows."""
    offset = 54 + len(tables)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + tables + body


def bmps():
    yield "rgb.bmp", saved(scene(), "BMP")
    yield "rgba.bmp", saved(Image.merge("RGBA", [*scene().split(), noise(WIDTH, HEIGHT, 2).getchannel(0)]), "BMP")
    yield "grey.bmp", saved(scene().convert("L"), "BMP")
    yield "bilevel.bmp", saved(scene().convert("1"), "BMP")
    yield "palette.bmp", saved(scene().quantize(64), "BMP")
    body = ramp(16, 1, 16, 12).astype("<u2").tobytes()
    yield "555.bmp", bmp(16, 0, 16, 12, body)
    yield "555-masks.bmp", bmp(16, 3, 16, 12, body, struct.pack("<III", 0x7C00, 0x3E0, 0x1F))
    yield "565.bmp", bmp(16, 3, 16, 12, body, struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    yield "top-down.bmp", bmp(24, 0, 16, -12, ramp(8, 3, 16, 12).astype(numpy.uint8).tobytes())
    runs = b"".join(bytes([8, (5 * y + 60) % 256, 5, y, 0, 3, 7, 8, 9, 0, 0, 0]) for y in range(12))
    yield "run-length.bmp", bmp(8, 1, 16, 12, runs + b"\0\1", scene(16, 16).tobytes() + bytes(256))
    yield "32-bit.bmp", bmp(32, 0, 16, 12, ramp(8, 4, 16, 12).astype(numpy.uint8).tobytes())


def webps():
    alpha = Image.merge("RGBA", [*scene().split(), noise(WIDTH, HEIGHT, 2).getchannel(0)])
    yield "lossless.webp", saved(scene(), "WEBP", lossless=True)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", saved(scene(), "WEBP", quality=80)
    yield "lossy-large.webp", saved(scene(213, 161), "WEBP", quality=50)
    yield "lossy-alpha.webp", saved(alpha, "WEBP", quality=80, exact=True)
    yield "animated.webp", saved(
        scene(), "WEBP", lossless=True, save_all=True, append_images=[noise(WIDTH, HEIGHT, 2)], duration=100
    )


def others():
    yield "unknown.tiff", saved(scene(), "TIFF")
    yield "text.txt", b"not a picture\n"


# Cut to these shares of their length: Pillow raises for every one.
TRUNCATED = {
    "420-q75.jpg": (0.1, 0.5, 0.9, 0.99),
    "420-progressive.jpg": (0.3, 0.7, 0.99),
    "rgb-filters.png": (0.1, 0.5, 0.9),
    "rgb-8-interlaced.png": (0.3, 0.6),
    "palette.gif": (0.2, 0.6, 0.9),
    "rgb.bmp": (0.01, 0.5, 0.95),
    "lossless.webp": (0.1, 0.5, 0.95),
    "lossy.webp": (0.1, 0.5, 0.9),
}


def pillow_rgb(data):
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "GIF", "BMP", "WEBP"]) as image:
            return image.mode, image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def decode_case(name, data):
    found = pillow_rgb(data)
    if found is None:
        return {"file": name, "sha256": None}
    mode, image = found
    return {"file": name, "mode": mode, "size": image.size, "sha256": sha(image.tobytes())}


# Resizing and the processors

RESIZES = [
    ((480, 640), (336, 448)),
    ((640, 480), (384, 384)),
    ((37, 51), (336, 336)),
    ((1000, 700), (336, 336)),
    ((500, 336), (336, 336)),
    ((336, 500), (336, 336)),
    ((336, 336), (336, 336)),
    ((501, 333), (448, 336)),
    ((4, 4), (336, 336)),
    ((5, 1200), (336, 336)),
    ((1200, 5), (336, 336)),
    ((64, 48), (1, 1)),
    ((1, 1), (7, 5)),
    ((3, 2), (2, 3)),
    ((335, 337), (336, 336)),
    ((99, 101), (33, 50)),
    ((257, 255), (13, 509)),
    ((2, 900), (900, 2)),
]

OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]


def clip(size, crop, **options):
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": size,
        "crop_size": crop,
        "image_mean": OPENAI_MEAN,
        "image_std": OPENAI_STD,
        **options,
    }


CLIP = clip({"shortest_edge": 336}, {"height": 336, "width": 336})
SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}}

SHAPES = [(640, 480), (480, 640), (500, 375), (427, 640), (336, 336), (501, 333), (333, 502), (20, 31), (40, 900)]

PREPROCESS = (
    [(aspect, CLIP, shape) for aspect in ("pad", None) for shape in SHAPES]
    + [("resize", CLIP, shape) for shape in ((640, 480), (20, 31))]
    + [(aspect, SIGLIP, shape) for aspect in ("pad", "resize", None) for shape in ((640, 480), (333, 502), (384, 384))]
    + [
        ("square", clip(336, 336), (427, 640)),
        (None, clip(40, {"height": 30, "width": 50}), (37, 61)),
        (None, clip(40, {"height": 61, "width": 30}), (37, 61)),
        (None, clip({"height": 40, "width": 55}, 48), (37, 61)),
        (None, clip(40, 50, do_resize=False), (37, 61)),
        (None, clip(40, 51, do_resize=False), (38, 60)),
        (None, clip(40, 30, do_center_crop=False), (37, 61)),
        ("pad", clip(40, 30, do_center_crop=False), (37, 61)),
        (None, clip(40, 30, do_rescale=False), (37, 61)),
        (None, clip(40, 30, rescale_factor=0.0078125), (37, 61)),
        (None, {"image_processor_type": "CLIPImageProcessor"}, (300, 299)),
        (None, {"image_processor_type": "SiglipImageProcessor"}, (300, 299)),
    ]
)


def expand2square(image, colour):
    """What the reference does for `image_aspect_ratio` `pad`, from its description."""
    width, height = image.size
    side = max(width, height)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def preprocess_case(number, aspect, config, shape):
    classes = {"CLIPImageProcessor": CLIPImageProcessor, "SiglipImageProcessor": SiglipImageProcessor}
    options = {key: value for key, value in config.items() if key != "image_processor_type"}
    processor = classes[config["image_processor_type"]](**options)
    image = noise(*shape, number)
    if aspect == "pad":
        image = expand2square(image, tuple(int(255 * mean) for mean in processor.image_mean))
    elif aspect == "resize":
        target = getattr(processor, "crop_size", None) or processor.size
        image = image.resize((target["width"], target["height"]))
    tensor = processor(image, return_tensors="np")["pixel_values"][0]
    pixels = processor(image, return_tensors="np", do_rescale=False, do_normalize=False)["pixel_values"][0]
    assert pixels.dtype == numpy.uint8 and tensor.shape == pixels.shape, (pixels.dtype, tensor.shape)
    return {
        "seed": number,
        "from": shape,
        "image_aspect_ratio": aspect,
        "preprocessor_config": config,
        "size": [pixels.shape[2], pixels.shape[1]],
        "pixels": sha(pixels.transpose(1, 2, 0).tobytes()),
        "tensor": sha(tensor.astype("<f4").tobytes()),
    }


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    out.mkdir(parents=True, exist_ok=True)
    files = {}
    for group in (jpegs, pngs, gifs, bmps, webps, others):
        for name, data in group():
            assert name not in files, name
            files[name] = data
    for old in out.iterdir():
        old.unlink()
    for name, data in files.items():
        (out / name).write_bytes(data)

    decoded = [decode_case(name, data) for name, data in files.items()]
    for name, shares in TRUNCATED.items():
        for share in shares:
            kept = int(len(files[name]) * share)
            decoded.append(decode_case(name, files[name][:kept]) | {"bytes": kept})
    resized = []
    for number, (before, after) in enumerate(RESIZES):
        image = noise(*before, number).resize(after, Image.Resampling.BICUBIC)
        resized.append({"seed": number, "from": before, "to": after, "sha256": sha(image.tobytes())})
    made_by = {"pillow": Image.__version__, "libjpeg_turbo": features.version("libjpeg_turbo")}
    expected = {
        "made_by": made_by,
        "decode": decoded,
        "resize": resized,
        "preprocess": [preprocess_case(number, *case) for number, case in enumerate(PREPROCESS)],
    }
    lines = [f'"made_by": {json.dumps(made_by)}']
    for key in ("decode", "resize", "preprocess"):
        cases = ",\n  ".join(json.dumps(case) for case in expected[key])
        lines.append(f'"{key}": [\n  {cases}\n]')
    (out / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
