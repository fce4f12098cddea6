// SPDX-License-Identifier: Apache-2.0
// GPTQ: codes in words that go down the input channels, scales and zeros beside them in groups.
// The number of bits follows from the shapes, for settings may differ from module to module.
#include <algorithm>

#include "converter/checkpoint/quantized/column_matrix.h"
#include "converter/checkpoint/quantized/format_readers.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostInputs = int64_t{1} << 24;

struct Parts {
  const StoredTensor* codes = nullptr;
  const StoredTensor* zeros = nullptr;
  const StoredTensor* scales = nullptr;
  int64_t outputs = 0;
  int64_t groups = 0;
};

Result<Parts> FindParts(const FormatContext& context, const StoredTensor& codes) {
  const std::string module(codes.name.substr(0, codes.name.rfind('.')));
  Parts parts{&codes};
  GRAFT_ASSIGN_OR_RETURN(parts.zeros, context.stored.Get(module + ".qzeros", codes));
  GRAFT_ASSIGN_OR_RETURN(parts.scales, context.stored.Get(module + ".scales", codes));
  for (const StoredTensor* part : {parts.codes, parts.zeros, parts.scales}) {
    if (part->shape().size() != 2 || part->elements() == 0) {
      return part->Fail("has the shape " + part->entry->info.ShapeText() +
                        "; it must have two dimensions and numbers in them");
    }
  }
  for (const StoredTensor* part : {parts.codes, parts.zeros}) {
    if (part->dtype() == DType::kInt32 || part->dtype() == DType::kUInt32) continue;
    return part->Fail(
        "is of type " + std::string(DTypeName(part->dtype())) + "; graft reads codes packed in I32",
        StatusCode::kUnsupported);
  }
  if (!IsFloat(parts.scales->dtype())) return parts.scales->Fail("must be of a float type");
  parts.groups = parts.scales->shape()[0];
  parts.outputs = parts.scales->shape()[1];
  if (parts.zeros->shape()[0] != parts.groups) {
    return parts.zeros->Fail("has the shape " + parts.zeros->entry->info.ShapeText() +
                             ", but there are scales of " + std::to_string(parts.groups) +
                             " groups");
  }
  return parts;
}

// So many inputs share a scale; 0: they cannot.
int64_t GroupSize(int64_t said, int64_t inputs, int64_t groups) {
  if (groups == 1) return inputs;
  if (said > 0 && (inputs - 1) / said + 1 == groups) return said;
  return inputs % groups == 0 ? inputs / groups : 0;
}

// The group of each input; empty if they lie one after another in groups of `group`.
Result<std::vector<int32_t>> GroupOfInput(const StoredTensor& index, int64_t inputs, int64_t groups,
                                          int64_t group) {
  GRAFT_RETURN_IF_ERROR(CheckElements(index, inputs, "the number of inputs"));
  if (index.dtype() != DType::kInt32 && index.dtype() != DType::kInt64) {
    return index.Fail("must be of type I32");
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> numbers, ReadSmall(index, kMostInputs));
  std::vector<int32_t> of_input;
  bool in_order = group > 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!(numbers[i] >= 0 && numbers[i] < static_cast<double>(groups))) {
      return index.Fail("says that input " + std::to_string(i) + " is in group " +
                        std::to_string(static_cast<int64_t>(numbers[i])) + " of " +
                        std::to_string(groups));
    }
    of_input.push_back(static_cast<int32_t>(numbers[i]));
    in_order = in_order && of_input.back() == static_cast<int64_t>(i) / group;
  }
  if (in_order) of_input.clear();
  return of_input;
}

std::string KindText(const char* program, int64_t bits, int64_t group, int64_t inputs) {
  return std::string(program) + " " + std::to_string(bits) + " bits" +
         (group == 0       ? std::string(" in groups by input")
          : group < inputs ? " in groups of " + std::to_string(group)
                           : std::string(" by channel"));
}

// What a stored zero stands for: one less was stored, but by the second version of the format.
CodeTable Zeros(int bits, bool plus_one) {
  CodeTable table = IntegerCodes(bits, 0);
  const int count = 1 << bits;
  for (int code = 0; plus_one && code < count; ++code) {
    table.values[static_cast<size_t>(code)] = (code + 1) % count;
  }
  return table;
}

Status CheckVariant(const FormatContext& context, const StoredTensor& codes,
                    std::initializer_list<std::string_view> read, const char* advice) {
  const std::string& format = context.config.format;
  if (format.empty() || std::find(read.begin(), read.end(), format) != read.end()) {
    return OkStatus();
  }
  return codes.Fail("is packed as '" + format.substr(0, 40) +
                        "', says config.json, which graft does not read; " + advice,
                    StatusCode::kUnsupported);
}

}  // namespace

