// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/layout_sample.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/xnn/pack_rows.h"

namespace graft::runtime {
namespace {

// Several tiles of every kernel, and enough columns for each to show its order in them.
constexpr size_t kSampleRows = 64;
constexpr size_t kSampleFeatures = 1024;
constexpr size_t kSampleGroups = 2;
// Numbers between 1 and 2: any bits below the exponent make one.
constexpr uint32_t kOneAsFloat = 0x3F800000;
constexpr uint32_t kFloatFractionMask = 0x007FFFFF;
constexpr uint16_t kOneAsBFloat16 = 0x3F80;
constexpr uint16_t kBFloat16FractionMask = 0x007F;

/// Bits without a pattern, the same on every machine.
class Bits {
 public:
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }

 private:
  uint64_t state_ = 1;
};

void FillFloats(Bits& bits, std::vector<uint8_t>* bytes) {
  for (size_t i = 0; i + sizeof(uint32_t) <= bytes->size(); i += sizeof(uint32_t)) {
    const uint32_t number = kOneAsFloat | (bits.Next() & kFloatFractionMask);
    std::memcpy(bytes->data() + i, &number, sizeof(number));
  }
}

void FillBFloat16(Bits& bits, std::vector<uint8_t>* bytes) {
  for (size_t i = 0; i + sizeof(uint16_t) <= bytes->size(); i += sizeof(uint16_t)) {
    const auto number =
        static_cast<uint16_t>(kOneAsBFloat16 | (bits.Next() & kBFloat16FractionMask));
    std::memcpy(bytes->data() + i, &number, sizeof(number));
  }
}

}  // namespace

Result<schema::Hash128> HashLayout(const char* name, const LinearWeights& weights) {
  LinearWeights sample = weights;
  sample.out_features = std::min(weights.out_features, kSampleRows);
  const size_t unit = std::max<size_t>(1, weights.block_size);
  sample.in_features = std::min(weights.in_features, kSampleFeatures / unit * unit);
  if (const ImageKernelShape& shape = weights.convolution; shape.groups != 0) {
    const size_t groups = std::min<size_t>(shape.groups, kSampleGroups);
    const size_t channels = std::min(weights.in_features / shape.kernel(), kSampleRows);
    sample.convolution.groups = static_cast<uint32_t>(groups);
    sample.out_features = groups * std::min(weights.out_features / shape.groups, kSampleRows);
    sample.in_features = channels * shape.kernel();
  }
  GRAFT_RETURN_IF_ERROR(FindLayout(name, &sample));

  Bits bits;
  StoredMatrix matrix;
  matrix.format = sample.format;
  matrix.rows = sample.out_features;
  matrix.width = sample.in_features;
  matrix.block_size = sample.block_size;
  std::vector<uint8_t> data(matrix.rows * matrix.row_bytes());
  std::vector<uint8_t> scales;
  switch (sample.format) {
    case WeightFormat::kFloat32:
      FillFloats(bits, &data);
      break;
    case WeightFormat::kFloat16:  // any finite numbers do: these have a small exponent in f16 too
    case WeightFormat::kBFloat16:
      FillBFloat16(bits, &data);
      break;
    case WeightFormat::kInt8Channel:
    case WeightFormat::kInt4Channel:
      for (uint8_t& byte : data) byte = static_cast<uint8_t>(bits.Next());
      scales.resize(matrix.rows * sizeof(float));
      FillFloats(bits, &scales);
      break;
    case WeightFormat::kInt4Block:
      for (uint8_t& byte : data) byte = static_cast<uint8_t>(bits.Next());
      scales.resize(matrix.rows * (matrix.width / matrix.block_size) * sizeof(uint16_t));
      FillBFloat16(bits, &scales);
      break;
  }
  std::vector<uint8_t> bias_bytes(matrix.rows * sizeof(float));
  FillFloats(bits, &bias_bytes);
  std::vector<float> bias(matrix.rows);
  std::memcpy(bias.data(), bias_bytes.data(), bias_bytes.size());
  matrix.data = data.data();
  matrix.scales = scales.data();

  GRAFT_ASSIGN_OR_RETURN(const PageMemory packed,
                         PageMemory::Allocate(sample.packed_bytes, "a sample of packed weights"));
  GRAFT_RETURN_IF_ERROR(
      PackRows(name, sample, matrix, bias.data(), 0, sample.out_features, packed.data()));
  return schema::ContentHash({packed.data(), static_cast<size_t>(sample.packed_bytes)}, {});
}

}  // namespace graft::runtime
