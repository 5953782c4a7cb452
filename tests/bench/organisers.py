"""VQAv2 val at real size: `vila-bench score` against the organisers' method in Python, same files, same run.

214,354 questions with ten answers each are invented from a fixed seed in the official layout. The Python side does
what vqaEval.py does, written anew from its published rules: every answer of a question whose answers differ is
normalised, then the prediction is compared with each leave-one-out set. Both must give the same accuracy.

Usage: python3 tests/bench/vqav2_scoring.py target/release/vila-bench [FOLDER]
"""

import json
import os
import random
import re
import resource
import subprocess
import sys
import time

QUESTIONS = 214_354
SEED = 20260101
WORDS = (
    "yes no 1 2 3 two red white blue black green brown gray yellow man woman dog cat horse table kitchen tennis "
    "frisbee skateboard baseball pizza the left right none zero a clock it's dont t-shirt outside wood grass"
).split()
TYPES = ["is the", "how many", "what color is the", "what is the", "what", "is this", "where is the", "are there any"]

PUNCT = list(';/[]"{}()=+\\_-><@`,?!')
COMMA = re.compile(r"(\d)(\,)(\d)")
PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")
NUMBERS = dict(
    zip("none zero one two three four five six seven eight nine ten".split(), "0 0 1 2 3 4 5 6 7 8 9 10".split())
)
ARTICLES = {"a", "an", "the"}


def contractions():
    path = os.path.join(os.path.dirname(__file__), "../../benchmarks/tests/data/vqa-normalisation.json")
    tables = json.load(open(path, encoding="utf-8"))
    found = []

    def walk(value):
        if isinstance(value, dict):
            if value.get("aint") == "ain't":
                found.append(value)
            for inner in value.values():
                walk(inner)

    walk(tables)
    return found[0]


CONTRACTIONS = contractions()


def generate(folder):
    """Writes questions, annotations and an answers file; returns the path of the answers."""
    answers_file = os.path.join(folder, "answers.jsonl")
    if os.path.exists(answers_file):
        return answers_file
    root = os.path.join(folder, "vqav2")
    os.makedirs(root, exist_ok=True)
    rng = random.Random(SEED)
    questions, annotations = [], []
    with open(answers_file + ".part", "w", encoding="utf-8") as out:
        for number in range(QUESTIONS):
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
    for name, key, rows in [
        ("v2_OpenEnded_mscoco_val2014_questions.json", "questions", questions),
        ("v2_mscoco_val2014_annotations.json", "annotations", annotations),
    ]:
        with open(os.path.join(root, name), "w", encoding="utf-8") as out:
            json.dump({"info": {}, "license": {}, "data_subtype": "val2014", key: rows}, out)
    os.rename(answers_file + ".part", answers_file)
    return answers_file


def punctuation(text):
    out = text
    for mark in PUNCT:
        if mark + " " in text or " " + mark in text or COMMA.search(text) is not None:
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    return PERIOD.sub("", out, 32)


def digits_and_articles(text):
    words = []
    for word in text.lower().split():
        word = NUMBERS.get(word, word)
        if word not in ARTICLES:
            words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def python_side(folder, answers_file):
    start = time.perf_counter()
    annotations = json.load(open(os.path.join(folder, "vqav2/v2_mscoco_val2014_annotations.json"), encoding="utf-8"))
    json.load(open(os.path.join(folder, "vqav2/v2_OpenEnded_mscoco_val2014_questions.json"), encoding="utf-8"))
    said = {}
    for line in open(answers_file, encoding="utf-8"):
        record = json.loads(line)
        said[record["question_id"]] = record["text"]
    read = time.perf_counter() - start
    start = time.perf_counter()
    total = 0.0
    for row in annotations["annotations"]:
        answers = [a["answer"].replace("\n", " ").replace("\t", " ").strip() for a in row["answers"]]
        prediction = said[row["question_id"]].replace("\n", " ").replace("\t", " ").strip()
        if len(set(answers)) > 1:
            answers = [digits_and_articles(punctuation(a)) for a in answers]
            prediction = digits_and_articles(punctuation(prediction))
        accuracies = []
        for left_out in range(len(answers)):
            others = answers[:left_out] + answers[left_out + 1:]
            accuracies.append(min(1.0, len([a for a in others if a == prediction]) / 3.0))
        total += sum(accuracies) / len(accuracies)
    return 100.0 * total / len(annotations["annotations"]), read, time.perf_counter() - start


def our_side(command, folder, answers_file):
    arguments = [command, "score", "--task", "vqav2", "--split", "val", "--protocol", "official", "--format", "json"]
    start = time.perf_counter()
    done = subprocess.run(arguments + ["--data", folder, "--answers", answers_file], capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    read, scored = re.search(r"read in ([\d.]+) s, scored in ([\d.]+) s", done.stderr).groups()
    return json.loads(done.stdout)["metrics"]["accuracy"]["value"], float(read), float(scored), wall, peak


def main():
    command = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else ".bench/vqav2"
    os.makedirs(folder, exist_ok=True)
    answers_file = generate(folder)
    ours, read, scored, wall, peak = our_side(command, folder, answers_file)
    theirs, their_read, their_scored = python_side(folder, answers_file)
    same = abs(ours - theirs) < 1e-6
    print(f"VQAv2 val, {QUESTIONS} questions: accuracy {ours:.6f} and {theirs:.6f}: {'equal' if same else 'DIFFERENT'}")
    print(f"{'':24}{'vila-bench':>12}{'Python':>12}{'ratio':>9}{'goal':>9}")
    print(f"{'read, s':24}{read:12.2f}{their_read:12.2f}{their_read / read:9.1f}{'':>9}")
    print(f"{'score, s':24}{scored:12.2f}{their_scored:12.2f}{their_scored / scored:9.1f}{'>= 50':>9}")
    print(f"{'both, s':24}{wall:12.2f}{their_read + their_scored:12.2f}{(their_read + their_scored) / wall:9.1f}{'':>9}")
    print(f"{'peak memory, MB':24}{peak:12.0f}{'':>12}{'':>9}{'<= 1500':>9}")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
