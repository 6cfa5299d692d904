#!/usr/bin/env python3
"""Writes the files that fuzzing began with, a folder per target: small ones of every kind that a format has.

    fuzz/seeds.py FOLDER

ONNX models are those of ONNX's tests of operators (network/tests/nodes.safetensors) and a few chains of layers.
"""

import io
import json
import pathlib
import struct
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Small models are changed in more places.
MODEL_BYTES = 1024


def safetensors(tensors, metadata=None):
    """The file of (name, type, shape, bytes)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor_files():
    widths = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}
    widths |= {"F64": 8, "I64": 8, "U64": 8, "F8_E4M3": 1}
    for dtype, width in widths.items():
        yield dtype, safetensors([("a", dtype, [2], b"\1" * 2 * width)])
    yield "two", safetensors([("x", "F32", [1, 3], b"\x3f" * 12), ("b", "I64", [0], b"")])
    yield "none", safetensors([])
    yield "taps", safetensors([("taps", "F32", [2, 2], b"\x3f" * 16)], {"scale": "2"})


def npy(descriptor, shape, content, fortran=False):
    header = f"{{'descr': '{descriptor}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    header += b" " * (-(11 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


def arrays():
    for kind, width in [("f", 4), ("f", 8), ("i", 8), ("i", 4), ("i", 2), ("u", 8), ("u", 4), ("u", 2)]:
        for order in "<>":
            yield f"{'little' if order == '<' else 'big'}{kind}{width}", npy(f"{order}{kind}{width}", (2,), b"\1" * 2 * width)
    for descriptor in ("|i1", "|u1", "|b1"):
        yield descriptor[1:], npy(descriptor, (3,), b"\1\0\1")
    yield "turned", npy("<f4", (1, 2, 3), b"\x3f" * 24, True)
    yield "one", npy("<f4", (), b"\x3f" * 4)
    yield "none", npy("<f4", (0, 3), b"")


def archives():
    array = npy("<f4", (2, 3), b"\x3f" * 24)
    for name, names, method in [("stored", ["a.npy"], zipfile.ZIP_STORED), ("deflated", ["a.npy"], zipfile.ZIP_DEFLATED),
                                ("two", ["x.npy", "b.npy"], zipfile.ZIP_DEFLATED), ("other", ["text"], zipfile.ZIP_STORED),
                                ("none", [], zipfile.ZIP_STORED)]:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for member in names:
                archive.writestr(zipfile.ZipInfo(member), array, method)
        yield name, file.getvalue()


def sounds():
    for tag, bits in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32)]:
        for channels in (1, 2):
            align = channels * bits // 8
            form = struct.pack("<HHIIHH", tag, channels, 8000, 8000 * align, align, bits)
            data = b"\x3f" * align * 3
            chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
            yield f"{tag}x{bits}x{channels}", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    # The extensible form, with the number of valid bits and the identifier of whole numbers.
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 4) + b"\1\2\3\4"
    yield "extensible", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def layer_lists():
    for axes, (size, kernel) in enumerate([([9], [3]), ([4, 5], [4, 4]), ([3, 4, 5], [3, 2, 1])], 1):
        for op in ("conv", "conv_transpose"):
            layer = {"name": "a", "op": op, "batch": 1, "in_channels": 2, "out_channels": 4, "input": size, "kernel": kernel,
                     "stride": [1] * axes, "padding": [1] * axes, "output_padding": [0] * axes, "dilation": [1] * axes, "groups": 2}
            yield f"{op}{axes}", json.dumps([layer], separators=(",", ":")).encode()
    yield "none", b"[]"


def varint(number):
    number &= (1 << 64) - 1
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(groups + [number])


def field(number, content):
    """A field of a protocol buffer: a number, or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def chain(nodes, channels, size):
    """A model of x [n, channels, size…] whose nodes (operator, attributes, shapes of constants) follow each other."""
    graph, value = b"", "x"
    for number, (operator, attributes, shapes) in enumerate(nodes):
        inputs = [value]
        for place, shape in enumerate(shapes):
            name = f"c{number}{place}"
            count = 1
            for length in shape:
                count *= length
            dims = b"".join(field(1, length) for length in shape)
            graph += field(5, dims + field(2, 1) + field(8, name) + field(9, struct.pack("<f", 0.25) * count))
            inputs.append(name)
        value = f"v{number}"
        node = b"".join(field(1, name) for name in inputs) + field(2, value) + field(4, operator)
        for name, values in attributes.items():
            node += field(5, field(1, name) + b"".join(field(8, number) for number in values) + field(20, 7))
        graph += field(1, node)
    lengths = field(1, field(2, "n")) + field(1, field(1, channels)) + b"".join(field(1, field(2, name)) for name in size)
    for number, name in ((11, "x"), (12, value)):
        kind = field(1, field(1, 1) + (field(2, lengths) if number == 11 else b""))
        graph += field(number, field(1, name) + field(2, kind))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def models():
    bytes_ = (ROOT / "network/tests/nodes.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", bytes_[:8])
    for name, tensor in json.loads(bytes_[8:8 + length]).items():
        case, _, part = name.rpartition("/")
        first, last = tensor.get("data_offsets", (0, 0))
        if part == "model" and last - first <= MODEL_BYTES:
            yield case, bytes_[8 + length + first:8 + length + last]
    for axes in (1, 2, 3):
        kernel, size = [3] * axes, ["d", "h", "w"][:axes]
        norm = ("BatchNormalization", {}, [[2]] * 4)
        pads = {"pads": [1] * 2 * axes}
        yield f"chain{axes}", chain([("Conv", pads, [[2, 2] + kernel, [2]]), norm, ("Relu", {}, []),
                                     ("ConvTranspose", {"strides": [2] * axes}, [[2, 2] + kernel]), ("Add", {}, [[2] + [1] * axes]),
                                     ("Sigmoid", {}, [])], 2, size)


def main():
    folder = pathlib.Path(sys.argv[1])
    for target, files in [("layers", layer_lists()), ("npy", arrays()), ("npz", archives()), ("onnx", models()),
                          ("safetensors", tensor_files()), ("wav", sounds())]:
        (folder / target).mkdir(parents=True, exist_ok=True)
        count = 0
        for count, (name, content) in enumerate(files, 1):
            (folder / target / name).write_bytes(content)
        print(f"{target}: {count} files")


main()