Result<PackedWeight> ReadGptq(const FormatContext& context, const StoredTensor& codes) {
  GRAFT_RETURN_IF_ERROR(CheckVariant(
      context, codes,
      {"gptq", "gptq_v2", "auto_round:auto_gptq", "auto_round:gptq", "auto_round", "gemm"},
      "save it as 'gptq' or start from the unquantized checkpoint"));
  GRAFT_ASSIGN_OR_RETURN(const Parts parts, FindParts(context, codes));
  const int64_t zero_bits = parts.zeros->shape()[1] * 32;
  const int64_t bits = zero_bits / parts.outputs;
  const bool known = bits == 2 || bits == 3 || bits == 4 || bits == 8;
  if (!known || parts.outputs * bits != zero_bits) {
    return parts.zeros->Fail("has the shape " + parts.zeros->entry->info.ShapeText() + ", which " +
                                 std::to_string(parts.outputs) +
                                 " outputs of 2, 3, 4 or 8 bits do not fill",
                             StatusCode::kUnsupported);
  }
  if (codes.shape()[1] != parts.outputs) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() +
                      ", but its scales are of " + std::to_string(parts.outputs) + " outputs");
  }
  const int64_t inputs = codes.shape()[0] * 32 / bits;
  if (inputs > kMostInputs || codes.shape()[0] * 32 % bits != 0) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() + ": " +
                      std::to_string(bits) + " bits do not fill it, or its inputs are more than " +
                      std::to_string(kMostInputs));
  }
  const std::string module(codes.name.substr(0, codes.name.rfind('.')));
  GroupScales scales;
  int64_t group = GroupSize(context.config.group_size, inputs, parts.groups);
  if (const StoredTensor* index = context.stored.Find(module + ".g_idx")) {
    GRAFT_ASSIGN_OR_RETURN(scales.group_of_column,
                           GroupOfInput(*index, inputs, parts.groups, group));
  } else if (group == 0) {
    return parts.scales->Fail("is of " + std::to_string(parts.groups) + " groups, which " +
                              std::to_string(inputs) + " inputs do not divide into");
  }
  const bool plus_one = context.config.format != "gptq_v2";
  const auto width = static_cast<int>(bits);
  scales.columns_each = group;
  scales.scale = TransposedMatrix(*parts.scales, parts.outputs, parts.groups);
  scales.zero =
      TransposedCodesAlong(*parts.zeros, parts.outputs, parts.groups, Zeros(width, plus_one));
  PackedWeight weight;
  weight.kind = KindText("GPTQ", bits, scales.group_of_column.empty() ? group : 0, inputs);
  weight.parts = {codes.name};
  context.Claim(module, {".qzeros", ".scales", ".g_idx"}, &weight);
  weight.tensor = ScaledTensor(
      {module + ".weight", context.TypeOf(*parts.scales), {parts.outputs, inputs}},
      TransposedCodesDown(codes, parts.outputs, inputs, IntegerCodes(width, 0)), std::move(scales));
  return weight;
}

Result<PackedWeight> ReadAwq(const FormatContext& context, const StoredTensor& codes) {
  GRAFT_RETURN_IF_ERROR(CheckVariant(
      context, codes, {"gemm", "exllama", "ipex", "auto_round:auto_awq", "auto_round:awq"},
      "save it in the version 'gemm' or start from the unquantized checkpoint"));
  GRAFT_ASSIGN_OR_RETURN(const Parts parts, FindParts(context, codes));
  constexpr int64_t kBits = 4;
  constexpr int64_t kCodesInWord = 8;
  constexpr CodeOrder kOrder = {0, 4, 1, 5, 2, 6, 3, 7};
  if (context.config.bits != 0 && context.config.bits != kBits) {
    return codes.Fail("has " + std::to_string(context.config.bits) +
                          " bits, says config.json; graft reads AWQ of 4",
                      StatusCode::kUnsupported);
  }
  const int64_t words = codes.shape()[1];
  if (words * kCodesInWord != parts.outputs || parts.zeros->shape()[1] != words) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() + ", its zeros " +
                      parts.zeros->entry->info.ShapeText() + "; " + std::to_string(parts.outputs) +
                      " outputs of 4 bits need other ones");
  }
  const int64_t inputs = codes.shape()[0];
  const int64_t group = GroupSize(context.config.group_size, inputs, parts.groups);
  if (group == 0 || inputs > kMostInputs) {
    return parts.scales->Fail("is of " + std::to_string(parts.groups) + " groups, which " +
                              std::to_string(inputs) + " inputs do not divide into");
  }
  const std::string module(codes.name.substr(0, codes.name.rfind('.')));
  const CodeTable table = IntegerCodes(kBits, 0);
  GroupScales scales;
  scales.columns_each = group;
  scales.scale = TransposedMatrix(*parts.scales, parts.outputs, parts.groups);
  scales.zero = TransposedCodesAlong(*parts.zeros, parts.outputs, parts.groups, table, kOrder);
  PackedWeight weight;
  weight.kind = KindText("AWQ", kBits, group, inputs);
  weight.parts = {codes.name};
  context.Claim(module, {".qzeros", ".scales", ".g_idx"}, &weight);
  weight.tensor = ScaledTensor(
      {module + ".weight", context.TypeOf(*parts.scales), {parts.outputs, inputs}},
      TransposedCodesAlong(codes, parts.outputs, inputs, table, kOrder), std::move(scales));
  return weight;
}

}  // namespace graft::converter
