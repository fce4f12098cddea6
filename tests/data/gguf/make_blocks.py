#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""blocks.safetensors: three random blocks of each block type, and the numbers that the package gguf makes of them.

  make_blocks.py FILE
"""
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants
from safetensors.numpy import save_file

BLOCKS = 3
# Where the blocks of a type have scales in float16.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2],
          T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: [], T.NVFP4: []}

random = np.random.default_rng(11)
tensors = {}
for kind, halves in HALVES.items():
    blocks = random.integers(0, 256, (BLOCKS, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in halves:
        # One is subnormal, one negative.
        scales = random.normal(0, 0.05, BLOCKS).astype(np.float16)
        scales[0], scales[1] = np.float16(3e-6), -abs(scales[1])
        blocks[:, at:at + 2] = scales.reshape(-1, 1).view(np.uint8)
    if kind == T.MXFP4:
        blocks[:, 0] = [0, 1, 124]   # two exponents below the normal ones
    if kind == T.NVFP4:
        blocks[0, :4] = [0, 0x7F, 3, 0x38]
    tensors[f'{kind.name}.bytes'] = blocks
    tensors[f'{kind.name}.numbers'] = quants.dequantize(blocks.reshape(-1), kind).astype(np.float32)
save_file(tensors, sys.argv[1])
