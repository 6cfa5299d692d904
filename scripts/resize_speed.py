"""Resizing an RGB image by convmat and by PyTorch, in turns: what one takes per what the other takes.

    cargo build --release -p convmat-measure --example resize_rate
    python3 -m venv venv && venv/bin/pip install numpy torch==2.15.0
    venv/bin/python scripts/resize_speed.py [--size 2048] [--rounds 5] [--threads 2]

x2 bilinear and bicubic of a [1, 3, size, size] float32 tensor (4 megapixels at 2048, 4 megapixels of output
at 1024), and antialiased halving. In every round each side takes the median of its calls, convmat in a
process of its own; the ratio (PyTorch's time per convmat's, above 1 where convmat is faster) is the median
over the rounds. "reused" writes to an output allocated before, "fresh" allocates it in every call, as
`interpolate` does (PyTorch takes an `out` in the operators below it).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = {
    "bilinear": (torch.ops.aten.upsample_bilinear2d, "bilinear", 2.0, False),
    "bicubic": (torch.ops.aten.upsample_bicubic2d, "bicubic", 2.0, False),
    "antialiased bilinear": (torch.ops.aten._upsample_bilinear2d_aa, "bilinear", 0.5, True),
    "antialiased bicubic": (torch.ops.aten._upsample_bicubic2d_aa, "bicubic", 0.5, True),
}


def median(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def torch_times(x, repeats):
    times = {}
    for name, (operator, mode, scale, antialias) in CASES.items():
        size = [int(length * scale) for length in x.shape[2:]]
        out = torch.empty(*x.shape[:2], *size)
        fresh = lambda: F.interpolate(x, scale_factor=scale, mode=mode, align_corners=False, antialias=antialias)
        reused = lambda: operator.out(x, size, False, scale, scale, out=out)
        reused()
        assert torch.equal(out, fresh())
        times[name] = {"reused": median(reused, repeats), "fresh": median(fresh, repeats)}
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "examples" / "resize_rate"
    if not program.exists():
        raise SystemExit(f"{program} is missing; cargo build --release -p convmat-measure --example resize_rate")
    torch.set_num_threads(arguments.threads)
    x = torch.rand(1, 3, arguments.size, arguments.size)
    rounds = []
    for _ in range(arguments.rounds):
        command = [program, *map(str, (arguments.size, arguments.threads, arguments.repeats))]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rounds.append((ours, torch_times(x, arguments.repeats)))
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.size} x {arguments.size} RGB float32")
    print(f"{'':22} {'output':8} {'convmat ms':>10} {'torch ms':>9} {'ratio':>6} {'least':>6}")
    for name in CASES:
        for output in ("reused", "fresh"):
            pairs = [(ours[name][output], theirs[name][output]) for ours, theirs in rounds]
            ratios = [theirs / ours for ours, theirs in pairs]
            ours, theirs = (statistics.median(column) for column in zip(*pairs))
            print(
                f"{name:22} {output:8} {ours:10.1f} {theirs:9.1f} {statistics.median(ratios):6.2f} {min(ratios):6.2f}"
            )


main()
