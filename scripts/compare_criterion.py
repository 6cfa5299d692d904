#!/usr/bin/env python3
"""Whether the medians of `convmat bench` agree with criterion's within the stated spread.

    cargo build --release --features cli
    target/release/convmat bench --layers benches/three_layers.json --threads 1 --time 10 --formulations sparse,im2col-gemm,planned -o three
    cargo bench --bench layers
    scripts/compare_criterion.py three [CRITERION]

CRITERION is criterion's folder, target/criterion unless it is given. For every layer and formulation that both measured, the median
that criterion estimates has to lie within the spread that results.csv states: from the least lower to the greatest upper quartile of
the rounds. Needs nothing beyond Python 3.9. Exits 1 if one median lies outside, or if nothing compares.
"""

import argparse
import json
import pathlib
import sys

from check_benchmark import is_measured, read_csv

ROOT = pathlib.Path(__file__).resolve().parent.parent


def estimate(criterion, record):
    """Criterion's median in seconds, if it measured that."""
    path = criterion / record["layer"] / record["formulation"] / "new" / "estimates.json"
    if path.is_file():
        return 1e-9 * json.loads(path.read_text(encoding="utf-8"))["median"]["point_estimate"]
    return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("results", type=pathlib.Path)
    arguments.add_argument("criterion", type=pathlib.Path, nargs="?", default=ROOT / "target" / "criterion")
    arguments = arguments.parse_args()
    _, records = read_csv(arguments.results / "results.csv")
    pairs = [(record, estimate(arguments.criterion, record)) for record in records if is_measured(record)]
    pairs = [(record, other) for record, other in pairs if other]
    print(f"{'layer':24} {'formulation':16} {'bench':>9} {'spread':>19} {'criterion':>9} {'ratio':>6}  in µs")
    outside, differences = 0, []
    for record, other in pairs:
        low, own, high = (record[column] for column in ("run_low", "run_seconds", "run_high"))
        agrees = low <= other <= high
        outside += not agrees
        differences.append(abs(other / own - 1))
        spread = f"{1e6 * low:.1f} to {1e6 * high:.1f}"
        print(f"{record['layer']:24} {record['formulation']:16} {1e6 * own:9.1f} {spread:>19} {1e6 * other:9.1f} {other / own:6.3f}"
              + ("" if agrees else "  OUTSIDE"))
    if not pairs:
        print("criterion measured nothing of these results")
        return 1
    print(f"{len(pairs)} medians compared, {outside} outside the spread; they differ by {100 * max(differences):.1f} % at most")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
