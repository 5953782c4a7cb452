"""Speed: vila-bench against transformers, one question at a time, on the same checkpoint and the same questions.

Both compute in float32 on the CPU with the same number of threads, one after the other, in one run of this script.
EOS is ignored and answer lengths are fixed on both sides. The questions are those of the benchmarks' own files, the
pictures are drawn at random, one file a name. The rival answers a seeded sample of each workload; of the same sample
our token ids are compared with the rival's and with our own path of one question at a time.

Usage: .oracle/bin/python tests/bench/speed.py target/release/vila-bench [--folder .bench/speed] [--sample 64]
           [--workloads pope,gqa,jpeg,3b] [--data ../shared/data]

Every workload's figures are in FOLDER/results.jsonl as soon as they are known; `--table` prints the table of what is
there. About 35 minutes on two cores.

The bound of a workload is the ratio that our work would reach if nothing but its products with weights and the tower's
attention took time, each as fast as libtorch computes it alone on this machine in the same run, at the same shapes; of
the jpeg line, if nothing but decoding took time.

Below the ratios stand the other goals of every run of ours: seconds outside libtorch, seconds before and behind the
asking (the model's loading apart), memory beyond weights, keys and values; of the 3b line the shares of the machine's
own rates as well, which `--trace` measures at the model's shapes.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import torch
import transformers

import checkpoint
import workloads
from rival import Rival
from workloads import WORKLOADS, lines

HERE = pathlib.Path(__file__).resolve().parent
# Where two logits are closer than this, two programs may choose differently.
MARGIN = 1e-3
# Stages of a run that are spent inside libtorch.
IN_LIBTORCH = ("tower", "projector", "prefill", "steps", "alone")
JPEG_GOAL = 3.0
# Of the 3b line: three decode steps.
LARGE_TOKENS = 4
# Share of a run, seconds, MiB; shares of the machine's matrix rate and read bandwidth.
OUTSIDE_GOAL, BESIDE_GOAL, MEMORY_GOAL, RATE_GOAL = 0.03, 1.0, 600, 0.8

# Says status, seconds, CPU seconds and peak KiB of a command. A process of its own, since Linux counts what the process
# that starts another one has in memory as that one's peak: here, the rival's weights.
LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
seconds, usage = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


def run_ours(command, model, data, out, tokens, more=()):
    """What a run of all questions of `data` took and said; `kept` is what the results keep of it."""
    shutil.rmtree(out / model.name / "mm-vet@all", ignore_errors=True)
    arguments = [command, "run", "--model", model, "--tasks", "mm-vet", "--data", data, "--out", out]
    arguments += ["--max-new-tokens", tokens, "--ignore-eos", "--no-dedupe", *more]
    launcher = [sys.executable, "-c", LAUNCHER, *map(str, arguments)]
    with open(out.with_suffix(".log"), "w+", encoding="utf-8") as log:
        done = subprocess.run(launcher, stdout=subprocess.PIPE, stderr=log, check=True)
        status, wall, cpu, peak = json.loads(done.stdout)
        log.seek(0)
        said = log.read()
    folder = next(iter((out / model.name).glob("mm-vet@*")), None)
    if status != 0 or folder is None:
        raise SystemExit(f"vila-bench: {status}\n{said}")
    segment = json.loads((folder / "manifest.json").read_text())["segments"][-1]
    loaded = float(re.search(r"model loaded in ([\d.]+) s", said).group(1))
    entries = {int(row["id"].rsplit("_", 1)[-1]): row for row in lines(folder / "predictions.jsonl")}
    seconds, report = segment["seconds"], segment["report"]
    peak /= 1024
    return {
        "ids": {number: row["ids"] for number, row in entries.items()},
        "seconds": seconds,
        "cpu": cpu,
        "kept": {
            "report": report,
            "outside_libtorch": 1 - sum(report["spent"][stage] for stage in IN_LIBTORCH) / seconds,
            "beside_s": wall - seconds - loaded,
            "peak_mib": peak,
            "memory_mib": peak - checkpoint.mebibytes(model, 4) - report["work"]["kv_bytes"] / 2**20,
        },
    }


def fastest(call):
    """Seconds of the fastest of five."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def product(rows, inputs, outputs):
    """Seconds of a float32 product of these shapes with weights, by the faster of the two libraries in libtorch."""
    rows = max(1, round(rows))
    x, weight, out = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.empty(rows, outputs)
    onednn = torch.ops.mkldnn._linear_pointwise
    return min(
        fastest(lambda: torch.mm(x, weight.t(), out=out)), fastest(lambda: onednn(x, weight, None, "none", [], ""))
    )


