# SPDX-License-Identifier: Apache-2.0
"""Writes tiny random encoders as transformers saves them, with what they compute in float32.

    python3 make_encoders.py FOLDER

Each case is a folder: config.json, model.safetensors, and io.safetensors with one input and the outputs for it. Weights have a variance of 1 / in_features
(embeddings 1/4), norms and biases 0.2 of noise, so that every setting shows.
"""

import json
import pathlib
import sys

import torch
import transformers as t
from safetensors.torch import save_file

torch.manual_seed(11)
ROOT = pathlib.Path(sys.argv[1])
TEXT = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40)
ROBERTA = dict(TEXT, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
DISTIL = dict(vocab_size=61, dim=32, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=40)
IMAGE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8)
PARTS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def named(labels):
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def randomize(model):
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.data.add_(0.2 * torch.randn(parameter.shape))
        else:
            deviation = 0.5 if "embedding" in name or "token" in name else parameter[0].numel() ** -0.5
            parameter.data.normal_(0, deviation)


def write(name, model, prepare=None, more=None):
    folder = ROOT / name
    model = model.eval()
    randomize(model)
    model.save_pretrained(folder)
    if hasattr(model.config, "patch_size"):
        inputs = {"pixel_values": torch.randn(2, 3, 24, 24)}
    else:
        inputs = {"input_ids": torch.randint(3, 61, (1, 24))}
        if getattr(model.config, "type_vocab_size", 1) > 1:
            inputs["token_type_ids"] = (torch.arange(24) >= 15).long()[None]
    with torch.no_grad():
        outputs = model(**inputs)
    made = prepare(outputs) if prepare else {"logits": outputs.logits}
    save_file({**inputs, **{key: value.contiguous() for key, value in made.items()}}, folder / "io.safetensors")
    for path, content in (more or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(content, indent=1) + "\n")


write("electra_seqcls", t.ElectraForSequenceClassification(t.ElectraConfig(**TEXT, embedding_size=24, num_labels=3)))
write("electra_tokencls", t.ElectraForTokenClassification(t.ElectraConfig(**TEXT, embedding_size=32, **named(PARTS))))
write("roberta_tokencls", t.RobertaForTokenClassification(t.RobertaConfig(**ROBERTA, **named(PARTS))))
write("distilbert_tokencls", t.DistilBertForTokenClassification(t.DistilBertConfig(**DISTIL, **named(PARTS))))
write("xlm_roberta_seqcls", t.XLMRobertaForSequenceClassification(t.XLMRobertaConfig(**ROBERTA, num_labels=2)))
write("deit", t.DeiTForImageClassification(t.DeiTConfig(**IMAGE, num_labels=5)))
write("deit_teacher", t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**IMAGE, num_labels=5)))

# As sentence-transformers lays a model out: its modules, and how the one in the middle pools.
ROOM = "sentence_transformers.models."
MODULES = [{"idx": 0, "name": "0", "path": "", "type": ROOM + "Transformer"},
           {"idx": 1, "name": "1", "path": "1_Pooling", "type": ROOM + "Pooling"},
           {"idx": 2, "name": "2", "path": "2_Normalize", "type": ROOM + "Normalize"}]
POOLING = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False,
           "pooling_mode_mean_sqrt_len_tokens": False}


def sentence(pool, normalize):
    def prepare(outputs):
        pooled = pool(outputs.last_hidden_state)
        return {"sentence_embedding": torch.nn.functional.normalize(pooled, dim=1) if normalize else pooled}

    return prepare


for name, mode, pool, normalize in (("minilm_mean", "mean_tokens", lambda x: x.mean(1), True), ("minilm_cls", "cls_token", lambda x: x[:, 0], False),
                                    ("minilm_max", "max_tokens", lambda x: x.amax(1), True)):
    write(name, t.BertModel(t.BertConfig(**TEXT), add_pooling_layer=False), sentence(pool, normalize),
          {"modules.json": MODULES[: 3 if normalize else 2], "1_Pooling/config.json": {**POOLING, f"pooling_mode_{mode}": True}})
