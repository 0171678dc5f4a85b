"""What Rust's tokenizers makes of many texts, for differences.ts, which compares:

    python scripts/tokenizers/differences.py OUT --texts 2000 --seed 1 [--only NAME] [--long BYTES] [--real FOLDER…]

One file for each tokenizer: its tokenizer.json, and for each text the ids with and without special tokens, of a pair,
and the text decoded with and without special tokens. --long adds texts of that length (1000000), --real other tokenizers' folders.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "test/fixtures"))
from tokenizer_components import all_cases, decoder_cases, id_rows, precompiled, row, second_text, tokenizer
from tokenizer_texts import long_texts, texts

SPM_RULES = ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def long_row(made, text):
    start = time.time()
    try:
        ids = made.encode(text).ids
        return [len(ids), digest(",".join(map(str, ids))), digest(made.decode(ids)), round(time.time() - start, 2)]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def measure(name, source, made_texts, long, place):
    made = Tokenizer.from_str(source)
    made.no_truncation()
    made.no_padding()
    rows = [row(made, text, second_text(made_texts, i)) for i, text in enumerate(made_texts)]
    longs = {kind: long_row(made, text) for kind, text in long.items()}
    number = len(list(place.glob("*.json")))
    found = {"name": name, "json": json.loads(source), "rows": rows, "long": longs}
    (place / f"{number:03}.json").write_text(json.dumps(found))


def measure_decoder(name, json_, rows, place):
    made = Tokenizer.from_str(json.dumps(json_))
    found = {"name": name, "json": json_,
             "decoded": [[made.decode(row, skip_special_tokens=skip) for skip in (True, False)] for row in rows]}
    (place / f"decoder-{len(list(place.glob('decoder-*'))):03}.json").write_text(json.dumps(found))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="expression that a tokenizer's name must match")
    parser.add_argument("--long", type=int, default=0, help="bytes of the long texts")
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made_texts = texts(options.texts, options.seed)
    long = long_texts(options.long, options.seed) if options.long else {}
    rows = id_rows(options.texts, options.seed)
    (options.out / "texts").write_text(json.dumps({"texts": made_texts, "long": long, "rows": rows}))
    for name, json_ in all_cases().items():
        if re.search(options.only, name):
            measure(name, json.dumps(json_), made_texts, long, options.out)
    for rule in SPM_RULES:
        if re.search(options.only, f"Precompiled {rule}"):
            measure(f"Precompiled {rule}", json.dumps(tokenizer(normalizer=precompiled(rule))), made_texts, long, options.out)
    for name, json_ in decoder_cases():
        if re.search(options.only, name):
            measure_decoder(name, json_, rows, options.out)
    for folder in options.real:
        measure(folder.name, (folder / "tokenizer.json").read_text(), made_texts, long, options.out)


if __name__ == "__main__":
    main()
