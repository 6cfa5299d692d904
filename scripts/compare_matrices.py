"""The matrices that convmat exports, draws and checks, against NumPy, SciPy and torch.

    python3 -m venv venv && venv/bin/pip install numpy scipy pillow torch==2.15.0
    venv/bin/python scripts/compare_matrices.py SEED [--cases 50] [--binary PATH] [--goldens FOLDER]

Draws that many layers from SEED, 1-D to 3-D, grouped, dilated, output-padded, padded differently at both ends. For each:

* `convmat matrix` writes .npz, .npy and .mtx, which must be equal to the last bit and to a matrix built here by literal loops;
  their products with random vectors must be torch's conv and conv_transpose, within 2γₙ·(|C|·|x|), n the products of a sum;
* its .png and .svg are parsed back (which tap stands where), its .tex too (symbols and values), and compared with those loops;
* the polyphase order must be a sort of that matrix by residue class, with Toeplitz blocks where there is one axis;
* the matrix with respect to the weights must be the literal one, and give torch's conv for random weights;
* `convmat check` must accept the matrix in every format, find its weights where none are given, and name every mistake that
  this script makes, whichever of them make the same matrix; the first wrong entry must be the first wrong entry.

Makes the binary by `cargo build --release -p convmat-cli` unless --binary says where one is. With --goldens it writes small
cases into a folder instead, which `cli/tests/cli/matrices` holds for the tests where there is no Python. Exits with 1 if anything differs.
"""

import argparse
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

import numpy as np
import scipy.io
import scipy.sparse
import torch
import torch.nn.functional as F
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROUNDOFF = 2.0**-53
PAPER = 1 << 16  # most entries of a .tex file


