// SPDX-License-Identifier: Apache-2.0
#include "converter/formats/gguf/gguf_types.h"

#include <algorithm>
#include <iterator>

#include "converter/formats/gguf/gguf_blocks.h"

namespace graft::converter {
namespace {

constexpr GgufType Plain(uint32_t number, const char* name, int64_t bytes, DType dtype) {
  return {number, name, 1, bytes, nullptr, dtype};
}
constexpr GgufType Blocks(uint32_t number, const char* name, int64_t elements, int64_t bytes,
                          GgufBlockDecoder decode) {
  return {number, name, elements, bytes, decode, DType::kFloat32};
}

constexpr GgufType kTypes[] = {
    Plain(0, "F32", 4, DType::kFloat32),
    Plain(1, "F16", 2, DType::kFloat16),
    Blocks(2, "Q4_0", 32, 18, DecodeQ4_0),
    Blocks(3, "Q4_1", 32, 20, DecodeQ4_1),
    Blocks(6, "Q5_0", 32, 22, DecodeQ5_0),
    Blocks(7, "Q5_1", 32, 24, DecodeQ5_1),
    Blocks(8, "Q8_0", 32, 34, DecodeQ8_0),
    Blocks(9, "Q8_1", 32, 36, nullptr),  // these two are of activations
    Blocks(10, "Q2_K", 256, 84, DecodeQ2K),
    Blocks(11, "Q3_K", 256, 110, DecodeQ3K),
    Blocks(12, "Q4_K", 256, 144, DecodeQ4K),
    Blocks(13, "Q5_K", 256, 176, DecodeQ5K),
    Blocks(14, "Q6_K", 256, 210, DecodeQ6K),
    Blocks(15, "Q8_K", 256, 292, nullptr),
    Blocks(16, "IQ2_XXS", 256, 66, nullptr),
    Blocks(17, "IQ2_XS", 256, 74, nullptr),
    Blocks(18, "IQ3_XXS", 256, 98, nullptr),
    Blocks(19, "IQ1_S", 256, 50, nullptr),
    Blocks(20, "IQ4_NL", 32, 18, DecodeIq4Nl),
    Blocks(21, "IQ3_S", 256, 110, nullptr),
    Blocks(22, "IQ2_S", 256, 82, nullptr),
    Blocks(23, "IQ4_XS", 256, 136, DecodeIq4Xs),
    Plain(24, "I8", 1, DType::kInt8),
    Plain(25, "I16", 2, DType::kInt16),
    Plain(26, "I32", 4, DType::kInt32),
    Plain(27, "I64", 8, DType::kInt64),
    Plain(28, "F64", 8, DType::kFloat64),
    Blocks(29, "IQ1_M", 256, 56, nullptr),
    Plain(30, "BF16", 2, DType::kBFloat16),
    Blocks(34, "TQ1_0", 256, 54, DecodeTq1_0),
    Blocks(35, "TQ2_0", 256, 66, DecodeTq2_0),
    Blocks(39, "MXFP4", 32, 17, DecodeMxfp4),
    Blocks(40, "NVFP4", 64, 36, DecodeNvfp4),
    Blocks(41, "Q1_0", 128, 18, nullptr),
    Blocks(42, "Q2_0", 64, 18, nullptr),
};

}  // namespace

const GgufType* FindGgufType(uint32_t number) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes),
                   [number](const GgufType& type) { return type.number == number; });
  return found != std::end(kTypes) ? found : nullptr;
}

}  // namespace graft::converter
