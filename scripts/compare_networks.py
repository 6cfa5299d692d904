"""Networks by convmat, ONNX Runtime, PyTorch, rten and tract, in turns on one machine: milliseconds, memory and ratios.

    python3 -m venv venv && venv/bin/pip install numpy onnxruntime==1.32.0 torch==2.15.0 onnx onnx2torch==1.5.15 safetensors
    venv/bin/python scripts/compare_networks.py MODEL.onnx=SHAPE ... [--threads 2] [--rounds 5] [--runs 12]
        [--engines onnxruntime,torch,torch-last,rten,tract] [--peers BINARY] [--markdown]

SHAPE is that of the only input, as 16x100x1x1. The input is the `input` of MODEL.safetensors beside the file where there is one, repeated
along each axis or cut to SHAPE, else a pattern between -1 and 1. In every round each engine loads and runs every network in a process of
its own on the same input; every other round goes through the engines backwards. The outputs of every engine are compared with
convmat's: ||y - convmat|| < 1e-3 ||convmat||, else the engine is refused. An engine that cannot run a network says why.

- convmat: `network/examples/network_rate`, which this builds.
- onnxruntime: its default optimizations.
- torch, torch-last: the modules that onnx2torch makes, called eagerly in inference mode, channels first and (2-D) channels last.
- rten: operators fused and weights packed at loading. tract: optimized for SHAPE; only its products of matrices use several threads.
  Both are `scripts/network_peers`, in pinned versions outside of the workspace, which this builds for the processor at hand (some
  minutes the first time) unless --peers says where it is.

A time is the median of the runs after two that are not counted. Loading is all that comes before the first run: reading, planning,
optimizing, packing. On Linux, "run MiB" is the peak of the process's resident memory during the runs, the first one included, above what
was resident after loading, and "all MiB" above what was resident before loading. Only the latter treats those alike who pack weights when
they load and when they run, and counts memory that loading freed and that runs use again. Input and libraries are there before, outputs
come after. Ratios are other / convmat in the same round, the median over the rounds: above 1 where convmat takes less.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-3
UNCOUNTED = 2
RUST = "rten", "tract"
ENGINES = "onnxruntime", "torch", "torch-last", *RUST
COLUMNS = {"run_ms": "ms", "load_ms": "load ms", "run_bytes": "run MiB", "whole_bytes": "all MiB"}


def resident(name):
    """Bytes that the operating system states of this process, if it does."""
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":")), None)


def is_peak_forgotten():
    """Whether the peak of resident memory starts anew from here."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def onnxruntime_runner(model, threads):
    """How the network is loaded; loaded, it is a function of the input that returns the outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

    def load(x):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: x})

    return load


def torch_runner(model, threads, is_channels_last):
    import onnx
    import onnx2torch
    import torch

    torch.set_num_threads(threads)

    def load(x):
        network = onnx.load(model)
        constants = [node for node in network.graph.node if node.op_type == "Constant"]
        # Parameters have to be initializers there.
        for node in constants:
            network.graph.initializer.append(node.attribute[0].t)
            network.graph.initializer[-1].name = node.output[0]
            network.graph.node.remove(node)
        module, x = onnx2torch.convert(network).eval(), torch.from_numpy(x)
        if is_channels_last:
            if x.dim() != 4:
                raise ValueError("PyTorch has no such layout of this rank")
            module, x = module.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

        def run():
            with torch.inference_mode():
                y = module(x)
            return [y] if isinstance(y, torch.Tensor) else y

        return run

    return load


def measured(engine, model, shape, threads, runs, input_file, output_file):
    """What `network_rate` states of convmat, of an engine that has Python's interface. The outputs go to a file."""
    import numpy as np

    x = np.fromfile(input_file, dtype="<f4").reshape(shape)
    load = onnxruntime_runner(model, threads) if engine == "onnxruntime" else torch_runner(model, threads, engine == "torch-last")
    before = resident("VmRSS")
    start = time.perf_counter()
    run = load(x)
    load_ms = (time.perf_counter() - start) * 1e3
    loaded = resident("VmRSS")
    is_known = is_peak_forgotten() and None not in (before, loaded)
    times = []
    for at in range(runs + UNCOUNTED):
        outputs = None
        start = time.perf_counter()
        outputs = run()
        if at >= UNCOUNTED:
            times.append((time.perf_counter() - start) * 1e3)
    peak = resident("VmHWM")
    np.concatenate([np.asarray(output, dtype="<f4").ravel() for output in outputs]).tofile(output_file)
    run_bytes, whole_bytes = (max(peak - base, 0) if is_known else None for base in (loaded, before))
    return {"load_ms": load_ms, "run_ms": statistics.median(times), "run_bytes": run_bytes, "whole_bytes": whole_bytes}


def network_input(model, shape):
    """The input of a network, float32."""
    import numpy as np

    sample = pathlib.Path(model).with_suffix(".safetensors")
    if not sample.exists():
        return ((np.arange(np.prod(shape)) * 7919 % 1000).astype(np.float32) / 500 - 1).reshape(shape)
    import safetensors.numpy

    x = safetensors.numpy.load_file(sample)["input"].astype(np.float32)
    if x.ndim != len(shape):
        raise SystemExit(f"{sample}: an input of rank {x.ndim}, and the shape has {len(shape)} axes")
    for axis, length in enumerate(shape):
        x = np.take(x, np.arange(length) % x.shape[axis], axis=axis)
    return np.ascontiguousarray(x)


