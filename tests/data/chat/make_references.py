#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders every template of this folder with transformers' apply_chat_template.

    make_references.py FOLDER

Writes references.jsonl: template, messages, add_generation_prompt, variables, and the text or that the template refused.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

TOKENS = {
    "gemma2": ("<bos>", "<eos>"), "gemma3": ("<bos>", "<eos>"), "phi3": ("<s>", "<|endoftext|>"), "mistral_v02": ("<s>", "</s>"),
    "mistral_nemo": ("<s>", "</s>"), "smollm2": ("<|im_start|>", "<|im_end|>"), "tinyllama": ("<s>", "</s>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"), "llama3.1": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama3.2": ("<|begin_of_text|>", "<|eot_id|>"), "qwen2.5": ("", "<|im_end|>"), "qwen3": ("", "<|im_end|>"), "constructs": ("<s>", "</s>"),
}
USER = {"role": "user", "content": "Hello"}
TALKS = [
    [USER],
    [{"role": "system", "content": "You are terse."}, USER],
    [USER, {"role": "assistant", "content": "Hi there"}],
    [USER, {"role": "assistant", "content": "Hi there"}, {"role": "user", "content": "  Who are\n\nyou?  "}],
    [{"role": "system", "content": "  Say \"yes\" & {{ no }}.\n"}, USER, {"role": "assistant", "content": "   I am   "},
     {"role": "user", "content": "日本語 😀 <|im_end|>"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nWell"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": ""}],
    [USER, USER],
    [{"role": "assistant", "content": "I begin"}, USER],
    [{"role": "tool", "content": "result"}],
]
folder = pathlib.Path(sys.argv[1])
rows = []
for path in sorted(folder.glob("*.jinja")):
    if path.stem.startswith("tools_"):  # make_tool_references.py
        continue
    bos, eos = TOKENS[path.stem]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos or None, eos_token=eos)
    tokenizer.chat_template = path.read_text(encoding="utf-8")
    for talk in TALKS:
        for prompt in (False, True):
            choices = [{"date_string": "26 Jul 2025"}] if path.stem == "llama3.2" else [{}]
            if path.stem == "qwen3":
                choices.append({"enable_thinking": False})
            for variables in choices:
                row = {"template": path.stem, "bos": bos, "eos": eos, "messages": talk, "prompt": prompt}
                if variables:
                    row["variables"] = {k: str(v).lower() if isinstance(v, bool) else v for k, v in variables.items()}
                try:
                    row["text"] = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=prompt, **variables)
                except Exception as error:
                    row["refused"] = str(error).split("\n")[0]
                rows.append(row)
with (folder / "references.jsonl").open("w", encoding="utf-8") as file:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
