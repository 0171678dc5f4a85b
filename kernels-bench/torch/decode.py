"""Greedy decoding of SmolLM2-135M's shape by PyTorch, for `npm run bench:peers -- --work decoding --python python3`.

    python kernels-bench/torch/decode.py f32|bf16

Reads a prompt's ids from a line of the standard input and writes a token's id and the seconds of processor time so far; each empty line asks for the next one, a
line "end" ends the text. Random weights. Needs torch and transformers; takes a CUDA device where there is one.
"""

import sys
import time

import torch
from transformers import AutoModelForCausalLM

from step import DTYPES, config_of


def main():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    config = config_of("SmolLM2-135M", 256)
    config.use_cache = True
    model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[sys.argv[1]], attn_implementation="sdpa")
    model = model.to(device).eval()
    print(torch.__version__, flush=True)
    cache = None
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            if words == ["end"]:
                continue
            if words:
                cache = None
                ids = torch.tensor([[int(word) for word in words]], device=device)
            output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            ids = output.logits[:, -1].argmax(-1, keepdim=True)
            print(ids.item(), time.process_time(), flush=True)


main()
