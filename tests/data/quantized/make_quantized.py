# SPDX-License-Identifier: Apache-2.0
"""Writes the cases of this folder: small weights packed by the programs whose formats they are.

  python3 make_quantized.py FOLDER [CASE...]

Each case is a folder with config.json and model.safetensors; NAME.weight's numbers, as the program
itself gives them in float32, are the tensor expected.NAME.weight.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def weights(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) * 0.1


def numpy(array):
    import numpy as np

    return torch.from_numpy(np.array(array))


def write(folder, name, tensors, config, metadata=None):
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    save_file(tensors, os.path.join(path, "model.safetensors"), {"format": "pt", **(metadata or {})})
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file)
        file.write("\n")


# bitsandbytes


def bnb4(rows, columns, seed, kind="nf4", nested=False, storage=torch.uint8, block=64):
    import bitsandbytes.functional as F
    from bitsandbytes.backends.default import ops

    packed, state = F.quantize_4bit(
        weights(rows, columns, seed), quant_type=kind, compress_statistics=nested, blocksize=block,
        quant_storage=storage)
    tensors = {"model.fc.weight": packed}
    for key, value in state.as_dict(packed=True).items():
        tensors["model.fc.weight." + key] = value
    # Its kernel for CPUs takes blocks to end with rows; those for GPUs, and this function, do not.
    absmax = state.absmax
    if nested:
        absmax = F.dequantize_blockwise(absmax, state.state2) + state.offset
    expected = ops._dequantize_4bit_compute(
        packed.view(torch.uint8).reshape(-1), absmax, state.code, block, (rows, columns),
        torch.float32)
    tensors["expected.model.fc.weight"] = expected
    tensors["model.norm.weight"] = torch.ones(4)
    return tensors


BNB4 = {"torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}


@case
def bnb_nf4():
    return bnb4(6, 40, 1), BNB4


@case
def bnb_nf4_double():
    return bnb4(24, 96, 2, nested=True), BNB4


@case
def bnb_nf4_bf16_storage():
    return bnb4(6, 64, 3, storage=torch.bfloat16, block=128), BNB4


@case
def bnb_fp4():
    return bnb4(5, 64, 4, kind="fp4"), {}


@case
def bnb_int8():
    import bitsandbytes.functional as F

    codes, scales, _ = F.int8_vectorwise_quant(weights(8, 48, 5).half())
    tensors = {"fc.weight": codes, "fc.SCB": scales,
               "fc.weight_format": torch.tensor(0, dtype=torch.uint8)}
    tensors["expected.fc.weight"] = F.int8_vectorwise_dequant(codes, scales).float()
    return tensors, {"torch_dtype": "float16",
                     "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}


# GPTQ, by GPTQModel's own packing and unpacking


def gptq(bits, rows, columns, group, seed, asymmetric=False, act_order=False, version=1):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module

    weight = weights(rows, columns, seed)
    count = 1 if group == -1 else -(-columns // group)
    size = columns if group == -1 else group
    index = torch.arange(columns, dtype=torch.int32) // size
    if act_order:
        index = index[torch.randperm(columns, generator=torch.Generator().manual_seed(seed))]
    scales = torch.zeros(rows, count)
    zeros = torch.zeros(rows, count)
    top = 2**bits - 1
    for g in range(count):
        part = weight[:, index == g]
        if asymmetric:
            low = part.min(1).values.clamp(max=0)
            scales[:, g] = (part.max(1).values.clamp(min=0) - low) / top
            zeros[:, g] = torch.round(-low / scales[:, g]).clamp(1, top)
        else:
            scales[:, g] = 2 * part.abs().max(1).values / top
            zeros[:, g] = 2 ** (bits - 1)
    scales = scales.half().float()
    layer = torch.nn.Linear(columns, rows, bias=False)
    layer.weight.data = weight
    module = TorchLinear(
        bits=bits, group_size=group, sym=not asymmetric, desc_act=act_order, in_features=columns,
        out_features=rows, bias=False, pack_dtype=torch.int32, register_buffers=True)
    at = index.long()
    codes = torch.clamp(torch.round(weight / scales[:, at] + zeros[:, at]), 0, top)
    layer.weight.data = (codes - zeros[:, at]) * scales[:, at]
    module.pack_block(layer, scales, zeros, index) if hasattr(module, "pack_block") else module.pack(
        layer, scales, zeros, index)
    module.scales = module.scales.float()
    module.g_idx = index
    expected = module.dequantize_weight().T.float()
    if version == 1:
        from gptqmodel.quantization import QuantizeConfig

        convert_gptq_v2_to_v1_format_module(module, QuantizeConfig(bits=bits, group_size=group))
    tensors = {"fc.qweight": module.qweight, "fc.qzeros": module.qzeros,
               "fc.scales": module.scales.half(), "fc.g_idx": index,
               "expected.fc.weight": expected}
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order,
              "sym": not asymmetric}
    if version == 2:
        config["checkpoint_format"] = "gptq_v2"
    return tensors, {"torch_dtype": "float16", "quantization_config": config}


@case
def gptq_4():
    return gptq(4, 32, 64, 32, 11)


@case
def gptq_4_act_order():
    return gptq(4, 32, 96, 32, 12, asymmetric=True, act_order=True)


@case
def gptq_4_v2():
    return gptq(4, 32, 64, 32, 13, asymmetric=True, version=2)


@case
def gptq_2():
    return gptq(2, 32, 64, 64, 14, asymmetric=True)


@case
def gptq_3():
    return gptq(3, 32, 64, 32, 15, asymmetric=True)


@case
def gptq_8_channel():
    return gptq(8, 32, 64, -1, 16)


# AWQ, by AutoAWQ's linear layer


def autoawq():
    """AutoAWQ's modules that matter, without what it imports beside them."""
    import importlib.util
    import types

    root = os.environ["AUTOAWQ"]
    for name in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        sys.modules.setdefault(name, types.ModuleType(name))
    for name, file in (("awq.utils.packing_utils", "utils/packing_utils.py"),):
        spec = importlib.util.spec_from_file_location(name, os.path.join(root, "awq", file))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    text = open(os.path.join(root, "awq/modules/linear/gemm.py")).read()
    begin = text.index("class WQLinear_GEMM")
    gemm = {"torch": torch, "nn": torch.nn, "get_best_device": lambda: "cpu"}
    exec(text[begin:], gemm)
    return gemm["WQLinear_GEMM"], sys.modules["awq.utils.packing_utils"].dequantize_gemm


