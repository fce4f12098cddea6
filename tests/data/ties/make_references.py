# SPDX-License-Identifier: Apache-2.0
"""Writes tiny bases, adapters of their two vocabulary matrices, and what PEFT makes of the two with the adapters attached.

    python3 make_references.py FOLDER

A case is a base and one adapter or two. Its references are what the input embedding gives for every token and the head for every unit vector, in float32:
`CASE|input` and `CASE|head`, the latter left out where it is the same. The adapters' tensors are in one file, as `ADAPTER|TENSOR`, and of their settings
cases.json has those that differ. A base that stores its tied head as an equal copy, or the head alone, gives what one
without a head gives; this is checked here and not stored. What PEFT refuses, or answers differently in another order of the adapters, is in `left_out` of cases.json with the reason.
"""

import itertools
import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.disable_progress_bar()
ROOT = pathlib.Path(sys.argv[1])
WORK = pathlib.Path(tempfile.mkdtemp())
TOKENS, WIDTH, GROWN = 12, 4, 14
SIDES = {"": [], "E": ["embed_tokens"], "H": ["lm_head"], "B": ["embed_tokens", "lm_head"]}
# The settings that differ between the adapters, and what they are where they are not set.
SETTINGS = {"use_dora": False, "target_modules": None, "modules_to_save": None, "trainable_token_indices": None, "ensure_weight_tying": False}


def spec(lora="", saved="", tokens="", dora=False, grown=False, ensure=False):
    parts = [("dora" if dora else "lora") + lora if lora else "", "saved" + saved if saved else "", "tokens" + tokens if tokens else "",
             "grown" if grown else "", "ensure" if ensure else ""]
    name = "_".join(part for part in parts if part) or "plain"
    return dict(name=name, lora=lora, saved=saved, tokens=tokens, dora=dora, grown=grown, ensure=ensure)


ALONE = [spec()] + [spec(lora=s, dora=d) for d in (False, True) for s in "EHB"] + [spec(saved=s) for s in "EHB"] + [spec(tokens=s) for s in "EHBD"]
ALONE += [spec(grown=True)] + [spec(lora=s, grown=True) for s in "EHB"] + [spec(saved=s, grown=True) for s in "EHB"] + [spec(tokens="E", grown=True)]
ALONE += [spec(lora="E", saved="H"), spec(lora="H", saved="E"), spec(lora="H", tokens="E"), spec(lora="E", tokens="H"), spec(saved="E", tokens="H")]
ALONE += [spec(lora="E", saved="H", grown=True), spec(lora="E", tokens="H", grown=True), spec(lora="H", saved="E", grown=True)]
ALONE += [spec(lora=s, dora=d, ensure=True) for d in (False, True) for s in "HB"] + [spec(saved=s, ensure=True) for s in "EH"]
ALONE += [spec(lora="B", dora=True, grown=True, ensure=True)]
PAIRED = [spec(lora=s) for s in "EHB"] + [spec(lora=s, dora=True) for s in "EH"] + [spec(saved=s) for s in "EH"] + [spec(tokens=s) for s in "EH"]
PAIRED += [spec(grown=True), spec(lora="E", grown=True), spec(lora="H", grown=True), spec(lora="B", ensure=True)]


def make_base(name):
    torch.manual_seed(3)
    config = transformers.LlamaConfig(vocab_size=TOKENS, hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
                                      num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=name != "untied", bos_token_id=1, eos_token_id=2)
    model = transformers.LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.5)
    model.save_pretrained(WORK / name)
    tensors = load_file(WORK / name / "model.safetensors")
    if name == "stored":
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    if name == "lone":
        tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    if name == "unequal":
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 0.3 * torch.randn(TOKENS, WIDTH)
    save_file(tensors, WORK / name / "model.safetensors", metadata={"format": "pt"})


def load(base, grown, seed=77):
    model = transformers.AutoModelForCausalLM.from_pretrained(WORK / base, dtype=torch.float32)
    if grown:
        torch.manual_seed(seed)
        model.resize_token_embeddings(GROWN, mean_resizing=False)
        matrices = {module.weight.data_ptr(): module.weight for module in (model.get_input_embeddings(), model.get_output_embeddings())}
        for matrix in matrices.values():
            matrix.data[TOKENS:] = 0.5 * torch.randn(GROWN - TOKENS, WIDTH)
    return model.eval()


