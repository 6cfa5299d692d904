"""Networks by convmat and ONNX Runtime, in turns on one machine: milliseconds and ratios.

    python3 -m venv venv && venv/bin/pip install numpy onnxruntime==1.32.0
    venv/bin/python scripts/compare_networks.py MODEL.onnx=SHAPE ... [--threads 2] [--rounds 5] [--runs 12]

SHAPE is that of the only input, as 16x100x1x1. In every round each engine loads and runs every network in a process of its own, on
the same input: convmat by `network/examples/network_rate.rs`, ONNX Runtime with its default optimizations. A time is the median of the
runs after two that are not counted; a ratio is ONNX Runtime's time over convmat's in the same round, the median over the rounds: above
1 where convmat is faster. Loading is the session's creation there, and reading, planning and packing here.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def onnxruntime_times(model, shape, threads, runs):
    """Milliseconds to load and to run."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    count = int(np.prod(shape))
    x = ((np.arange(count) * 7919 % 1000).astype(np.float32) / 500 - 1).reshape(shape)
    name, times = session.get_inputs()[0].name, []
    for run in range(runs + 2):
        start = time.perf_counter()
        session.run(None, {name: x})
        if run >= 2:
            times.append(time.perf_counter() - start)
    return {"load_ms": load * 1e3, "run_ms": statistics.median(times) * 1e3}


def output_of(command):
    """What a process prints, as JSON."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="MODEL.onnx=SHAPE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    networks = [network.rsplit("=", 1) for network in options.networks]
    if any(len(network) != 2 for network in networks):
        parser.error("a network is given as MODEL.onnx=SHAPE")
    if options.in_this_process:
        [[model, shape]] = networks
        shape = [int(length) for length in shape.split("x")]
        print(json.dumps(onnxruntime_times(model, shape, options.threads, options.runs)))
        return
    build = ["cargo", "build", "--release", "--package", "convmat-network", "--example", "network_rate"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    own = [str(target / "release/examples/network_rate")]
    other = [sys.executable, __file__, "--in-this-process", "--threads", str(options.threads), "--runs", str(options.runs)]
    print(f"{'network':<28}{'convmat ms':>12}{'ORT ms':>10}{'ratio':>8}{'load ms':>10}{'ORT load':>10}{'ratio':>8}")
    for model, shape in networks:
        rounds = []
        for _ in range(options.rounds):
            ours = output_of([*own, model, shape, str(options.threads), str(options.runs)])
            rounds.append((ours, output_of([*other, f"{model}={shape}"])))
        run = [(ours["run_ms"], theirs["run_ms"]) for ours, theirs in rounds]
        load = [(ours["load_ms"] + ours["plan_ms"], theirs["load_ms"]) for ours, theirs in rounds]
        line = f"{pathlib.Path(model).stem:<28}"
        for pairs, widths in ((run, (12, 10)), (load, (10, 10))):
            for number, width in enumerate(widths):
                line += f"{statistics.median(pair[number] for pair in pairs):>{width}.2f}"
            line += f"{statistics.median(theirs / ours for ours, theirs in pairs):>8.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