@case
def awq_4():
    linear, dequantize = autoawq()
    rows, columns, group = 32, 64, 32
    weight = weights(rows, columns, 21)
    parts = weight.reshape(rows, -1, group)
    low, high = parts.amin(2), parts.amax(2)
    scales = ((high - low) / 15).half()
    zeros = torch.round(-low / scales.float()).clamp(0, 15)
    layer = torch.nn.Linear(columns, rows, bias=False)
    layer.weight.data = weight
    packed = linear.from_linear(layer, 4, group, False, scales.T.contiguous(), zeros.T.contiguous())
    expected = dequantize(packed.qweight, packed.qzeros, packed.scales.float(), 4, group).T
    return ({"fc.qweight": packed.qweight, "fc.qzeros": packed.qzeros, "fc.scales": packed.scales,
             "expected.fc.weight": expected.float()},
            {"torch_dtype": "float16",
             "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group,
                                     "version": "gemm", "zero_point": True}})


# compressed-tensors


def compressed(form, seed, rows=16, columns=64, dtype=torch.bfloat16, index=None, **settings):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import (
        calculate_qparams, generate_gparam)

    args = QuantizationArgs(**settings)
    weight = weights(rows, columns, seed)
    strategy = str(getattr(args.strategy, "value", args.strategy))
    group = args.group_size
    if strategy in ("group", "tensor_group"):
        parts = weight.reshape(rows, -1, group)
        low, high = parts.amin(2), parts.amax(2)
    elif strategy == "channel":
        low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    elif strategy == "block":
        height, width = args.block_structure
        padded = torch.nn.functional.pad(weight, (0, -columns % width, 0, -rows % height))
        parts = padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width)
        low, high = parts.amin((1, 3)), parts.amax((1, 3))
    else:
        low, high = weight.min().reshape(1), weight.max().reshape(1)
    extra = {}
    if strategy == "tensor_group":
        extra["global_scale"] = generate_gparam(low.min().reshape(1), high.max().reshape(1))
    scale, zero = calculate_qparams(low, high, args, **extra)
    state = {"weight": weight, "weight_scale": scale.to(dtype), "weight_zero_point": zero}
    if extra:
        state["weight_global_scale"] = extra["global_scale"]
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    compressor = BaseCompressor.get_value_from_registry(form)
    packed = compressor.compress(state, scheme)
    again = dict(packed)
    if form in ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized"):
        again["weight_scale"] = packed["weight_scale"].float()
    expected = compressor.decompress(again, scheme)["weight"]
    if form == "nvfp4-pack-quantized":  # which decompresses in bfloat16
        from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
        from compressed_tensors.quantization.lifecycle.forward import dequantize

        expected = dequantize(
            x_q=unpack_fp4_from_uint8(packed["weight_packed"], rows, columns, torch.float32),
            scale=packed["weight_scale"].float(), args=args, dtype=torch.float32,
            global_scale=packed["weight_global_scale"])
    tensors = {"model.fc." + key: value for key, value in packed.items() if value is not None}
    tensors["expected.model.fc.weight"] = expected.float()
    weights_config = json.loads(args.model_dump_json(exclude_none=True))
    return tensors, {"dtype": "bfloat16", "quantization_config": {
        "quant_method": "compressed-tensors", "format": form,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights_config}}}}