def train(base, wanted, indices, folder, seed):
    tokens = {"": None, "E": indices, "H": {"lm_head": indices}, "B": {"embed_tokens": indices, "lm_head": indices},
              "D": {"embed_tokens": indices, "lm_head": [index + 1 for index in indices]}}[wanted["tokens"]]
    config = peft.LoraConfig(r=2, lora_alpha=3, task_type="CAUSAL_LM", target_modules=["q_proj"] + SIDES[wanted["lora"]],
                             modules_to_save=list(SIDES[wanted["saved"]]) or None, use_dora=wanted["dora"], trainable_token_indices=tokens,
                             ensure_weight_tying=wanted["ensure"])
    model = peft.get_peft_model(load(base, wanted["grown"]), config).eval()
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if "magnitude" in name:
            parameter.data.mul_(1 + 0.2 * torch.rand(parameter.shape))
        elif "lora_" in name:
            parameter.data.normal_(0, 0.4)
        else:
            parameter.data.add_(0.4 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    return matrices(model, wanted["grown"])


def matrices(model, grown):
    inner = model.get_base_model()
    with torch.no_grad():
        return inner.get_input_embeddings()(torch.arange(GROWN if grown else TOKENS)).clone(), inner.get_output_embeddings()(torch.eye(WIDTH)).T.contiguous()


def attach(base, folders, grown, seed):
    model = peft.PeftModel.from_pretrained(load(base, grown, seed), str(folders[0]), adapter_name="a0")
    for i, folder in enumerate(folders[1:], 1):
        model.load_adapter(str(folder), adapter_name=f"a{i}")
    if len(folders) > 1:
        model.base_model.set_adapter([f"a{i}" for i in range(len(folders))])
    return matrices(model.eval(), grown)


def differ(a, b):
    return max(float((x - y).abs().max()) for x, y in zip(a, b))


def reason(error):
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"


def main():
    bases = ["tied", "stored", "lone", "unequal", "untied"]
    for base in bases:
        make_base(base)
    made, cases, left_out, expected = {}, {}, {}, {}
    for base in bases:
        for wanted in ALONE + PAIRED:
            for which, indices in enumerate(([7, 9], [11, 5])):
                key = (base, wanted["name"], which)
                if key in made or (which == 1 and wanted not in PAIRED):
                    continue
                folder = WORK / "adapters" / base / f"{wanted['name']}.{which}"
                try:
                    made[key] = (wanted, folder, train(base, wanted, indices, folder, 8 + which))
                except Exception as error:
                    left_out[f"{base}/{wanted['name']}"] = reason(error)
    wanted_cases = [(base, [(wanted["name"], 0)]) for base in bases for wanted in ALONE]
    wanted_cases += [(base, [(a["name"], 0), (b["name"], 1)]) for base in bases for a, b in itertools.combinations_with_replacement(PAIRED, 2)]
    for base, parts in wanted_cases:
        name = base + "/" + "+".join(part[0] for part in parts)
        if any((base, *part) not in made for part in parts):
            continue
        adapters = [made[base, *part] for part in parts]
        grown = any(adapter[0]["grown"] for adapter in adapters)
        try:
            results = [attach(base, [adapter[1] for adapter in order], grown, 77) for order in (adapters, adapters[::-1])]
            elsewhere = attach(base, [adapter[1] for adapter in adapters], grown, 78)
        except Exception as error:
            left_out[name] = reason(error)
            continue
        if differ(results[0], elsewhere) > 0:
            left_out[name] = "rows of the grown vocabulary are in no file"
        elif len(adapters) == 1 and differ(results[0], adapters[0][2]) > 1e-5:
            left_out[name] = "what PEFT loads is not what it trained"
        elif differ(*results) > 1e-5:
            left_out[name] = "PEFT gives another answer in another order"
        else:
            cases[name] = [f"{base}/{part[0]}.{part[1]}" for part in parts]
            expected[name] = results[0]
    # By which names a tied matrix is stored changes nothing: neither what is saved nor what is computed.
    same = ("stored/", "lone/")
    for name in [name for name in cases if name.startswith(same)]:
        twin = "tied/" + name.split("/")[1]
        assert differ(expected[name], expected[twin]) == 0, name
        del cases[name], expected[name]
    left_out = {name: why for name, why in left_out.items() if not name.startswith(same)}

    ROOT.mkdir(parents=True, exist_ok=True)
    for base in ("tied", "unequal", "untied"):
        (ROOT / base).mkdir(exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            shutil.copy(WORK / base / file, ROOT / base / file)
    adapters, tensors = {}, {}
    for path in sorted({path for paths in cases.values() for path in paths}):
        config = json.loads((WORK / "adapters" / path / "adapter_config.json").read_text())
        config["target_modules"].sort()
        adapters[path] = json.dumps({key: config[key] for key, unset in SETTINGS.items() if config[key] != unset})[1:-1]
        for key, tensor in load_file(WORK / "adapters" / path / "adapter_model.safetensors").items():
            tensors[f"{path}|{key.removeprefix('base_model.model.')}"] = tensor
    save_file(tensors, ROOT / "adapters.safetensors")
    sides = {}
    for name, (embedding, head) in expected.items():
        sides[name + "|input"] = embedding
        if not torch.equal(embedding, head):
            sides[name + "|head"] = head
    save_file(sides, ROOT / "expected.safetensors")
    reasons = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    text = {"cases": cases, "adapters": adapters, "left_out": {why: " ".join(names) for why, names in reasons.items()}}
    lines = [json.dumps(part) + ": {\n  " + ",\n  ".join(json.dumps(key) + ": " + json.dumps(value) for key, value in values.items()) + "\n }"
             for part, values in text.items()]
    (ROOT / "cases.json").write_text("{\n " + ",\n ".join(lines) + "\n}\n")
    print(len(cases), "cases,", len(left_out), "left out")


main()
