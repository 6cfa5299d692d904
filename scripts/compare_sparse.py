"""How fast the sparse matrix C multiplies a batch of 64: convmat beside SciPy and PyTorch.

    python3 -m venv venv && venv/bin/pip install numpy scipy torch
    cargo build --release -p convmat-cli
    venv/bin/python scripts/compare_sparse.py [--threads 2] [--rounds 5] [--batch 64]

For three layers `convmat matrix` writes C as .npz; SciPy (CSR, one thread by design) and PyTorch (CSR, `--threads`) multiply it with
a dense [columns, batch] matrix, their own layout, and `convmat bench`, whose folder of results is read, multiplies the layer's
sparse matrix with a batch-first tensor, interleaving included. convmat and the other two take turns, round by round; a figure is the median over the
rounds of the medians, in milliseconds. The products of SciPy and PyTorch are compared with each other.

Exit code 1 if a product is wrong, or if convmat takes more than half the time of SciPy or more than that of PyTorch.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy
import scipy.sparse
import torch

from check_benchmark import read_csv
from peer_products import in_turns, sparse_products

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "release" / "convmat"
# 2-D, 1-D, and a strided one of few entries per row: input, kernel, stride, padding, channels.
LAYERS = {
    "2-D, 16 channels, 3x3": ("56x56", "3", "1", "1", 16, 16),
    "1-D, 32 channels, 9": ("2048", "9", "1", "4", 32, 32),
    "2-D, 3 to 8 channels, 5x5 stride 2": ("96x96", "5", "2", "2", 3, 8),
}


def convmat(*arguments):
    subprocess.run([BINARY, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def ours(layer, options, folder):
    size, kernel, stride, padding, inputs, outputs = layer
    convmat("bench", "--sweep", "batch", "--values", options.batch, "--input", size, "--kernel", kernel, "--stride", stride,
            "--padding", padding, "--in-channels", inputs, "--out-channels", outputs, "--threads", options.threads,
            "--formulations", "sparse-csr", "--time", 1, "--memory-limit", "4GiB", "-o", folder, "--force")
    _, (record,) = read_csv(folder / "results.csv")
    return record["run_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    failures = 0
    print(f"batch {options.batch}, {options.threads} threads, ms; ratios are times over convmat's")
    print(f"{'layer':36} {'nonzeros':>10} {'convmat':>9} {'SciPy':>9} {'PyTorch':>9} {'ratio':>6} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name, layer in LAYERS.items():
            size, kernel, stride, padding, inputs, outputs = layer
            path = folder / "c.npz"
            convmat("matrix", "--input", size, "--kernel", kernel, "--stride", stride, "--padding", padding, "--in-channels",
                    inputs, "--out-channels", outputs, "--seed", 1, "-o", path, "--force")
            matrix = scipy.sparse.csr_matrix(scipy.sparse.load_npz(path)).astype(numpy.float32)
            x = numpy.random.default_rng(1).uniform(-1, 1, (matrix.shape[1], options.batch)).astype(numpy.float32)
            products = sparse_products(matrix, x)
            by_scipy, by_torch = products[0](), products[1]().numpy()
            difference = numpy.abs(by_torch - by_scipy).max()
            bound = 1e-6 * abs(matrix).sum(axis=1).max()
            rounds = [(ours(layer, options, folder / "bench"), *map(statistics.median, in_turns(products, 0.7, 5)))
                      for _ in range(options.rounds)]
            mine, scipys, torchs = (1e3 * statistics.median(column) for column in zip(*rounds))
            good = difference <= bound and scipys >= 2 * mine and torchs >= mine
            failures += not good
            print(f"{name:36} {matrix.nnz:10} {mine:9.2f} {scipys:9.2f} {torchs:9.2f} {scipys / mine:6.2f} {torchs / mine:6.2f}"
                  + ("" if good else "  FAILED"), flush=True)
    print(f"{len(LAYERS)} layers, {failures} below the bar")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