class Mismatch(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Mismatch(what)


class Geometry:
    """Both sizes of a layer, and the triples (small, tap, large) that are connected, by literal loops."""

    def __init__(self, small, large, kernel, stride, dilation, begin, groups, channels):
        self.small, self.large, self.kernel = small, large, kernel
        self.stride, self.dilation, self.begin = stride, dilation, begin
        self.groups, self.channels = groups, channels  # channels: (small, large)

    def shape(self, side):
        return ((self.channels[0], *self.small), (self.channels[1], *self.large))[side]

    def weight_shape(self):
        return (self.channels[0], self.channels[1] // self.groups, *self.kernel)

    def triples(self):
        """(small index, weight index, large index), channels first."""
        per_small, per_large = (count // self.groups for count in self.channels)
        for cs in range(self.channels[0]):
            for cl in range(per_large):
                for s in itertools.product(*map(range, self.small)):
                    for t in itertools.product(*map(range, self.kernel)):
                        l = tuple(i * a + k * d - b for i, a, k, d, b
                                  in zip(s, self.stride, t, self.dilation, self.begin))
                        if all(0 <= i < n for i, n in zip(l, self.large)):
                            yield (cs, *s), (cs, cl, *t), (cs // per_small * per_large + cl, *l)

    def labels(self):
        """C with the flat weight index plus 1 at every entry, 0 elsewhere."""
        c = np.zeros((np.prod(self.shape(0)), np.prod(self.shape(1))), int)
        for small, weight, large in self.triples():
            row = np.ravel_multi_index(small, self.shape(0))
            column = np.ravel_multi_index(large, self.shape(1))
            c[row, column] = np.ravel_multi_index(weight, self.weight_shape()) + 1
        return c

    def matrix(self, weights):
        return np.concatenate([[0.0], weights.ravel()])[self.labels()]


def length_of_convolution(large, kernel, stride, dilation, begin, end):
    room = large + begin + end - (kernel - 1) * dilation - 1
    return room // stride + 1 if room >= 0 else 0


def length_of_transposed(small, kernel, stride, dilation, begin, end, extra):
    return (small - 1) * stride + (kernel - 1) * dilation + 1 + extra - begin - end


class Layer:
    """A layer as it is given on the command line."""

    def __init__(self, transposed, input, kernel, stride, dilation, pads, extra, groups, channels):
        self.transposed, self.input, self.kernel = transposed, input, kernel
        self.stride, self.dilation, self.pads, self.extra = stride, dilation, pads, extra
        self.groups, self.channels = groups, channels  # channels: (in, out)

    def replace(self, **changes):
        return Layer(**{**vars(self), **changes})

    def geometry(self):
        """None where the output would be empty."""
        small, large = [], []
        for i, (n, k, s, d, (b, e)) in enumerate(zip(self.input, self.kernel, self.stride, self.dilation, self.pads)):
            if self.transposed:
                if self.extra[i] >= max(s, d):
                    return None
                small.append(n)
                large.append(length_of_transposed(n, k, s, d, b, e, self.extra[i]))
            else:
                small.append(length_of_convolution(n, k, s, d, b, e))
                large.append(n)
        if min(small + large) < 1:
            return None
        channels = self.channels if self.transposed else self.channels[::-1]
        begin = [pad[0] for pad in self.pads]
        return Geometry(small, large, self.kernel, self.stride, self.dilation, begin, self.groups, channels)

    def arguments(self):
        lengths = lambda values: "x".join(map(str, values))
        arguments = ["--transposed" if self.transposed else "--conv", "--input", lengths(self.input),
                     "--kernel", lengths(self.kernel), "--stride", lengths(self.stride),
                     "--dilation", lengths(self.dilation),
                     "--padding", "x".join(f"{b},{e}" for b, e in self.pads), "--groups", str(self.groups),
                     "--in-channels", str(self.channels[0]), "--out-channels", str(self.channels[1])]
        if any(self.extra):
            arguments += ["--output-padding", lengths(self.extra)]
        return arguments

    def of(self, c):
        """The matrix that the layer applies, from C."""
        return c.T if self.transposed else c


def draw(rng, most=600):
    """A layer whose matrix has at most `most` rows and columns, not all zero."""
    while True:
        axes = int(rng.integers(1, 4))
        draws = lambda low, high: [int(v) for v in rng.integers(low, high + 1, axes)]
        transposed, groups = bool(rng.integers(2)), int(rng.choice([1, 1, 2, 3]))
        stride, dilation = draws(1, 3), draws(1, 3 if axes == 1 else 2)
        extra = [int(rng.integers(max(s, d))) if transposed and rng.integers(2) else 0 for s, d in zip(stride, dilation)]
        layer = Layer(transposed, draws(1, {1: 12, 2: 6, 3: 4}[axes]), draws(1, 4 if axes == 1 else 3), stride, dilation,
                      list(zip(draws(0, 2), draws(0, 2))), extra, groups,
                      tuple(int(groups * v) for v in rng.integers(1, 3, 2)))
        geometry = layer.geometry()
        if geometry is None or max(np.prod(geometry.shape(0)), np.prod(geometry.shape(1))) > most:
            continue
        if np.count_nonzero(geometry.labels()):
            return layer, geometry


def torch_both(geometry, weights):
    """Functions conv: large → small and conv_transpose: small → large, by torch."""
    axes, w = len(geometry.small), torch.from_numpy(weights)
    need = [(n - 1) * s + (k - 1) * d + 1
            for n, s, k, d in zip(geometry.small, geometry.stride, geometry.kernel, geometry.dilation)]
    ends = [n - b - l for n, b, l in zip(need, geometry.begin, geometry.large)]  # negative: never read
    pads = [p for b, e in reversed(list(zip(geometry.begin, ends))) for p in (b, e)]
    options = dict(stride=geometry.stride, dilation=geometry.dilation, groups=geometry.groups)
    conv, transpose = getattr(F, f"conv{axes}d"), getattr(F, f"conv_transpose{axes}d")

    def forward(x):
        x = torch.from_numpy(x.reshape(1, *geometry.shape(1)))
        return conv(F.pad(x, pads), w, **options).numpy().ravel()

    def adjoint(y):
        full = transpose(torch.from_numpy(y.reshape(1, *geometry.shape(0))), w, **options)
        return F.pad(full, [-p for p in pads]).numpy().ravel()

    return forward, adjoint


class Convmat:
    def __init__(self, binary):
        self.binary = binary

    def run(self, *arguments, code=0):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True)
        expect(done.returncode == code, f"exit code {done.returncode}, not {code}: {arguments}\n{done.stdout}{done.stderr}")
        return done.stdout


def flat_blocks(shape):
    """Where channels begin."""
    plane = int(np.prod(shape[1:]))
    return list(range(0, shape[0] * plane, plane))


def position_of(label, kernel):
    return (label - 1) % int(np.prod(kernel))


def parse_png(path, report):
    """The position number plus 1 of every entry, by the legend; report is convmat's line about the file."""
    cell, rows, columns, x, y = map(int, re.search(r"(\d+) per entry; .*?, (\d+) × (\d+) at \((\d+), (\d+)\)", report).groups())
    legend = tuple(map(int, re.search(r"legend at \((\d+), (\d+)\)", report).groups()))
    return np.asarray(Image.open(path).convert("RGB")).astype(int), cell, rows, columns, (x, y), legend


def check_png(path, report, positions, grid, row_blocks, column_blocks):
    pixels, cell, rows, columns, (x, y), (legend_x, legend_y) = parse_png(path, report)
    expect((rows, columns) == positions.shape, f"{path}: shape {rows, columns}")
    size = 224
    d, h, w = grid
    side = min(14, max(1, size // max(d * (w + 1), h)))
    colours = {}
    for number, (a, b, c) in enumerate(itertools.product(range(d), range(h), range(w))):
        pixel = pixels[legend_y + b * side + side // 2, legend_x + (a * (w + 1) + c) * side + side // 2]
        colours.setdefault(tuple(pixel), number + 1)
    place = lambda i, blocks: i * cell + sum(1 for start in blocks[1:] if start <= i) + cell // 2
    got = np.zeros_like(positions)
    for i, j in np.ndindex(rows, columns):
        pixel = tuple(pixels[y + place(i, row_blocks), x + place(j, column_blocks)])
        got[i, j] = 0 if pixel == (0xF4, 0xF4, 0xF6) else colours.get(pixel, -1)
    expect(np.array_equal(got, positions), f"{path}: another tap stands somewhere")


def check_svg(path, positions):
    root = xml.parse(path).getroot()
    tag = "{http://www.w3.org/2000/svg}"
    group = root.find(f"{tag}g")
    legend = {rect.get("fill"): i for i, rect in enumerate(root.findall(f"{tag}g")[-1].iter(f"{tag}rect"))}
    got = np.zeros_like(positions)
    for path_element in group.findall(f"{tag}path"):
        if path_element.get("fill") == "none":
            continue
        for column, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", path_element.get("d")):
            expect(got[int(row), int(column)] == 0, f"{path}: two squares at {row}, {column}")
            got[int(row), int(column)] = legend[path_element.get("fill")] + 1
    expect(np.array_equal(got, positions), f"{path}: another tap stands somewhere")


def tex_cells(path):
    lines = path.read_text().splitlines()
    expect(lines[1].startswith("\\left[\\begin{array}") and lines[-1] == "\\end{array}\\right]", f"{path}: no array")
    return [line.removesuffix(" \\\\").split(" & ") for line in lines[2:-1] if line != "\\hline"]


def symbol(letter, index, channel_axes, one_digit):
    """w_{01,2}, from an index whose first `channel_axes` are channels."""
    within, between = ("", ",") if one_digit else (",", ";")
    channels, position = index[:channel_axes], index[channel_axes:]
    text = within.join(map(str, position))
    return f"{letter}_{{{within.join(map(str, channels)) + between + text if channel_axes else text}}}"


def symbols_of(letter, shape, channel_axes):
    one_digit = all(n <= 10 for n in shape)
    drop = all(n == 1 for n in shape[:channel_axes])
    return [symbol(letter, index[channel_axes:] if drop else index, 0 if drop else channel_axes, one_digit)
            for index in np.ndindex(*shape)]


def check_tex(path, labels, names):
    want = [[names[label - 1] if label else "\\cdot" for label in row] for row in labels]
    expect(tex_cells(path) == want, f"{path}: other symbols")


def check_tex_values(path, labels, matrix):
    value = lambda text: 0.0 if text == "\\cdot" else float(re.sub(r"\\cdot 10\^\{(.*)\}", r"e\1", text))
    got = np.array([[value(text) for text in row] for row in tex_cells(path)])
    expect(np.array_equal(got, matrix), f"{path}: other values")
    dots = np.array([[text == "\\cdot" for text in row] for row in tex_cells(path)])
    expect(np.array_equal(dots, labels == 0), f"{path}: dots elsewhere")


def polyphase(shape, stride, dilation, large):
    """Flat indices sorted by channel, class and position, and where the blocks begin."""
    gaps = [d // np.gcd(s, d) for s, d in zip(stride, dilation)]
    keys = []
    for flat, (channel, *position) in enumerate(np.ndindex(*shape)):
        classes = [(i % s, i // s % g) if large else (i % g,) for i, s, g in zip(position, stride, gaps)]
        keys.append((channel, classes, position, flat))
    keys.sort()
    starts = [i for i, key in enumerate(keys) if i == 0 or key[:2] != keys[i - 1][:2]]
    return [key[-1] for key in keys], starts


def check_polyphase(convmat, layer, geometry, weights, folder, common):
    c = layer.of(geometry.matrix(weights))
    sides = [polyphase(geometry.shape(side), geometry.stride, geometry.dilation, side == 1) for side in (0, 1)]
    (row_order, row_starts), (column_order, column_starts) = sides[::-1] if layer.transposed else sides
    report = convmat.run("matrix", *common, "--permute", "polyphase", "-o", folder / "p.npy", "-o", folder / "p.png",
                         "-o", folder / "p.svg", "--force")
    got = np.load(folder / "p.npy")
    expect(np.array_equal(got, c[np.ix_(row_order, column_order)]), "polyphase: another order")
    expect(f"{len(row_starts)} × {len(column_starts)} blocks" in report, "polyphase: other blocks")
    labels = layer.of(geometry.labels())[np.ix_(row_order, column_order)]
    positions = np.where(labels > 0, position_of(labels, geometry.kernel) + 1, 0)
    grid = [1] * (3 - len(geometry.kernel)) + list(geometry.kernel)
    line = next(line for line in report.splitlines() if "p.png" in line)
    check_png(folder / "p.png", line, positions, grid, row_starts, column_starts)
    check_svg(folder / "p.svg", positions)
    if len(geometry.kernel) == 1:
        for r, r_end in zip(row_starts, row_starts[1:] + [len(row_order)]):
            for k, k_end in zip(column_starts, column_starts[1:] + [len(column_order)]):
                block = labels[r:r_end, k:k_end]
                expect(all(block[i, j] == block[i + 1, j + 1] for i in range(block.shape[0] - 1)
                           for j in range(block.shape[1] - 1)), "polyphase: a block is not Toeplitz")


def check_in_weights(convmat, rng, layer, geometry, weights, folder):
    side = 0 if layer.transposed else 1
    x = rng.standard_normal(geometry.shape(side))
    np.save(folder / "x.npy", x)
    arguments = [*layer.arguments(), "--wrt", "weights"]
    convmat.run("matrix", *arguments, "--x", folder / "x.npy", "-o", folder / "a.npy", "-o", folder / "a.npz",
                "-o", folder / "a.mtx", "--force")
    labels = np.zeros((int(np.prod(geometry.shape(1 - side))), weights.size), int)
    for small, weight, large in geometry.triples():
        output, input = (large, small) if layer.transposed else (small, large)
        row = np.ravel_multi_index(output, geometry.shape(1 - side))
        labels[row, np.ravel_multi_index(weight, weights.shape)] = np.ravel_multi_index(input, x.shape) + 1
    a = np.load(folder / "a.npy")
    expect(np.array_equal(a, np.concatenate([[0.0], x.ravel()])[labels]), "wrt weights: another matrix")
    expect(np.array_equal(scipy.sparse.load_npz(folder / "a.npz").toarray(), a), "wrt weights: .npz differs")
    expect(np.array_equal(scipy.io.mmread(folder / "a.mtx").toarray(), a), "wrt weights: .mtx differs")
    want = torch_both(geometry, weights)[1 if layer.transposed else 0](x)
    close(a @ weights.ravel(), want, a, weights.ravel(), "A·w is torch's layer")
    report = convmat.run("matrix", *arguments, "-o", folder / "a.svg", "-o", folder / "a.png", "--force")
    if labels.size <= PAPER:
        convmat.run("matrix", *arguments, "-o", folder / "a.tex", "--force")
        check_tex(folder / "a.tex", labels, symbols_of("y" if layer.transposed else "x", x.shape, 1))
    positions = np.where(labels > 0, position_of(labels, x.shape[1:]) + 1, 0)
    check_svg(folder / "a.svg", positions)
    grid = [1] * (4 - x.ndim) + list(x.shape[1:])
    line = next(line for line in report.splitlines() if "a.png" in line)
    taps = int(np.prod(geometry.kernel))
    check_png(folder / "a.png", line, positions, grid, flat_blocks(geometry.shape(1 - side)),
              list(range(0, weights.size, taps)))


def close(got, want, matrix, vector, what):
    terms = np.count_nonzero(matrix, axis=1).max(initial=0) + 1
    magnitude = np.abs(matrix) @ np.abs(vector)
    gamma = terms * ROUNDOFF / (1 - terms * ROUNDOFF)
    # Both sums are off by at most γₙ·Σ|w||x|.
    expect(np.all(np.abs(got - want) <= 2 * gamma * magnitude), f"{what}: differs")


def mistakes(layer, geometry, weights):
    """(words of convmat's, matrix) for every mistake that can be made here; a matrix may be the right one."""
    right = layer.of(geometry.matrix(weights))
    axes = tuple(range(2, weights.ndim))
    made = [("the kernel is flipped", layer.of(geometry.matrix(np.flip(weights, axes)))),
            ("it is transposed", right.T)]

    def reordered(order, whose):
        """Outputs, inputs or both in another order: element i of the new numbering is element order(shape)[i]."""
        index = {name: order(shape) if name in whose else np.arange(np.prod(shape)) for name, shape in shapes.items()}
        return right[np.ix_(index["outputs"], index["inputs"])]

    flat = lambda shape: np.arange(np.prod(shape)).reshape(shape)
    column_major = lambda shape: flat(shape).ravel("F")
    planes = lambda shape: np.concatenate([plane.ravel("F") for plane in flat(shape)])
    last = lambda shape: np.moveaxis(flat(shape), 0, -1).ravel()
    sides = [("inputs and outputs are", ("inputs", "outputs")), ("inputs are", ("inputs",)), ("outputs are", ("outputs",))]
    shapes = {"inputs": geometry.shape(0 if layer.transposed else 1),
              "outputs": geometry.shape(1 if layer.transposed else 0)}
    for words, whose in sides:
        for name, order in [("numbered column-major, the first", column_major),
                            ("numbered column-major within each channel", planes),
                            ("numbered with the channels last", last)]:
            # What leaves one side as it is, is the other side's mistake alone; single channels have but one column-major order.
            plain = any(np.array_equal(order(shapes[side]), np.arange(np.prod(shapes[side]))) for side in whose)
            twice = order is planes and all(shapes[side][0] == 1 for side in whose)
            if not plain and not twice:
                made.append((f"{words} {name}", reordered(order, whose)))
    if layer.groups > 1:
        made += groups_mixed(layer, geometry, weights, reordered, flat)
    exchanged = layer.replace(pads=[(e, b) for b, e in layer.pads]).geometry()
    made.append(("padding is on the other side", layer.of(exchanged.matrix(weights))))
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d
             in zip(geometry.small, geometry.stride, geometry.kernel, geometry.dilation)]
    begin = [r - l - b for r, l, b in zip(reach, geometry.large, geometry.begin)]
    mirrored = Geometry(**{**vars(geometry), "begin": begin})
    made.append(("the other end is aligned", layer.of(mirrored.matrix(weights))))
    # The buffer of the weights read as (large, small / groups, …).
    small, large = (count // layer.groups for count in geometry.channels)
    other = weights.ravel().reshape(layer.groups, large, small, -1).swapaxes(1, 2).reshape(weights.shape)
    made.append(("the weights' channel axes are exchanged", layer.of(geometry.matrix(other))))
    made += exchanged_axes(layer, weights)
    return right, made


def groups_mixed(layer, geometry, weights, reordered, flat):
    made = []
    shape = (np.prod(geometry.shape(0)), np.prod(geometry.shape(1)))
    interleave = lambda shape: flat(shape).reshape(layer.groups, -1, *shape[1:]).swapaxes(0, 1).ravel()
    per = [count // layer.groups for count in geometry.channels]  # small, large
    side = {"inputs": 0 if layer.transposed else 1, "outputs": 1 if layer.transposed else 0}
    for whose in (("inputs", "outputs"), ("inputs",), ("outputs",)):
        if all(per[side[name]] > 1 for name in whose):
            words = " and ".join(whose)
            made.append((f"groups are mixed: channels of {words} interleaved", reordered(interleave, whose)))
            # Group c mod g instead of c div g, literally: weights stay with their channel.
            small_name, large_name = ("inputs", "outputs") if layer.transposed else ("outputs", "inputs")
            if small_name not in whose:
                continue
            single = Geometry(**{**vars(geometry), "groups": 1, "channels": (1, 1)})
            blocks = np.zeros((geometry.channels[0], np.prod(geometry.small), geometry.channels[1], np.prod(geometry.large)))
            for cs in range(geometry.channels[0]):
                group = cs % layer.groups
                for cl in range(per[1]):
                    target = cl * layer.groups + group if large_name in whose else group * per[1] + cl
                    blocks[cs, :, target, :] = single.matrix(weights[cs, cl])
            made.append((f"groups are mixed: channel c of {words} counted", layer.of(blocks.reshape(shape))))
    single = Geometry(**{**vars(geometry), "groups": 1, "channels": (1, 1)})
    c = np.zeros((geometry.channels[0], int(np.prod(geometry.small)), geometry.channels[1], int(np.prod(geometry.large))))
    every = c.copy()
    for cs in range(geometry.channels[0]):
        for cl in range(geometry.channels[1]):
            every[cs, :, cl, :] = single.matrix(weights[cs, cl % per[1]])
            if cl < per[1]:
                c[cs, :, cl, :] = every[cs, :, cl, :]
    return made + [("every group uses the channels of the first", layer.of(c.reshape(shape))),
                   ("all channels are connected", layer.of(every.reshape(shape)))]


def exchanged_axes(layer, weights):
    made = []

    def add(words, changed, weights=weights):
        geometry = changed.geometry()
        if geometry is not None:
            made.append((words, changed.of(geometry.matrix(weights))))

    add("stride and dilation are exchanged", layer.replace(stride=layer.dilation, dilation=layer.stride))
    if len(layer.input) >= 2:
        swap = lambda values: [*values[:-2], values[-1], values[-2]]
        add("height and width of the kernel", layer.replace(kernel=swap(layer.kernel)), weights.swapaxes(-1, -2))
        add("height and width of the input", layer.replace(input=swap(layer.input)))
        add("height and width of stride, dilation and padding", layer.replace(
            stride=swap(layer.stride), dilation=swap(layer.dilation), pads=swap(layer.pads), extra=swap(layer.extra)))
    return made


def check_check(convmat, layer, geometry, weights, folder, common):
    """Number of matrices with mistakes in them."""
    right, made = mistakes(layer, geometry, weights)
    sparse = scipy.sparse.coo_matrix(right)
    for name, write in [
        ("r.npy", lambda path: np.save(path, right)),
        ("f.npy", lambda path: np.save(path, np.asfortranarray(right))),
        ("csr.npz", lambda path: scipy.sparse.save_npz(path, sparse.tocsr())),
        ("csc.npz", lambda path: scipy.sparse.save_npz(path, sparse.tocsc(), compressed=False)),
        ("coo.npz", lambda path: scipy.sparse.save_npz(path, sparse)),
        ("s.mtx", lambda path: scipy.io.mmwrite(path, sparse, precision=17)),
        ("d.mtx", lambda path: scipy.io.mmwrite(path, right, precision=17)),
    ]:
        write(folder / name)
        report = convmat.run("check", folder / name, *common)
        expect("it is the matrix" in report, f"check: {name} is not accepted")
    report = convmat.run("check", folder / "r.npy", *layer.arguments())
    found = np.array(list(map(float, re.search(r"weights +(\S+)", report)[1].split(",")))).reshape(weights.shape)
    seen = {weight for _, weight, _ in geometry.triples()}
    expect(all(found[index] == weights[index] for index in seen), "check: other weights found")
    if np.array_equal(weights, weights.astype(np.float32)):
        np.save(folder / "single.npy", right.astype(np.float32))
        convmat.run("check", folder / "single.npy", *common)

    count = 0
    for words, matrix in made:
        if matrix.shape == right.shape and np.array_equal(matrix, right):
            continue
        count += 1
        np.save(folder / "wrong.npy", matrix)
        report = convmat.run("check", folder / "wrong.npy", *common, code=1)
        same = [other for other, its in made if its.shape == matrix.shape and np.array_equal(its, matrix)]
        for name in same:
            expect(name in report, f"check: {name!r} is not named, though it makes the matrix, like {words!r}\n{report}")
        if matrix.shape == right.shape:
            row, column = np.argwhere(matrix != right)[0]
            expect(f"row {row}, column {column}, of {np.count_nonzero(matrix != right):,} in all" in report,
                   f"check: the first wrong entry is [{row}, {column}]\n{report}")
    # MATLAB's convmtx2: a flipped kernel and column-major images, two mistakes at once.
    both = convmtx2(layer, geometry, weights)
    if not any(matrix.shape == right.shape and np.array_equal(matrix, both) for _, matrix in [("", right), *made]):
        count += 1
        np.save(folder / "wrong.npy", both)
        report = convmat.run("check", folder / "wrong.npy", *common, code=1)
        expect(re.search("kernel is flipped.*, and .* numbered column-major", report), f"check: not both named\n{report}")
    return count


def convmtx2(layer, geometry, weights):
    flipped = layer.of(geometry.matrix(np.flip(weights, tuple(range(2, weights.ndim)))))
    order = lambda side: np.arange(np.prod(geometry.shape(side))).reshape(geometry.shape(side)).ravel("F")
    return flipped[np.ix_(order(1), order(0)) if layer.transposed else np.ix_(order(0), order(1))]


def compare(convmat, rng, layer, geometry, folder):
    """Everything about one layer; returns the number of mistakes made."""
    weights = rng.standard_normal(geometry.weight_shape()) if rng.integers(2) else \
        rng.permutation(np.prod(geometry.weight_shape())).reshape(geometry.weight_shape()) + 1.0
    np.save(folder / "w.npy", weights)
    given = layer.arguments()
    common = [*given, "--weights", folder / "w.npy"]
    labels, matrix = layer.of(geometry.labels()), layer.of(geometry.matrix(weights))
    paper = ["v.tex"] if labels.size <= PAPER else []
    names = ["c.npy", "c.npz", "c.mtx", "c.png", "c.svg", *paper]
    report = convmat.run("matrix", *common, "--digits", 17, *itertools.chain(*(("-o", folder / name) for name in names)),
                         "--force")
    dense, sparse = np.load(folder / "c.npy"), scipy.sparse.load_npz(folder / "c.npz")
    expect(dense.dtype == np.float64 and np.array_equal(dense, matrix), ".npy is another matrix")
    expect(sparse.format == "csr" and sparse.has_sorted_indices and sparse.has_canonical_format, ".npz is no sorted CSR")
    expect(sparse.nnz == np.count_nonzero(labels) and np.array_equal(sparse.toarray(), dense), ".npz differs")
    expect(np.array_equal(scipy.io.mmread(folder / "c.mtx").toarray(), dense), ".mtx differs")
    forward, adjoint = torch_both(geometry, weights)
    c = dense.T if layer.transposed else dense
    x, y = (rng.standard_normal(np.prod(geometry.shape(side))) for side in (1, 0))
    close(c @ x, forward(x), c, x, "C·x is torch's conv")
    close(c.T @ y, adjoint(y), c.T, y, "Cᵀ·y is torch's conv_transpose")
    lower, upper = (np.argwhere(labels > 0) @ [1, -1]).max(), (np.argwhere(labels > 0) @ [-1, 1]).max()
    expect(f"bandwidth     {max(lower, 0)} below the diagonal, {max(upper, 0)} above" in report, "another bandwidth")
    expect(f"{np.count_nonzero(labels):,} nonzeros" in report, "other nonzeros")

    positions = np.where(labels > 0, position_of(labels, geometry.kernel) + 1, 0)
    grid = [1] * (3 - len(geometry.kernel)) + list(geometry.kernel)
    blocks = [flat_blocks(geometry.shape(side)) for side in ((1, 0) if layer.transposed else (0, 1))]
    line = next(line for line in report.splitlines() if "c.png" in line)
    check_png(folder / "c.png", line, positions, grid, *blocks)
    check_svg(folder / "c.svg", positions)
    if paper:
        check_tex_values(folder / "v.tex", labels, matrix)
        convmat.run("matrix", *given, "-o", folder / "s.tex", "--force")
        check_tex(folder / "s.tex", labels, symbols_of("w", weights.shape, 2))
    check_polyphase(convmat, layer, geometry, weights, folder, common)
    check_in_weights(convmat, rng, layer, geometry, weights, folder)
    return check_check(convmat, layer, geometry, weights, folder, common)


def write_goldens(rng, folder, count=6):
    """Small layers with their matrices by torch from unit vectors, and one file in each format that others write."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    while len(cases) < count:
        layer, geometry = draw(rng, 40)
        if len(layer.input) != 1 + len(cases) % 3 or layer.transposed != bool(len(cases) % 2):
            continue
        weights = rng.permutation(np.prod(geometry.weight_shape())).reshape(geometry.weight_shape()) - 3.5
        units = np.eye(int(np.prod(geometry.shape(0 if layer.transposed else 1))))
        apply = torch_both(geometry, weights)[1 if layer.transposed else 0]
        matrix = np.stack([apply(unit) for unit in units], axis=1)
        expect(np.array_equal(matrix, layer.of(geometry.matrix(weights))), "torch's matrix is the literal one")
        sparse = scipy.sparse.coo_matrix(matrix)
        name = ["csr.npz", "csc.npz", "coo.npz", "coordinate.mtx", "array.mtx", "dense.npy"][len(cases) % 6]
        path = folder / name
        {"csr.npz": lambda: scipy.sparse.save_npz(path, sparse.tocsr()),
         "csc.npz": lambda: scipy.sparse.save_npz(path, sparse.tocsc()),
         "coo.npz": lambda: scipy.sparse.save_npz(path, sparse),
         "coordinate.mtx": lambda: scipy.io.mmwrite(path, sparse),
         "array.mtx": lambda: scipy.io.mmwrite(path, matrix),
         "dense.npy": lambda: np.save(path, np.asfortranarray(matrix))}[name]()
        cases.append({"arguments": layer.arguments(), "file": name, "weights": weights.ravel().tolist(),
                      "matrix": matrix.tolist()})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} goldens in {folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--goldens", type=pathlib.Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    if arguments.goldens:
        write_goldens(rng, arguments.goldens)
        return 0
    binary = arguments.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--release", "-p", "convmat-cli"], cwd=ROOT, check=True)
        binary = ROOT / "target/release/convmat"
    convmat, failures, made, kinds = Convmat(binary), 0, 0, {}
    with tempfile.TemporaryDirectory() as folder:
        for case in range(arguments.cases):
            layer, geometry = draw(rng)
            kind = f"{len(layer.input)}-D {'transposed' if layer.transposed else 'conv'}"
            kinds[kind] = kinds.get(kind, 0) + 1
            try:
                made += compare(convmat, rng, layer, geometry, pathlib.Path(folder))
            except Mismatch as mismatch:
                failures += 1
                print(f"case {case} ({' '.join(layer.arguments())}): {mismatch}", file=sys.stderr)
    drawn = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{arguments.cases} layers ({drawn}), {made} matrices with mistakes: {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
