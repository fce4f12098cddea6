# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers, settings beside them, and the ids that AutoTokenizer of transformers 5.12 gives.

Writes NAME.json (tokenizers), NAME.model (SentencePiece's) and cases.jsonl beside this file: a case a line, with the
files of its folder (a text, or {"from": NAME}), its config.json and texts with their ids.
"""
import io
import json
import pathlib
import shutil
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
import transformers
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
transformers.logging.set_verbosity_error()


def added(token, content, **flags):
    return {"id": token, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **flags}


def listed(content, **flags):
    token = added(0, content, **flags)
    del token["id"]
    return token


def words(extra=()):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "cafe", "café", "##é", "H", "h",
              "##ello", "w", "##o", "##r", "##l", "##d", "中", "##国", "国", "!", "<c>", "<s>", *extra]
    return {token: i for i, token in enumerate(tokens)}


def wordpiece(normalizer, **members):
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(i, t) for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])],
            "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": words()}, **members}


def bytes_vocabulary():
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = dict(zip(shown, map(chr, shown)))
    for byte in range(256):
        characters.setdefault(byte, chr(256 + sum(b not in shown for b in range(byte))))
    merges = ["Ġ t", "h e", "Ġt he", "l l", "o r"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(characters[byte] for byte in range(256)),
              *(merge.replace(" ", "") for merge in merges), "<mask>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def byte_pairs(prefix_space, post_processor=None, before=()):
    vocab, merges = bytes_vocabulary()
    byte_level = {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": True, "use_regex": True}
    steps = {"type": "Sequence", "pretokenizers": [*before, byte_level]} if before else byte_level
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(0, "<s>"), added(1, "<pad>"), added(2, "</s>")], "normalizer": None,
            "pre_tokenizer": steps, "post_processor": post_processor,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges}}


def llama(normalizer, pre_tokenizer):
    pieces = ["<unk>", "<s>", "</s>", "▁", "t", "h", "e", "m", "a", "n", "▁t", "he", "▁the", "▁m", "an", "▁man"]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    merges = ["▁ t", "h e", "▁t he", "▁ m", "a n", "▁m an"]
    bos = {"id": "<s>", "ids": [1], "tokens": ["<s>"]}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(i, t) for i, t in enumerate(pieces[:3])], "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                          {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"<s>": bos}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": merges}}


def unigram(scheme):
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "the", "▁the", "man", "▁man", "t", "h", "e", "m", "a", "n", "<mask>"]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(i, t) for i, t in enumerate(pieces[:4])] + [added(15, "<mask>", lstrip=True)],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
            "post_processor": None, "decoder": metaspace,
            "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": False,
                      "vocab": [[piece, -float(i)] for i, piece in enumerate(pieces)]}}


BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
        "lowercase": True}
PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                               {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
           "add_prefix_space": True}
TOKENIZERS = {
    "words": wordpiece(BERT),
    "words_cased": wordpiece({**BERT, "lowercase": False, "strip_accents": False, "handle_chinese_chars": False}),
    "words_bare": wordpiece(None, post_processor=None),
    "bytes": byte_pairs(False),
    "bytes_prefix": byte_pairs(True, ROBERTA),
    "bytes_digits": byte_pairs(False, before=[{"type": "Digits", "individual_digits": True}]),
    "llama_prepend": llama(PREPEND, None),
    "llama_metaspace": llama(None, METASPACE),
    "unigram": unigram("never"),
    "unigram_always": unigram("always"),
}

WORDS = ["Hello worlds!", "CAFÉ café", "中国", "hello [MASK] <c> <s> x", ""]
BYTES = ["the man", " the  or", "the</s> the<mask>the", "<|endoftext|>all", "World <new> the", ""]
PIECES = ["the man", " the  man", "<s>the man</s> the", "man<new>the <new> man", ""]

CASES = []


def case(name, files, config, texts, rows=1000):
    CASES.append({"name": name, "files": files, "config": {"vocab_size": rows, **config}, "texts": texts})


def settings(name, tokenizer, model_type, tokenizer_config, texts, **more):
    files = {"tokenizer.json": {"from": tokenizer + ".json"}}
    if tokenizer_config is not None:
        files["tokenizer_config.json"] = json.dumps(tokenizer_config)
    case(name, {**files, **{k.replace("__", "."): json.dumps(v) for k, v in more.items()}}, {"model_type": model_type},
         texts)


for kind, model in [("BertTokenizer", "bert"), ("DistilBertTokenizerFast", "distilbert"), ("ElectraTokenizer", "electra")]:
    for source in ["words", "words_cased", "words_bare"]:
        settings(f"{kind} {source} cased", source, model, {"tokenizer_class": kind, "do_lower_case": False}, WORDS)
settings("bert lowercases unless told", "words_cased", "bert", {}, WORDS)
settings("bert without settings", "words_cased", "bert", None, WORDS)
settings("bert keeps accents", "words", "bert", {"strip_accents": False}, WORDS)
settings("bert strips accents, cased", "words_cased", "bert", {"do_lower_case": False, "strip_accents": True}, WORDS)
settings("bert leaves ideographs", "words", "bert", {"tokenize_chinese_chars": False}, WORDS)
settings("bert with other marks", "words", "bert", {"cls_token": "<c>", "sep_token": "<s>"}, WORDS)
settings("bert as a fast one", "words", "bert", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}, WORDS)

for model, kind in [("gpt2", "GPT2Tokenizer"), ("gpt_neox", "GPTNeoXTokenizerFast"), ("opt", "GPT2Tokenizer"),
                    ("llama", "GPT2Tokenizer")]:
    settings(f"{kind} of {model} with a prefix", "bytes", model, {"tokenizer_class": kind, "add_prefix_space": True}, BYTES)
settings("gpt2 without a prefix", "bytes_prefix", "gpt2", {"tokenizer_class": "GPT2Tokenizer"}, BYTES)
settings("gpt2 by its model", "bytes", "gpt2", {"add_prefix_space": True, "bos_token": None}, BYTES)
settings("gpt2 with no bos", "bytes", "gpt2", {"add_bos_token": True}, BYTES)
settings("a fast one keeps its prefix", "bytes_prefix", "llama", {"tokenizer_class": "PreTrainedTokenizerFast",
                                                                  "add_prefix_space": False}, BYTES)
settings("granite is taken as it is", "bytes_digits", "granite", {"tokenizer_class": "GPT2Tokenizer",
                                                                  "add_prefix_space": True}, BYTES)
settings("roberta without a prefix", "bytes_prefix", "roberta", {}, BYTES)
settings("roberta with a prefix", "bytes", "roberta", {"add_prefix_space": True, "tokenizer_class": "RobertaTokenizer"}, BYTES)
settings("roberta with other marks", "bytes", "roberta", {"cls_token": "<mask>", "sep_token": "<unk>"}, BYTES)

for source in ["llama_prepend", "llama_metaspace"]:
    settings(f"{source} first", source, "llama", {"tokenizer_class": "LlamaTokenizer"}, PIECES)
    settings(f"{source} legacy", source, "llama", {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}, PIECES)
    settings(f"{source} never", source, "llama", {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}, PIECES)
    settings(f"{source} as it is", source, "llama", {"tokenizer_class": "PreTrainedTokenizerFast"}, PIECES)
settings("mistral is taken as it is", "llama_prepend", "mistral", {"tokenizer_class": "LlamaTokenizer"}, PIECES)
settings("llama's marks are its file's", "llama_prepend", "llama", {
    "tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": True}, PIECES)

settings("xlm-roberta", "unigram", "xlm-roberta", {}, PIECES)
settings("xlm-roberta without a prefix", "unigram_always", "xlm-roberta", {"add_prefix_space": False}, PIECES)

FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
settings("listed tokens", "bytes", "llama", {**FAST, "added_tokens_decoder": {
    "267": listed("<new>"), "268": listed("World", special=False)}}, BYTES)
settings("listed under other ids", "bytes", "llama", {**FAST, "added_tokens_decoder": {
    "400": listed("<new>"), "300": listed("World")}}, BYTES)
settings("listed with other flags", "bytes", "llama", {**FAST, "added_tokens_decoder": {
    "266": listed("<|endoftext|>", lstrip=True), "3": listed("the", single_word=True)}}, BYTES)
settings("named tokens", "bytes", "llama", {**FAST, "eos_token": "<|endoftext|>", "pad_token": "<new>",
                                            "image_token": "World"}, BYTES)
settings("extra tokens", "bytes", "llama", {**FAST, "extra_special_tokens": ["World", "<new>"]}, BYTES)
settings("additional tokens", "bytes", "gpt2", {"additional_special_tokens": ["World", "<new>"], "bos_token": "<s>",
                                                "eos_token": "<s>", "unk_token": "<s>"}, BYTES)
settings("extra tokens by name", "bytes", "llama", {**FAST, "extra_special_tokens": {"a_token": "World"}}, BYTES)
settings("a map and added tokens", "bytes", "llama", {**FAST, "eos_token": "World"}, BYTES, special_tokens_map__json={
    "eos_token": "<mask>", "pad_token": {"content": "<new>", "lstrip": True, "rstrip": False, "normalized": False,
                                         "single_word": False}}, added_tokens__json={"World": 267})
settings("a map beside listed tokens", "bytes", "llama", {**FAST, "added_tokens_decoder": {"267": listed("<new>")}},
         BYTES, special_tokens_map__json={"eos_token": "<mask>"})

OLDER = "\n".join(words()) + "\n"
case("vocab.txt", {"vocab.txt": OLDER, "tokenizer_config.json": json.dumps({"do_lower_case": False})},
     {"model_type": "bert"}, WORDS)
case("vocab.txt with added tokens", {"vocab.txt": OLDER, "added_tokens.json": json.dumps({"x": 25}),
                                     "tokenizer_config.json": json.dumps({"tokenizer_class": "BertTokenizer"})}, {}, WORDS)
VOCAB, MERGES = bytes_vocabulary()
PAIRS = {"vocab.json": json.dumps(VOCAB), "merges.txt": "#version: 0.2\n" + "\n".join(MERGES) + "\n"}
for name, model, config in [
        ("opt with its bos", "opt", {"add_bos_token": True, "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}),
        ("gpt2 with a prefix", "gpt2", {"add_prefix_space": True, "tokenizer_class": "GPT2Tokenizer"}),
        ("roberta", "roberta", {}),
        ("qwen2", "qwen2", {"add_eos_token": True, "added_tokens_decoder": {"267": listed("<new>")}})]:
    case("vocab.json of " + name, {**PAIRS, "tokenizer_config.json": json.dumps(config)}, {"model_type": model}, BYTES)
LATIN = [text for text in PIECES if "<new>" not in text]  # this model has no piece for "<"
for name, config in [("", {}), (" with marks", {"add_bos_token": True, "add_eos_token": True}), (" legacy", {"legacy": True}),
                     (" of an adapter", {"added_tokens_decoder": {"100": listed("<new>")}, "eos_token": "<new>"}),
                     (" without a prefix", {"add_prefix_space": False})]:
    case("tokenizer.model" + name, {"tokenizer.model": {"from": "llama.model"}, "tokenizer_config.json": json.dumps(
        {"tokenizer_class": "LlamaTokenizer", **config})}, {"model_type": "llama"},
        PIECES if "adapter" in name else LATIN)
case("tokenizer.model and added_tokens.json", {
    "tokenizer.model": {"from": "llama.model"}, "added_tokens.json": json.dumps({"<new>": 100}),
    "tokenizer_config.json": json.dumps({"tokenizer_class": "LlamaTokenizer", "eos_token": "<new>"})},
    {"model_type": "llama"}, PIECES)


# Encoders of texts, whose classes make most of the steps themselves.
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
LETTERS = ["▁", "the", "▁the", "man", "▁man", "men", *"themanTM!,\"'0123'é", "▁The", "▁!", "▁m"]
SPACED = ["the man", "  The  man\tthe\nman ", "THE MEN!men, the", "thé mañ ``the''", "the[MASK]man [MASK] <mask> the", "the☃man ☃☃", "123,4 men 00",
          "[CLS]the [SEP] man", ""]


def pieces_of(marks):
    """A SentencePiece model of Unigram: `marks` are pieces with their types, letters follow."""
    proto = sentencepiece_model_pb2.ModelProto()
    for text, kind in marks:
        proto.pieces.add(piece=text, score=0.0, type=kind)
    for i, text in enumerate(dict.fromkeys(LETTERS)):
        proto.pieces.add(piece=text, score=-2.0 - 0.37 * i, type=NORMAL)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id = [kind for _, kind in marks].index(UNKNOWN)
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = True
    return proto.SerializeToString()


SENTENCEPIECES = {
    "albert.model": pieces_of([("<pad>", CONTROL), ("<unk>", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)]),
    "deberta.model": pieces_of([("[PAD]", CONTROL), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[UNK]", UNKNOWN)]),
    "fairseq.model": pieces_of([("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]),
}
for name, file, source, model, config in [
        ("albert", "spiece.model", "albert", "albert", {}),
        ("albert by its class", "spiece.model", "albert", "albert", {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True}),
        ("albert without a prefix", "spiece.model", "albert", "albert", {"add_prefix_space": False}),
        ("deberta v3", "spm.model", "deberta", "deberta-v2", {"do_lower_case": False, "vocab_type": "spm"}),
        ("deberta v2 in small letters", "spm.model", "deberta", "deberta-v2", {"do_lower_case": True, "split_by_punct": True}),
        ("deberta v3 without a prefix", "spm.model", "deberta", "deberta-v2", {"add_prefix_space": False}),
        ("camembert", "sentencepiece.bpe.model", "fairseq", "camembert", {})]:
    case(file + " of " + name, {file: {"from": source + ".model"}, "tokenizer_config.json": json.dumps(config)}, {"model_type": model}, SPACED)
settings("camembert", "unigram", "camembert", {}, PIECES)
settings("camembert without a prefix", "unigram_always", "camembert", {"add_prefix_space": False}, PIECES)
settings("mpnet", "words", "mpnet", {"cls_token": "[CLS]", "sep_token": "[SEP]"}, WORDS)
settings("mpnet cased, as its class", "words", "mpnet", {"tokenizer_class": "MPNetTokenizer", "do_lower_case": False, "cls_token": "<c>", "sep_token": "<s>"}, WORDS)
settings("nomic bert", "words_cased", "nomic_bert", {}, WORDS)
settings("deberta v1", "bytes_prefix", "deberta", {"cls_token": "<s>", "sep_token": "</s>"}, BYTES)
case("vocab.txt of mpnet", {"vocab.txt": OLDER, "tokenizer_config.json": json.dumps({"cls_token": "[CLS]", "sep_token": "[SEP]"})}, {"model_type": "mpnet"}, WORDS)
case("vocab.json of deberta v1", {**PAIRS, "tokenizer_config.json": json.dumps({"cls_token": "<s>", "sep_token": "</s>"})}, {"model_type": "deberta"}, BYTES)


def train():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the man and the other man", "then a ten man team met the men"]), model_writer=model,
        vocab_size=40, model_type="bpe", normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    proto.trainer_spec.ClearField("model_prefix")
    (HERE / "llama.model").write_bytes(proto.SerializeToString())


def main():
    train()
    for name, content in SENTENCEPIECES.items():
        (HERE / name).write_bytes(content)
    for name, tokenizer in TOKENIZERS.items():
        (HERE / f"{name}.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n")
    with (HERE / "cases.jsonl").open("w") as out:
        for line in CASES:
            folder = pathlib.Path(tempfile.mkdtemp())
            for name, content in line["files"].items():
                if isinstance(content, str):
                    (folder / name).write_text(content)
                else:
                    shutil.copy(HERE / content["from"], folder / name)
            if "model_type" in line["config"]:
                (folder / "config.json").write_text(json.dumps(line["config"]))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            shutil.rmtree(folder)
            line["texts"] = [[text, tokenizer(text)["input_ids"]] for text in line["texts"]]
            line["pair"] = tokenizer("the", "man")["input_ids"]
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
