"""Times and peak memory of vila-bench on invented data of real size, beside the goals, and beside the organisers' method
in Python on the same files in the same run.

Usage: python3 tests/bench/bench.py target/release/vila-bench [FOLDER [PART]]

FOLDER, default `.bench`, takes about 2.6 GB. Exit 1 where a goal is missed or the two accuracies differ. With PART, a
number, one PARTth of every size: a test of the bench, whose goals are then none.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import invent
import organisers

MB = 1e6


def ran(command, arguments):
    """Seconds, peak memory in MB and the finished command."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(done.returncode)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, command, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    said, peak = done.stderr.rstrip("\n").rsplit("\n", 1) if "\n" in done.stderr.rstrip("\n") else ("", done.stderr)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {said}")
    done.stderr = said
    return seconds, int(peak) * 1024 / MB, done


class Table:
    """Lines of what was measured and what it should be."""

    def __init__(self, with_goals):
        self.lines, self.missed, self.with_goals = [], 0, with_goals

    def add(self, what, value, unit, goal=None, least=False):
        goal = goal if self.with_goals else None
        met = goal is None or (value >= goal if least else value < goal)
        self.missed += not met
        wanted = "" if goal is None else f"{'>=' if least else '<'} {goal:g} {unit}"
        self.lines.append(f"{what:62}{value:10.2f} {unit:4}{wanted:>12}  {'' if goal is None else 'met' if met else 'MISSED'}")

    def print(self):
        print(f"{'what':62}{'measured':>10}     {'goal':>12}")
        print("\n".join(line.rstrip() for line in self.lines))


def vqav2_val(command, folder, rows, table):
    seconds, peak, done = ran(command, [
        "score", "--task", "vqav2", "--split", "val", "--protocol", "official", "--format", "json",
        "--data", folder, "--answers", os.path.join(folder, "answers.jsonl"),
    ])
    read, scored = map(float, re.search(r"read in ([\d.]+) s, scored in ([\d.]+) s", done.stderr).groups())
    ours = json.loads(done.stdout)["metrics"]["accuracy"]["value"]
    theirs, their_read, their_scored = organisers.score(folder)
    same = abs(ours - theirs) < 1e-6
    table.missed += not same
    print(f"accuracy of both: {ours:.6f} and {theirs:.6f}, {'equal' if same else 'DIFFERENT'}")
    what = f"VQAv2 val, {rows} questions"
    table.add(f"{what}: read", read, "s")
    table.add(f"{what}: score", scored, "s", 2)
    table.add(f"{what}: score, the organisers' method", their_scored, "s")
    table.add(f"{what}: score, times faster", their_scored / max(scored, 0.01), "x", 50, least=True)
    table.add(f"{what}: all, times faster", (their_read + their_scored) / seconds, "x")
    table.add(f"{what}: peak memory", peak, "MB", 1500)


def vqav2_test(command, folder, rows, table):
    out = os.path.join(folder, "upload.json")
    seconds, peak, _ = ran(command, [
        "export", "--task", "vqav2", "--data", folder, "--answers", os.path.join(folder, "answers.jsonl"), "--out", out,
    ])
    written = len(json.load(open(out, encoding="utf-8")))
    if written != rows:
        sys.exit(f"{out} has {written} records for {rows} questions")
    table.add(f"VQAv2 test, upload of {rows} rows: read, convert, write", seconds, "s", 5)
    table.add(f"VQAv2 test, upload of {rows} rows: peak memory", peak, "MB")


def pictures(what, task):
    def check(command, folder, rows, table):
        seconds, peak, done = ran(command, ["data", "check", "--tasks", task, "--data", folder])
        if f"{rows}, {rows} readable" not in done.stdout:
            sys.exit(f"{what}: {done.stdout}")
        table.add(f"{what}, {rows} pictures: read and decode each", seconds, "s")
        table.add(f"{what}, {rows} pictures: peak memory", peak, "MB", 500)

    return check


def replayed(command, folder, rows, table):
    """What the harness takes for a question beside the model: answers from a file, 100 to 100,000 of them."""
    microseconds = {}
    for count in [limit for limit in (100, 1_000, 10_000, 100_000) if limit <= rows]:
        out = os.path.join(folder, "runs")
        shutil.rmtree(out, ignore_errors=True)
        _, peak, _ = ran(command, [
            "run", "--model", os.path.join(folder, "answers.jsonl"), "--tasks", "vqav2", "--split", "val",
            "--data", folder, "--out", out, "--limit", str(count),
        ])
        manifest = glob.glob(os.path.join(out, "*", "vqav2@*", "manifest.json"))[0]
        segment = json.load(open(manifest, encoding="utf-8"))["segments"][-1]
        if segment["asked"] != count:
            sys.exit(f"{segment['asked']} of {count} questions were asked")
        microseconds[count] = segment["seconds"] / count * 1e6
        table.add(f"replayed answers, {count} questions: each", microseconds[count], "us")
    if 100_000 in microseconds:
        table.add("replayed answers: a question of 100,000 beside one of 1,000", microseconds[100_000] / microseconds[1_000], "x", 1.5)
        table.add("replayed answers, 100,000 questions: peak memory", peak, "MB")


SIZES = {
    "vqav2-val": (214_354, vqav2_val),
    "vqav2-test": (447_793, vqav2_test),
    "mmbench-tsv": (4_377, pictures("MMBench TSV", "mmbench")),
    "pope-parquet": (9_000, pictures("POPE Parquet in 3 files", "pope")),
    "vqav2-parquet": (9_600, pictures("VQAv2 Parquet in files of 150 rows", "vqav2")),
}


def main():
    command = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else ".bench"
    part = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    table = Table(with_goals=part == 1)
    for kind, (rows, measure) in SIZES.items():
        rows //= part
        print(f"{kind}: {rows} rows", file=sys.stderr)
        measure(command, invent.invent(kind, os.path.join(folder, kind), rows), rows, table)
        if kind == "vqav2-val":
            replayed(command, os.path.join(folder, kind), rows, table)
    table.print()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(1 if table.missed else 0)


if __name__ == "__main__":
    main()
