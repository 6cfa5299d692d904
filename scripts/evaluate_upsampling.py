#!/usr/bin/env python3
"""Recomputes what `convmat upscale --evaluate` prints, with PyTorch and scikit-image in place of convmat.

    python scripts/evaluate_upsampling.py IMAGE… [--taps FILE] [--convmat "cargo run --release -p convmat-cli --"]

Needs torch, numpy, pillow and scikit-image. Every image is cut, reduced by torch's antialiased bicubic interpolation in
float64 and rounded to grey levels; torch brings it back by each method, scikit-image measures PSNR and SSIM. The run fails
if a PSNR differs from convmat's by more than 0.01 dB or an SSIM by more than 0.001. 8 bits per channel, opaque.
"""

import argparse
import csv
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from taps_file import read_taps

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
COMMITTED_TAPS = REPOSITORY / "cli/src/taps/learned-2x.safetensors"
BORDER = 8
PSNR_TOLERANCE = 0.01
SSIM_TOLERANCE = 0.001


def read_image(path, scale):
    """[1, channels, h, w] in float64, cut to multiples of the scale."""
    # Pillow silently reduces 16-bit colours; the ninth byte of a PNG's IHDR is the bit depth.
    with open(path, "rb") as file:
        if (start := file.read(25)).startswith(b"\x89PNG") and start[24] == 16:
            raise SystemExit(f"{path} has 16 bits per channel; give images of 8 bits")
    image = ImageOps.exif_transpose(Image.open(path))
    grey = image.mode in ("1", "L", "LA")
    pixels = np.asarray(image.convert("L" if grey and image.mode != "LA" else "LA" if grey else "RGBA"), np.float64)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., : 1 if grey else 3]
    h, w = pixels.shape[0] // scale * scale, pixels.shape[1] // scale * scale
    return torch.from_numpy(pixels[:h, :w].transpose(2, 0, 1)[None].copy())


def rounded(x):
    """To grey levels, halves up, as files hold them."""
    return torch.floor(x + 0.5).clamp(0, 255)


def keys(d, a):
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def bicubic(x, scale, a):
    """Cubic convolution with any a along both axes, indices clamped at the borders; torch has a = -0.75 alone."""

    def along(x, axis):
        length = x.shape[axis]
        matrix = torch.zeros(length * scale, length, dtype=torch.float64)
        for o in range(length * scale):
            center = (o + 0.5) / scale - 0.5
            for i in range(int(np.floor(center)) - 1, int(np.floor(center)) + 3):
                matrix[o, min(max(i, 0), length - 1)] += keys(center - i, a)
        return torch.tensordot(x, matrix, ([axis], [1])).movedim(-1, axis)

    return along(along(x, 2), 3)


def transposed(x, taps, scale):
    """conv_transpose2d per channel on a replicated frame that is wide enough for every tap, cut off again."""
    kernel = taps.shape[0]
    frame = kernel // scale + 1
    channels = x.shape[1]
    padded = F.pad(x, (frame,) * 4, mode="replicate")
    weights = torch.from_numpy(taps).expand(channels, 1, kernel, kernel)
    y = F.conv_transpose2d(padded, weights, stride=scale, padding=(kernel - scale) // 2, groups=channels)
    edge = frame * scale
    return y[..., edge:-edge, edge:-edge]


def luma(x):
    planes = x[0].numpy()
    return 0.299 * planes[0] + 0.587 * planes[1] + 0.114 * planes[2] if len(planes) == 3 else planes[0]


def quality(result, original):
    a, b = luma(original), luma(result)
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(a[inside], b[inside], data_range=255)
    _, ssim = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    return psnr, ssim[inside].mean()


def evaluate(path, taps, scale):
    original = read_image(path, scale)
    size = [length // scale for length in original.shape[2:]]
    reduced = rounded(F.interpolate(original, size=size, mode="bicubic", antialias=True))
    pytorch = F.interpolate(reduced, scale_factor=scale, mode="bicubic")
    assert (bicubic(reduced, scale, -0.75) - pytorch).abs().max() < 1e-9
    results = {
        "nearest": F.interpolate(reduced, scale_factor=scale, mode="nearest"),
        "bilinear": F.interpolate(reduced, scale_factor=scale, mode="bilinear"),
        "bicubic -0.5": bicubic(reduced, scale, -0.5),
        "bicubic -0.75": pytorch,
        "learned": transposed(reduced, taps, scale),
    }
    return {method: quality(rounded(result), original) for method, result in results.items()}


def convmat_says(command, images, taps):
    """{(image, method): (PSNR, SSIM)} from the file that --csv writes."""
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "quality.csv"
        arguments = ["upscale", "--evaluate", "--csv", str(table), "--taps", str(taps), *map(str, images)]
        subprocess.run([*shlex.split(command), *arguments], check=True, stdout=subprocess.DEVNULL)
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    return {(row["image"], row["method"]): (float(row["psnr_db"]), float(row["ssim"])) for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", nargs="+", type=pathlib.Path)
    parser.add_argument("--taps", type=pathlib.Path, default=COMMITTED_TAPS)
    parser.add_argument("--convmat", default="cargo run --quiet --release -p convmat-cli --")
    arguments = parser.parse_args()
    taps, scale = read_taps(arguments.taps)
    said = convmat_says(arguments.convmat, arguments.images, arguments.taps)
    worst, failed = [0.0, 0.0], 0
    print(f"{'image':24}{'method':14}{'PSNR':>8}{'convmat':>9}{'SSIM':>9}{'convmat':>9}")
    for path in arguments.images:
        for method, (psnr, ssim) in evaluate(path, taps, scale).items():
            psnr_said, ssim_said = said.pop((str(path), method))
            off = [0.0 if psnr == psnr_said else abs(psnr - psnr_said), abs(ssim - ssim_said)]
            worst = [max(pair) for pair in zip(worst, off)]
            wrong = not (off[0] <= PSNR_TOLERANCE and off[1] <= SSIM_TOLERANCE)
            failed += wrong
            mark = "  DIFFERS" if wrong else ""
            print(f"{path.name:24}{method:14}{psnr:8.3f}{psnr_said:9.3f}{ssim:9.5f}{ssim_said:9.5f}{mark}")
    print(f"largest difference: {worst[0]:.2g} dB PSNR, {worst[1]:.2g} SSIM; {failed} beyond tolerance")
    return failed > 0 or bool(said)


if __name__ == "__main__":
    sys.exit(main())