def difference(output_file, reference_file):
    """||y - reference|| / ||reference||, infinite where the numbers of elements differ."""
    import numpy as np

    y, reference = (np.fromfile(file, dtype="<f4").astype(np.float64) for file in (output_file, reference_file))
    return np.linalg.norm(y - reference) / np.linalg.norm(reference) if y.shape == reference.shape else float("inf")


def result_of(command):
    """What a process prints, as JSON; an error's last line as text."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def compare(model, shape, options, commands):
    """The results of every engine in every round; a text where there are none."""
    results = {engine: [] for engine in commands}
    with tempfile.TemporaryDirectory() as folder:
        input_file = f"{folder}/input"
        network_input(model, [int(length) for length in shape.split("x")]).astype("<f4").tofile(input_file)
        for at in range(options.rounds):
            # The output of convmat, which others are compared with, is there from the first round.
            for engine in list(commands)[:: -1 if at % 2 else 1]:
                if isinstance(results[engine], str):
                    continue
                output_file = f"{folder}/{engine}"
                command = [*commands[engine], model, shape, str(options.threads), str(options.runs), input_file, output_file]
                result = result_of(command)
                if isinstance(result, str):
                    results[engine] = result
                    if engine == "convmat":
                        raise SystemExit(f"{model}: convmat: {result}")
                    continue
                off = difference(output_file, f"{folder}/convmat")
                if not off < TOLERANCE:
                    results[engine] = f"refused: outputs are off by {off:.1e}"
                    continue
                results[engine].append({**result, "load_ms": result["load_ms"] + result.get("plan_ms", 0)})
    return results


def row(name, engine, results, ours):
    """Cells of a line: values by column, and but for convmat how they compare with convmat's."""
    cells = [name, engine]
    for column in COLUMNS:
        unit = 2**20 if column.endswith("bytes") else 1
        pairs = [(theirs[column], own[column]) for theirs, own in zip(results, ours)]
        if any(None in pair for pair in pairs):
            cells += ["", ""]
            continue
        cells.append(f"{statistics.median(theirs for theirs, _ in pairs) / unit:.2f}")
        ratios = [theirs / own if own else float("inf") for theirs, own in pairs]
        cells.append("" if engine == "convmat" else f"{statistics.median(ratios):.2f}")
    return cells


def print_line(cells, is_markdown):
    if is_markdown:
        print("| " + " | ".join(cells) + " |", flush=True)
    else:
        print(f"{cells[0]:<24}{cells[1]:<13}" + "".join(f"{cell:>10}" for cell in cells[2:]), flush=True)


def built(options, engines):
    """The commands of all engines, before model, shape, threads, runs and files."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
    build = ["cargo", "build", "--release", "--locked"]
    subprocess.run([*build, "--package", "convmat-network", "--example", "network_rate"], cwd=ROOT, check=True)
    peers = options.peers
    if peers is None and any(engine in RUST for engine in engines):
        peers = target / "network-peers/release/network-peers"
        own = {**os.environ, "RUSTFLAGS": "-C target-cpu=native"}
        folder = ROOT / "scripts/network_peers"
        subprocess.run([*build, "--target-dir", str(target / "network-peers")], cwd=folder, env=own, check=True)
    commands = {"convmat": [str(target / "release/examples/network_rate")]}
    for engine in engines:
        commands[engine] = [str(peers), engine] if engine in RUST else [sys.executable, __file__, "--in-this-process", engine]
    return commands


def main():
    if sys.argv[1:2] == ["--in-this-process"]:
        engine, model, shape, threads, runs, *files = sys.argv[2:]
        shape = [int(length) for length in shape.split("x")]
        print(json.dumps(measured(engine, model, shape, int(threads), int(runs), *files)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="MODEL.onnx=SHAPE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--engines", default=",".join(ENGINES), help="those beside convmat, of " + ", ".join(ENGINES))
    parser.add_argument("--peers", type=pathlib.Path, help="the program of scripts/network_peers, built before")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    networks = [network.rsplit("=", 1) for network in options.networks]
    if any(len(network) != 2 for network in networks):
        parser.error("a network is given as MODEL.onnx=SHAPE")
    engines = [engine for engine in options.engines.split(",") if engine]
    if unknown := set(engines) - set(ENGINES):
        parser.error(f"no engine is called {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}")
    commands = built(options, engines)
    heads = ["network", "engine"]
    for name in COLUMNS.values():
        heads += [name, "ratio"]
    print_line(heads, options.markdown)
    if options.markdown:
        print_line(["---", "---", *["---:"] * (len(heads) - 2)], True)
    for model, shape in networks:
        results = compare(model, shape, options, commands)
        for engine, of_engine in results.items():
            name = pathlib.Path(model).stem
            if isinstance(of_engine, str):
                print_line([name, engine, of_engine, *[""] * (len(heads) - 3)], options.markdown)
            else:
                print_line(row(name, engine, of_engine, results["convmat"]), options.markdown)


if __name__ == "__main__":
    main()