@case
def ct_pack_group():
    return compressed("pack-quantized", 31, num_bits=4, strategy="group", group_size=32)


@case
def ct_pack_zeros():
    return compressed("pack-quantized", 32, num_bits=4, strategy="group", group_size=32,
                      symmetric=False)


@case
def ct_pack_3_bits():
    return compressed("pack-quantized", 33, rows=6, columns=50, num_bits=3, strategy="channel",
                      symmetric=False)


@case
def ct_pack_8_tensor():
    return compressed("pack-quantized", 34, num_bits=8, strategy="tensor")


@case
def ct_int_channel():
    return compressed("int-quantized", 35, num_bits=8, strategy="channel", dtype=torch.float32)


@case
def ct_int_zeros():
    return compressed("naive-quantized", 36, num_bits=8, strategy="group", group_size=16,
                      symmetric=False)


@case
def ct_float_channel():
    return compressed("float-quantized", 37, num_bits=8, type="float", strategy="channel")


@case
def ct_float_tensor():
    return compressed("float-quantized", 38, num_bits=8, type="float", strategy="tensor",
                      dtype=torch.float32)


@case
def ct_float_block():
    return compressed("naive-quantized", 39, rows=20, columns=40, num_bits=8, type="float",
                      strategy="block", block_structure=[8, 16])


@case
def ct_nvfp4():
    return compressed("nvfp4-pack-quantized", 40, num_bits=4, type="float", strategy="tensor_group",
                      group_size=16, dtype=torch.float32, scale_dtype=torch.float8_e4m3fn)


@case
def ct_mxfp4():
    return compressed("mxfp4-pack-quantized", 41, num_bits=4, type="float", strategy="group",
                      group_size=32, scale_dtype=torch.uint8)


# FP8 of other programs: PyTorch's own conversion, multiplied out


