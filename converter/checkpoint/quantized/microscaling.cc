// SPDX-License-Identifier: Apache-2.0
// The experts of gpt-oss: 4-bit floats in blocks of 32 along the inputs, each with a power of two
// (OCP Microscaling Formats, MXFP4). The model wants each expert's matrix the other way round.
#include "converter/checkpoint/quantized/format_readers.h"

namespace graft::converter {

Result<PackedWeight> ReadMxfp4Blocks(const FormatContext& context, const StoredTensor& codes) {
  constexpr std::string_view kBlocks = "_blocks";
  constexpr int64_t kBlockBytes = 16;
  const std::string name(codes.name.substr(0, codes.name.size() - kBlocks.size()));
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* scales, context.stored.Get(name + "_scales", codes));
  const std::vector<int64_t>& shape = codes.shape();
  if (shape.size() != 4 || shape[3] != kBlockBytes || codes.elements() == 0) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() +
                      "; experts in blocks have four dimensions, the last of 16 bytes");
  }
  if (scales->dtype() != DType::kUInt8 && scales->dtype() != DType::kFloat8E8M0) {
    return scales->Fail("must be of type U8");
  }
  if (scales->shape() != std::vector<int64_t>{shape[0], shape[1], shape[2]}) {
    return scales->Fail("has the shape " + scales->entry->info.ShapeText() + ", its blocks " +
                        codes.entry->info.ShapeText());
  }
  const int64_t rows = shape[0] * shape[1];
  const int64_t inputs = shape[2] * 2 * kBlockBytes;
  GroupScales groups;
  groups.columns_each = 2 * kBlockBytes;
  groups.scale = PackedRows(*scales, rows, shape[2], shape[2], {1, 1}, PowerOfTwoCodes());
  const DType dtype = context.config.dtype.value_or(DType::kBFloat16);
  PackedWeight weight;
  weight.kind = "MXFP4 in blocks of 32";
  weight.parts = {codes.name, scales->name};
  weight.tensor = TransposedEach(
      {name, dtype, {shape[0], inputs, shape[1]}},
      ScaledTensor({name, dtype, {shape[0], shape[1], inputs}},
                   PackedRows(codes, rows, inputs, inputs / 2, DenseUnit(4), Float4Codes()),
                   std::move(groups)));
  return weight;
}

}  // namespace graft::converter
