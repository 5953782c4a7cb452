"""Invents benchmark data of any size from a fixed seed, in layouts that vila-bench reads.

Usage: python3 tests/bench/invent.py KIND FOLDER ROWS

| kind | what |
|---|---|
| vqav2-val | VQAv2 val, the organisers' files with ten answers a question, and `answers.jsonl` |
| vqav2-test | VQAv2 test-dev in LLaVA's layout, a quarter of the ROWS of test2015, and `answers.jsonl` |
| mmbench-tsv | the organisers' TSV of MMBench dev, a picture of its own in every row |
| pope-parquet | lmms-lab's POPE in three files, a picture of its own in every row |
| vqav2-parquet | lmms-lab's VQAv2 val in files of 150 rows, a picture of its own in every row |
"""

import base64
import json
import os
import random
import struct
import sys
import zlib

import parquet

SEED = 20260101
WORDS = (
    "yes no 1 2 3 two red white blue black green brown gray yellow man woman dog cat horse table kitchen tennis "
    "frisbee skateboard baseball pizza the left right none zero a clock it's dont t-shirt outside wood grass"
).split()
TYPES = ["is the", "how many", "what color is the", "what is the", "what", "is this", "where is the", "are there any"]
SUFFIX = "\nAnswer the question using a single word or phrase."
# Rows of a group, as Hugging Face's `datasets` writes pictures.
ROW_GROUP = 100
SIDE = 180


def picture(rng):
    """A PNG of noise, about 100 kB: nothing of it can be packed."""
    rows = b"".join(b"\0" + rng.randbytes(3 * SIDE) for _ in range(SIDE))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def vqav2_val(folder, rows, rng):
    questions, annotations = [], []
    with open(os.path.join(folder, "answers.jsonl"), "w", encoding="utf-8") as out:
        for number in range(rows):
            image, identity = 9_000_000 + number // 5, 9_000_000_000 + number
            kind = rng.choice(TYPES)
            pool = rng.sample(WORDS, 3)
            answers = [rng.choices(pool, (8, 1, 1))[0] for _ in range(10)]
            answer_type = "yes/no" if pool[0] in ("yes", "no") else "number" if pool[0].isdigit() else "other"
            questions.append({"image_id": image, "question": kind.capitalize() + " it?", "question_id": identity})
            annotations.append({
                "question_type": kind, "multiple_choice_answer": pool[0], "image_id": image,
                "answer_type": answer_type, "question_id": identity,
                "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": n + 1} for n, a in enumerate(answers)],
            })
            said = rng.choice(pool + ["Yes", "No.", "a dog", "2,000"])
            out.write(json.dumps({"question_id": identity, "text": said}) + "\n")
    for name, key, values in [
        ("v2_OpenEnded_mscoco_val2014_questions.json", "questions", questions),
        ("v2_mscoco_val2014_annotations.json", "annotations", annotations),
    ]:
        with open(os.path.join(folder, "vqav2", name), "w", encoding="utf-8") as out:
            json.dump({"info": {}, "license": {}, "data_subtype": "val2014", key: values}, out)


def vqav2_test(folder, rows, rng):
    place = os.path.join(folder, "vqav2")
    with open(os.path.join(place, "llava_vqav2_mscoco_test2015.jsonl"), "w", encoding="utf-8") as whole, open(
        os.path.join(place, "llava_vqav2_mscoco_test-dev2015.jsonl"), "w", encoding="utf-8"
    ) as asked, open(os.path.join(folder, "answers.jsonl"), "w", encoding="utf-8") as answers:
        for number in range(rows):
            identity, image = 900_000_000 + number, f"COCO_test2015_{number // 5:012}.jpg"
            text = rng.choice(TYPES).capitalize() + " it?" + SUFFIX
            line = json.dumps({"question_id": identity, "image": image, "text": text, "category": "default"}) + "\n"
            whole.write(line)
            if number % 4 == 0:
                asked.write(line)
                answers.write(json.dumps({"question_id": identity, "prompt": text, "text": rng.choice(WORDS)}) + "\n")


def mmbench_tsv(folder, rows, rng):
    header = "index question hint A B C D answer category image source l2-category comment split".split()
    with open(os.path.join(folder, "mmbench", "mmbench_dev_20230712.tsv"), "w", encoding="utf-8") as out:
        out.write("\t".join(header) + "\n")
        for number in range(rows):
            image = base64.b64encode(picture(rng)).decode()
            cells = [str(number), f"What is in picture {number}?", "", *rng.sample(WORDS[6:30], 4), rng.choice("ABCD")]
            out.write("\t".join(cells + ["desk", image, "invented", "logic_reasoning", "", "dev"]) + "\n")


def in_groups(rows, row_of):
    for start in range(0, rows, ROW_GROUP):
        yield [row_of(number) for number in range(start, min(rows, start + ROW_GROUP))]


def pope_parquet(folder, rows, rng):
    columns = [("question_id", str), ("question", str), ("answer", str), ("image_source", str), ("category", str)]
    place = os.path.join(folder, "pope", "data")
    os.makedirs(place, exist_ok=True)
    for part, category in enumerate(["adversarial", "popular", "random"]):
        def row(number):
            name = f"COCO_val2014_{part * rows + number:012}"
            answer = "no" if number % 2 else "yes"
            return (str(number + 1), "Is there a kite in the image?", answer, name, category, picture(rng))

        parquet.write(os.path.join(place, f"test-{part:05}-of-00003.parquet"), columns, in_groups(rows // 3, row))


def vqav2_parquet(folder, rows, rng):
    columns = [("question_id", int), ("image_id", int), ("question", str)]
    place = os.path.join(folder, "vqav2", "data")
    os.makedirs(place, exist_ok=True)
    each = 150
    files = -(-rows // each)
    for part in range(files):
        def row(number):
            number += part * each
            return (9_000_000 + number, number, rng.choice(TYPES).capitalize() + " it?", picture(rng))

        name = f"validation-{part:05}-of-{files:05}.parquet"
        parquet.write(os.path.join(place, name), columns, in_groups(min(each, rows - part * each), row))


KINDS = {
    "vqav2-val": vqav2_val,
    "vqav2-test": vqav2_test,
    "mmbench-tsv": mmbench_tsv,
    "pope-parquet": pope_parquet,
    "vqav2-parquet": vqav2_parquet,
}


def invent(kind, folder, rows):
    """Writes the data unless a finished copy of that size is there; returns the folder."""
    done = os.path.join(folder, f"done-{rows}")
    if not os.path.exists(done):
        os.makedirs(os.path.join(folder, kind.split("-")[0]), exist_ok=True)
        KINDS[kind](folder, rows, random.Random(SEED))
        open(done, "w").close()
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    invent(sys.argv[1], sys.argv[2], int(sys.argv[3]))
