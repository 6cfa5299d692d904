"""Makes goldens.json and resize.json: small seeded cases with the values PyTorch computes for them, in float64.

    python3 -m venv venv && venv/bin/pip install numpy torch==2.15.0
    venv/bin/python tests/goldens/make.py

Inputs are integers or multiples of 1/8, so most values are exact in float32 and print short. Every convolution case has
its gradients with respect to input, weights and bias, of sum(output * grad_output).
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1610)
torch.set_num_threads(1)


def integers(*shape):
    return torch.randint(-4, 5, shape, dtype=torch.int64).double()


def eighths(*shape):
    return torch.randint(-16, 17, shape, dtype=torch.int64).double() / 8


def number(value):
    """Shortest text that reads back to the same float64; integers without a fraction."""
    return int(value) if value == int(value) else value


def tensor(t):
    return {"shape": list(t.shape), "data": [number(v) for v in t.detach().contiguous().flatten().tolist()]}


cases = []


def add(op, nd, attrs, tensors):
    count = sum(case["op"] == op and case["nd"] == nd for case in cases)
    named = {key: tensor(value) for key, value in tensors.items() if value is not None}
    cases.append({"name": f"{op}{nd}d_{count}", "op": op, "nd": nd, **attrs, "tensors": named})


def differentiate(call, operands):
    """Output, a cotangent, and the gradients of the operands."""
    leaves = {key: value.clone().requires_grad_() for key, value in operands.items() if value is not None}
    output = call(leaves)
    cotangent = integers(*output.shape)
    output.backward(cotangent)
    gradients = {f"grad_{key}": leaf.grad for key, leaf in leaves.items()}
    return {**operands, "output": output, "grad_output": cotangent, **gradients}


def layer(op, size, kernel, channels, *, batch=2, bias=True, values=integers, output_size=None, **options):
    """A convolution or transposed convolution, by the module with the constructor's arguments."""
    nd = len(kernel)
    kind = {"conv": "Conv", "conv_transpose": "ConvTranspose"}[op]
    module = getattr(torch.nn, f"{kind}{nd}d")(*channels, kernel, bias=bias, dtype=torch.float64, **options)
    operands = {
        "input": values(*([batch] if batch else []), channels[0], *size),
        "weight": values(*module.weight.shape),
        "bias": values(channels[1]) if bias else None,
    }

    def call(leaves):
        extra = () if output_size is None else (output_size,)
        parameters = {key: value for key, value in leaves.items() if key != "input"}
        # The parameters by functional_call, so that they are leaves of our values and not the module's.
        return torch.func.functional_call(module, parameters, (leaves["input"], *extra))

    attrs = {
        "kernel": kernel,
        "stride": options.get("stride", [1] * nd),
        "dilation": options.get("dilation", [1] * nd),
        "groups": options.get("groups", 1),
        "padding": options.get("padding", [0] * nd),
        "padding_mode": options.get("padding_mode", "zeros"),
        "output_padding": options.get("output_padding", [0] * nd),
        "output_size": output_size,
    }
    add(op, nd, attrs, differentiate(call, operands))


def columns(op, size, kernel, channels, *, batch=2, **options):
    """unfold and fold, which torch has in 2-D."""
    nd = len(kernel)
    count = F.unfold(torch.zeros(1, channels, *size), kernel, **options).shape[-1]
    rows = channels * kernel[0] * kernel[1]
    lead = [batch] if batch else []
    operand = integers(*lead, channels, *size) if op == "unfold" else integers(*lead, rows, count)
    call = {
        "unfold": lambda leaves: F.unfold(leaves["input"], kernel, **options),
        "fold": lambda leaves: F.fold(leaves["input"], size, kernel, **options),
    }[op]
    attrs = {
        "kernel": kernel,
        "stride": options.get("stride", [1] * nd),
        "dilation": options.get("dilation", [1] * nd),
        "padding": options.get("padding", [0] * nd),
        "size": size,
    }
    add(op, nd, attrs, differentiate(call, {"input": operand}))


