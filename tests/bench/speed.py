"""Speed: vila-bench against transformers, one question at a time, on the same checkpoint and the same questions.

Both compute in float32 on the CPU with the same number of threads, one after the other, in one run of this script.
EOS is ignored and answer lengths are fixed on both sides. The questions are those of the benchmarks' own files, the
pictures are drawn at random, one file a name. The rival answers a seeded sample of each workload.

Usage: .oracle/bin/python tests/bench/speed.py target/release/vila-bench [--folder .bench/speed] [--sample 64]
           [--workloads pope,gqa] [--data ../shared/data]
"""

import argparse
import collections
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import time

import numpy as np
import torch
import transformers
from PIL import Image

import checkpoint

SEED = 20260103
LETTER = "\nAnswer with the option's letter from the given choices directly."
# Where two logits are closer than this, two programs may choose differently.
MARGIN = 1e-3

# name: (questions, tokens of an answer, questions/s against the rival that we mean to reach)
WORKLOADS = {
    "pope": (504, 2, 15.0),
    "gqa": (320, 3, 20.0),
    "mmbench": (148, 2, 4.0),
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


def write_workload(name, count, data, folder):
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
    with open(folder / "llava-mm-vet.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return rows


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


def run_ours(command, model, data, out, tokens, more=()):
    """Answers by question number, seconds of asking, CPU seconds of the whole process, the report of the run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(out / model.name / "mm-vet@all", ignore_errors=True)
    arguments = [command, "run", "--model", model, "--tasks", "mm-vet", "--data", data, "--out", out]
    arguments += ["--max-new-tokens", str(tokens), "--ignore-eos", "--no-dedupe", *more]
    ran = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    folder = next(iter((out / model.name).glob("mm-vet@*")), None)
    if ran.returncode != 0 or folder is None:
        raise SystemExit(f"vila-bench: {ran.returncode}\n{ran.stderr}")
    answers = {row["id"].rsplit("_", 1)[-1]: row for row in lines(folder / "predictions.jsonl")}
    segment = json.loads((folder / "manifest.json").read_text())["segments"][-1]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return answers, segment["seconds"], cpu, segment["report"]


class Rival:
    """transformers as the evaluation loops of LLaVA and lmms-eval use it."""

    def __init__(self, folder):
        self.model = transformers.LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.generation_config.eos_token_id = None
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.processor = transformers.LlavaProcessor(
            transformers.CLIPImageProcessor.from_pretrained(folder),
            tokenizer,
            patch_size=checkpoint.TOWER["patch_size"],
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )

    @torch.inference_mode()
    def generate(self, picture, text, tokens, **more):
        image = Image.open(picture).convert("RGB")
        prompt = f"USER: <image>\n{text} ASSISTANT:"
        inputs = self.processor(images=image, text=prompt, return_tensors="pt")
        length = inputs["input_ids"].shape[1]
        return length, self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens, **more)

    def answer(self, picture, text, tokens):
        length, ids = self.generate(picture, text, tokens)
        said = ids[0, length:]
        assert len(said) == tokens, (len(said), tokens)
        return self.processor.tokenizer.decode(said, skip_special_tokens=True).strip(), tuple(said.tolist())

    def closest(self, picture, text, tokens):
        """The smallest lead of a best logit along the answer."""
        _, out = self.generate(picture, text, tokens, output_logits=True, return_dict_in_generate=True)
        leads = [torch.topk(logits[0], 2).values for logits in out.logits]
        return min(float(best[0] - best[1]) for best in leads)


def measure(name, arguments, model, rival, folder):
    count, tokens, target = WORKLOADS[name]
    data = folder / name
    rows = write_workload(name, count, arguments.data, data)
    answers, seconds, cpu, report = run_ours(arguments.command, model, data, folder / "runs", tokens)
    alone, *_ = run_ours(arguments.command, model, data, folder / "alone", tokens, ["--one-at-a-time"])
    differing = [n for n in answers if answers[n]["answer"] != alone[n]["answer"]]
    sample = random.Random(SEED).sample(rows, min(arguments.sample, len(rows)))
    rival.answer(data / "images" / sample[0]["image"], sample[0]["text"], 2)
    start, cpu_start = time.perf_counter(), time.process_time()
    theirs = [rival.answer(data / "images" / row["image"], row["text"], tokens) for row in sample]
    their_rate = len(sample) / (time.perf_counter() - start)
    their_cpu = time.process_time() - cpu_start
    # On a busy machine wall time measures the neighbours; CPU time, with our loading counted, does less so.
    cpu_ratio = (their_cpu / len(sample)) / (cpu / len(rows))
    our_rate = len(rows) / seconds
    other = []
    for row, (text, _) in zip(sample, theirs):
        if answers[str(row["question_id"])]["answer"] != text:
            other.append((row["question_id"], rival.closest(data / "images" / row["image"], row["text"], tokens)))
    distinct = len({ids for _, ids in theirs}) / len(theirs)
    pictures = len({row["image"] for row in rows})
    print(
        f"{name:8} {len(rows):5} questions {pictures:4} pictures  ours {our_rate:8.2f}/s  rival {their_rate:6.2f}/s of "
        f"{len(sample):3}  ratio {our_rate / their_rate:6.2f} (CPU seconds {cpu_ratio:6.2f})  target {target:5.1f}  distinct {distinct:4.0%}  "
        f"asked again {report['work']['close']}",
        flush=True,
    )
    print(f"         {json.dumps(report['spent'])}")
    print(f"         differing from our one-at-a-time path: {len(differing)} {differing[:5]}")
    bad = [(question, lead) for question, lead in other if lead > MARGIN]
    print(f"         differing from the rival: {len(other)}; of these with every lead over {MARGIN}: {len(bad)}")
    for question, lead in other:
        print(f"           question {question}: smallest lead of the rival {lead:.2e}")
    return not differing and not bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(".bench/speed"))
    parser.add_argument("--sample", type=int, default=64)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    default = os.environ.get("VILA_BENCH_REFERENCE_DATA", "../shared/data")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(default))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"skipped: the benchmarks' question files are not at `{arguments.data}`")
    model = arguments.folder / "checkpoint"
    checkpoint.write(model, arguments.data / "llama2-tokenizer/tokenizer.model")
    rival = Rival(model)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}")
    # What batching moves is measured once for a model and kept; the workloads start from there.
    names = arguments.workloads.split(",")
    warm = arguments.folder / "warm"
    write_workload("mm-vet", 12, arguments.data, warm)
    run_ours(arguments.command, model, warm, arguments.folder / "runs", 80)
    sound = [measure(name, arguments, model, rival, arguments.folder) for name in names]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of vila-bench over all workloads: {peak:.0f} MiB")
    raise SystemExit(0 if all(sound) else 1)


if __name__ == "__main__":
    main()
