#!/usr/bin/env python3
"""PyTorch's and SciPy's figures for the problems of `convmat bench`, in the form that its --peers option reads.

    python3 -m venv venv && venv/bin/pip install numpy scipy torch
    venv/bin/python scripts/benchmark_peers.py RESULTS/results.csv peers.json [--seconds 0.5] [--memory-limit 1073741824]
    convmat bench ... --peers peers.json

For every problem of the file it measures, float32 and taking turns on the same tensors:

* PyTorch's convolution (oneDNN's or its own), its gradient of the input or of the weights, with the problem's threads;
* SciPy's CSR matrix times a dense one, on one thread, which is all it uses;
* PyTorch's CSR matrix times a dense one, with the problem's threads.

The matrix is written out here, entry by entry, from the definition; its building is not timed. Matrices beyond the limit are left
out. The dense operand is as the libraries like it, a column per sample. Times and spread are those of 15 rounds, as `convmat bench`
states them: each round works on copies of all operands, warms up, and lasts its part of SECONDS, or 3 calls. Unlike there, the
rounds of a problem follow one another, in one execution. Every result is compared with PyTorch's in float64: ||y - ref|| <= 1e-4 ||ref||, else the program stops with 1.
"""

import argparse
import datetime
import itertools
import json
import os
import pathlib
import platform
import sys
import time

import numpy as np
import scipy.sparse
import torch

from check_benchmark import PROBLEM, is_measured, points_of, read_csv
from peer_products import SCIPY_CSR, TORCH, TORCH_CSR, in_turns, sparse_products, spread

TOLERANCE = 1e-4
ROUNDS = 15
CALLS = 3
# Cores that others may keep busy, as convmat bench has it.
BUSY = 0.05


def lengths(text):
    return [int(length) for length in text.split("x")]


def pads(text):
    """Zeros before and after, per axis; none where a rule is named."""
    try:
        pairs = [[int(pad) for pad in pair.split(",")] for pair in text.split("x")]
    except ValueError:
        return None
    return [pair * 2 if len(pair) == 1 else pair for pair in pairs]