def interpolate(mode, size, scale, channels=2, batch=1):
    """Upsampling by integer factors, borders included."""
    aligned = {} if mode == "nearest" else {"align_corners": False}
    operand = eighths(batch, channels, *size)
    # scale_factor as floats: torch then samples at (o + .5)/scale - .5, with the scale as given.
    factors = tuple(float(s) for s in scale)
    call = lambda leaves: F.interpolate(leaves["input"], scale_factor=factors, mode=mode, **aligned)
    add("interpolate", len(size), {"mode": mode, "scale": scale}, differentiate(call, {"input": operand}))


def resize(mode, size, to=None, scale=None, *, channels=1, batch=1, aligned=None, antialias=False, recompute=None):
    """Resizing to a size or by a scale; without align_corners where there is none."""
    call = {"mode": mode, "antialias": antialias}
    call |= {"size": to} if scale is None else {"scale_factor": scale, "recompute_scale_factor": recompute}
    call |= {} if mode.startswith("nearest") else {"align_corners": bool(aligned)}
    operand = eighths(batch, channels, *size)
    tensors = differentiate(lambda leaves: F.interpolate(leaves["input"], **call), {"input": operand})
    # A scale that is recomputed, and one beside aligned corners, is only another way to name the size.
    named = None if recompute or aligned else scale
    attrs = {"mode": mode, "aligned": bool(aligned), "antialias": antialias, "scale": named}
    add("resize", len(size), {**attrs, "size": list(tensors["output"].shape[2:])}, tensors)


def write(name):
    """The cases so far, into a file."""
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    about = f"Made by tests/goldens/make.py with torch {torch.__version__.split('+')[0]}; do not edit."
    path = pathlib.Path(__file__).with_name(name)
    path.write_text(f'{{"about":{json.dumps(about)},"cases":[\n{lines}\n]}}\n')
    print(f"{name}: {len(cases)} cases, {path.stat().st_size} bytes")
    cases.clear()


# conv: every option alone, then together.
layer("conv", [9], [3], (2, 3), stride=[2], padding=[1])
layer("conv", [11], [3], (4, 6), dilation=[3], padding=[4], groups=2)
layer("conv", [8], [4], (2, 2), padding="same")
layer("conv", [7], [3], (3, 2), batch=None, padding=[2], padding_mode="replicate", values=eighths)
layer("conv", [6, 7], [3, 3], (2, 3))
layer("conv", [7, 8], [3, 2], (4, 4), stride=[2, 3], padding=[1, 0], groups=4, bias=False)
layer("conv", [9, 7], [2, 3], (2, 2), stride=[1, 2], dilation=[3, 2], padding=[2, 3], values=eighths)
layer("conv", [5, 6], [3, 4], (2, 2), padding="same", dilation=[2, 1])
layer("conv", [6, 5], [3, 3], (2, 2), padding=[2, 1], padding_mode="reflect", stride=[2, 1])
layer("conv", [5, 6], [3, 3], (2, 2), padding=[3, 2], padding_mode="replicate", groups=2)
layer("conv", [5, 6], [3, 3], (2, 3), padding=[2, 4], padding_mode="circular", dilation=[1, 2])
layer("conv", [5, 5], [3, 2], (2, 2), padding="same", padding_mode="reflect")
layer("conv", [6, 6], [5, 5], (10, 5), batch=None, padding=[2, 2], stride=[3, 3])
layer("conv", [4, 5, 4], [2, 3, 2], (2, 2), stride=[1, 2, 2], padding=[1, 1, 0], batch=1)
layer("conv", [4, 3, 4], [2, 1, 3], (4, 2), groups=2, padding="same", batch=1, values=eighths)
layer("conv", [3, 4, 3], [2, 2, 2], (1, 2), padding=[1, 2, 1], padding_mode="circular", batch=None)

