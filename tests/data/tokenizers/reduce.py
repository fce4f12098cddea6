#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts a byte-level or WordPiece tokenizer.json down to what a set of texts can touch, and shortens the file of texts.

    reduce.py TOKENIZER_FOLDER TEXTS.jsonl OUT_FOLDER

Every token whose bytes occur in a text stays, with its id, and so do single bytes, added tokens and the merges among them:
no other merge can ever apply, so the ids of these texts do not change. Of WordPiece the tokens stay that occur in the texts as
BertNormalizer leaves them, with and without the prefix. Texts keep "ids_special" and "decoded" only where
they differ from "ids" and "text".
"""
import json
import pathlib
import sys
import unicodedata


def byte_chars():
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in prints]
    return {chr(b): b for b in prints} | {chr(256 + i): b for i, b in enumerate(others)}


def main():
    folder, texts, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in texts.open(encoding="utf-8")]
    with (out / "texts.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            if row["ids_special"] == row["ids"]:
                del row["ids_special"]
            if row["decoded"] == row["text"]:
                del row["decoded"]
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")

    tokenizer = json.load((folder / "tokenizer.json").open(encoding="utf-8"))
    byte_of = byte_chars()
    seen = "\n\x00\n".join(unicodedata.normalize("NFC", row["text"]) for row in rows).encode("utf-8", "surrogatepass")
    used = {i for row in rows for i in row["ids"]} | {token["id"] for token in tokenizer["added_tokens"]}

    model = tokenizer["model"]
    is_word_piece = model["type"] == "WordPiece"
    if is_word_piece:
        decomposed = unicodedata.normalize("NFD", "\n".join(row["text"] for row in rows))
        plain = "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()

    def stays(token, index):
        if is_word_piece:
            body = token.removeprefix(model["continuing_subword_prefix"])
            return index in used or len(body) == 1 or body in plain
        if index in used or any(c not in byte_of for c in token):
            return index in used
        spelled = bytes(byte_of[c] for c in token)
        return len(spelled) == 1 or spelled in seen

    model["vocab"] = {token: i for token, i in model["vocab"].items() if stays(token, i)}

    def kept(merge):
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        return all(token in model["vocab"] for token in (left, right, left + right))

    if not is_word_piece:
        model["merges"] = [merge for merge in model["merges"] if kept(merge)]
    with (out / "tokenizer.json").open("w", encoding="utf-8") as file:
        json.dump(tokenizer, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


main()
