// SPDX-License-Identifier: Apache-2.0
#include "tests/support/matrices_model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace graft::test {
namespace {

constexpr int64_t kColumns = 128;

std::vector<uint8_t> Repeated(size_t count, std::vector<uint8_t> bytes) {
  std::vector<uint8_t> all;
  for (size_t i = 0; i < count; ++i) all.insert(all.end(), bytes.begin(), bytes.end());
  return all;
}

}  // namespace

AlignedBytes MatricesModel() {
  ModelBuilder model;
  const int32_t count = model.Symbol("count");
  const int32_t input = model.Input("input", {Symbolic(count), Fixed(kColumns)},
                                    fb::InputRole::Tensor, fb::ElementType::Float32);
  const auto add = [&](const char* name, fb::TensorFormat format, int64_t rows, size_t codes_bytes,
                       const std::vector<uint8_t>& scales, uint32_t block) {
    std::vector<uint8_t> codes(codes_bytes);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>((i * 37) ^ (i >> 5));
    const int32_t weight = model.Tensor(name, format, {rows, kColumns}, codes, scales, block);
    const std::vector<float> numbers(static_cast<size_t>(rows), 0.5f);
    const int32_t bias = model.FloatTensor(std::string(name) + " bias", {rows}, numbers);
    const int32_t output = model.Value(name, {Symbolic(count), Fixed(rows)});
    model.Op(name, {input}, {output}, fb::OpAttributes::Linear,
             fb::CreateLinear(model.builder(), weight, bias).Union());
    model.Output(output);
  };
  const std::vector<uint8_t> scale = {0, 0, 0x80, 0x3C};  // 2^-6
  add("int8", fb::TensorFormat::Int8PerChannel, 67, 67 * 128, Repeated(67, scale), 0);
  add("int4", fb::TensorFormat::Int4PerChannel, 75, 75 * 64, Repeated(75, scale), 0);
  add("blocks", fb::TensorFormat::Int4Block, 83, 83 * 64, Repeated(83 * 4, {0x80, 0x3C}), 32);
  return model.Finish();
}

}  // namespace graft::test
