"""Has llama.cpp quantise a GGUF model, as llama-quantize does: python3 quantise.py LIBRARY_FOLDER IN.gguf OUT.gguf FTYPE

FTYPE is a number of `enum llama_ftype`. The library is that of npm's node-llama-cpp, which comes without the program.
"""

import ctypes
import sys
from pathlib import Path

folder, source, target, ftype = sys.argv[1:]


class Params(ctypes.Structure):
    """`llama_model_quantize_params`: its first fields, and room for the others, whose defaults stay."""

    _fields_ = [("threads", ctypes.c_int32), ("ftype", ctypes.c_int32), ("rest", ctypes.c_byte * 512)]


for name in ["libggml-base", "libggml-cpu-x64", "libggml", "libllama"]:
    for path in Path(folder).glob(f"{name}*.so*"):
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
library.llama_model_quantize_default_params.restype = Params
library.llama_model_quantize.restype = ctypes.c_uint32
library.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
library.llama_backend_init()
params = library.llama_model_quantize_default_params()
params.threads, params.ftype = 1, int(ftype)
sys.exit(library.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))
