// SPDX-License-Identifier: Apache-2.0
// Packed weights against what the programs that packed them make of them.
#include "converter/checkpoint/quantized/quantized_weights.h"

#include <bit>
#include <cmath>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

struct Case {
  const char* folder;
  const char* stored_as;
  DType dtype;  // that the model has
};

constexpr Case kCases[] = {
    {"bnb_nf4", "bitsandbytes NF4 in blocks of 64 (1 tensor)", DType::kBFloat16},
    {"bnb_nf4_double", "bitsandbytes NF4 in blocks of 64, double-quantized (1 tensor)",
     DType::kBFloat16},
    {"bnb_nf4_bf16_storage", "bitsandbytes NF4 in blocks of 128 (1 tensor)", DType::kBFloat16},
    {"bnb_fp4", "bitsandbytes FP4 in blocks of 64 (1 tensor)", DType::kFloat32},
    {"bnb_int8", "bitsandbytes int8 (1 tensor)", DType::kFloat16},
    {"gptq_4", "GPTQ 4 bits in groups of 32 (1 tensor)", DType::kFloat16},
    {"gptq_4_act_order", "GPTQ 4 bits in groups by input (1 tensor)", DType::kFloat16},
    {"gptq_4_v2", "GPTQ 4 bits in groups of 32 (1 tensor)", DType::kFloat16},
    {"gptq_2", "GPTQ 2 bits by channel (1 tensor)", DType::kFloat16},
    {"gptq_3", "GPTQ 3 bits in groups of 32 (1 tensor)", DType::kFloat16},
    {"gptq_8_channel", "GPTQ 8 bits by channel (1 tensor)", DType::kFloat16},
    {"awq_4", "AWQ 4 bits in groups of 32 (1 tensor)", DType::kFloat16},
    {"ct_pack_group", "compressed-tensors 4 bits in groups of 32 (1 tensor)", DType::kBFloat16},
    {"ct_pack_zeros", "compressed-tensors 4 bits in groups of 32, with zeros (1 tensor)",
     DType::kBFloat16},
    {"ct_pack_3_bits", "compressed-tensors 3 bits by channel, with zeros (1 tensor)",
     DType::kBFloat16},
    {"ct_pack_8_tensor", "compressed-tensors 8 bits by tensor (1 tensor)", DType::kBFloat16},
    {"ct_int_channel", "compressed-tensors int8 by channel (1 tensor)", DType::kBFloat16},
    {"ct_int_zeros", "compressed-tensors int8 in groups of 16, with zeros (1 tensor)",
     DType::kBFloat16},
    {"ct_float_channel", "compressed-tensors FP8 by channel (1 tensor)", DType::kBFloat16},
    {"ct_float_tensor", "compressed-tensors FP8 by tensor (1 tensor)", DType::kBFloat16},
    {"ct_float_block", "compressed-tensors FP8 in blocks of 8x16 (1 tensor)", DType::kBFloat16},
    {"ct_nvfp4", "compressed-tensors NVFP4 in groups of 16 (1 tensor)", DType::kBFloat16},
    {"ct_mxfp4", "compressed-tensors MXFP4 in groups of 32 (1 tensor)", DType::kBFloat16},
    {"fp8_block", "FP8 in blocks of 16x16 (1 tensor)", DType::kBFloat16},
    {"fp8_fbgemm", "FP8 by channel (1 tensor)", DType::kBFloat16},
    {"fp8_plain", "FP8 without scales (2 tensors)", DType::kBFloat16},
    {"mxfp4_experts", "MXFP4 in blocks of 32 (1 tensor)", DType::kBFloat16},
    {"mlx_affine",
     "mlx 2 bits in groups of 64 (1 tensor); mlx 3 bits in groups of 32 (1 tensor); mlx 4 bits in "
     "groups of 64 (1 tensor); mlx 5 bits in groups of 64 (1 tensor); mlx 6 bits in groups of 128 "
     "(1 tensor); mlx 8 bits in groups of 32 (1 tensor)",
     DType::kBFloat16},
    {"mlx_mxfp4", "mlx mxfp4 in groups of 32 (1 tensor)", DType::kBFloat16},
    {"mlx_mxfp8", "mlx mxfp8 in groups of 32 (1 tensor)", DType::kBFloat16},
    {"modelopt_nvfp4", "modelopt NVFP4 in groups of 16 (1 tensor)", DType::kBFloat16},
    {"mlx_nvfp4", "mlx nvfp4 in groups of 16 (1 tensor)", DType::kBFloat16},
    {"torchao_8",
     "torchao FP8 by channel (1 tensor); torchao int8 by channel, with zeros (1 tensor); torchao "
     "int8 in groups of 32, with zeros (1 tensor)",
     DType::kFloat32},
};

// A sum of a product and a bias is rounded once here, and twice in mlx.
bool Same(double got, double expected, const std::string& folder) {
  if (folder == "mlx_affine") return std::fabs(got - expected) <= 0x1p-23 * 0.5;
  return static_cast<float>(got) == static_cast<float>(expected);
}

TEST_SUITE("converter/quantized_weights") {
  TEST_CASE("numbers are those of the programs that packed them, whatever rows are read") {
    for (const Case& item : kCases) {
      CAPTURE(std::string(item.folder));
      const auto base = Checkpoint::Open(TestData("quantized") / item.folder);
      REQUIRE_MESSAGE(base.ok(), base.status().message());
      CHECK((*base)->stored_as() == item.stored_as);
      constexpr std::string_view kExpected = "expected.";
      for (const TensorInfo& info : (*base)->tensors()) {
        if (!info.name.starts_with(kExpected)) continue;
        const std::string name = info.name.substr(kExpected.size());
        CAPTURE(name);
        const TensorInfo* packed = (*base)->Find(name);
        REQUIRE(packed != nullptr);
        CHECK(packed->shape == info.shape);
        CHECK(packed->dtype == item.dtype);
        const std::vector<double> expected = ReadAll(**base, info.name);
        for (const int64_t block : {1, 3, 1000}) {
          const std::vector<double> got = ReadAll(**base, name, block);
          REQUIRE(got.size() == expected.size());
          int64_t wrong = 0;
          for (size_t i = 0; i < got.size(); ++i) {
            if (!Same(got[i], expected[i], item.folder)) ++wrong;
          }
          CHECK(wrong == 0);
        }
      }
      for (const TensorInfo& info : (*base)->tensors()) {
        CHECK((IsFloat(info.dtype) || info.name.starts_with("expected.")));
      }
    }
  }
}

}  // namespace
}  // namespace graft::converter
