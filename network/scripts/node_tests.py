"""Collects ONNX's own tests of operators into tests/nodes.safetensors.

    python3 -m venv venv && venv/bin/pip install onnx==1.23.2
    venv/bin/python network/scripts/node_tests.py

They are the cases of onnx.backend.test: those that the package computes for each operator (node), and those that come with it
as files (simple, pytorch-operator, pytorch-converted). A case is a model, its inputs and its outputs: tensors
`KIND:NAME/model` (bytes), `KIND:NAME/input_0`, ..., `KIND:NAME/output_0`, ..., each of its own type. What is left out is printed,
with the reason.
"""

import collections
import json
import pathlib
import struct

import numpy as np
import onnx
import onnx.version_converter
from onnx import numpy_helper

# Bytes of a case's inputs and outputs.
LARGEST = 64_000
# The oldest set of operators that is read. Models of older ones, as all that come from PyTorch, are converted to the other.
OLDEST = 7
CONVERTED = 9

OPERATORS = set(
    """
    Conv ConvTranspose
    BatchNormalization InstanceNormalization GroupNormalization LayerNormalization LRN
    PRelu Relu LeakyRelu Elu Selu Celu Gelu Sigmoid HardSigmoid HardSwish Mish Swish Tanh Softplus Softsign ThresholdedRelu Shrink
    Abs Neg Sign Floor Ceil Round Exp Log Sqrt Reciprocal Erf IsNaN IsInf
    Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh
    Clip Softmax LogSoftmax Hardmax
    Add Sub Mul Div Mod Pow Min Max Mean Sum Where
    Equal Greater Less GreaterOrEqual LessOrEqual And Or Xor Not
    Concat Split Slice Pad Reshape Flatten Transpose Squeeze Unsqueeze Expand Tile Gather GatherElements
    Shape Size Constant ConstantOfShape Cast Range
    MaxPool AveragePool GlobalAveragePool GlobalMaxPool MaxUnpool
    Resize Upsample DepthToSpace SpaceToDepth Col2Im
    Gemm MatMul Einsum
    ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare
    ArgMax ArgMin
    Identity Dropout
    """.split()
)

TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    # The cases draw their numbers as the package is imported, here.
    np.random.seed(0)
    for case in collect_testcases(None):
        # The same again, written with other operators.
        if "_expanded" in case.name:
            continue
        inputs, outputs = case.data_sets[0]
        yield case.name, case.model, inputs, outputs


def file_cases(kind):
    folder = pathlib.Path(onnx.__file__).parent / "backend/test/data" / kind
    for path in sorted(folder.iterdir()):
        if not (path / "model.onnx").exists():
            continue
        model = onnx.load(path / "model.onnx")

        def tensors(what):
            count = len(list((path / "test_data_set_0").glob(f"{what}_*.pb")))
            for number in range(count):
                tensor = onnx.TensorProto()
                tensor.ParseFromString((path / "test_data_set_0" / f"{what}_{number}.pb").read_bytes())
                yield tensor

        try:
            yield path.name, model, list(tensors("input")), list(tensors("output"))
        except Exception:  # Sequences are other messages.
            yield path.name, model, [None], [None]


def array(tensor):
    """A tensor as an array of one of the types, or nothing."""
    if isinstance(tensor, onnx.TensorProto):
        tensor = numpy_helper.to_array(tensor)
    if not isinstance(tensor, (np.ndarray, np.generic)) or str(tensor.dtype) not in TYPES:
        return None
    return np.ascontiguousarray(tensor).reshape(np.shape(tensor))


def opset(model):
    return max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))


def newer(model):
    """The model, with operators that are read, if the package can say it with them.

    It leaves the slopes of PRelu, which were a vector of channels, a vector of what is the last axis since.
    """
    if opset(model) >= OLDEST or any(node.op_type == "PRelu" for node in model.graph.node):
        return model
    try:
        return onnx.version_converter.convert_version(model, CONVERTED)
    except Exception:
        return model


def reason(model, inputs, outputs):
    """Why a case is left out."""
    operators = {node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}" for node in model.graph.node}
    if not operators <= OPERATORS:
        return "another operator: " + " ".join(sorted(operators - OPERATORS)[:1])
    if opset(model) < OLDEST:
        return f"version {opset(model)} of the operators, which cannot be converted"
    # Where the ratio is not 0, what is dropped is up to the random numbers of whoever runs it.
    if "Dropout" in operators and len(inputs) == 3 and inputs[1] != 0 and inputs[2]:
        return "random numbers"
    tensors = inputs + outputs
    if any(tensor is None for tensor in tensors):
        return "elements of another type"
    if len(inputs) != len(model.graph.input) - len({i.name for i in model.graph.input} & {i.name for i in model.graph.initializer}):
        return "inputs that are not given"
    if sum(tensor.nbytes for tensor in tensors) + model.ByteSize() > LARGEST:
        return "too large"
    return None


def main():
    left_out = collections.defaultdict(list)
    header, parts, position, counts = {}, [], 0, collections.Counter()

    def add(name, dtype, shape, content):
        nonlocal position
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(content)]}
        parts.append(content)
        position += len(content)

    sources = [("node", node_cases())]
    sources += [(kind, file_cases(kind)) for kind in ("simple", "pytorch-operator", "pytorch-converted")]
    for kind, cases in sources:
        for name, model, inputs, outputs in cases:
            inputs, outputs = [array(tensor) for tensor in inputs], [array(tensor) for tensor in outputs]
            model = newer(model) if all(node.op_type in OPERATORS for node in model.graph.node) else model
            why = reason(model, inputs, outputs)
            case = f"{kind}:{name.removeprefix('test_')}"
            if why:
                left_out[why].append(case)
                continue
            counts[kind] += 1
            content = model.SerializeToString(deterministic=True)
            add(f"{case}/model", "U8", [len(content)], content)
            for what, tensors in (("input", inputs), ("output", outputs)):
                for number, tensor in enumerate(tensors):
                    add(f"{case}/{what}_{number}", TYPES[str(tensor.dtype)], tensor.shape, tensor.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).parents[1] / "tests/nodes.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
    for why, cases in sorted(left_out.items(), key=lambda item: item[0]):
        listed = "" if why.startswith("another operator") else ": " + " ".join(cases)
        print(f"left out, {why}, {len(cases)}{listed}")
    print(f"{dict(counts)} cases, {path.stat().st_size} bytes")


main()
