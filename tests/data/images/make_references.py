# SPDX-License-Identifier: Apache-2.0
"""Makes this folder's images, its small embedder, and what Pillow and transformers make of them.

make_references.py TESTS_DATA

Writes *.png, *.jpg and embedder/ beside itself, resized.txt, references.txt and pixel_values.safetensors."""
import json
import os
import struct
import sys
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTModel
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

data, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
PREPARATIONS = ["vit", "deit", "shortest", "extractor"]
FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3}


def picture(width, height, channels, seed):
    """Blobs of colour with some noise, so that all frequencies are there."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, channels), dtype=np.uint8).squeeze())
    noise = rng.integers(-40, 41, (height, width, channels)).squeeze()
    return Image.fromarray((np.array(small.resize((width, height), 3)).astype(int) + noise).clip(0, 255).astype(np.uint8))


def make_images():
    picture(61, 23, 3, 1).save(f"{here}/wide.png")
    picture(19, 88, 3, 2).save(f"{here}/tall.png")      # its height shrinks much more than its width
    picture(7, 5, 3, 3).save(f"{here}/tiny.png")
    picture(40, 33, 1, 4).save(f"{here}/gray.png")
    picture(35, 50, 4, 5).save(f"{here}/alpha.png")
    picture(45, 45, 3, 6).quantize(16).save(f"{here}/palette.png")
    picture(64, 48, 3, 7).save(f"{here}/photo.jpg", quality=90)
    picture(50, 70, 3, 8).save(f"{here}/progressive.jpg", quality=85, progressive=True)
    picture(32, 40, 3, 9).convert("CMYK").save(f"{here}/cmyk.jpg", quality=90)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_bomb():
    """A PNG of one pixel whose compressed data are 4 MiB."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    with open(f"{here}/bomb.png", "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4 << 20), 9)) + chunk(b"IEND", b""))


def by_formula(width, height, channels):
    """The pixels that tests/runtime/prepare_image_test.cc makes, too."""
    i = np.arange(width * height * channels, dtype=np.uint64)
    return ((i * 2654435761 >> 7) ^ (i * i * 40503 >> 11)).astype(np.uint8).reshape(height, width, channels)


def write_resized():
    """Lines: width height channels (of the image) channels (of the result) filter height width, and the bytes in hexadecimal."""
    sizes = [(5, 7, 11, 13), (33, 17, 9, 8), (17, 33, 8, 9), (40, 40, 16, 16), (23, 90, 21, 13), (90, 23, 13, 21), (1, 1, 6, 5), (64, 1, 7, 3),
             (1, 64, 3, 7), (12, 12, 12, 5), (12, 12, 5, 12), (300, 200, 10, 12), (31, 200, 20, 6), (200, 31, 6, 20)]
    with open(f"{here}/resized.txt", "w") as out:
        for index, (width, height, new_height, new_width) in enumerate(sizes):
            for name, code in FILTERS.items():
                channels = [3, 4, 1][(index + code) % 3]
                wanted = 1 if index % 4 == 3 else 3
                pixels = by_formula(width, height, channels)
                image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
                image = image.convert("L" if wanted == 1 else "RGB").resize((new_width, new_height), code)
                print(width, height, channels, wanted, name, new_height, new_width, np.array(image).tobytes().hex(), file=out)


def make_embedder():
    torch.manual_seed(11)
    config = ViTConfig(image_size=[16, 24], patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ViTModel(config, add_pooling_layer=False).eval().save_pretrained(f"{here}/embedder")
    ViTImageProcessorPil(size={"height": 16, "width": 24}).save_pretrained(f"{here}/embedder")


def processor(name):
    with open(f"{here}/{name}.json") as file:
        settings = json.load(file)
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    settings = {key: value for key, value in settings.items() if not key.endswith("_type")}
    return (DeiTImageProcessorPil if kind.startswith("DeiT") else ViTImageProcessorPil)(**settings)


def main():
    make_images()
    write_resized()
    make_bomb()
    make_embedder()
    base = ViTForImageClassification.from_pretrained(f"{data}/architectures/vit").eval()
    adapted = ViTForImageClassification.from_pretrained(f"{data}/adapters/base_vit").eval()
    merged = load_file(f"{data}/adapters/vit_qkv/merged.safetensors")
    unknown = adapted.load_state_dict(merged, strict=False).unexpected_keys
    assert not unknown, unknown
    embedder = ViTModel.from_pretrained(f"{here}/embedder", add_pooling_layer=False).eval()
    images = sorted(name for name in os.listdir(here) if name.endswith((".png", ".jpg")) and name != "bomb.png")
    kept = {}
    with open(f"{here}/references.txt", "w") as out, torch.no_grad():
        def write(model, name, numbers):
            print(model, name, len(numbers), *(f"{number:.9g}" for number in numbers), file=out)
        for name in images:
            image = Image.open(f"{here}/{name}").convert("RGB")
            for preparation in PREPARATIONS:
                pixels = processor(preparation)(image, return_tensors="pt")["pixel_values"]
                write(f"vit-{preparation}", name, base(pixels).logits[0].tolist())
                if preparation in ("vit", "deit") and name in ("wide.png", "tall.png", "tiny.png"):
                    kept[f"vit-{preparation}/{name}"] = pixels[0].clone()
                if preparation == "vit":
                    write("vit_qkv", name, adapted(pixels).logits[0].tolist())
            pixels = ViTImageProcessorPil.from_pretrained(f"{here}/embedder")(image, return_tensors="pt")["pixel_values"]
            write("embedder", name, embedder(pixels).last_hidden_state[0, 0].tolist())
    save_file(kept, f"{here}/pixel_values.safetensors")


main()
