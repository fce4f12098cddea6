# SPDX-License-Identifier: Apache-2.0
"""Writes the small networks of this folder, with what PyTorch computes in float64.

    python3 make_references.py FOLDER

Each case is a folder: model.safetensors (a state_dict of random weights, trained by nobody), graft.json, and io.safetensors with `input` and `output`.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(5)
ROOT = pathlib.Path(sys.argv[1])


def conv(module, /, **members):
    kind = members.pop("type", "conv2d")
    bias = {"bias": f"{module}.bias"} if members.pop("has_bias", False) else {}
    return {"type": kind, "weight": f"{module}.weight", **bias, **members}


def linear(module, /, **members):
    return {"type": "linear", "weight": f"{module}.weight", "bias": f"{module}.bias", **members}


def norm(module, /, affine=True, **members):
    own = {"weight": f"{module}.weight", "bias": f"{module}.bias"} if affine else {}
    return {"type": "batch_norm", **own, "running_mean": f"{module}.running_mean", "running_var": f"{module}.running_var", **members}


class Classifier(nn.Module):
    """Convolutions with and without bias, a depthwise one, every pool, norms after convolutions and linear layers."""

    SHAPE = [3, 32, 24]

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, (3, 5), stride=2, padding=(1, 2), bias=False)
        self.stem_norm = nn.BatchNorm2d(16, eps=1e-3)
        self.depthwise = nn.Conv2d(16, 16, 3, stride=(2, 1), padding=2, dilation=2, groups=16)
        self.depthwise_norm = nn.BatchNorm2d(16, affine=False)
        self.mix = nn.Conv2d(16, 24, 1)
        self.hidden = nn.Linear(24 * 2 * 4, 20)
        self.hidden_norm = nn.BatchNorm1d(20)
        self.last_norm = nn.LayerNorm(20, eps=1e-6)
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = nn.functional.max_pool2d(x, 3, stride=(1, 2), padding=1)
        x = nn.functional.silu(self.depthwise_norm(self.depthwise(x)))
        x = nn.functional.avg_pool2d(self.mix(x), (3, 2), stride=(4, 2), padding=(0, 1))
        x = nn.functional.gelu(x, approximate="tanh").flatten(1)
        x = torch.tanh(self.hidden_norm(self.hidden(x)))
        return self.head(self.last_norm(x))

    DESCRIPTION = {
        "task": "classification",
        "labels": ["ant", "bee", "cricket", "dragonfly", "earwig"],
        "image": {"resize": 36, "filter": "bilinear", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "layers": [
            conv("stem", stride=2, padding=[1, 2]),
            norm("stem_norm", eps=1e-3, activation="relu"),
            {"type": "max_pool", "kernel": 3, "stride": [1, 2], "padding": 1},
            conv("depthwise", has_bias=True, stride=[2, 1], padding=2, dilation=2, groups=16),
            norm("depthwise_norm", affine=False, activation="silu"),
            conv("mix", has_bias=True),
            {"type": "avg_pool", "kernel": [3, 2], "stride": [4, 2], "padding": [0, 1]},
            {"type": "activation", "activation": "gelu_pytorch_tanh"},
            {"type": "flatten"},
            linear("hidden"),
            norm("hidden_norm", activation="tanh"),
            {"type": "layer_norm", "weight": "last_norm.weight", "bias": "last_norm.bias", "eps": 1e-6},
            linear("head"),
        ],
    }


class Residual(nn.Module):
    """A residual network with a branch of its own, and low-rank updates beside the weights they belong to."""

    SHAPE = [1, 12, 12]
    SCALE = 6 / 2

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.first = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(12)
        self.second = nn.Conv2d(12, 12, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(12)
        self.short = nn.Conv2d(8, 12, 1, stride=2, bias=False)
        self.short_norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 7)
        for name, left, right in (("second", (12, 2, 1, 1), (2, 12, 3, 3)), ("head", (7, 2), (2, 12))):
            self.register_buffer(f"{name}_lora_B", torch.randn(left) * 0.3)
            self.register_buffer(f"{name}_lora_A", torch.randn(right) * 0.3)

    def adapted(self, name):
        weight = getattr(self, name).weight
        left, right = getattr(self, f"{name}_lora_B"), getattr(self, f"{name}_lora_A")
        return weight + self.SCALE * (left.flatten(1) @ right.flatten(1)).view_as(weight)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.second_norm(nn.functional.conv2d(y, self.adapted("second"), padding=1))
        y = torch.relu(y + self.short_norm(self.short(x)))
        y = y.mean((2, 3))
        return nn.functional.linear(y, self.adapted("head"), self.head.bias)

    DESCRIPTION = {
        "task": "classification",
        "scores": "sigmoid",
        "layers": [
            conv("stem", has_bias=True, padding=1, activation="relu", name="block"),
            conv("first", stride=2, padding=1),
            norm("first_norm", activation="relu"),
            conv("second", padding=1, lora={"a": "second_lora_A", "b": "second_lora_B", "alpha": 6}),
            norm("second_norm", name="long"),
            conv("short", stride=2, **{"from": "block"}),
            norm("short_norm"),
            {"type": "add", "with": "long", "activation": "relu"},
            {"type": "global_avg_pool"},
            linear("head", lora={"a": "head_lora_A", "b": "head_lora_B", "alpha": 6}),
        ],
    }


class Sequence(nn.Module):
    """Convolutions along a sequence, as for sounds and sensors."""

    SHAPE = [6, 1, 40]

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(6, 16, 5, stride=2, padding=2)
        self.first_norm = nn.BatchNorm1d(16)
        self.grouped = nn.Conv1d(16, 24, 3, padding=2, dilation=2, groups=4, bias=False)
        self.head = nn.Linear(24, 4)

    def forward(self, x):
        x = torch.relu(self.first_norm(self.first(x[:, :, 0])))
        x = nn.functional.max_pool1d(x, 2)
        x = torch.sigmoid(self.grouped(x))
        return self.head(x.amax(2))

    DESCRIPTION = {
        "task": "embedding",
        "layers": [
            conv("first", type="conv1d", has_bias=True, stride=2, padding=2),
            norm("first_norm"),
            {"type": "activation", "activation": "relu"},
            {"type": "max_pool", "kernel": [1, 2]},
            conv("grouped", type="conv1d", padding=2, dilation=2, groups=4, activation="sigmoid"),
            {"type": "global_max_pool"},
            {"type": "flatten"},
            linear("head"),
        ],
    }


def randomize(model):
    """Norms as training leaves them."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.2, 2)
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)


for name, kind in (("classifier", Classifier), ("residual", Residual), ("sequence", Sequence)):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    model = kind().eval()
    randomize(model)
    save_file(model.state_dict(), folder / "model.safetensors")
    x = torch.randn(3, *kind.SHAPE)
    with torch.no_grad():
        y = model.double()(x.double()).float()
    save_file({"input": x, "output": y}, folder / "io.safetensors")
    description = {"kind": "layer-stack", "input": {"shape": kind.SHAPE}, "output": "logits", **kind.DESCRIPTION}
    layers = description.pop("layers")
    lines = [f'  "{key}": {json.dumps(value)},' for key, value in description.items()]
    lines += ['  "layers": [', ",\n".join("    " + json.dumps(layer) for layer in layers), "  ]"]
    (folder / "graft.json").write_text("{\n" + "\n".join(lines) + "\n}\n")