def of_tower(tower, hidden):
    """Seconds of the products of a picture: tower, its attention, projector."""
    width, inner, heads = tower["hidden_size"], tower["intermediate_size"], tower["num_attention_heads"]
    patches = (tower["image_size"] // tower["patch_size"]) ** 2 + 1
    x = torch.randn(1, heads, patches, width // heads)
    attention = fastest(lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x))
    block = 4 * product(patches, width, width) + product(patches, width, inner) + product(patches, inner, width)
    projector = product(patches, width, hidden) + product(patches, hidden, hidden)
    return (tower["num_hidden_layers"] - 1) * (block + attention) + projector


def of_products(shape, questions, work):
    """Seconds of the products that `work` counts, each at the mean shape of its passes; the decoder's attention is
    left out. The last layer computes no more than keys and values for positions whose output nobody asks for."""
    decoder = shape.decoder
    width, inner, layers = decoder["hidden_size"], decoder["intermediate_size"], decoder["num_hidden_layers"]
    passes, steps = work["prefill_passes"], work["decode_steps"]

    def square(rows):
        return product(rows, width, width)

    def mlp(rows):
        return 2 * product(rows, width, inner) + product(rows, inner, width)

    def head(rows):
        return product(rows, width, checkpoint.VOCABULARY)

    new, asked = work["prefilled"] / passes, questions / passes
    prefill = (layers - 1) * (4 * square(new) + mlp(new)) + 2 * square(new) + 2 * square(asked) + mlp(asked) + head(asked)
    seconds = work["tower_forwards"] * of_tower(shape.tower, width) + passes * prefill
    if steps:
        fed = work["decoded"] / steps
        seconds += steps * (layers * (4 * square(fed) + mlp(fed)) + head(fed))
    return seconds


class Bench:
    def __init__(self, arguments):
        self.arguments, self.folder = arguments, arguments.folder
        self.results = self.folder / "results.jsonl"

    def keep(self, row):
        with open(self.results, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def traced(self):
        return ["--trace", self.folder / "trace.json"]

    def ours(self, model, data, out, tokens, more=()):
        return run_ours(self.arguments.command, model, data, self.folder / out, tokens, more)

    def measure(self, name, shape, model, rival):
        count, tokens, goal = WORKLOADS[name]
        data = self.folder / name
        rows = workloads.write(name, count, self.arguments.data, data)
        ours = self.ours(model, data, "runs", tokens, self.traced())
        sample = random.Random(workloads.SEED).sample(rows, min(self.arguments.sample, len(rows)))
        workloads.write_part(sample, data, self.folder / "sample")
        alone = self.ours(model, self.folder / "sample", "alone", tokens, ["--one-at-a-time"])
        rival.answer(data / "images" / sample[0]["image"], sample[0]["text"], 2)
        start, cpu = time.perf_counter(), time.process_time()
        theirs = [rival.answer(data / "images" / row["image"], row["text"], tokens) for row in sample]
        their_seconds, their_cpu = time.perf_counter() - start, time.process_time() - cpu
        numbers = [row["question_id"] for row in sample]
        # Where ids differ, the leads say whether they had to be equal.
        parted = [n for n, ids in zip(range(len(sample)), theirs) if ours["ids"][numbers[n]] != ids]
        leads = {
            numbers[n]: rival.closest(data / "images" / sample[n]["image"], sample[n]["text"], tokens) for n in parted
        }
        ideal = of_products(shape, len(rows), ours["kept"]["report"]["work"])
        a_rival = their_seconds / len(sample)
        self.keep({
            "workload": name,
            "questions": len(rows),
            "pictures": len({row["image"] for row in rows}),
            "ours_per_s": len(rows) / ours["seconds"],
            "rival_per_s": 1 / a_rival,
            "ratio": a_rival / (ours["seconds"] / len(rows)),
            "cpu_ratio": (their_cpu / len(sample)) / (ours["cpu"] / len(rows)),
            "goal": goal,
            "bound": a_rival / (ideal / len(rows)),
            "distinct": len(set(map(tuple, ours["ids"].values()))) / len(rows),
            "other_than_alone": [n for n in numbers if ours["ids"][n] != alone["ids"][n]],
            "other_than_rival": leads,
            **ours["kept"],
            # Of a run without `--trace`, whose own measurements take a second.
            "beside_s": alone["kept"]["beside_s"],
        })

    def measure_pictures(self, rival):
        """JPEG files of 640 x 480 to the tower's input, one core each."""
        pictures = sorted((self.folder / "vizwiz" / "images").glob("*.jpg"))
        if not pictures:
            workloads.write("vizwiz", WORKLOADS["vizwiz"][0], self.arguments.data, self.folder / "vizwiz")
            pictures = sorted((self.folder / "vizwiz" / "images").glob("*.jpg"))
        program = self.arguments.command.resolve().parent / "examples" / "pictures"
        rates, decoded = {"ours_per_s": 0.0, "rival_per_s": 0.0}, 0.0
        for _ in range(5):
            said = subprocess.run([program, self.folder / "checkpoint", *pictures], stdout=subprocess.PIPE, check=True)
            said = json.loads(said.stdout)
            rates["ours_per_s"] = max(rates["ours_per_s"], said["pictures_per_s"])
            decoded = max(decoded, said["decoded_per_s"])
            rates["rival_per_s"] = max(rates["rival_per_s"], rival.pictures_per_second(pictures))
        self.keep({
            "workload": "jpeg",
            "pictures": len(pictures),
            **rates,
            "ratio": rates["ours_per_s"] / rates["rival_per_s"],
            "goal": JPEG_GOAL,
            "bound": decoded / rates["rival_per_s"],
        })

    def measure_3b(self):
        """One picture, eight questions, a checkpoint of 3B's shape; each side in a process of its own."""
        model, data = self.folder / "checkpoint-3b", self.folder / "3b"
        rows = workloads.write("pope", 1, self.arguments.data, data)[:8]
        workloads.write_questions(rows, data)
        checkpoint.write(model, self.arguments.data / "llama2-tokenizer/tokenizer.model", checkpoint.LARGE)
        try:
            plain = self.ours(model, data, "runs", LARGE_TOKENS)
            ours = self.ours(model, data, "runs", LARGE_TOKENS, self.traced())
            said = subprocess.run(
                [sys.executable, HERE / "rival.py", model, data, str(LARGE_TOKENS)], stdout=subprocess.PIPE, check=True
            )
        finally:
            shutil.rmtree(model)
        theirs = json.loads(said.stdout)
        self.keep({
            "workload": "3b",
            "questions": len(rows),
            "pictures": 1,
            "ours_per_s": len(rows) / ours["seconds"],
            "rival_per_s": len(rows) / theirs["seconds"],
            "ratio": theirs["seconds"] / ours["seconds"],
            "other_than_rival": [n for n, ids in enumerate(theirs["ids"]) if ours["ids"][n] != ids],
            "rival_peak_mib": theirs["peak"],
            **ours["kept"],
            "beside_s": plain["kept"]["beside_s"],
        })


def other_goals(row):
    """What a run of ours should also be: what, how much, of what, whether it is."""
    if "outside_libtorch" not in row:
        return
    outside, memory = row["outside_libtorch"], row["memory_mib"]
    yield "outside libtorch", outside, "%", outside < OUTSIDE_GOAL
    yield "start and end", row["beside_s"], "s", row["beside_s"] < BESIDE_GOAL
    yield "memory beyond weights, keys and values", memory, "MiB", memory <= MEMORY_GOAL
    rates = row["report"].get("rates")
    if row["workload"] == "3b" and rates:
        yield "prefill, of the matrix rate", rates["prefill"], "%", rates["prefill"] >= RATE_GOAL
        yield "decode, of the read bandwidth", rates["decode"], "%", rates["decode"] >= RATE_GOAL
        # Two operations a row with every weight of four bytes, were each at the matrix rate.
        work = row["report"]["work"]
        bound = rates["matrix"] / (2 * work["decoded"] / work["decode_steps"] / 4) / rates["read"]
        yield "bound of that: decode at the matrix rate", bound, "%", True


def table(rows):
    """The latest of every workload; whether all is sound."""
    print(f"{'workload':9}{'questions':>10}{'ours/s':>9}{'rival/s':>9}{'ratio':>8}{'goal':>7}{'bound':>8}{'distinct':>10}{'peak MiB':>10}")
    sound = True
    for row in {row["workload"]: row for row in rows}.values():
        goal, bound = row.get("goal"), row.get("bound")
        missed = goal is not None and row["ratio"] < goal
        cells = [
            f"{row['workload']:9}{row.get('questions', row.get('pictures')):10}{row['ours_per_s']:9.2f}{row['rival_per_s']:9.2f}",
            f"{row['ratio']:8.2f}{'' if goal is None else goal:>7}{'' if bound is None else format(bound, '.1f'):>8}",
            f"{format(row['distinct'], '.0%') if 'distinct' in row else '':>10}{row.get('peak_mib', 0):10.0f}",
        ]
        print("".join(cells) + ("  MISSED" if missed else ""))
        if "cpu_ratio" in row:
            print(f"{'':9} in CPU seconds {row['cpu_ratio']:.2f}; asked again {row['report']['work']['close']}")
        for what, value, unit, met in other_goals(row):
            print(f"{'':9} {what}: {value:{'.1%' if unit == '%' else '.2f'}}{'' if unit == '%' else ' ' + unit}{'' if met else '  MISSED'}")
        other = row.get("other_than_rival", [])
        wrong = [n for n, lead in other.items() if lead > MARGIN] if isinstance(other, dict) else []
        alone = row.get("other_than_alone", [])
        sound &= not wrong and not alone
        if alone:
            print(f"{'':9} OTHER TOKENS than one question at a time: {alone}")
        if other:
            print(f"{'':9} other tokens than the rival's, with its smallest lead: {other}; over {MARGIN}: {wrong}")
    return sound


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(".bench/speed"))
    parser.add_argument("--sample", type=int, default=64)
    parser.add_argument("--workloads", default=",".join([*WORKLOADS, "jpeg", "3b"]))
    parser.add_argument("--table", action="store_true", help="measure nothing: print what is in FOLDER/results.jsonl")
    default = os.environ.get("VILA_BENCH_REFERENCE_DATA", "../shared/data")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(default))
    arguments = parser.parse_args()
    bench = Bench(arguments)
    if arguments.table:
        raise SystemExit(0 if table(lines(bench.results)) else 1)
    if not arguments.data.is_dir():
        raise SystemExit(f"skipped: the benchmarks' question files are not at `{arguments.data}`")
    names = arguments.workloads.split(",")
    unknown = [name for name in names if name not in WORKLOADS and name not in ("jpeg", "3b")]
    if unknown:
        raise SystemExit(f"no workload `{unknown[0]}`; there are {', '.join(WORKLOADS)}, jpeg and 3b")
    model = arguments.folder / "checkpoint"
    checkpoint.write(model, arguments.data / "llama2-tokenizer/tokenizer.model", checkpoint.SMALL)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}")
    if names != ["3b"]:
        rival = Rival(model)
    if set(names) & set(WORKLOADS):
        # What batching moves is measured once for a model and kept; the workloads start from there.
        warm = arguments.folder / "warm"
        workloads.write("mm-vet", 12, arguments.data, warm)
        bench.ours(model, warm, "runs", 80)
    before = len(lines(bench.results)) if bench.results.exists() else 0
    for name in names:
        if name in WORKLOADS:
            bench.measure(name, checkpoint.SMALL, model, rival)
        elif name == "jpeg":
            bench.measure_pictures(rival)
    if "3b" in names:
        rival = None
        bench.measure_3b()
    raise SystemExit(0 if table(lines(bench.results)[before:]) else 1)


if __name__ == "__main__":
    main()