class Layer:
    """A problem's layer in PyTorch's terms: the convolution C whose adjoint it may be."""

    def __init__(self, problem):
        self.problem = problem
        self.is_transposed = problem["op"] == "conv_transpose"
        self.input, self.kernel, self.stride, self.dilation = (
            lengths(problem[name]) for name in ("input", "kernel", "stride", "dilation")
        )
        both = pads(problem["padding"])
        if both is None or any(before != after for before, after in both):
            raise ValueError("only explicit padding that is the same on both sides")
        self.padding = [before for before, _ in both]
        extra = lengths(problem["output_padding"])
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel)]
        if self.is_transposed:
            self.small = self.input
            axes = zip(self.input, self.stride, self.padding, reach, extra)
            self.large = [(n - 1) * s - 2 * p + r + e for n, s, p, r, e in axes]
            self.small_channels, self.large_channels = problem["in_channels"], problem["out_channels"]
        else:
            self.large = self.input
            axes = zip(self.input, self.stride, self.padding, reach)
            self.small = [(n + 2 * p - r) // s + 1 for n, s, p, r in axes]
            self.small_channels, self.large_channels = problem["out_channels"], problem["in_channels"]
        self.groups = problem["groups"]
        if min(self.small + self.large) < 1:
            raise ValueError("the layer is impossible")

    def tensors(self):
        """x on the large side, y on the small one, and weights."""
        random, batch = np.random.default_rng(1), self.problem["batch"]
        shapes = (
            [batch, self.large_channels, *self.large],
            [batch, self.small_channels, *self.small],
            [self.small_channels, self.large_channels // self.groups, *self.kernel],
        )
        return [torch.from_numpy(random.uniform(-1, 1, shape).astype(np.float32)) for shape in shapes]

    def applies_adjoint(self):
        """Whether the problem's direction is a product with the transpose of C."""
        return self.is_transposed == (self.problem["direction"] == "forward")

    def torch_call(self, x, y, weights):
        """The problem by PyTorch's convolution, whichever of its three contractions it is."""
        axes = len(self.kernel)
        arguments = (self.stride, self.padding, self.dilation, False, [0] * axes, self.groups)
        wanted = "weights" if self.problem["direction"] == "weight-gradient" else self.applies_adjoint()
        if wanted == "weights":
            mask = [False, True, False]
            return lambda: torch.ops.aten.convolution_backward(y, x, weights, None, *arguments, mask)[1]
        if not wanted:
            return lambda: torch.ops.aten.convolution(x, weights, None, *arguments)
        if self.is_transposed:
            extra = lengths(self.problem["output_padding"])
            transposed = (self.stride, self.padding, self.dilation, True, extra, self.groups)
            return lambda: torch.ops.aten.convolution(y, weights, None, *transposed)
        mask = [True, False, False]
        return lambda: torch.ops.aten.convolution_backward(y, x, weights, None, *arguments, mask)[0]

    def entries(self):
        """How many nonzeros C has."""
        per_axis = [sum(len(small) for small, _ in taps) for taps in self.taps()]
        return int(np.prod(per_axis, dtype=object)) * self.small_channels * self.large_channels // self.groups

    def taps(self):
        """Per axis and tap, the positions on the small and on the large side that it joins."""
        for n, m, k, s, d, p in zip(self.small, self.large, self.kernel, self.stride, self.dilation, self.padding):
            small = np.arange(n)
            joined = [small * s + tap * d - p for tap in range(k)]
            yield [(small[(0 <= large) & (large < m)], large[(0 <= large) & (large < m)]) for large in joined]

    def matrix(self, weights):
        """C, rows and columns numbered row-major over channels and positions."""
        rows, columns, values = [], [], []
        per_group = [self.small_channels // self.groups, self.large_channels // self.groups]
        pixels = [int(np.prod(self.small)), int(np.prod(self.large))]
        taps = [list(axis) for axis in self.taps()]
        weights = weights.numpy()
        for tap in itertools.product(*(range(k) for k in self.kernel)):
            # Positions of all axes together, flattened.
            small, large = np.zeros(1, np.int64), np.zeros(1, np.int64)
            for axis, i in enumerate(tap):
                a, b = taps[axis][i]
                small = (small[:, None] * self.small[axis] + a).ravel()
                large = (large[:, None] * self.large[axis] + b).ravel()
            for out in range(self.small_channels):
                group = out // per_group[0]
                for channel in range(per_group[1]):
                    rows.append(out * pixels[0] + small)
                    columns.append((group * per_group[1] + channel) * pixels[1] + large)
                    values.append(np.full(len(small), weights[(out, channel, *tap)]))
        shape = (self.small_channels * pixels[0], self.large_channels * pixels[1])
        concatenated = [np.concatenate(part) for part in (values, rows, columns)]
        return scipy.sparse.coo_array((concatenated[0], (concatenated[1], concatenated[2])), shape).tocsr()


def csr(layer, weights, limit):
    """The matrix of the problem, or none of a weight gradient or beyond the limit."""
    # An index of 32 bits and a value per nonzero.
    if layer.problem["direction"] == "weight-gradient" or 8 * layer.entries() > limit:
        return None
    matrix = layer.matrix(weights)
    return matrix.T.tocsr() if layer.applies_adjoint() else matrix


def contenders(layer, matrix):
    """Names, what they stand beside, threads, calls, and what makes their results arrays of one sample per row; all operands new."""
    x, y, weights = layer.tensors()
    problem = layer.problem
    call = layer.torch_call(x, y, weights)
    flat = lambda result: result.reshape(-1) if problem["direction"] == "weight-gradient" else result.reshape(len(x), -1)
    sides = [(TORCH, "planned", problem["threads"], call, lambda result: flat(result).numpy())]
    if matrix is not None:
        operand = y if layer.applies_adjoint() else x
        operand = np.ascontiguousarray(operand.reshape(len(x), -1).numpy().T)
        by_scipy, by_torch = sparse_products(matrix, operand)
        sides.append((SCIPY_CSR, "sparse-csr", 1, by_scipy, lambda result: result.T))
        sides.append((TORCH_CSR, "sparse-csr", problem["threads"], by_torch, lambda result: result.numpy().T))
    return sides


def exact(layer):
    """The problem in float64."""
    result = layer.torch_call(*(tensor.double() for tensor in layer.tensors()))()
    return (result.reshape(-1) if layer.problem["direction"] == "weight-gradient" else result.reshape(len(result), -1)).numpy()


def measure(problem, seconds, limit, peers):
    layer = Layer(problem)
    torch.set_num_threads(problem["threads"])
    matrix = csr(layer, layer.tensors()[2], limit)
    sides, wanted = contenders(layer, matrix), exact(layer)
    for name, _, _, call, rows in sides:
        error = np.linalg.norm(rows(call()) - wanted) / max(np.linalg.norm(wanted), 1e-300)
        if not error <= TOLERANCE:
            sys.exit(f"{name} on {problem['layer']}, {problem['direction']}: relative error {error:.1e}")
    rounds = []
    for _ in range(ROUNDS):
        sides = contenders(layer, matrix)
        rounds.append(in_turns([call for _, _, _, call, _ in sides], seconds / ROUNDS, CALLS))
    for (name, beside, threads, *_), times in zip(sides, zip(*rounds)):
        peer = peers.setdefault(name, {"name": name, "beside": beside, "figures": []})
        of_problem = {column: problem[column] for column in PROBLEM}
        figure = {"problem": of_problem, "threads": threads, "build_seconds": None, **spread(times), "peak_bytes": None}
        peer["figures"].append(figure)


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cpu_seconds():
    """When it is; processor time of all programs (Linux, else 0), and of this one."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        ticks = user + nice + system + irq + softirq + steal
    except (OSError, ValueError):
        ticks = 0
    return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


def others_since(before):
    """Cores that other programs kept busy, on average: with them, threads that wait for each other take many times as long."""
    elapsed, every, own = (now - then for now, then in zip(cpu_seconds(), before))
    return (every - own) / elapsed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("results", type=pathlib.Path)
    arguments.add_argument("output", type=pathlib.Path)
    arguments.add_argument("--seconds", type=float, default=0.5, help="for each program and problem")
    arguments.add_argument("--memory-limit", type=int, default=1 << 30, help="bytes of a sparse matrix")
    arguments = arguments.parse_args()
    torch.set_grad_enabled(False)
    before = cpu_seconds()
    _, records = read_csv(arguments.results)
    peers, skipped = {}, 0
    for point in points_of(records):
        problem = point["problem"]
        if not any(map(is_measured, point["records"])):
            continue
        try:
            measure(problem, arguments.seconds, arguments.memory_limit, peers)
        except (ValueError, RuntimeError) as why:
            print(f"skipped {problem['layer']}, {problem['direction']}: {str(why).splitlines()[0]}", file=sys.stderr)
            skipped += 1
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = f"scripts/benchmark_peers.py, {processor()}, {date}"
    busy = others_since(before)
    if busy > BUSY:
        about += f"; other programs kept {busy:.1f} cores busy"
    file = {"format": 2, "about": about, "peers": list(peers.values())}
    arguments.output.write_text(json.dumps(file, indent=1) + "\n", encoding="utf-8")
    count = sum(len(peer["figures"]) for peer in peers.values())
    print(f"{about}\n{count} figures of {len(peers)} programs written to {arguments.output}, {skipped} problems skipped")


if __name__ == "__main__":
    main()
