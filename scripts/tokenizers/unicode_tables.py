"""Writes src/io/tokenizer/pipeline/unicode-tables.ts: the characters for which the Rust library's Unicode tables are
of another version than JavaScript's, found by giving the library every code point.

    python scripts/tokenizers/unicode_tables.py JS_TABLES.json

JS_TABLES.json comes from `node scripts/tokenizers/unicode-tables-of-js.mjs`: what this engine does with each code
point, with Unicode 17 or later.
"""

import json
import sys
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).parents[2] / "src/io/tokenizer/pipeline/unicode-tables.ts"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def removed_by(normalizer):
    return {c for c in CODE_POINTS if normalizer.normalize_str(chr(c)) == ""}


def bert(**flags):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(off | flags))


def punctuation():
    split = pre_tokenizers.BertPreTokenizer()
    return {c for c in CODE_POINTS if len(split.pre_tokenize_str(f"a{chr(c)}b")) == 3}


def newer_than_normalization(js):
    """Characters that JavaScript decomposes or reorders and the library doesn't, and what new ones are composed of."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    newer = set()
    for c, (canonical, compatible, reorders) in js["decompositions"].items():
        character = chr(int(c))
        mine = reorders and nfd.normalize_str(character) == character
        if nfd.normalize_str(character) != canonical:
            newer |= {int(c), ord(canonical[0])}
        if nfkd.normalize_str(character) != compatible:
            newer.add(int(c))
        # U+0334 is of class 1, U+0345 of class 240: one of them moves past any mark of another class.
        still = nfd.normalize_str(f"a{character}\u0334") == f"a{character}\u0334"
        still &= nfd.normalize_str(f"a\u0345{character}") == f"a\u0345{character}"
        if mine and still:
            newer.add(int(c))
    return newer


def newer_than_patterns(js):
    unassigned = normalizers.Replace(Regex(r"\p{Cn}"), "")
    return removed_by(unassigned) & set(js["assigned"])


def table(characters):
    """Ranges as gap and length, in base 36."""
    parts, last, ranges = [], 0, []
    for c in sorted(characters):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    for first, end in ranges:
        length = end - first
        parts.append(base36(first - last) + (f".{base36(length)}" if length else ""))
        last = end
    return " ".join(parts)


def base36(number):
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text


def lines(text, width=96):
    rows, row = [], ""
    for part in text.split(" "):
        if len(row) + len(part) + 1 > width:
            rows.append(row)
            row = ""
        row += part + " "
    return [*rows, row.rstrip()]


def main():
    js = json.loads(Path(sys.argv[1]).read_text())
    tables = {
        "STRIPPED_MARKS": ("`StripAccents` takes these away: marks of Unicode 9.", removed_by(normalizers.StripAccents())),
        "BERT_MARKS": ("`BertNormalizer` takes these away: nonspacing marks of Unicode 8.", removed_by(bert(strip_accents=True))),
        "BERT_CONTROLS": ("`BertNormalizer` cleans these away: control, format and private characters.", removed_by(bert(clean_text=True))),
        "PUNCTUATION": ("`Punctuation` and `BertPreTokenizer` split at these: ASCII's marks and punctuation of Unicode 8.", punctuation()),
        "NEWER_THAN_NORMALIZATION": ("The library's normal forms (Unicode 9) leave these as they are.", newer_than_normalization(js)),
        "NEWER_THAN_PATTERNS": ("Unicode 17: not yet characters for the library's expressions (Unicode 16).", newer_than_patterns(js)),
    }
    text = "// Written by scripts/tokenizers/unicode_tables.py. Ranges of code points: gap from the last range and length − 1, base 36.\n"
    for name, (comment, characters) in tables.items():
        rows = " +\n  ".join(json.dumps(row) for row in lines(table(characters)))
        text += f"\n/** {comment} */\nexport const {name} =\n  {rows};\n"
        print(name, len(characters))
    OUT.write_text(text)


if __name__ == "__main__":
    main()
