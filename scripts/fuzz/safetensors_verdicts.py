"""What Python's safetensors says of files: reads them from stdin, each after its length (u32, little-endian).

Writes one JSON value a line: the sorted [name, dtype, shape] of what it reads, or null where it refuses. A file counts as
read where both ways of reading it take it. safetensors_verdicts.ts runs this.
"""

import json
import os
import struct
import sys
import tempfile

import safetensors


def verdict(data, path):
    with open(path, "wb") as file:
        file.write(data)
    try:
        tensors = safetensors.deserialize(data)
        with safetensors.safe_open(path, "numpy") as opened:
            names = list(opened.keys())
            shapes = {name: opened.get_slice(name).get_shape() for name in names}
    except Exception:
        return None
    found = sorted([name, info["dtype"], list(info["shape"])] for name, info in tensors)
    assert sorted(shapes.items()) == [(name, shape) for name, _, shape in found], data
    return found


with tempfile.TemporaryDirectory() as folder:
    while length := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack("<I", length)[0])
        print(json.dumps(verdict(data, os.path.join(folder, "x.safetensors"))))
print(safetensors.__version__, file=sys.stderr)
