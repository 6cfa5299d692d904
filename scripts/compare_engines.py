"""Layers by convmat, PyTorch and ONNX Runtime, in turns on one machine: milliseconds and ratios.

    python3 -m venv venv && venv/bin/pip install numpy torch==2.15.0 onnx onnxruntime==1.32.0
    venv/bin/python scripts/compare_engines.py [LAYERS.json] [--threads 2] [--rounds 3] [--only NAME,NAME] [--markdown]

In every round each engine runs all layers in a process of its own, float32, weights packed beforehand where it can, on the
same tensors: convmat by `examples/layers.rs` (plans, batch and channels first on both sides), ONNX Runtime with input and
output bound, PyTorch eagerly, batch and channels first, and by oneDNN with packed weights, channels last on both sides (its
favourite; the packing is 2-D only, and 1-D layers get a unit axis). A call's time is the median of at least 10 calls and
0.3 s (3 calls and 3 s for long ones) after a warm-up. A ratio is an engine's time over convmat's in the same round, the
median over the rounds: above 1 where convmat is faster. Of the layouts of PyTorch the faster one counts as "best".

Every output of every engine is compared with PyTorch's in float64: ||y - ref|| < 1e-5 ||ref||, else the program stops. "Of
peak" is useful operations (taps outside of the tensor not counted) per second over the machine's peak in registers, which
convmat's process measures. A layer is wide where both sides have at least 32 channels per group and the input more than one
pixel, else lean. LAYERS.json is described in `examples/layers.rs`; without one, it is `benches/layers.json`.
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-5
AXES = {"kernel": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}


def is_transposed(layer):
    return layer["op"] == "conv_transpose"


def planar(layer):
    """The layer with a unit height where it is 1-D."""
    if len(layer["input"]) > 1:
        return layer
    return {**layer, "input": [1] + layer["input"], **{name: [unit] + layer[name] for name, unit in AXES.items()}}


def tensors(layer):
    """Input, weights and bias."""
    random = np.random.default_rng(1)
    inputs, outputs = layer["in_channels"], layer["out_channels"]
    rows, columns = (inputs, outputs) if is_transposed(layer) else (outputs, inputs)
    shapes = [layer["batch"], inputs, *layer["input"]], [rows, columns // layer["groups"], *layer["kernel"]], [outputs]
    return [random.standard_normal(shape, dtype=np.float32) for shape in shapes]


def torch_call(layer):
    """The layer as a function of input, weights and bias."""
    import torch.nn.functional as F

    axes = len(layer["input"])
    stride, padding, dilation, groups = (layer[name] for name in ("stride", "padding", "dilation", "groups"))
    if is_transposed(layer):
        call = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
        return lambda x, w, b: call(x, w, b, stride, padding, layer["output_padding"], groups, dilation)
    call = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return lambda x, w, b: call(x, w, b, stride, padding, dilation, groups)


def reference(layer):
    import torch

    with torch.no_grad():
        return torch_call(layer)(*(torch.from_numpy(tensor).double() for tensor in tensors(layer))).numpy()


def torch_engine(layer, threads):
    """Yields (what it is called, a call, the output as an array)."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    x, w, b = map(torch.from_numpy, tensors(layer))
    call = torch_call(layer)
    yield "PyTorch", lambda: call(x, w, b), lambda y: y.numpy()

    layer = planar(layer)
    x, w = (tensor.reshape(*tensor.shape[:2], *layer[name]) for tensor, name in ((x, "input"), (w, "kernel")))
    stride, padding, dilation, groups = (layer[name] for name in ("stride", "padding", "dilation", "groups"))
    if len(layer["input"]) == 3:
        last, call = torch.channels_last_3d, torch_call(layer)
        x, w = x.to(memory_format=last), w.to(memory_format=last)
        yield "PyTorch, channels last", lambda: call(x, w, b), lambda y: y.contiguous().numpy()
        return
    x, onednn, rest = x.to(memory_format=torch.channels_last), torch.ops.mkldnn, ("none", [], "")
    if is_transposed(layer):
        shape = padding, layer["output_padding"], stride, dilation, groups
        packed = onednn._reorder_convolution_transpose_weight(w, *shape, list(x.shape))
        run = lambda: onednn._convolution_transpose_pointwise(x, packed, b, *shape, *rest)
    else:
        packed = onednn._reorder_convolution_weight(w, padding, stride, dilation, groups, list(x.shape))
        run = lambda: onednn._convolution_pointwise(x, packed, b, padding, stride, dilation, groups, *rest)
    yield "PyTorch, channels last", run, lambda y: y.contiguous().numpy()


def onnx_engine(layer, threads):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    x, w, b = tensors(layer)
    shape = {"kernel_shape": layer["kernel"], "strides": layer["stride"], "pads": layer["padding"] * 2}
    shape |= {"dilations": layer["dilation"], "group": layer["groups"]}
    if is_transposed(layer):
        shape["output_padding"] = layer["output_padding"]
    node = helper.make_node("ConvTranspose" if is_transposed(layer) else "Conv", ["x", "w", "b"], ["y"], **shape)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, of) for name, of in (("x", x.shape), ("y", None))]
    weights = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")]
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x})
    y = onnxruntime.OrtValue.ortvalue_from_numpy(y)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", y)
    yield "ONNX Runtime", lambda: session.run_with_iobinding(binding), lambda _: y.numpy()


ENGINES = {"torch": torch_engine, "onnxruntime": onnx_engine}