# conv_transpose.
layer("conv_transpose", [5], [3], (3, 2), stride=[2], padding=[1], output_padding=[1])
layer("conv_transpose", [4], [3], (4, 2), stride=[2], dilation=[4], output_padding=[3], groups=2)
layer("conv_transpose", [6], [5], (2, 2), stride=[3], padding=[2], output_size=[17], batch=None)
layer("conv_transpose", [2, 2], [2, 2], (1, 1), bias=False, batch=1)
layer("conv_transpose", [4, 3], [3, 4], (2, 3), stride=[2, 3], padding=[1, 2], output_padding=[1, 2])
layer("conv_transpose", [3, 4], [3, 3], (2, 2), dilation=[3, 2], output_padding=[2, 1], padding=[1, 4])
layer("conv_transpose", [4, 4], [2, 3], (4, 6), stride=[3, 2], groups=2, values=eighths)
layer("conv_transpose", [3, 3], [2, 2], (2, 2), stride=[4, 3], output_padding=[3, 0], bias=False)
layer("conv_transpose", [4, 3], [5, 5], (5, 2), stride=[3, 3], padding=[2, 2], output_size=[12, 8], batch=1)
layer("conv_transpose", [3, 5], [4, 4], (3, 3), stride=[2, 2], padding=[1, 1], groups=3, batch=None)
layer("conv_transpose", [2, 3, 2], [3, 2, 3], (2, 2), stride=[2, 1, 2], padding=[1, 0, 1], output_padding=[1, 0, 0])
layer("conv_transpose", [2, 2, 3], [2, 2, 1], (4, 2), groups=2, dilation=[1, 3, 2], stride=[2, 1, 1], batch=1)
layer("conv_transpose", [2, 2, 2], [3, 3, 3], (2, 1), stride=[2, 2, 2], output_size=[6, 5, 6], padding=[0, 0, 0], batch=None)

# unfold and fold.
columns("unfold", [5, 6], [2, 3], 2, stride=[1, 2], padding=[1, 1])
columns("unfold", [6, 5], [3, 2], 1, dilation=[2, 3], batch=None)
columns("fold", [5, 6], [2, 3], 2, stride=[1, 2], padding=[1, 1])
columns("fold", [6, 5], [3, 2], 1, dilation=[2, 3], padding=[0, 2], batch=None)

# interpolate.
interpolate("nearest", [3, 4], [2, 3])
interpolate("nearest", [2, 3], [5, 4])
interpolate("bilinear", [3, 4], [2, 2])
interpolate("bilinear", [4, 3], [3, 4])
interpolate("bilinear", [2, 1], [5, 2], batch=2)
interpolate("bicubic", [4, 3], [2, 2])
interpolate("bicubic", [3, 5], [3, 4])
interpolate("bicubic", [1, 2], [5, 3], batch=2)
interpolate("bicubic", [4, 4], [4, 5])
interpolate("linear", [5], [4])
interpolate("trilinear", [2, 3, 2], [2, 3, 2])

write("goldens.json")

# resize: every rule up and down, by sizes that are no multiples.
for mode in ["nearest", "nearest-exact", "linear"]:
    resize(mode, [5], [8], channels=2)
    resize(mode, [7], [3], batch=2)
    resize(mode, [6], scale=[1.7])
for mode in ["nearest", "nearest-exact", "bilinear", "bicubic"]:
    resize(mode, [3, 4], [5, 9])
    resize(mode, [6, 7], [4, 3], channels=2)
    resize(mode, [5, 4], scale=[0.7, 2.6], batch=2)
for mode in ["nearest", "nearest-exact", "trilinear"]:
    resize(mode, [2, 3, 4], [3, 2, 7])
# Corners, and scales that are only names of sizes.
for mode in ["bilinear", "bicubic"]:
    resize(mode, [4, 3], [7, 5], aligned=True)
    resize(mode, [6, 5], scale=[0.5, 1.5], aligned=True)
    resize(mode, [5, 3], scale=[1.5, 2.4], recompute=True)
resize("linear", [4], [1], aligned=True)
resize("trilinear", [3, 2, 3], [2, 4, 5], aligned=True)
# Antialiased down, up, and both; the scale as given.
for mode in ["bilinear", "bicubic"]:
    resize(mode, [9, 8], [4, 3], antialias=True)
    resize(mode, [3, 4], [5, 6], antialias=True)
    resize(mode, [8, 3], scale=[0.4, 2.5], antialias=True)
# Single elements and lines; a line long enough to repeat.
resize("bilinear", [1, 1], [3, 2])
resize("bicubic", [1, 5], [4, 7])
resize("bicubic", [5, 1], [2, 3], aligned=True)
resize("bicubic", [1, 20], scale=[1.0, 2.0])
resize("bilinear", [1, 24], [1, 16])
write("resize.json")
