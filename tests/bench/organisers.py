"""The organisers' method of scoring VQAv2, in Python.

What vqaEval.py does, written anew from its published rules: every answer of a question whose answers differ is
normalised, then the prediction is compared with each leave-one-out set.
"""

import json
import os
import re
import time

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


def score(folder):
    """Accuracy over the invented VQAv2 val in `folder`, and the seconds of reading and of scoring."""
    start = time.perf_counter()
    annotations = json.load(open(os.path.join(folder, "vqav2/v2_mscoco_val2014_annotations.json"), encoding="utf-8"))
    json.load(open(os.path.join(folder, "vqav2/v2_OpenEnded_mscoco_val2014_questions.json"), encoding="utf-8"))
    said = {}
    for line in open(os.path.join(folder, "answers.jsonl"), encoding="utf-8"):
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
