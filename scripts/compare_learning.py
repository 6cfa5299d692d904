#!/usr/bin/env python3
"""Holds `convmat learn-upsampling` to a dense least-squares solve that shares no code with it.

    scripts/compare_learning.py CONVMAT IMAGE... [--kernel 4 6 8 10 12] [--soft-weight 0 10] [--soft-reach 8]

For every kernel and weight it runs the command, builds the normal equations itself from the images, their antialiased halves
by PyTorch, all four mirror images and soft copies by SciPy, solves them with NumPy in float64, and compares the taps: relative
difference in the Euclidean norm, at most 1e-6. Needs numpy, scipy, torch, Pillow.
"""

import argparse
import math
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import convolve1d

from taps_file import read_taps

TOLERANCE = 1e-6


def planes(path):
    """The image as [planes, height, width]."""
    image = np.asarray(Image.open(path), dtype=np.float64)
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def even(x):
    return x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]


def grey_levels(x):
    """Rounded, up on a tie; 1e-9 off a tie is one, or the order of a sum would decide."""
    return np.clip(np.floor(x + 0.5 + 1e-9), 0, 255)


def half(x):
    size = (x.shape[1] // 2, x.shape[2] // 2)
    x = torch.from_numpy(np.ascontiguousarray(x))[None]
    y = torch.nn.functional.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
    return grey_levels(y[0].numpy())


def soften(x, reach):
    line = np.array([math.comb(2 * reach, t) for t in range(2 * reach + 1)]) / 4.0**reach
    for axis in (1, 2):
        x = convolve1d(x, line, axis=axis, mode="nearest")
    return grey_levels(x)


def add_equations(normal, right, large, kernel, weight):
    """Adds the normal equations of one image and its mirror images: output 2i + t - padding reads input i with tap t."""
    padding = (kernel - 2) // 2
    margin = kernel
    small = half(large)
    for rows in (1, -1):
        for columns in (1, -1):
            wanted, source = large[:, ::rows, ::columns], small[:, ::rows, ::columns]
            _, height, width = source.shape
            framed = np.pad(source, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
            for row in (0, 1):
                for column in (0, 1):
                    taps, values = [], []
                    for i in range((row + padding) % 2, kernel, 2):
                        for j in range((column + padding) % 2, kernel, 2):
                            top = margin + (row + padding - i) // 2
                            left = margin + (column + padding - j) // 2
                            taps.append(i * kernel + j)
                            values.append(framed[:, top : top + height, left : left + width].ravel())
                    values = np.stack(values, axis=1)
                    normal[np.ix_(taps, taps)] += weight * (values.T @ values)
                    right[taps] += weight * (values.T @ wanted[:, row::2, column::2].ravel())


def dense(images, kernel, weight, reach):
    normal, right = np.zeros((kernel**2, kernel**2)), np.zeros(kernel**2)
    for path in images:
        whole = planes(path)
        add_equations(normal, right, even(whole), kernel, 1.0)
        if weight > 0:
            add_equations(normal, right, even(soften(whole, reach)), kernel, weight)
    return np.linalg.solve(normal, right).reshape(kernel, kernel), np.linalg.cond(normal)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("convmat")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--kernel", nargs="+", type=int, default=[4, 6, 8, 10, 12])
    parser.add_argument("--soft-weight", nargs="+", type=float, default=[0.0, 10.0])
    parser.add_argument("--soft-reach", type=int, default=8)
    arguments = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for weight in arguments.soft_weight:
            for kernel in arguments.kernel:
                path = f"{folder}/{kernel}.safetensors"
                options = f"--kernel {kernel} --soft-weight {weight} --soft-reach {arguments.soft_reach} --force"
                command = [arguments.convmat, "learn-upsampling", *arguments.images, "-o", path, *options.split()]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                taps, _ = read_taps(path)
                wanted, condition = dense(arguments.images, kernel, weight, arguments.soft_reach)
                difference = np.linalg.norm(taps - wanted) / np.linalg.norm(wanted)
                worst = max(worst, difference)
                print(
                    f"{kernel}x{kernel}, soft weight {weight:g}: relative difference {difference:.1e}, "
                    f"condition of the normal matrix {condition:.1e}",
                    flush=True,
                )
    print(f"worst {worst:.1e}, allowed {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
