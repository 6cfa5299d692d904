#!/usr/bin/env python3
"""Whether the figures of `convmat bench` and criterion's agree within the spreads that both state.

    cargo build --release -p convmat-cli
    target/release/convmat bench --layers benches/three_layers.json --threads 1 --time 10 --formulations sparse,im2col-gemm,planned -o three
    cargo bench --bench layers
    scripts/compare_criterion.py three [CRITERION]

CRITERION is criterion's folder, target/criterion unless it is given. Of every layer and formulation that both measured it says

* whether the median that criterion estimates lies within the spread of results.csv, from the least lower to the greatest upper quartile
  of the rounds: INSIDE;
* whether that spread and criterion's, from the lower to the upper quartile of its samples, meet, which is when `convmat bench` calls two
  figures equal: EQUAL.

Criterion's figures are those of one execution. Needs nothing beyond Python 3.9. Exits 1 if two spreads do not meet, or if nothing
compares.
"""

import argparse
import json
import pathlib
import statistics
import sys

from check_benchmark import is_measured, read_csv

ROOT = pathlib.Path(__file__).resolve().parent.parent


def estimate(criterion, record):
    """Criterion's lower quartile, median and upper quartile in seconds, if it measured that."""
    folder = criterion / record["layer"] / record["formulation"] / "new"
    if not (folder / "sample.json").is_file():
        return None
    median = json.loads((folder / "estimates.json").read_text(encoding="utf-8"))["median"]["point_estimate"]
    sample = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    calls = [time / count for time, count in zip(sample["times"], sample["iters"])]
    low, _, high = statistics.quantiles(calls, n=4, method="inclusive")
    return [1e-9 * nanoseconds for nanoseconds in (low, median, high)]


def span(low, high):
    return f"{1e6 * low:.1f} to {1e6 * high:.1f}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("results", type=pathlib.Path)
    arguments.add_argument("criterion", type=pathlib.Path, nargs="?", default=ROOT / "target" / "criterion")
    arguments = arguments.parse_args()
    _, records = read_csv(arguments.results / "results.csv")
    pairs = [(record, estimate(arguments.criterion, record)) for record in records if is_measured(record)]
    pairs = [(record, other) for record, other in pairs if other]
    columns = f"{'bench':>9} {'spread':>19} {'criterion':>9} {'spread':>19} {'ratio':>6}  in µs"
    print(f"{'layer':24} {'formulation':16} {columns}")
    inside, equal, differences = 0, 0, []
    for record, (other_low, other, other_high) in pairs:
        low, own, high = (record[column] for column in ("run_low", "run_seconds", "run_high"))
        is_inside, is_equal = low <= other <= high, other_low <= high and low <= other_high
        inside += is_inside
        equal += is_equal
        differences.append(abs(other / own - 1))
        verdict = [word for word, holds in (("INSIDE", is_inside), ("EQUAL", is_equal)) if holds]
        print(f"{record['layer']:24} {record['formulation']:16} {1e6 * own:9.1f} {span(low, high):>19} {1e6 * other:9.1f} "
              f"{span(other_low, other_high):>19} {other / own:6.3f}  {' '.join(verdict)}")
    if not pairs:
        print("criterion measured nothing of these results")
        return 1
    print(f"{len(pairs)} figures compared: criterion's median lies within the spread of {inside}, the spreads of {equal} meet; the medians "
          f"differ by {100 * max(differences):.1f} % at most")
    return 0 if equal == len(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
