"""Resizing by convmat against PyTorch on random shapes: results and gradients.

    python3 -m venv venv && venv/bin/pip install numpy safetensors torch==2.15.0
    venv/bin/python scripts/compare_resize.py [--seed 7] [--cases 200]

Writes the cases as a conformance folder into a temporary directory and runs `cargo run --release --example
conformance` on it: that many in float32, where results have to agree to 1e-5 of the largest value, and as
many in float64, to 1e-10 (and to 1e-5 in float32). 1-D to 3-D; nearest, nearest-exact, linear, cubic, both
values of align_corners, antialiased up and down; given a size, or a scale factor with recompute_scale_factor
None, False and True. Exits with 1 if a case fails.

Where PyTorch itself is off by more, cases are drawn otherwise:
* its float32 coordinates lose a digit on long axes, so float32 cases are at most 32 long and float64 ones
  200;
* its nearest modes take indices times a float32 scale, which can fall short of the integer that the exact
  product is: such cases are drawn again, and counted;
* a scale that leaves an axis as long as it was (1.1 on 4), or doubles it without being 2, counts forward and
  not backward, or not at all, depending on the mode: drawn again too;
* antialiased to a width of 1 it leaves the height alone (torch 2.15: [[0], [10]] to 5 x 1 gives zeros):
  likewise.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
from fractions import Fraction

import numpy
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
LONGEST = {"single": {1: 32, 2: 32, 3: 9}, "double": {1: 200, 2: 90, 3: 9}}


def rule(nd):
    """PyTorch's arguments, and the attributes that mean the same."""
    kinds = ["nearest", "nearest-exact", "linear", "linear aligned"]
    if nd == 2:
        kinds += ["cubic", "cubic aligned", "linear antialiased", "cubic antialiased"] * 2
    kind = random.choice(kinds)
    base, _, variant = kind.partition(" ")
    if base.startswith("nearest"):
        exact = base == "nearest-exact"
        mode = {"mode": base}
        attrs = {"mode": "nearest", "nearest_mode": "round_prefer_ceil" if exact else "floor"}
        return mode, {**attrs, "coordinate": "half_pixel" if exact else "asymmetric"}
    aligned, antialias = variant == "aligned", variant == "antialiased"
    mode = {"mode": LINEAR[nd] if base == "linear" else "bicubic", "align_corners": aligned, "antialias": antialias}
    attrs = {"mode": base, "coordinate": "align_corners" if aligned else "half_pixel"}
    coefficient = -0.5 if antialias else -0.75
    return mode, {**attrs, "antialias": antialias, "exclude_outside": antialias, "cubic_coeff_a": coefficient}


def target(size, aligned):
    """What to resize to: PyTorch's arguments, and the attributes."""
    if random.random() < 0.4:
        wanted = [random.randint(1, 3 * length) for length in size]
        return {"size": wanted}, {"output_size": wanted, "scale": None}
    factors = [random.choice([0.5, 1 / 3, 1.0, 1.5, 2.0, 3.0, 4.0, round(random.uniform(0.2, 3.5), 3)]) for _ in size]
    factors = [factor if length * factor >= 1 else 2.0 for length, factor in zip(size, factors)]
    recompute = random.choice([None, False, True])
    wanted = [math.floor(length * factor) for length, factor in zip(size, factors)]
    # PyTorch forgets the scale factor where it recomputes it, and where corners are aligned.
    given = None if recompute or aligned else factors
    return {"scale_factor": factors, "recompute_scale_factor": recompute}, {"output_size": wanted, "scale": given}


def rounding_decides(size, attrs):
    """Whether an exact nearest source is an integer that PyTorch's float32 arithmetic may miss."""
    half = Fraction(1, 2) if attrs["coordinate"] == "half_pixel" else Fraction(0)
    scales = attrs["scale"] or [None] * len(size)
    for length, output, scale in zip(size, attrs["output_size"], scales):
        step = Fraction(length, output) if scale is None else 1 / Fraction(scale)
        sources = [(o + half) * step for o in range(output)]
        if step.denominator & (step.denominator - 1) and any(
            abs(source - round(source)) < Fraction(1, 10**5) and source > 0 for source in sources
        ):
            return True
    return False


def draw(longest):
    nd = random.choice([1, 2, 2, 2, 3])
    longest = random.choice([4, longest[nd]])
    size = [random.randint(1, longest) for _ in range(nd)]
    mode, attrs = rule(nd)
    to, sizes = target(size, attrs["coordinate"] == "align_corners")
    attrs = {**attrs, **sizes}
    shape = [random.randint(1, 2), random.randint(1, 3), *size]
    factors = attrs["scale"] or [new / old for old, new in zip(size, attrs["output_size"])]
    lengths = zip(factors, size, attrs["output_size"])
    if any(factor != new / old and new in (old, 2 * old) for factor, old, new in lengths):
        redraw = True
    elif attrs["mode"] == "nearest":
        redraw = rounding_decides(size, attrs)
    else:
        redraw = attrs["antialias"] and attrs["output_size"][-1] == 1
    return (nd, shape, {**mode, **to}, attrs), redraw


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cases", type=int, default=200)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    cases, files, redrawn = [], {"single": {}, "double": {}}, 0
    for kind, dtype in (("single", torch.float32), ("double", torch.float64)):
        for number in range(arguments.cases):
            drawn, redraw = draw(LONGEST[kind])
            while redraw:
                redrawn += 1
                drawn, redraw = draw(LONGEST[kind])
            nd, shape, call, attrs = drawn
            name = f"{kind}.{number}.{call['mode']}"
            x = torch.randn(shape, dtype=dtype, requires_grad=True)
            output = F.interpolate(x, **call)
            assert list(output.shape[2:]) == attrs["output_size"], (call, shape)
            cotangent = torch.randn_like(output)
            output.backward(cotangent)
            tensors = {"input": x, "output": output, "grad_output": cotangent, "grad_input": x.grad}
            arrays = {key: numpy.ascontiguousarray(t.detach().numpy()) for key, t in tensors.items()}
            files[kind].update({f"{name}/{key}": array for key, array in arrays.items()})
            shapes = {key: {"shape": list(t.shape)} for key, t in tensors.items()}
            line = {"name": name, "op": "resize", "nd": nd, "expect": "ok", "scope": "core", "batched": True}
            cases.append({**line, "attrs": attrs, "torch_call": call, "file": f"{kind}.safetensors", "tensors": shapes})
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for kind, tensors in files.items():
            save_file(tensors, folder / f"{kind}.safetensors")
        (folder / "cases.json").write_text(json.dumps({"cases": cases}))
        print(f"2 x {arguments.cases} cases of seed {arguments.seed}, {redrawn} drawn again", flush=True)
        command = ["cargo", "run", "--quiet", "--release", "--example", "conformance", "--", folder]
        status = subprocess.run(command, cwd=ROOT).returncode
    sys.exit(status)


main()
