#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains small SentencePiece models on a text, and writes what they make of texts.

    make_sentencepiece.py TRAINING_TEXT.txt OUT_FOLDER

bpe/: as Llama's, falling back to bytes. unigram/: as T5's, nmt_nfkc. Beside tokenizer.model and tokenizer_config.json, texts.jsonl:
the ids that sentencepiece gives. The text is handed over line by line and the model kept in memory, for sentencepiece writes the
paths of files that it is given into the model.
"""
import io
import json
import pathlib
import sys

import sentencepiece

TEXTS = ["", "a", "Hello world", "two  spaces", " leading", "trailing ", "It's 12,345.67 o'clock!", "café naïve", "日本語 text", "😀 emoji",
         "the man said that he had seen it", "line\nbreak", "aaaaaaaaaaaaaaaa", "UPPER lower", "xyzzy qqq", "   ", "Ｆｕｌｌ ﬁne ①"]
lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
out = pathlib.Path(sys.argv[2])
for kind, options in {"bpe": {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
                      "unigram": {"normalization_rule_name": "nmt_nfkc"}}.items():
    folder = out / kind
    folder.mkdir(parents=True, exist_ok=True)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=trained, model_type=kind, vocab_size=600 if kind == "bpe" else 400,
        character_coverage=0.999, user_defined_symbols=["<sep>"], minloglevel=2, **options)
    (folder / "tokenizer.model").write_bytes(trained.getvalue())
    name = {"bpe": "LlamaTokenizer", "unigram": "T5Tokenizer"}[kind]
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, "add_bos_token": True}) + "\n")
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for text in TEXTS + ["a<sep>b"] + [line for line in lines if line][:20]:
            ids = model.encode(text)
            special = [model.bos_id(), *ids] if kind == "bpe" else [*ids, model.eos_id()]
            file.write(json.dumps({"text": text, "ids": ids, "ids_special": special}, ensure_ascii=False, separators=(",", ":")) + "\n")
