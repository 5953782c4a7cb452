"""Eight drawn scenes and their POPE questions, in POPE's official layout.

Writes tests/fixtures/pope-demo/pope: `val2014/*.jpg` and `coco/coco_pope_{random,popular,adversarial}.json`. For each
scene and category six questions, yes and no in turn, as in POPE: the three yes questions are the same in all
categories; the three no questions ask for absent objects, drawn at random, or the most frequent ones of all scenes,
or those seen most often together with what is in the scene.
"""

import itertools
import json
import pathlib
import random
import shutil

from PIL import Image, ImageDraw

POPE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "pope-demo" / "pope"
WIDTH, HEIGHT = 320, 240
FIRST_IMAGE = 900001
SEED = 5

COLOURS = {
    "red": (214, 40, 40),
    "blue": (38, 84, 196),
    "green": (44, 150, 70),
    "yellow": (244, 208, 36),
    "black": (24, 24, 24),
    "white": (250, 250, 250),
}
SHAPES = ["circle", "square", "triangle", "star"]
OBJECTS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
SCENES = [
    ["red circle", "blue square", "green triangle"],
    ["red circle", "yellow star", "blue square", "black circle"],
    ["white square", "red circle", "green triangle"],
    ["yellow star", "black circle", "white square"],
    ["blue square", "green triangle", "red triangle", "yellow circle"],
    ["red circle", "white star", "black square"],
    ["yellow star", "blue circle", "red circle", "green square"],
    ["blue square", "yellow star", "white triangle"],
]
BACKGROUNDS = [(176, 206, 230), (226, 214, 190), (150, 170, 150), (204, 190, 214)]
NEGATIVES = 3


def polygon(shape, x, y, radius):
    """Corners of a shape around its middle."""
    if shape == "square":
        return [(x - radius, y - radius), (x + radius, y - radius), (x + radius, y + radius), (x - radius, y + radius)]
    if shape == "triangle":
        return [(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)]
    steps = [(0, -10), (2, -3), (10, -3), (4, 2), (6, 9), (0, 5), (-6, 9), (-4, 2), (-10, -3), (-2, -3)]
    return [(x + dx * radius / 10, y + dy * radius / 10) for dx, dy in steps]


def draw(objects, background, rng):
    """One scene: each object in a column of its own."""
    image = Image.new("RGB", (WIDTH, HEIGHT), background)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, HEIGHT * 3 // 4, WIDTH, HEIGHT), fill=tuple(level * 3 // 4 for level in background))
    column = WIDTH // len(objects)
    for place, name in enumerate(objects):
        colour, shape = name.split()
        radius = rng.randint(column // 4, column // 2 - 6)
        x, y = column * place + column // 2, rng.randint(radius + 8, HEIGHT - radius - 8)
        if shape == "circle":
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[colour], outline=(70, 70, 70))
        else:
            canvas.polygon(polygon(shape, x, y, radius), fill=COLOURS[colour], outline=(70, 70, 70))
    return image


def negatives(category, scene, rng):
    """Absent objects in the order in which a category asks for them."""
    absent = [name for name in OBJECTS if name not in scene]
    if category == "random":
        return rng.sample(absent, NEGATIVES)
    if category == "popular":
        together = SCENES
    else:
        together = [other for other in SCENES for name in scene if name in other]
    count = {name: sum(name in other for other in together) for name in absent}
    return sorted(absent, key=lambda name: -count[name])[:NEGATIVES]


def main():
    shutil.rmtree(POPE, ignore_errors=True)
    (POPE / "val2014").mkdir(parents=True)
    (POPE / "coco").mkdir()
    files = [f"COCO_val2014_{FIRST_IMAGE + number:012}.jpg" for number in range(len(SCENES))]
    rng = random.Random(SEED)
    for number, (file, scene) in enumerate(zip(files, SCENES)):
        image = draw(scene, BACKGROUNDS[number % len(BACKGROUNDS)], rng)
        image.save(POPE / "val2014" / file, quality=85)
    for category in ["random", "popular", "adversarial"]:
        ids, lines = itertools.count(1), []
        for file, scene in zip(files, SCENES):
            for present, absent in zip(scene, negatives(category, scene, rng)):
                for name, label in [(present, "yes"), (absent, "no")]:
                    record = {
                        "question_id": next(ids),
                        "image": file,
                        "text": f"Is there a {name} in the image?",
                        "label": label,
                    }
                    lines.append(json.dumps(record) + "\n")
        (POPE / "coco" / f"coco_pope_{category}.json").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
