# SPDX-License-Identifier: Apache-2.0
"""Makes this folder's models that see: tiny random checkpoints with tokenizer, chat template and image processor, and what
transformers makes of pictures with them.

make_pictures.py OUT

Each folder holds reference.json (the pictures' sizes, messages, text and ids) and io.safetensors (pixels, logits and greedy ids)."""
import json
import os
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import (Gemma3Config, Gemma3ForConditionalGeneration, Lfm2VlConfig, Lfm2VlForConditionalGeneration, Mistral3Config, Mistral3ForConditionalGeneration,
                          PreTrainedTokenizerFast, Qwen3_5Config, Qwen3_5ForConditionalGeneration, SmolVLMConfig, SmolVLMForConditionalGeneration)
from transformers.image_processing_backends import TorchvisionBackend
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.lfm2_vl.image_processing_lfm2_vl import Lfm2VlImageProcessor
from transformers.models.lfm2_vl.processing_lfm2_vl import Lfm2VlProcessor
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

out = sys.argv[1]
PICTURES = [(61, 23), (19, 88), (40, 40)]
TEXT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
            max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
TOWER = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=4)


def by_formula(width, height):
    """The pixels that tests/e2e/pictures_test.cc makes, too."""
    i = np.arange(width * height * 3, dtype=np.uint64)
    return Image.fromarray(((i * 2654435761 >> 7) ^ (i * i * 40503 >> 11)).astype(np.uint8).reshape(height, width, 3))


def tokenizer(special):
    tokens = ["<pad>", "<s>", "</s>", "<unk>"] + special
    vocabulary = {token: i for i, token in enumerate(tokens + list("acdehinorstuw \n:"))}
    made = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ message['role'] + ' :' }}{% if message['content'] is string %} {{ message['content'] }}"
            "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}PLACE{% else %} {{ part['text'] }}{% endif %}"
            "{% endfor %}{% endif %}</s>{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}")
MESSAGES = [("user", 2, "what is this and that"), ("assistant", 0, "a cat"), ("user", 1, "and this")]


def write(name, model, special, place, processor, expand, seed):
    folder = f"{out}/{name}"
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
            parameter.copy_(parameter.to(torch.bfloat16).float())
    model.eval()
    tok = tokenizer(special)
    tok.chat_template = TEMPLATE.replace("PLACE", place)
    messages = [{"role": role, "content": [{"type": "image"}] * pictures + [{"type": "text", "text": text}]} for role, pictures, text in MESSAGES]
    rendered = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    pixels, expanded, kwargs = expand(processor, [by_formula(*size) for size in PICTURES], rendered)
    ids = tok(expanded, add_special_tokens=False, return_tensors="pt")["input_ids"]
    for key, of_ids in list(kwargs.items()):
        if callable(of_ids):
            kwargs[key] = of_ids(ids)
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values=pixels, **kwargs).logits
        greedy = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, max_new_tokens=8, do_sample=False,
                                eos_token_id=None, **kwargs)[:, ids.shape[1]:]
    io = {"input_ids": ids, "logits": logits, "greedy_ids": greedy}
    if name in ("gemma3", "smolvlm", "qwen3_5"):
        io["pixel_values"] = pixels
    if name == "qwen3_5":
        io["image_grid_thw"] = kwargs["image_grid_thw"].int()
    save_file({key: value.contiguous() for key, value in io.items()}, f"{folder}/io.safetensors")
    with open(f"{folder}/reference.json", "w") as file:
        json.dump({"rendered": rendered, "text": expanded}, file)
    model.to(torch.bfloat16).save_pretrained(folder)
    tok.save_pretrained(folder)
    processor.save_pretrained(folder)
    settings = json.load(open(f"{folder}/tokenizer_config.json"))
    json.dump(settings, open(f"{folder}/tokenizer_config.json", "w"))
    print(name, ids.shape, greedy.tolist(), os.listdir(folder))


def place_each(text, place, texts):
    parts = text.split(place)
    assert len(parts) == len(texts) + 1
    return "".join(part + picture for part, picture in zip(parts, texts + [""]))