def median_time(call):
    start = time.perf_counter()
    while time.perf_counter() - start < 0.1:
        call()
    times, start = [], time.perf_counter()
    while True:
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        times.append(after - before)
        if (after - start > 0.3 and len(times) >= 10) or (after - start > 3 and len(times) >= 3):
            return statistics.median(times)


def expect(folder, layer, engine, y):
    """Stops the program where the output is wrong."""
    want = np.load(folder / f"{layer['name']}.npy", mmap_mode="r")
    error = np.linalg.norm(y.ravel() - want.ravel()) / np.linalg.norm(want) if y.size == want.size else math.inf
    if not error < TOLERANCE:
        sys.exit(f"{engine} is wrong on {layer['name']}: relative error {error:.1e}")


def run_engine(engine, layers, threads, folder, connection):
    """Sends {layer: {variant: seconds}}."""
    found = {}
    for layer in layers:
        found[layer["name"]] = {}
        for name, call, fetch in ENGINES[engine](layer, threads):
            expect(folder, layer, name, fetch(call()))
            found[layer["name"]][name] = median_time(call)
    connection.send(found)


def peers(engine, *arguments):
    # Buffers that are freed and wanted again in the next call shall not cost page faults.
    os.environ |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=run_engine, args=(engine, *arguments, there))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        sys.exit(f"{engine} stopped")
    finally:
        process.join()


def ours(path, layers, threads, folder):
    out = folder / "convmat.json"
    only = ",".join(layer["name"] for layer in layers)
    command = ["cargo", "run", "--quiet", "--release", "--example", "layers", "--", path, "--threads", str(threads)]
    run = [*command, "--only", only, "--data", folder, "--json", out]
    if subprocess.run(run, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        sys.exit("convmat failed")
    for layer in layers:
        expect(folder, layer, "convmat", np.fromfile(folder / f"{layer['name']}.y.f32", "<f4"))
    return json.loads(out.read_text())


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def table(layers, rounds):
    """The rows: [name or title, kind, convmat's ms, share of peak, the others' ms, ratio against plain layouts, against all]."""
    rows, groups = [], {}
    for layer in layers:
        name = layer["name"]
        per_group = min(layer["in_channels"], layer["out_channels"]) // layer["groups"]
        kind = "wide" if per_group >= 32 and math.prod(layer["input"]) > 1 else "lean"
        mine = [own["layers"][name] for own, _ in rounds]
        share = statistics.median(m["flops"] / m["seconds"] / own["peak"] for m, (own, _) in zip(mine, rounds))
        others = {v: [other[name][v] for _, other in rounds] for v in rounds[0][1][name]}
        ratio = lambda keep: statistics.median(
            min(times[i] for v, times in others.items() if keep(v)) / m["seconds"] for i, m in enumerate(mine)
        )
        ratios = ratio(lambda v: "last" not in v), ratio(lambda v: True)
        times = [statistics.median(others[v]) for v in ("ONNX Runtime", "PyTorch", "PyTorch, channels last")]
        rows.append([name, statistics.median(m["seconds"] for m in mine), share, *times, *ratios])
        op = "transposed" if is_transposed(layer) else "convolutions"
        for group in {"convolutions": [op], "transposed": [f"{op}, {kind}", op]}[op]:
            groups.setdefault(group, []).append([share, *ratios])
    means = {f"{group} ({len(of)})": list(map(geometric_mean, zip(*of))) for group, of in sorted(groups.items())}
    return rows, means


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="?", default=ROOT / "benches" / "layers.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--markdown", action="store_true", help="print the table as in the README")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.layers).resolve()
    layers = json.loads(path.read_text())
    only = set(filter(None, arguments.only.split(",")))
    if unknown := only - {layer["name"] for layer in layers}:
        sys.exit(f"{path} has no layer {', '.join(sorted(unknown))}")
    layers = [layer for layer in layers if not only or layer["name"] in only]

    subprocess.run(["cargo", "build", "--quiet", "--release", "--example", "layers"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for layer in layers:
            for name, tensor in zip("xwb", tensors(layer)):
                tensor.astype("<f4").tofile(folder / f"{layer['name']}.{name}.f32")
            np.save(folder / f"{layer['name']}.npy", reference(layer))
        rounds = []
        for round in range(arguments.rounds):
            own, others = ours(path, layers, arguments.threads, folder), {layer["name"]: {} for layer in layers}
            for engine in ENGINES:
                for name, times in peers(engine, layers, arguments.threads, folder).items():
                    others[name] |= times
            rounds.append((own, others))
            print(f"round {round + 1} of {arguments.rounds}", file=sys.stderr)
    rows, means = table(layers, rounds)
    peak = statistics.median(own["peak"] for own, _ in rounds)
    print(f"{arguments.threads} thread(s), FMA peak {peak * 1e-9:.0f} GFLOP/s\n")
    head = ["layer", "ms", "of peak", "ONNX Runtime, ms", "PyTorch, ms", "channels last, ms", "ratio, plain", "ratio, best"]
    line = lambda cells: print("| " + " | ".join(cells) + " |" if arguments.markdown else "  ".join(
        cell.ljust(24) if i == 0 else cell.rjust(len(head[i])) for i, cell in enumerate(cells)))
    line(head)
    if arguments.markdown:
        print("|" + "---|" * len(head))
    ms = lambda seconds: f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"
    for name, seconds, share, *times, plain, best in rows:
        line([name, ms(seconds), f"{share:.2f}", *map(ms, times), f"{plain:.2f}", f"{best:.2f}"])
    for title, (share, plain, best) in means.items():
        line([f"geometric mean, {title}", "", f"{share:.2f}", "", "", "", f"{plain:.2f}", f"{best:.2f}"])


if __name__ == "__main__":
    main()
