#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders talks with tools, calls and results with transformers' apply_chat_template.

    make_tool_references.py FOLDER

Writes tool_references.jsonl: template, messages, tools, documents and variables as JSON texts, prompt, and the text or that the template refused.
"""
import json
import pathlib
import sys

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = ["mistral_nemo", "qwen2.5", "qwen3", "tools_coder", "tools_gemma", "tools_lfm", "tools_llama"]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The \"weather\" of <a> city & more: é", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Where"}, "unit": {"type": "string", "enum": ["c", "f"]},
                                         "days": {"type": "integer", "minimum": 1, "default": 1.50}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]
USER = {"role": "user", "content": "How is it outside?"}


def call(identifier, name, arguments):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(identifier, name, content):
    return {"role": "tool", "tool_call_id": identifier, "name": name, "content": content}


ARGUMENTS = {"city": "K\u00f6ln's \"x\"\n", "days": 2, "exact": 1.5, "tags": ["b", {"z": 1, "a": None}], "sure": True}
TALKS = [
    [USER],
    [{"role": "system", "content": "Be brief."}, USER,
     {"role": "assistant", "content": "", "tool_calls": [call("abcdefghi", "get_weather", ARGUMENTS)]}],
    [USER, {"role": "assistant", "content": None, "tool_calls": [call("abcdefghi", "get_weather", {"city": "Rome"})]},
     result("abcdefghi", "get_weather", "{\"t\": 21}")],
    [USER, {"role": "assistant", "content": "Let me see.", "reasoning": "hm\nhm", "tool_calls": [call("abcdefghi", "get_weather", {}), call("123456789", "now", {})]},
     result("abcdefghi", "get_weather", "21"), result("123456789", "now", "12:00"), {"role": "assistant", "content": "21 at noon."},
     {"role": "user", "content": "And in Rome?"}],
]
folder = pathlib.Path(sys.argv[1])
with (folder / "tool_references.jsonl").open("w", encoding="utf-8") as file:
    for name in TEMPLATES:
        source = (folder / f"{name}.jinja").read_text(encoding="utf-8")
        for index, talk in enumerate(TALKS):
            documents = [{"title": "A", "text": "b"}] if index == 0 else None
            variables = {"enable_thinking": index % 2 == 0, "keep_past_thinking": True} if index > 0 else {}
            row = {"template": name, "messages": json.dumps(talk, ensure_ascii=False), "tools": json.dumps(TOOLS, ensure_ascii=False),
                   "documents": json.dumps(documents) if documents else "", "variables": json.dumps(variables)}
            try:
                row["text"] = render_jinja_template([talk], tools=TOOLS, documents=documents, chat_template=source, add_generation_prompt=True,
                                                    bos_token="<s>", eos_token="</s>", **variables)[0][0]
            except Exception as error:
                row["refused"] = str(error).split("\n")[0]
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
