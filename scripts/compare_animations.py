#!/usr/bin/env python3
"""Reads `convmat animate`'s SVG and TikZ files and holds their numbers to PyTorch in float64.

    python3 -m venv venv && venv/bin/pip install numpy torch
    cargo build --release -p convmat-cli
    venv/bin/python scripts/compare_animations.py target/release/convmat [--count 12] [--seed 0]

For COUNT random layers of one or two spatial axes, with groups and several channels, every way to show it is written in both
formats. The output in the last frame must be PyTorch's, exactly (the values are small integers), in every format; the frames of
gather must show one output each, in order, as the sum of what they mark times the weights they note; those of scatter must end,
before cropping, with PyTorch's uncropped sums; those of a transposed im2col must show the columns of the product wᵀ·y one by one,
add each of them, and end with the same sums. Exits 1 on any mismatch.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

CELL = re.compile(r'<use href="#(\w)" class="([\w-]+)" x="(-?\d+)" y="(-?\d+)"/>(.*)')
VALUE = re.compile(r'class="[\w-]+ cell[ \w]*"[^>]*>([^<]*)<')
NOTE = re.compile(r'class="[\w-]+ note"[^>]*>([^<]*)<')
CALL = re.compile(r"\\convcell\{(-?\d+)\}\{(-?\d+)\}\{([\w-]+)\}\{(.*)\}\{(.*)\}$")


def number(text):
    return float(text.lstrip("×+").replace("−", "-"))


def svg_frames(text):
    """Per frame the cells as (y, x, role, text, note)."""
    spans = [(int(a), int(b)) for a, b in re.findall(r'<g class="t(\d+)-(\d+)">', text)]
    count = max(end for _, end in spans)
    frames, shown = [[] for _ in range(count)], range(count)
    for line in text.splitlines():
        if line.startswith("<g"):
            span = re.search(r'class="t(\d+)-(\d+)"', line)
            shown = range(int(span[1]), int(span[2])) if span else range(count)
        cell = CELL.match(line)
        if cell and cell[1] != "k":
            value, note = VALUE.search(cell[5]), NOTE.search(cell[5])
            seen = (int(cell[4]), int(cell[3]), cell[2], value[1] if value else "", note[1] if note else "")
            for i in shown:
                frames[i].append(seen)
    return [sorted(frame) for frame in frames]


def tikz_frames(text):
    frames = []
    for picture in text.split("\\begin{tikzpicture}")[1:]:
        cells = []
        for line in picture.splitlines():
            call = CALL.match(line)
            if call:
                value, note = (part.replace("$-$", "−").replace("$+$", "+").replace("$\\times$", "×") for part in call.groups()[3:])
                cells.append((int(call[2]), int(call[1]), call[3], value, note))
        frames.append(sorted(cells))
    return frames


def values(frame, *roles):
    return [number(text) for _, _, role, text, _ in frame if role in roles]


def draw(rng):
    """Random options of a layer that has an output."""
    while True:
        axes = rng.choice([1, 2, 2])
        pick = lambda low, high: [rng.randint(low, high) for _ in range(axes)]
        layer = dict(
            transposed=rng.random() < 0.5,
            groups=rng.choice([1, 1, 2]),
            input=pick(1, 4),
            kernel=pick(1, 3),
            stride=pick(1, 3),
            dilation=pick(1, 2),
            padding=pick(0, 2),
        )
        layer["channels"] = [layer["groups"] * rng.randint(1, 2) for _ in range(2)]
        extra = [rng.randint(0, max(s, d) - 1) for s, d in zip(layer["stride"], layer["dilation"])]
        layer["output_padding"] = extra if layer["transposed"] else [0] * axes
        try:
            result = run_torch(layer, *tensors(layer, rng))
        except RuntimeError:
            continue
        if result.numel():
            return layer


def tensors(layer, rng):
    inputs, outputs = layer["channels"]
    first, second = (inputs, outputs) if layer["transposed"] else (outputs, inputs)
    integers = lambda shape: torch.tensor(
        [rng.randint(-9, 9) for _ in range(torch.Size(shape).numel())], dtype=torch.float64
    ).reshape(shape)
    return integers([1, inputs, *layer["input"]]), integers([first, second // layer["groups"], *layer["kernel"]])


def run_torch(layer, x, w, cropped=True):
    axes, functional = len(layer["input"]), torch.nn.functional
    options = dict(stride=layer["stride"], dilation=layer["dilation"], groups=layer["groups"])
    if not layer["transposed"]:
        return [functional.conv1d, functional.conv2d][axes - 1](x, w, padding=layer["padding"], **options)
    if cropped:
        options |= dict(padding=layer["padding"], output_padding=layer["output_padding"])
    return [functional.conv_transpose1d, functional.conv_transpose2d][axes - 1](x, w, **options)


def product(layer, x, w, channel):
    """The columns of wᵀ·y of one output channel: a row of w per input channel of its group, a column of y per position."""
    per_output, per_input = (count // layer["groups"] for count in reversed(layer["channels"]))
    group = slice(channel // per_output * per_input, (channel // per_output + 1) * per_input)
    return (w[group, channel % per_output].flatten(1).T @ x[0, group].flatten(1)).T.tolist()


def arguments(layer, x, w):
    by = lambda lengths: "x".join(map(str, lengths))
    listed = lambda tensor: ",".join(str(int(value)) for value in tensor.flatten())
    inputs, outputs = layer["channels"]
    line = [f"--input={by(layer['input'])}", f"--kernel={by(layer['kernel'])}", f"--stride={by(layer['stride'])}"]
    line += [f"--dilation={by(layer['dilation'])}", f"--padding={by(layer['padding'])}", f"--groups={layer['groups']}"]
    line += [f"--in-channels={inputs}", f"--out-channels={outputs}"]
    line += [f"--values={listed(x)}", f"--kernel-values={listed(w)}"]
    if layer["transposed"]:
        line += ["--transposed", f"--output-padding={by(layer['output_padding'])}"]
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("convmat")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, failures, files, frames_read = random.Random(options.seed), 0, 0, 0

    def expect(what, shown, wanted):
        nonlocal failures
        if shown != wanted:
            failures += 1
            print(f"MISMATCH {what}: {shown} is not {wanted}")

    with tempfile.TemporaryDirectory() as folder:
        for number_of_layer in range(options.count):
            layer = draw(rng)
            x, w = tensors(layer, rng)
            channel = rng.randrange(layer["channels"][1])
            wanted = run_torch(layer, x, w)[0, channel].flatten().tolist()
            for show in ["gather", "scatter", "zero-insertion", "im2col"]:
                read = {}
                for extension, parse in [("svg", svg_frames), ("tex", tikz_frames)]:
                    path = Path(folder) / f"animation.{extension}"
                    command = [options.convmat, "animate", f"--show={show}", f"--channel={channel}", "--force", "-o", str(path)]
                    subprocess.run(command + arguments(layer, x, w), check=True, stdout=subprocess.DEVNULL)
                    read[extension] = parse(path.read_text())
                    files, frames_read = files + 1, frames_read + len(read[extension])
                what = f"layer {number_of_layer} ({layer}, channel {channel}), {show}"
                expect(f"{what}, TikZ beside SVG", read["tex"], read["svg"])
                frames = read["svg"]
                output = values(frames[-1], "output", "output-padding")
                if show == "zero-insertion" and not layer["transposed"]:
                    # The sums that stay are marked as well, in the panel before the output's.
                    expect(f"{what}, sums that stay", values(frames[-2], "output"), wanted)
                    output = sorted(output)
                    expect(what, output, sorted(wanted + wanted))
                else:
                    expect(what, output, wanted)
                if show == "gather":
                    for frame, value in zip(frames[1:-1], wanted, strict=True):
                        expect(f"{what}, current", values(frame, "current"), [value])
                        marked = [(t, n) for _, _, role, t, n in frame if role == "active" and n]
                        expect(f"{what}, products", sum(number(t) * number(n) for t, n in marked), value)
                if not layer["transposed"] or show not in ("scatter", "im2col"):
                    continue
                # Cells before the panel of the sums, and the frame in which all is added.
                left, complete = -1, x[0].numel() // layer["groups"]
                if show == "im2col":
                    columns = product(layer, x, w, channel)
                    made, added = frames[1 : 1 + len(columns)], frames[2 + len(columns) : 2 + 2 * len(columns)]
                    left = max(at for frame in made for _, at, role, *_ in frame if role == "current")
                    complete = 1 + 2 * len(columns)
                    for i, column in enumerate(columns):
                        expect(f"{what}, column {i}", values(made[i], "current"), column)
                        notes = [number(n) for _, _, role, _, n in added[i] if role == "active" and n]
                        expect(f"{what}, column {i} as it is added", notes, column)
                sums = run_torch(layer, x, w, cropped=False)[0, channel].flatten().tolist()
                touched = [
                    number(t)
                    for _, at, role, t, n in frames[complete]
                    if at > left and (role == "sum" or role == "active" and n)
                ]
                # Places that no tap reaches are not written; they are the zeros of strided and dilated taps.
                ones = run_torch(layer, torch.ones_like(x), torch.ones_like(w), cropped=False)[0, channel].flatten()
                expect(f"{what}, uncropped", touched, [s for s, reached in zip(sums, ones.tolist()) if reached])
    print(f"{options.count} layers, {files} files, {frames_read} frames: {failures} mismatches")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
