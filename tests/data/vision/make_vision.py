# SPDX-License-Identifier: Apache-2.0
"""Writes tiny random models of images as transformers saves them, with what they compute in float32.

    python3 make_vision.py FOLDER [NAME...]

Each case is a folder: config.json, model.safetensors (bf16), io.safetensors with the pixel values of two images and the outputs, and, where the configuration
does not say the size of images, preprocessor_config.json. Settings are none of the defaults where they show. Matrices get 0.1 of noise, vectors 0.2.
"""

import json
import pathlib
import sys

import torch
import transformers as t
from safetensors.torch import save_file

ROOT = pathlib.Path(sys.argv[1])
WIDTHS = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4)
LABELS = dict(num_labels=5)
POOLED = ("last_hidden_state", "pooler_output")
MOBILE = dict(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, expand_ratio=2.0, finegrained_output=False)
SEGMENT = dict(hidden_sizes=[8, 8, 12, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], sr_ratios=[4, 2, 2, 1], mlp_ratios=[2, 2, 3, 2],
               decoder_hidden_size=8)
BEIT = dict(WIDTHS, patch_size=8)

# The class, its configuration, the height and width of images, and the outputs.
CASES = {
    "beit": (t.BeitForImageClassification, t.BeitConfig(**BEIT, **LABELS, use_relative_position_bias=True), (16, 16), ("logits",)),
    "beit_class_row": (t.BeitModel, t.BeitConfig(**BEIT, use_shared_relative_position_bias=True, use_absolute_position_embeddings=True,
                                                 use_mean_pooling=False, layer_scale_init_value=0.0), (16, 16), POOLED),
    "clip_vision": (t.CLIPVisionModelWithProjection, t.CLIPVisionConfig(**WIDTHS, projection_dim=12), (16, 16), ("image_embeds", "last_hidden_state")),
    "convnext": (t.ConvNextForImageClassification, t.ConvNextConfig(image_size=[20, 18], patch_size=2, hidden_sizes=[8, 12], depths=[1, 1], num_stages=2,
                                                                    layer_scale_init_value=0.5, **LABELS), (20, 18), ("logits",)),
    "data2vec_vision": (t.Data2VecVisionModel, t.Data2VecVisionConfig(**BEIT, use_relative_position_bias=True), (16, 16), POOLED),
    "dinov2": (t.Dinov2ForImageClassification, t.Dinov2Config(**{k: v for k, v in WIDTHS.items() if k != "intermediate_size"}, **LABELS, mlp_ratio=2,
                                                              layerscale_value=0.7), (16, 16), ("logits",)),
    "dinov2_interpolated": (t.Dinov2Model, t.Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=24, patch_size=4,
                                                          use_swiglu_ffn=True, qkv_bias=False), (16, 16), POOLED),
    "dinov2_registers": (t.Dinov2WithRegistersModel, t.Dinov2WithRegistersConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=24,
                                                                                patch_size=4, mlp_ratio=2, num_register_tokens=3), (16, 16), POOLED),
    "dinov3_vit": (t.DINOv3ViTModel, t.DINOv3ViTConfig(**WIDTHS, num_register_tokens=2, use_gated_mlp=True, hidden_act="silu", rope_theta=50.0), (16, 16),
                   POOLED),
    "mobilenet_v2": (t.MobileNetV2ForImageClassification, t.MobileNetV2Config(**MOBILE, image_size=[36, 33], **LABELS), (36, 33), ("logits",)),
    "mobilenet_v2_map": (t.MobileNetV2ForSemanticSegmentation, t.MobileNetV2Config(**MOBILE, image_size=32, output_stride=8, tf_padding=False,
                                                                                   first_layer_is_expansion=False, num_labels=3), (32, 32), ("logits",)),
    "resnet": (t.ResNetForImageClassification, t.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[2, 1], hidden_act="gelu",
                                                              downsample_in_bottleneck=True, **LABELS), (32, 28), ("logits",)),
    "resnet_basic": (t.ResNetModel, t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic",
                                                   downsample_in_first_stage=True), (32, 32), POOLED),
    "segformer": (t.SegformerForSemanticSegmentation, t.SegformerConfig(**SEGMENT, num_labels=3), (32, 48), ("logits",)),
    "siglip_vision": (t.SiglipVisionModel, t.SiglipVisionConfig(**WIDTHS), (16, 16), POOLED),
    "swin": (t.SwinForImageClassification, t.SwinConfig(image_size=20, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=4, mlp_ratio=2.0,
                                                        use_absolute_embeddings=True, **LABELS), (20, 20), ("logits",)),
    "swin_odd": (t.SwinModel, t.SwinConfig(image_size=14, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=3, mlp_ratio=2.0,
                                           qkv_bias=False), (14, 14), POOLED),
}


def write(name, cls, config, size, outputs):
    torch.manual_seed(3)
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.ndim < 2 else 0.1))
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer) * 0.2)
            if key.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.bfloat16())
    pixels = torch.randn(2, 3, *size)
    with torch.no_grad():
        results = model(pixel_values=pixels)
    folder = ROOT / name
    model.bfloat16().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = {"pixel_values": pixels, **{key: results[key].contiguous() for key in outputs if key in results}}
    save_file(tensors, folder / "io.safetensors")
    if "image_size" not in json.loads((folder / "config.json").read_text()) or name == "dinov2_interpolated" or name == "dinov2_registers":
        prepared = dict(image_processor_type="SegformerImageProcessor", size=dict(height=size[0], width=size[1]))
        (folder / "preprocessor_config.json").write_text(json.dumps(prepared) + "\n")


for case, arguments in CASES.items():
    if not sys.argv[2:] or case in sys.argv[2:]:
        write(case, *arguments)
