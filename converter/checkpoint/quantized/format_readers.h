// SPDX-License-Identifier: Apache-2.0
// One function for each way in which programs pack a weight: what it is handed is a tensor whose name
// and type are those of such codes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/checkpoint/quantized/packed_tensor.h"
#include "converter/checkpoint/quantized/quantization_config.h"
#include "converter/checkpoint/quantized/stored_tensors.h"
#include "schema/result.h"

namespace graft::converter {

struct PackedWeight {
  std::unique_ptr<PackedTensor> tensor;
  /// What it was, for the report: "GPTQ 4 bits in groups of 128".
  std::string kind;
  /// The stored tensors that are none of the model's, the one that was handed over among them.
  std::vector<std::string_view> parts;
};

struct FormatContext {
  const StoredTensors& stored;
  const QuantizationConfig& config;

  /// The float type of a weight: the model's, or else that of its scales.
  DType TypeOf(const StoredTensor& scales) const;
  /// Adds those of `names` after `module` that are there to the parts.
  void Claim(std::string_view module, std::initializer_list<std::string_view> names,
             PackedWeight* weight) const;
};

/// What they share: kCorrupt, naming file, tensor and what contradicts what; kUnsupported, a variant
/// that graft does not read; those of reading small tensors.
using FormatReader = Result<PackedWeight> (*)(const FormatContext&, const StoredTensor& codes);

/// X.weight with X.weight.quant_state.bitsandbytes__nf4 (or fp4), which is handed over.
Result<PackedWeight> ReadBitsAndBytes4(const FormatContext& context, const StoredTensor& state);
/// X.weight in int8 with X.SCB.
Result<PackedWeight> ReadBitsAndBytes8(const FormatContext& context, const StoredTensor& codes);
/// X.qweight, X.qzeros and X.scales, with X.g_idx or without.
Result<PackedWeight> ReadGptq(const FormatContext& context, const StoredTensor& codes);
/// X.qweight, X.qzeros and X.scales, packed across.
Result<PackedWeight> ReadAwq(const FormatContext& context, const StoredTensor& codes);
/// X.weight_packed with X.weight_scale: integers in 32 bits, or 4-bit floats in bytes.
Result<PackedWeight> ReadPackedIntegers(const FormatContext& context, const StoredTensor& codes);
Result<PackedWeight> ReadPackedFloats(const FormatContext& context, const StoredTensor& codes);
/// X.weight in int8 or float8 with X.weight_scale or X.weight_scale_inv, or alone.
Result<PackedWeight> ReadEightBits(const FormatContext& context, const StoredTensor& codes);
/// X_blocks with X_scales.
Result<PackedWeight> ReadMxfp4Blocks(const FormatContext& context, const StoredTensor& codes);
/// X.weight in U32 with X.scales and X.biases.
Result<PackedWeight> ReadMlx(const FormatContext& context, const StoredTensor& codes);

}  // namespace graft::converter