@case
def fp8_block():
    rows, columns, side = 20, 40, 16
    weight = weights(rows, columns, 51)
    scales = torch.zeros(-(-rows // side), -(-columns // side))
    codes = torch.zeros(rows, columns, dtype=torch.float8_e4m3fn)
    expected = torch.zeros(rows, columns)
    for y in range(scales.shape[0]):
        for x in range(scales.shape[1]):
            at = (slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side))
            scales[y, x] = weight[at].abs().max() / 448
            codes[at] = (weight[at] / scales[y, x]).to(torch.float8_e4m3fn)
            expected[at] = codes[at].float() * scales[y, x]
    return ({"fc.weight": codes, "fc.weight_scale_inv": scales, "expected.fc.weight": expected},
            {"torch_dtype": "bfloat16", "quantization_config": {
                "quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [side, side]}})


@case
def fp8_fbgemm():
    weight = weights(8, 32, 52)
    scales = weight.abs().amax(1, keepdim=True) / 448
    codes = (weight / scales).to(torch.float8_e4m3fn)
    return ({"fc.weight": codes, "fc.weight_scale": scales,
             "fc.input_scale_ub": torch.tensor(1200.0),
             "expected.fc.weight": codes.float() * scales},
            {"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fbgemm_fp8"}})


@case
def fp8_plain():
    codes = weights(4, 16, 53).to(torch.float8_e4m3fn)
    others = weights(4, 16, 54).to(torch.float8_e5m2)
    return ({"fc.weight": codes, "fc2.weight": others, "expected.fc.weight": codes.float(),
             "expected.fc2.weight": others.float()}, {"torch_dtype": "bfloat16"})


# MXFP4 of gpt-oss, by transformers


@case
def mxfp4_experts():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    generator = torch.Generator().manual_seed(61)
    blocks = torch.randint(0, 256, (2, 3, 2, 16), generator=generator, dtype=torch.uint8)
    scales = torch.randint(117, 129, (2, 3, 2), generator=generator, dtype=torch.uint8)
    expected = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    return ({"experts.down_proj_blocks": blocks, "experts.down_proj_scales": scales,
             "expected.experts.down_proj": expected},
            {"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "mxfp4"}})


# mlx


def mlx(settings, mode="affine", modules=None):
    import mlx.core as mx

    tensors = {}
    for i, (bits, group) in enumerate(settings):
        weight = mx.array(weights(6, 128, 70 + i).numpy())
        packed, scales, *biases = mx.quantize(weight, group_size=group, bits=bits, mode=mode)
        expected = mx.dequantize(packed, scales, *biases, group_size=group, bits=bits, mode=mode,
                                 **({} if mode == "affine" else {"dtype": mx.float32}))
        name = "model.fc%d" % i
        tensors[name + ".weight"] = numpy(packed)
        tensors[name + ".scales"] = numpy(scales)
        if biases:
            tensors[name + ".biases"] = numpy(biases[0])
        tensors["expected." + name + ".weight"] = numpy(expected)
    said = {"group_size": settings[0][1], "bits": settings[0][0], **(modules or {})}
    if mode != "affine":
        said["mode"] = mode
    return tensors, {"torch_dtype": "bfloat16", "quantization": said, "quantization_config": said}


@case
def mlx_affine():
    settings = [(4, 64), (2, 64), (3, 32), (5, 64), (6, 128), (8, 32)]
    modules = {"model.fc%d" % i: {"bits": bits, "group_size": group}
               for i, (bits, group) in enumerate(settings) if i > 0}
    modules["model.norm"] = False
    return mlx(settings, modules=modules)


@case
def mlx_mxfp4():
    return mlx([(4, 32)], mode="mxfp4")


@case
def mlx_mxfp8():
    return mlx([(8, 32)], mode="mxfp8")


@case
def mlx_nvfp4():
    return mlx([(4, 16)], mode="nvfp4")


# modelopt


@case
def modelopt_nvfp4():
    from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor

    packed, scale, scale_2 = NVFP4QTensor.quantize(weights(6, 64, 90), 16)
    expected = packed.dequantize(dtype=torch.float32, scale=scale, double_scale=scale_2, block_sizes={-1: 16})
    tensors = {"model.fc0.weight": packed._quantized_data, "model.fc0.weight_scale": scale,
               "model.fc0.weight_scale_2": scale_2, "expected.model.fc0.weight": expected.contiguous()}
    weight = {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16}
    said = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"weights": weight, "targets": ["Linear"]}},
            "producer": {"name": "modelopt", "version": "0.47.0"}}
    return tensors, {"torch_dtype": "bfloat16", "quantization_config": said}


# torchao


def torchao(configs):
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import quantize_

    state = {}
    expected = {}
    for i, config in enumerate(configs):
        layer = torch.nn.Linear(64, 8, bias=False)
        layer.weight.data = weights(8, 64, 80 + i)
        wrapped = torch.nn.Sequential(layer)
        quantize_(wrapped, config)
        state["fc%d.weight" % i] = wrapped[0].weight
        expected["expected.fc%d.weight" % i] = wrapped[0].weight.dequantize().float()
    tensors, metadata = flatten_tensor_state_dict(state)
    return {**tensors, **{k: v.detach() for k, v in expected.items()}}, metadata


@case
def torchao_8():
    from torchao.quantization import (
        Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup)

    tensors, metadata = torchao([
        Int8WeightOnlyConfig(version=2), Float8WeightOnlyConfig(version=2),
        IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32), version=2)])
    return tensors, {"torch_dtype": "float32",
                     "quantization_config": {"quant_method": "torchao"}}, metadata


# A decoder of one layer whose linear layers are packed


def llama(pack):
    hidden, inner, vocabulary = 32, 64, 24
    tensors = {"model.embed_tokens.weight": weights(vocabulary, hidden, 100).bfloat16(),
               "model.norm.weight": torch.ones(hidden).bfloat16(),
               "lm_head.weight": weights(vocabulary, hidden, 101).bfloat16()}
    layer = "model.layers.0."
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[layer + norm + ".weight"] = torch.ones(hidden).bfloat16()
    shapes = {"self_attn." + name + "_proj": (hidden, hidden) for name in "qkvo"}
    shapes.update({"mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
                   "mlp.down_proj": (hidden, inner)})
    for seed, (name, (rows, columns)) in enumerate(shapes.items()):
        packed, said = pack(rows, columns, 110 + seed)
        for key, value in packed.items():
            key = key.replace("model.fc", "fc").replace("fc.", layer + name + ".")
            if ".norm" not in key:
                tensors[key] = value
    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
                "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 1,
                "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": vocabulary,
                "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
                "torch_dtype": "bfloat16"}
    settings.update({key: value for key, value in said.items() if "dtype" not in key})
    return tensors, settings


@case
def llama_bnb_nf4():
    return llama(lambda *at: (bnb4(*at), BNB4))


@case
def llama_gptq():
    return llama(lambda rows, columns, seed: gptq(4, rows, columns, 32, seed))


@case
def llama_ct():
    return llama(lambda rows, columns, seed: compressed(
        "pack-quantized", seed, rows=rows, columns=columns, num_bits=4, strategy="group",
        group_size=32))


if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        try:
            write(sys.argv[1], name, *CASES[name]())
        except Exception as error:
            print("%s: %s" % (name, repr(error)[:400]))
