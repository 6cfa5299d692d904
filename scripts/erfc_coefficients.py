#!/usr/bin/env python3
"""The Chebyshev coefficients of `src/engine/epilogue/activation/functions.rs`, for the Gaussian error function's complement.

    scripts/erfc_coefficients.py [DIGITS]

    (1 + 2·z)·exp(z²)·erfc(z) = Σ_n c_n·T_n(t),    t = (z − K)/(z + K),  z ≥ 0

after M. Shepherd and J. Laframboise, *Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞*, Mathematics of Computation
36 (1981). Coefficients come from the function's values at the Chebyshev nodes, in 60 digits, and are printed up to the first below
10^-DIGITS (17). Needs mpmath.
"""

import sys

from mpmath import cos, erfc, exp, mp, mpf, pi

K = mpf("3.75")
NODES = 96


def value(t):
    """The function at t; its limit 2/√π at t = 1 is no node."""
    z = K * (1 + t) / (1 - t)
    return (1 + 2 * z) * exp(z * z) * erfc(z)


def main():
    mp.dps = 60
    digits = int(sys.argv[1]) if len(sys.argv) > 1 else 17
    angles = [pi * (j + mpf(1) / 2) / NODES for j in range(NODES)]
    values = [value(cos(angle)) for angle in angles]
    for n in range(NODES):
        c = sum(v * cos(n * angle) for v, angle in zip(values, angles)) * (1 if n == 0 else 2) / NODES
        if abs(c) < mpf(10) ** -digits:
            break
        print(f"{mp.nstr(c, 18)},")


if __name__ == "__main__":
    main()
