"""The speed bench's questions: texts and grouping of the benchmarks' own files, about pictures drawn at random."""

import collections
import json
import random
import shutil

import numpy as np
from PIL import Image

SEED = 20260103
LETTER = "\nAnswer with the option's letter from the given choices directly."

# name: (questions, tokens of an answer, questions/s against the rival that we mean to reach)
WORKLOADS = {
    "pope": (252, 2, 15.0),
    "gqa": (256, 3, 20.0),
    "mmbench": (128, 2, 4.0),
    "mme": (96, 2, 2.2),
    "vizwiz": (64, 4, 1.2),
    "mm-vet": (64, 80, 3.0),
}


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def questions_of(name, data):
    """(picture, text) of a benchmark's question file."""
    root = data / "llava-eval"
    if name == "mmbench":
        rows = lines(root / "mmbench/answers/mmbench_dev_20230712/llava-v1.5-13b.jsonl")
        # Rotations of a question differ by a million in their id and show the same picture.
        return [(f"{row['question_id'] % 1_000_000}.jpg", row["prompt"] + LETTER) for row in rows]
    files = {
        "pope": "pope/llava_pope_test.jsonl",
        "gqa": "gqa/llava_gqa_testdev_balanced.jsonl",
        "mme": "MME/llava_mme.jsonl",
        "vizwiz": "vizwiz/llava_test.jsonl",
        "mm-vet": "mm-vet/llava-mm-vet.jsonl",
    }
    return [(row["image"], row["text"]) for row in lines(root / files[name])]


def write(name, count, data, folder):
    """Whole picture groups, about `count` questions, in the layout of LLaVA's MM-Vet file: any text about any picture."""
    groups = collections.defaultdict(list)
    for picture, text in questions_of(name, data):
        groups[picture].append(text)
    pictures = sorted(groups)
    random.Random(SEED).shuffle(pictures)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, picture in enumerate(pictures):
        if len(rows) >= count:
            break
        file = picture.replace("/", "_").rsplit(".", 1)[0] + ".jpg"
        draw_picture(folder / "images" / file, number)
        rows += [{"question_id": len(rows) + n, "image": file, "text": text} for n, text in enumerate(groups[picture])]
    write_questions(rows, folder)
    return rows


def write_part(rows, whole, folder):
    """Some rows of the workload in `whole`, about the same pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "images").symlink_to((whole / "images").resolve())
    write_questions(sorted(rows, key=lambda row: row["question_id"]), folder)


def write_questions(rows, folder):
    with open(folder / "llava-mm-vet.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def draw_picture(path, seed):
    """640 x 480: a gradient, rectangles, a little noise."""
    generator = np.random.RandomState(seed)
    picture = np.zeros((480, 640, 3), np.float32)
    picture += np.linspace(0, 255, 640)[None, :, None] * generator.rand(3) + np.linspace(0, 99, 480)[:, None, None]
    for _ in range(12):
        top, left = generator.randint(0, 400), generator.randint(0, 560)
        height, width = generator.randint(20, 300, 2)
        picture[top : top + height, left : left + width] = generator.randint(0, 256, 3)
    picture += generator.randn(480, 640, 1) * 8
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=90)
