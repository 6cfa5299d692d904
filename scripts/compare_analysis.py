#!/usr/bin/env python3
"""Holds `convmat analyse` to NumPy, SciPy and PyTorch, which share no code with it.

    python3 -m venv venv && venv/bin/pip install numpy scipy torch pillow
    cargo build --release -p convmat-cli
    venv/bin/python scripts/compare_analysis.py target/release/convmat [--seed 0] [--count 20] [--photo examples/images/chelsea.png]
    venv/bin/python scripts/compare_analysis.py target/release/convmat --speed

For every geometry, drawn from the seed (grouped, dilated, strided, output-padded, with repeated singular values and orthogonal
ones among them), it runs the command on weights of its own, builds the matrix column by column with PyTorch's convolution of unit
vectors, and reproduces every number: singular values by numpy.linalg.svd and scipy.sparse.linalg.svds, rank by
numpy.linalg.matrix_rank, the circular spectrum by the svd of a matrix written out by its definition, the symbol's maximum by
residue classes sorted by hand, overlap, receptive field and footprint by the matrix of ones, gains and orthogonality by plain
sums. With the photo it repeats the deconvolution by scipy.sparse.linalg.lsqr through PyTorch's padding and convolution. Exits 1
on any mismatch.

--speed times 8 singular values of a 64 to 64, 3x3, 56x56 layer, and scipy's svds driven by PyTorch's convolutions in turn.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, lsqr, svds

EPSILON = np.finfo(np.float64).eps
CONV = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
TRANSPOSED = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


class Mismatch(Exception):
    pass


def near(what, found, wanted, tolerance):
    """Equal to within an absolute tolerance."""
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    if found.shape != wanted.shape:
        raise Mismatch(f"{what}: {found.shape} numbers, not {wanted.shape}")
    worst = np.max(np.abs(found - wanted), initial=0.0)
    if not worst <= tolerance:
        raise Mismatch(f"{what}: {found.ravel()[:8]} is not {wanted.ravel()[:8]}, off by {worst:.3e} > {tolerance:.1e}")


def same(what, found, wanted):
    if found != wanted:
        raise Mismatch(f"{what}: {found} is not {wanted}")


class Layer:
    """A layer in PyTorch's words."""

    def __init__(self, random, kind):
        self.axes = int(random.integers(1, 4)) if kind != "orthogonal" else int(random.integers(1, 3))
        longest = {1: 16, 2: 6, 3: 4}[self.axes]
        while True:
            draw = lambda low, high: [int(random.integers(low, high + 1)) for _ in range(self.axes)]
            self.kind = kind
            self.transposed = kind == "output-padded" or bool(random.integers(2))
            self.input, self.kernel = draw(1, longest), draw(1, 4 if self.axes < 3 else 3)
            self.stride = draw(2, 3) if kind == "output-padded" else draw(1, 3)
            self.dilation = draw(2, 3) if kind == "dilated" else draw(1, 2)
            self.padding = [int(random.integers(0, 1 + d * (k - 1) // 2 + 1)) for k, d in zip(self.kernel, self.dilation)]
            self.output_padding = [0] * self.axes
            if kind == "output-padded":
                self.output_padding = [int(random.integers(1, max(s, d))) for s, d in zip(self.stride, self.dilation)]
            self.groups = 2 if kind in ("grouped", "repeated") else 1
            small, large = int(random.integers(1, 4)), int(random.integers(1, 3))
            if kind == "orthogonal":
                self.transposed = bool(random.integers(2))
                self.kernel = draw(1, 3)
                self.stride, self.dilation, self.padding = self.kernel, [1] * self.axes, [0] * self.axes
                count = draw(1, 3)
                self.input = count if self.transposed else [n * k for n, k in zip(count, self.kernel)]
                small = large * math.prod(self.kernel)
            self.weights = random.uniform(-1, 1, (self.groups * small, large, *self.kernel))
            if kind == "orthogonal":
                self.weights = np.linalg.qr(random.normal(size=(small, small)))[0].reshape(self.weights.shape)
            if kind == "repeated":
                self.weights = np.concatenate([self.weights[:small]] * 2)
            self.channels = (self.groups * small, self.groups * large)
            if self.matches():
                return

    def matches(self):
        """Whether there is an output, and a matrix of a size that suits dense decompositions."""
        try:
            self.output = list(self.apply(self.weights, torch.zeros(1, self.input_channels(), *self.input)).shape[2:])
        except RuntimeError:
            return False
        small, large = (self.input, self.output) if self.transposed else (self.output, self.input)
        self.small = [self.channels[0], *small]
        self.large = [self.channels[1], *large]
        return 0 < math.prod(self.small) * math.prod(self.large) <= 250_000

    def input_channels(self):
        return self.channels[0] if self.transposed else self.channels[1]

    def apply(self, weights, x):
        options = dict(stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups)
        w = torch.from_numpy(np.ascontiguousarray(weights))
        if self.transposed:
            return TRANSPOSED[self.axes](x.double(), w, output_padding=self.output_padding, **options)
        return CONV[self.axes](x.double(), w, **options)

    def matrix(self, weights):
        """C, whichever way the layer reads it: the layer's images of all unit vectors."""
        shape = [self.input_channels(), *self.input]
        units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
        images = self.apply(weights, units).reshape(len(units), -1).numpy()
        return images if self.transposed else images.T

    def arguments(self, file):
        text = lambda lengths: "x".join(map(str, lengths))
        found = ["--input", text(self.input), "--weights", file, "--stride", text(self.stride)]
        found += ["--dilation", text(self.dilation), "--padding", text(self.padding), "--groups", str(self.groups)]
        if self.transposed:
            found += ["--transposed", "--output-padding", text(self.output_padding)]
        return found

    def __str__(self):
        name = "transposed" if self.transposed else "conv"
        return (
            f"{self.kind} {name} {self.channels} input {self.input} kernel {self.kernel} stride {self.stride} "
            f"dilation {self.dilation} padding {self.padding} output padding {self.output_padding} groups {self.groups}"
        )


def lift(lengths, neutral=1):
    return [neutral] * (3 - len(lengths)) + list(lengths)


def circulant(layer):
    """The circular convolution by its definition."""
    large = lift(layer.large[1:])
    stride, dilation, padding = lift(layer.stride), lift(layer.dilation), lift(layer.padding, 0)
    small = [n // s for n, s in zip(large, stride)]
    weights = layer.weights.reshape(*layer.weights.shape[:2], *lift(layer.kernel))
    outputs, inputs = layer.channels
    matrix = np.zeros((outputs, *small, inputs, *large))
    for co, ci, *tap in np.ndindex(*weights.shape):
        channel = co // (outputs // layer.groups) * (inputs // layer.groups) + ci
        for place in np.ndindex(*small):
            x = [(o * s + t * d - p) % n for o, s, t, d, p, n in zip(place, stride, tap, dilation, padding, large)]
            matrix[(co, *place, channel, *x)] += weights[(co, ci, *tap)]
    return matrix.reshape(outputs * math.prod(small), -1)


def classes(kernel, stride, dilation):
    """The taps of each residue class that has any."""
    found = {}
    for tap in range(kernel):
        found.setdefault(tap * dilation % stride, []).append(tap)
    return list(found.values())


def symbol_maximum(layer, samples):
    """The largest singular value of the aliased symbol on a grid, and the product of the cosines of its bound."""
    per_axis = [classes(k, s, d) for k, s, d in zip(lift(layer.kernel), lift(layer.stride), lift(layer.dilation))]
    degrees = [max(map(len, taps)) - 1 for taps in per_axis]
    same("samples", list(samples), [max(64, 2 * n + 1) if n else 1 for n in degrees])
    weights = layer.weights.reshape(*layer.weights.shape[:2], *lift(layer.kernel))
    small = layer.channels[0] // layer.groups
    largest = 0.0
    grid = np.stack(np.meshgrid(*[2 * np.pi * np.arange(n) / n for n in samples], indexing="ij"), -1).reshape(-1, 3)
    for group in range(layer.groups):
        block = weights[group * small : (group + 1) * small]
        columns = []
        for chosen in itertools.product(*per_axis):
            part = np.zeros((len(grid), *block.shape[:2]), complex)
            for order in itertools.product(*[range(len(taps)) for taps in chosen]):
                tap = tuple(taps[i] for taps, i in zip(chosen, order))
                part += np.exp(1j * (grid @ np.array(order)))[:, None, None] * block[(slice(None), slice(None), *tap)]
            columns.append(part)
        largest = max(largest, np.linalg.svd(np.concatenate(columns, axis=2), compute_uv=False)[:, 0].max())
    return largest, math.prod(math.cos(math.pi * n / count) for n, count in zip(degrees, samples))


def check_geometry(layer, found):
    """Counts, receptive field and footprint by the matrix of ones of one channel pair."""
    small, large = lift(layer.small[1:]), lift(layer.large[1:])
    ones = layer.matrix(np.ones_like(layer.weights)).reshape(layer.channels[0], math.prod(small), layer.channels[1], -1)
    pattern = ones[0, :, 0]
    same("nonzeros", found["nonzeros"], int(np.rint(ones.sum())))
    counts = np.einsum("i,j,k->ijk", *[np.array(n) for n in found["overlap_per_axis"]])
    near("overlap", counts, pattern.sum(0).reshape(large), 0)
    same("overlap range", found["overlap_range"], [int(pattern.sum(0).min()), int(pattern.sum(0).max())])
    per_class = []
    for counted, k, s, d in zip(found["overlap_classes"], lift(layer.kernel), lift(layer.stride), lift(layer.dilation)):
        same("classes", counted, [sum(t * d % s == r for t in range(k)) for r in range(s)])
        per_class.append(np.array(counted, float))
    counts = np.einsum("i,j,k->ijk", *per_class)
    near("variation of counts", found["overlap_variation"], (counts.max() - counts.min()) / counts.mean(), 1e-12)
    for key, rows in [("receptive_field", not layer.transposed), ("footprint", layer.transposed)]:
        index, positions = found[key]["index"], found[key]["positions"]
        own, other = (small, large) if rows else (large, small)
        same(f"index of the {key}", index, [n // 2 for n in own])
        at = np.ravel_multi_index(index, own)
        line = (pattern[at] if rows else pattern[:, at]).reshape(other)
        same(key, sorted(map(tuple, np.argwhere(line).tolist())), sorted(itertools.product(*positions)))
    same("extent", found["extent"], [(k - 1) * d + 1 for k, d in zip(lift(layer.kernel), lift(layer.dilation))])


def check_gains(layer, found):
    kernel, stride, dilation = lift(layer.kernel), lift(layer.stride), lift(layer.dilation)
    weights = layer.weights.reshape(*layer.weights.shape[:2], *kernel)
    gains = np.zeros((*weights.shape[:2], *stride))
    for tap in np.ndindex(*kernel):
        gains[(slice(None), slice(None), *[t * d % s for t, d, s in zip(tap, dilation, stride)])] += weights[(slice(None), slice(None), *tap)]
    near("phase gains", np.reshape(found["phase_gains"], found["phase_gains_shape"]), gains, 1e-12)
    pairs = gains.reshape(*gains.shape[:2], -1)
    figures = (pairs.max(2) - pairs.min(2)) / np.abs(pairs).mean(2)
    near("variation of gains", found["gain_variation"]["largest"], figures.max(), 1e-10)
    near("its pair", figures[tuple(found["gain_variation"]["pair"])], figures.max(), 1e-10)


def check(layer, found, count):
    matrix = layer.matrix(layer.weights)
    same("rows and columns", (found["rows"], found["columns"]), matrix.shape)
    same("shapes", (found["small_shape"][:1] + found["small_shape"][4 - layer.axes :], found["large_shape"][4 - layer.axes :]), (layer.small, layer.large[1:]))
    check_geometry(layer, found)
    check_gains(layer, found)
    values = np.linalg.svd(matrix, compute_uv=False)
    first, rank = values[0], int(np.linalg.matrix_rank(matrix))
    near("singular values", found["singular_values"], values[:count], 1e-10 * first)
    near("residuals", np.array(found["singular_residuals"]), np.zeros((min(count, len(values)), 2)), 1e-8 * first)
    if count < min(matrix.shape) and rank > 0:
        # From one starting vector svds may miss copies of a repeated value; what it finds must be there as often.
        left = list(values)
        for value in svds(matrix, k=count)[1]:
            nearest = min(left, key=lambda known: abs(known - value))
            near("singular values by svds", nearest, value, 1e-10 * first)
            left.remove(nearest)
    norm = found["norm"]
    near("the norm from below", norm["lower"], first, 1e-10 * first)
    sampled, cosines = symbol_maximum(layer, norm["samples"])
    near("the symbol", norm["sampled"], sampled, 1e-12 * sampled)
    near("the norm from above", norm["upper"], sampled / math.sqrt(cosines), 1e-12 * sampled)
    if not norm["lower"] * (1 - 1e-13) <= first <= norm["upper"] * (1 + 1e-13):
        raise Mismatch(f"the norm {first} is not between {norm['lower']} and {norm['upper']}")
    spectrum = found["spectrum"]
    near("the spectrum", spectrum["values"], values, 1e-12 * first)
    near("the threshold", spectrum["threshold"], max(matrix.shape) * EPSILON * first, 1e-12 * first)
    same("the rank", spectrum["rank"], rank)
    same("the null spaces", (spectrum["nullity"], spectrum["nullity_transposed"]), (matrix.shape[1] - rank, matrix.shape[0] - rank))
    if rank == 0:
        same("the condition of a matrix of zeros", spectrum["condition"], None)
    else:
        condition = first / values[rank - 1]
        near("the condition", spectrum["condition"] / condition, 1.0, 1e-13 * condition + 1e-12)
    divides = all(n % s == 0 for n, s in zip(layer.large[1:], layer.stride))
    same("whether there is a circular spectrum", "circular" in found, divides)
    if divides:
        circular = np.linalg.svd(circulant(layer), compute_uv=False)
        near("the circular spectrum", found["circular"], circular, 1e-12 * max(circular[0], first))
    blocks = layer.weights.reshape(layer.groups, layer.channels[0] // layer.groups, -1)
    defect = max(np.abs(block @ block.T - np.eye(len(block))).max() for block in blocks)
    near("the orthogonality", found["orthogonality"]["defect"], defect, 1e-12 * (1 + defect))
    if layer.kind == "orthogonal":
        same("an inverse", found["orthogonality"]["is_inverse"], True)
    if found["orthogonality"]["is_inverse"]:
        near("CᵀC", matrix.T @ matrix, np.eye(matrix.shape[1]), 1e-6)


def run(convmat, arguments, folder):
    file = os.path.join(folder, "numbers.json")
    command = [convmat, "analyse", *arguments, "--json", file, "--force"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Mismatch(f"{' '.join(command)}: {done.stderr.strip()}")
    with open(file, encoding="utf-8") as text:
        return json.load(text)


def check_photo(convmat, photo, folder):
    """The same deconvolution through PyTorch's padding and convolution."""
    from PIL import Image

    noise, output = os.path.join(folder, "noise.npy"), os.path.join(folder, "out.png")
    found = run(convmat, ["--deconvolve", photo, "-o", output, "--export-noise", noise], folder)
    scene = np.asarray(Image.open(photo), dtype=np.float64)
    scene = scene[None] if scene.ndim == 2 else scene.transpose(2, 0, 1)
    kernel = np.array(found["kernel"])
    channels, height, width = found["frame"]
    w = torch.from_numpy(kernel)[None, None]
    blur = lambda x: torch.nn.functional.conv2d(x[:, None], w)[:, 0]
    rows, columns = kernel.shape
    pads = ((columns - 1) // 2, columns // 2, (rows - 1) // 2, rows // 2)
    model = lambda x: blur(torch.nn.functional.pad(x[None], pads, mode="reflect")[0])

    def forward(x):
        return model(torch.from_numpy(x.reshape(channels, height, width))).numpy().ravel()

    def adjoint(y):
        x = torch.zeros(channels, height, width, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x), x, torch.from_numpy(y.reshape(channels, height, width)))
        return gradient.numpy().ravel()

    size = channels * height * width
    operator = LinearOperator((size, size), matvec=forward, rmatvec=adjoint, dtype=np.float64)
    added = np.load(noise)
    near("the noise's norm", found["noise"]["norm"], np.linalg.norm(added), 1e-9 * np.linalg.norm(added))
    deviation = found["noise"]["deviation"]
    near("the noise's deviation", added.std(), deviation, 5 * deviation / math.sqrt(2 * size))
    frame = (blur(torch.from_numpy(scene)).numpy() + added).ravel()
    original = scene[:, pads[2] : pads[2] + height, pads[0] : pads[0] + width].ravel()
    least = found["least_squares"]
    solution = lsqr(operator, frame, damp=least["damping"], atol=1e-10, btol=1e-10, iter_lim=1000)[0]
    residual = np.linalg.norm(forward(solution) - frame)
    near("LSQR's residual", least["residual"] / residual, 1.0, 1e-3)
    near("LSQR's norm", least["norm"] / np.linalg.norm(solution), 1.0, 1e-3)
    near("the discrepancy", least["residual"] / least["target"], 1.0, 1.1e-3)
    back = adjoint(frame)
    scale = original @ back / (back @ back)
    near("the scale", found["adjoint_scale"], scale, 1e-9 * abs(scale))
    levels = lambda x: np.clip(np.floor(x + 0.5), 0, 255)
    # LSQR comes from the smooth parts of a picture to the sharp ones. Stopped at a gradient of 1e-4 of the first it is 0.02 dB away
    # from the minimum, at the 1e-6 that convmat stops at 2e-4 dB.
    psnr = lambda x: 10 * math.log10(255**2 / np.mean((levels(x) - original) ** 2))
    for key, x, tolerance in [("blurred", frame, 1e-3), ("adjoint", back * scale, 1e-3), ("least_squares", solution, 2e-3)]:
        near(f"PSNR {key}", found["psnr"][key], psnr(x), tolerance)
    shown = np.asarray(Image.open(output), dtype=np.float64)
    shown = shown[None] if shown.ndim == 2 else shown.transpose(2, 0, 1)
    near("the original's panel", shown[:, :, 3 * width :].ravel(), original, 0)
    near("the blurred panel", np.abs(shown[:, :, :width].ravel() - levels(frame)).mean(), 0, 1e-3)
    near("the restored panel", np.abs(shown[:, :, 2 * width : 3 * width].ravel() - levels(solution)).mean(), 0, 0.2)
    print(f"photo: {found['psnr']}, damping {least['damping']:.4g}")


def speed(convmat, folder):
    """One go each, on the same weights."""
    random = np.random.default_rng(0)
    weights = random.uniform(-1, 1, (64, 64, 3, 3))
    file = os.path.join(folder, "weights.npy")
    np.save(file, weights)
    arguments = ["--input", "56x56", "--padding", "1", "--weights", file, "--singular-values", "8", "--norm-samples", "8"]
    found = run(convmat, arguments, folder)
    w = torch.from_numpy(weights)

    def forward(x):
        return torch.nn.functional.conv2d(torch.from_numpy(x.reshape(1, 64, 56, 56)), w, padding=1).numpy().ravel()

    def adjoint(y):
        return torch.nn.functional.conv_transpose2d(torch.from_numpy(y.reshape(1, 64, 56, 56)), w, padding=1).numpy().ravel()

    size = 64 * 56 * 56
    start = time.perf_counter()
    wanted = svds(LinearOperator((size, size), matvec=forward, rmatvec=adjoint, dtype=np.float64), k=8)[1]
    seconds = time.perf_counter() - start
    near("singular values", found["singular_values"], sorted(wanted)[::-1], 1e-8 * wanted.max())
    print(f"8 singular values of 64 to 64, 3x3, 56x56: convmat {found['singular_seconds']:.2f} s, svds {seconds:.2f} s")
    return found["singular_seconds"] < 10 and found["singular_seconds"] <= seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("convmat")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--singular-values", type=int, default=6)
    parser.add_argument("--photo")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        if arguments.speed:
            return 0 if speed(arguments.convmat, folder) else 1
        kinds = ["plain", "grouped", "dilated", "output-padded", "repeated", "orthogonal"]
        for i in range(arguments.count):
            layer = Layer(random, kinds[i % len(kinds)])
            file = os.path.join(folder, "weights.npy")
            np.save(file, layer.weights)
            count = arguments.singular_values
            try:
                found = run(arguments.convmat, [*layer.arguments(file), "--singular-values", str(count)], folder)
                check(layer, found, count)
                print(f"ok  {layer}", flush=True)
            except Mismatch as error:
                failed += 1
                print(f"NO  {layer}\n    {error}", flush=True)
        if arguments.photo:
            try:
                check_photo(arguments.convmat, arguments.photo, folder)
            except Mismatch as error:
                failed += 1
                print(f"NO  {arguments.photo}\n    {error}", flush=True)
    print(f"{arguments.count} geometries{' and a photo' if arguments.photo else ''}: {failed} mismatches")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
