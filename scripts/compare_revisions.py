#!/usr/bin/env python3
"""Layers by two revisions, in turns on one machine: whether the newer one lost speed.

    scripts/compare_revisions.py OLD NEW [LAYERS.json] [--rounds 9] [--threads 2] [--only NAME,NAME]

OLD and NEW are revisions, or binaries of `examples/layers.rs`. In every round both run all layers, each round in the other order than
the one before. Of every layer it prints the quartiles of old time / new time over the rounds: above 1 where NEW is faster. At the end
come the geometric mean of the medians and the layer with the least upper quartile. LAYERS.json is described in `examples/layers.rs`;
without one, it is `benches/layers.json`.

Needs nothing beyond Python 3.9, git and cargo. Exits 1 if a revision cannot be built or a result is wrong.
"""

import argparse
import contextlib
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from revisions import ROOT, checkout


def binary(revision, folder):
    """`examples/layers` of a revision, or the file itself."""
    if pathlib.Path(revision).is_file():
        return pathlib.Path(revision).resolve()
    with checkout(revision) as clone:
        command = ["cargo", "build", "--quiet", "--release", "--locked", "--example", "layers", "--target-dir", "target"]
        subprocess.run(command, cwd=clone, check=True)
        copy = folder / f"layers-{len(list(folder.iterdir()))}"
        shutil.copy(clone / "target/release/examples/layers", copy)
        return copy


def seconds(program, layers, options, folder):
    """Median seconds of every layer."""
    path = folder / "times.json"
    subprocess.run([program, layers, *options, "--json", path], check=True, stdout=subprocess.DEVNULL)
    return {name: layer["seconds"] for name, layer in json.loads(path.read_text())["layers"].items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("layers", nargs="?", type=pathlib.Path, default=ROOT / "benches/layers.json")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("quartiles need at least two rounds")
    options = ["--threads", arguments.threads] + (["--only", arguments.only] if arguments.only else [])
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convmat-")))
        programs = [binary(revision, folder) for revision in (arguments.old, arguments.new)]
        ratios = {}
        for number in range(arguments.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            times = {which: seconds(programs[which], arguments.layers, options, folder) for which in order}
            for name, new in times[1].items():
                ratios.setdefault(name, []).append(times[0][name] / new)
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    quartiles = {name: statistics.quantiles(of_layer, n=4, method="inclusive") for name, of_layer in ratios.items()}
    width = max(map(len, quartiles))
    print(f"{'layer':{width}}  lower  median  upper   (old time / new time)")
    for name, (low, median, high) in quartiles.items():
        print(f"{name:{width}}  {low:5.3f}   {median:5.3f}  {high:5.3f}")
    mean = math.exp(statistics.fmean(math.log(median) for _, median, _ in quartiles.values()))
    worst = min(quartiles, key=lambda name: quartiles[name][2])
    print(f"geometric mean of the medians {mean:.3f}; least upper quartile {quartiles[worst][2]:.3f} ({worst})")


if __name__ == "__main__":
    sys.exit(main())
