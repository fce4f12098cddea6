#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the references of `pairs` and `unigram` with Hugging Face tokenizers.

    make_references.py TRAINING_TEXT.txt OUT_FOLDER

pairs/: one small WordPiece with four post-processors, and what each makes of texts and pairs of texts, whole and cut short.
unigram/: Unigram tokenizers trained on the text, and what each makes of the texts below: `metaspace` as T5's and XLM-R's are
built, with a charsmap of a few rules; `bytes` falls back to bytes; `plain` has neither pre-tokenizer nor unknown joined.
"""
import base64
import json
import pathlib
import struct
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "", "a", " ", "  ", "The quick brown fox", " leading and trailing  ", "two  spaces   three", "line\nbreak\ttab",
    "It's 12,345.67 o'clock!", "Ｆｕｌｌ　ｗｉｄｔｈ ﬁne ①②", "cafe\u0301 café e\u0301\u0302", "日本語の文章です。", "😀 emoji 👨‍👩‍👧 end",
    "<s> not special </s>", "a<mask>b <mask>", "▁already marked▁", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "xyzzyqqqqzzz",
    "\u00a0non\u2003breaking\u200b zero", "Ünïcödé ŽŸ", "\r\nwindows\r\nlines", "½ ¾ ™ ℃ Å", "ТЕСТ проверка", "한국어 조선말",
    "mixed 日本 and English words, again and again: the man said that he had seen it.", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 flag", "\u0301combining first",
]
PAIRS = [
    ("the cat", None), ("the cat", "sat"), ("", "sat"), ("the cat", ""), ("", None), ("", ""),
    ("the cat sat on the mat", "on the cat sat the mat the cat"), ("the the the the the the the the", "cat"),
    ("cat", "the the the the the the the the"), ("the cat sat", "the cat sat"), ("the cat sat on", "the cat sat"),
]


def charsmap(rules):
    """A charsmap as SentencePiece stores it: a double array of the rules' first bytes on, and the replacements."""
    texts = b""
    trie = {}
    for source, target in sorted(rules.items()):
        node = trie
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[None] = len(texts)
        texts += target.encode() + b"\0"
    units, used = [0], {0}

    def place(node, at):
        offset = 1
        while True:
            wanted = [(0 if byte is None else byte) ^ offset for byte in node]
            if offset not in seen and all(at ^ w not in used for w in wanted):
                break
            offset += 1
        seen.add(offset)
        assert offset < 1 << 21
        while len(units) <= max(at ^ w for w in wanted):
            units.append(0)
        used.update(at ^ w for w in wanted)
        units[at] |= offset << 10 | (1 << 8 if None in node else 0)
        for byte, child in node.items():
            if byte is None:
                units[at ^ offset] = child | 1 << 31
            else:
                units[at ^ offset ^ byte] = byte
        for byte, child in node.items():
            if byte is not None:
                place(child, at ^ offset ^ byte)

    seen = set()
    place(trie, 0)
    blob = b"".join(struct.pack("<I", unit) for unit in units)
    return struct.pack("<I", len(blob)) + blob + texts


def write(path, rows):
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def make_pairs(out):
    words = ["[UNK]", "[CLS]", "[SEP]", "<s>", "</s>", "the", "cat", "sat", "on", "mat", "##s", "c", "##at"]
    vocab = {word: i for i, word in enumerate(words)}
    template = processors.TemplateProcessing(
        single="[CLS]:3 $A:1 [SEP]:1", pair="[CLS] $B:1 [SEP]:2 $A:0 [SEP]:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    kinds = {"none": None, "template": template, "bert": processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
             "roberta": processors.RobertaProcessing(("</s>", 4), ("<s>", 3))}
    out.mkdir(parents=True, exist_ok=True)
    for name, processor in kinds.items():
        tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        if processor is not None:
            tokenizer.post_processor = processor
        tokenizer.save(str(out / f"{name}.json"), pretty=False)
        rows = []
        for first, second in PAIRS:
            for special in (False, True):
                for limit in (0, 6, 7, 10):
                    tokenizer.no_truncation()
                    if limit:
                        tokenizer.enable_truncation(limit)
                    encoding = tokenizer.encode(first, second, add_special_tokens=special)
                    row = {"first": first, "special": special, "max_tokens": limit, "ids": encoding.ids,
                           "type_ids": encoding.type_ids}
                    if second is not None:
                        row["second"] = second
                    rows.append(row)
        write(out / f"{name}.jsonl", rows)


def make_unigram(training, out):
    out.mkdir(parents=True, exist_ok=True)
    lines = training.read_text(encoding="utf-8").splitlines()
    rules = {"ﬁ": "fi", "①": "1", "②": "2", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "½": "1⁄2", "™": "TM",
             "e\u0301": "é", "\u0301": "", "Å": "Å", "Ａ": "A", "Ｆ": "F", "ｌ": "l", "ｕ": "u", "ｗ": "w", "℃": "°C"}
    blob = charsmap(rules)

    def train(tokenizer, **options):
        trainer = trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", special_tokens=["<s>", "</s>", "<unk>"],
                                          show_progress=False, **options)
        tokenizer.train_from_iterator(lines, trainer)
        return json.loads(tokenizer.to_str())

    def finish(name, tokenizer):
        tokenizer.save(str(out / f"{name}.json"), pretty=False)
        rows = []
        for text in TEXTS + [" ".join(lines)[1000 * i:1000 * i + 300 + 7 * i] for i in range(12)]:
            row = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            row["ids_special"] = tokenizer.encode(text).ids
            row["decoded"] = tokenizer.decode(row["ids"], skip_special_tokens=False)
            if row["ids_special"] == row["ids"]:
                del row["ids_special"]
            if row["decoded"] == text:
                del row["decoded"]
            rows.append(row)
        write(out / f"{name}.jsonl", rows)

    base = Tokenizer(models.Unigram())
    base.pre_tokenizer = pre_tokenizers.Metaspace()
    state = train(base)
    for name in ("metaspace", "bytes", "plain"):
        made = json.loads(json.dumps(state))
        vocab = made["model"]["vocab"]
        if name == "metaspace":
            made["normalizer"] = {"type": "Sequence", "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}
            made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
            made["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
        if name == "bytes":
            vocab += [[f"<0x{byte:02X}>", -20.0 - byte / 256] for byte in range(256)]
            made["model"]["byte_fallback"] = True
            made["decoder"] = {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
            made["normalizer"] = {"type": "StripAccents"}
        if name == "plain":
            made["pre_tokenizer"] = None
            made["normalizer"] = {"type": "Sequence", "normalizers": [
                {"type": "NFKC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
            vocab.append(["the", -3.0])  # twice: the later counts
        tokenizer = Tokenizer.from_str(json.dumps(made))
        tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
        if name == "metaspace":
            tokenizer.post_processor = processors.TemplateProcessing(
                single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
        finish(name, tokenizer)


make_pairs(pathlib.Path(sys.argv[2]) / "pairs")
make_unigram(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "unigram")