def expand_gemma(processor, images, text):
    made = processor(images, return_tensors="pt")
    whole = "\n\n<start_of_image>" + "<image_soft_token>" * 4 + "<end_of_image>\n\n"
    return made["pixel_values"], text.replace("<start_of_image>", whole), {"token_type_ids": lambda ids: (ids == 4).long()}


def expand_smolvlm(processor, images, text):
    made = processor([images], return_tensors="pt", return_row_col_info=True)
    texts = [get_image_prompt_string(rows, cols, 4, "<fake_token_around_image>", "<image>", "<global-img>")
             for rows, cols in zip(made["rows"][0], made["cols"][0])]
    return made["pixel_values"], place_each(text, "<image>", texts), {}


def expand_mistral(processor, images, text):
    made = processor(images, patch_size=8, return_tensors="pt")
    texts = []
    for height, width in made["image_sizes"].tolist():
        tokens = (["[IMG]"] * (width // 8) + ["[IMG_BREAK]"]) * (height // 8)
        texts.append("".join(tokens[:-1] + ["[IMG_END]"]))
    return made["pixel_values"], place_each(text, "[IMG]", texts), {"image_sizes": made["image_sizes"]}


special = ["<image_soft_token>", "<start_of_image>", "<end_of_image>"]
write("gemma3", Gemma3ForConditionalGeneration(Gemma3Config(
    text_config=dict(TEXT, vocab_size=32, sliding_window=8, layer_types=["sliding_attention", "full_attention"], query_pre_attn_scalar=8),
    vision_config=dict(TOWER, model_type="siglip_vision_model", image_size=16, vision_use_head=False), mm_tokens_per_image=4, image_token_index=4,
    boi_token_index=5, eoi_token_index=6)), special, "<start_of_image>", Gemma3ImageProcessorPil(size={"height": 16, "width": 16}), expand_gemma, 1)
special = ["<image>", "<fake_token_around_image>", "<global-img>"] + [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]
write("smolvlm", SmolVLMForConditionalGeneration(SmolVLMConfig(
    text_config=dict(TEXT, model_type="llama", vocab_size=48), vision_config=dict(TOWER, image_size=16), scale_factor=2, image_token_id=4,
    pad_token_id=0)), special, "<image>", SmolVLMImageProcessorPil(size={"longest_edge": 48}, max_image_size={"longest_edge": 16}), expand_smolvlm, 2)
special = ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]
write("mistral3", Mistral3ForConditionalGeneration(Mistral3Config(
    text_config=dict(TEXT, model_type="mistral", vocab_size=32, sliding_window=None), vision_config=dict(
        TOWER, model_type="pixtral", image_size=32, head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    spatial_merge_size=2, image_token_index=4)), special, "[IMG]", PixtralImageProcessorPil(size={"longest_edge": 28}, patch_size=4), expand_mistral, 3)


def pillow_resize(self, image, size, resample=None, **kwargs):
    """TorchvisionBackend's, with Pillow's pixels."""
    made = [torch.from_numpy(np.array(Image.fromarray(one.permute(1, 2, 0).numpy()).resize((size.width, size.height), 2))).permute(2, 0, 1) for one in image]
    return torch.stack(made)


def expand_lfm2(processor, images, text):
    made = processor([images], return_tensors="pt", return_row_col_info=True)
    parts = Lfm2VlProcessor.__new__(Lfm2VlProcessor)
    parts.image_token, parts.image_start_token, parts.image_end_token = "<image>", "<|image_start|>", "<|image_end|>"
    parts.image_thumbnail_token, parts.image_processor = "<|img_thumbnail|>", processor
    texts = [parts._build_image_tokens(int(rows), int(cols), *parts._get_image_num_tokens(size.tolist()), True, True)
             for rows, cols, size in zip(made["image_rows"], made["image_cols"], made["image_sizes"])]
    return made["pixel_values"], place_each(text, "<image>", texts), {key: made[key] for key in ("spatial_shapes", "pixel_attention_mask")}


TorchvisionBackend.resize = pillow_resize
special = ["<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"] + [f"<|img_row_{r}_col_{c}|>" for r in range(1, 4) for c in range(1, 4)]
write("lfm2_vl", Lfm2VlForConditionalGeneration(Lfm2VlConfig(
    text_config=dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=48,
                     max_position_embeddings=256, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False, bos_token_id=1, eos_token_id=2,
                     pad_token_id=0),
    vision_config=dict(TOWER, model_type="siglip2_vision_model", num_patches=25, vision_use_head=False), image_token_id=4, projector_hidden_size=20)), special,
    "<image>", Lfm2VlImageProcessor(max_image_tokens=6, min_image_tokens=2, tile_size=16, min_tiles=2, max_tiles=3, encoder_patch_size=4), expand_lfm2, 4)


def expand_qwen(processor, images, text):
    made = processor(images, return_tensors="pt")
    texts = ["<|image_pad|>" * int(grid.prod() // 4) for grid in made["image_grid_thw"]]
    kwargs = {"image_grid_thw": made["image_grid_thw"], "mm_token_type_ids": lambda ids: (ids == 4).int()}
    return made["pixel_values"], place_each(text, "<|image_pad|>", texts), kwargs


special = ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>"]
write("qwen3_5", Qwen3_5ForConditionalGeneration(Qwen3_5Config(
    text_config=dict(TEXT, vocab_size=32, head_dim=16, layer_types=["linear_attention", "full_attention"], linear_num_key_heads=1, linear_num_value_heads=2,
                     linear_key_head_dim=8, linear_value_head_dim=8, linear_conv_kernel_dim=3, rope_parameters=dict(
                         rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5, mrope_section=[2, 1, 1], mrope_interleaved=True)),
    vision_config=dict(depth=2, hidden_size=16, intermediate_size=24, num_heads=2, patch_size=4, out_hidden_size=16, num_position_embeddings=9),
    image_token_id=4, vision_start_token_id=5, vision_end_token_id=6, tie_word_embeddings=True)), special,
    "<|vision_start|><|image_pad|><|vision_end|>",
    Qwen2VLImageProcessorPil(size={"shortest_edge": 256, "longest_edge": 768}, patch_size=4, merge_size=2), expand_qwen, 5)


def write_sizes():
    """Lines: layout, longest side, tile or block, width and height of a picture; heights and widths that it is resized to, one after the other."""
    from transformers.image_utils import SizeDict
    from transformers.models.pixtral.image_processing_pil_pixtral import get_resize_output_image_size as grid_size
    from transformers.models.smolvlm.image_processing_pil_smolvlm import get_resize_output_image_size as long_size

    class Resized(SmolVLMImageProcessorPil):
        def resize(self, image, size, resample=None, **kwargs):
            return size

    sizes = [(1, 1), (3, 1000), (1000, 3), (640, 480), (481, 641), (2048, 2048), (2049, 2047), (512, 511), (5000, 333), (333, 5001), (1333, 1999), (16384, 1),
             (27, 28), (28, 27), (1541, 1540), (99, 9999), (14, 1540), (7000, 7001)]
    with open(f"{out}/sizes.txt", "w") as file:
        for width, height in sizes:
            image = np.zeros((1, height, width), dtype=np.uint8)
            for longest, tile in [(2048, 512), (1456, 364), (48, 16), (5000, 512)]:
                first = long_size(image, resolution_max_side=longest)
                whole = Resized().resize_for_vision_encoder(np.zeros((1, *first), dtype=np.uint8), tile)
                if min(whole.height, whole.width) > 0:
                    print("tiles", longest, tile, width, height, *first, whole.height, whole.width, file=file)
            for longest, block in [(1540, 28), (1024, 16), (56, 28)]:
                wanted = grid_size(image, (longest, longest), (block, block), "channels_first")
                if min(wanted) > 0:
                    print("grid", longest, block, width, height, 0, 0, *wanted, file=file)
            for longest, block, fewest in [(1003520, 28, 3136), (16777216, 32, 65536)]:
                if max(width, height) <= 200 * min(width, height):
                    print("area", longest, block, width, height, 0, fewest, *smart_resize(height, width, block, fewest, longest), file=file)


write_sizes()
