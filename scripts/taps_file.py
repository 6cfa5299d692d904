"""The taps files that convmat writes and reads, for the scripts beside this one. It needs numpy alone."""

import json
import pathlib

import numpy as np


def read_taps(path):
    """The tensor `taps` in float64 and the scale of a safetensors file: length of the header, header in JSON, data."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensor = header["taps"]
    begin, end = tensor["data_offsets"]
    dtype = {"F64": "<f8", "F32": "<f4"}[tensor["dtype"]]
    taps = np.frombuffer(data[8 + length :][begin:end], dtype).reshape(tensor["shape"])
    return taps.astype(np.float64), int(header["__metadata__"]["scale"])
