"""PyTorch's half of the comparison on SST-2: makes the model, the order of the data and the accuracy curve.

    python scripts/sst2/oracle.py ../shared/data/datasets/sst2 ../shared/data/tokenizers/bert_base_uncased OUT

OUT gets a small random BERT (`model/`), LoRA as it starts (`adapter/`), the rows in the order of training
(`train.jsonl`, `dev.jsonl`) and `curve.json`. scripts/sst2/main.ts trains the same from these files.
"""

import json
import random
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

STEPS, BATCH, EVERY, LR, MAX_LENGTH = 200, 32, 20, 3e-3, 48


def read(path):
    rows = [line.rstrip("\n").split("\t") for line in path.read_text().splitlines()]
    return [{"text": text, "label": int(label)} for text, label in rows]


def main(data, tokenizer_folder, out):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    train, dev = read(data / "train.tsv"), read(data / "dev.tsv")
    random.Random(0).shuffle(train)
    train = (train * 2)[: STEPS * BATCH]
    for name, rows in (("train", train), ("dev", dev)):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    tokenizer = BertTokenizer.from_pretrained(tokenizer_folder)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=128, max_position_embeddings=64, initializer_range=0.1,
                        id2label={0: "negative", 1: "positive"})
    BertForSequenceClassification(config).save_pretrained(out / "model")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / file, out / "model" / file)
    model = BertForSequenceClassification.from_pretrained(out / "model")
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.0,
                                             target_modules=["query", "key", "value", "dense"]))
    model.save_pretrained(out / "adapter")
    model.eval()  # the base model's own dropout is no part of the comparison

    def batch(rows):
        tokens = tokenizer([row["text"] for row in rows], truncation=True, max_length=MAX_LENGTH, padding=True,
                           return_tensors="pt")
        return tokens, torch.tensor([row["label"] for row in rows])

    def accuracy():
        right = 0
        with torch.no_grad():
            for at in range(0, len(dev), 64):
                tokens, labels = batch(dev[at: at + 64])
                right += int((model(**tokens).logits.argmax(-1) == labels).sum())
        return right / len(dev)

    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    curve = [{"step": 0, "accuracy": accuracy()}]
    losses = []
    for step in range(STEPS):
        tokens, labels = batch(train[step * BATCH: (step + 1) * BATCH])
        loss = torch.nn.functional.cross_entropy(model(**tokens).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % EVERY == 0:
            curve.append({"step": step + 1, "accuracy": accuracy()})
            print(curve[-1], f"loss {sum(losses[-EVERY:]) / EVERY:.4f}", flush=True)
    settings = {"steps": STEPS, "batch": BATCH, "every": EVERY, "learning_rate": LR, "max_length": MAX_LENGTH}
    (out / "curve.json").write_text(json.dumps({**settings, "curve": curve, "losses": losses}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
