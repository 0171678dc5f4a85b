"""The training steps of `npm run bench -- training-step`, by PyTorch and PEFT on the same machine.

    python kernels-bench/torch/step.py kernels-bench/results/DEVICE.json [--dtype f32 bf16] [--steps 5]

Reads which steps were measured there (model, tokens, operations), runs the same shapes with random weights, LoRA r 8 on
all linear layers and AdamW, and prints both times and their ratio. f32 means f32: TF32 is off. Needs torch,
transformers and peft; takes a CUDA device where there is one.
"""

import argparse
import json
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

# kernels-bench/models.ts
SIZES = {
    "toy": dict(hidden=64, intermediate=128, heads=2, kv_heads=2, head_dim=32, vocab=512, layers=2),
    "D256": dict(hidden=256, intermediate=1024, heads=4, kv_heads=4, head_dim=64, vocab=1024, layers=4),
    "SmolLM2-135M": dict(hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64, vocab=49152, layers=30),
    "Qwen2.5-0.5B": dict(hidden=896, intermediate=4864, heads=14, kv_heads=2, head_dim=64, vocab=151936, layers=24),
    "Llama-3.2-1B": dict(hidden=2048, intermediate=8192, heads=32, kv_heads=8, head_dim=64, vocab=128256, layers=16),
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def config_of(name, tokens):
    size = SIZES[name]
    kind = Qwen2Config if name.startswith("Qwen") else LlamaConfig
    return kind(
        vocab_size=size["vocab"],
        hidden_size=size["hidden"],
        intermediate_size=size["intermediate"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["kv_heads"],
        head_dim=size["head_dim"],
        max_position_embeddings=tokens,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        use_cache=False,
    )


def measure(name, tokens, dtype, device, steps):
    """Median seconds of a step, after two that warm up."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_of(name, tokens), dtype=DTYPES[dtype], attn_implementation="sdpa")
    model = get_peft_model(model.to(device), LoraConfig(r=8, lora_alpha=8, target_modules="all-linear"))
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-4)
    ids = torch.tensor([[(7 * i) % SIZES[name]["vocab"] for i in range(tokens)]], device=device)
    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def main():
    parser = argparse.ArgumentParser(description="PyTorch and PEFT beside a result of the benchmark")
    parser.add_argument("result", help="DEVICE.json of `npm run bench -- training-step`")
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with open(options.result) as file:
        report = json.load(file)
    measured = [row for row in report["results"] if row["kernel"] == "training-step"]
    if not measured:
        parser.error(f"{options.result} has no training-step; run `npm run bench -- training-step` first")
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"webgpu-lora: {report['device']['name']}\nPyTorch {torch.__version__}: {name}\n")
    print(f"{'step':28}{'dtype':>6}{'ours ms':>10}{'torch ms':>10}{'torch GFLOP/s':>15}{'torch / ours':>14}")
    for row in measured:
        model, tokens = row["size"].split(" ")[:2]
        for dtype in options.dtype:
            seconds = measure(model, int(tokens[1:]), dtype, device, options.steps)
            rate = row["flops"] / seconds / 1e9
            ratio = 1000 * seconds / row["median"]
            label = f"{model} {tokens}"
            print(f"{label:28}{dtype:>6}{row['median']:>10.1f}{1000 * seconds:>10.1f}{rate:>15.1f}{ratio:>14.2f}")


if __name__ == "__main__":
    main()
