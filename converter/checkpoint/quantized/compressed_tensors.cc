// SPDX-License-Identifier: Apache-2.0
// compressed-tensors: integers packed in words or one to a byte, floats of 8 bits or two to a byte.
// Plain FP8 checkpoints, modelopt's and torchao's lie the same way under other names.
#include <algorithm>
#include <limits>

#include "converter/checkpoint/quantized/format_readers.h"
#include "converter/checkpoint/quantized/scale_layout.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostColumns = int64_t{1} << 24;
constexpr std::string_view kPacked = "_packed";

// A tensor seen as a matrix: all dimensions but the last are rows.
struct Extent {
  std::vector<int64_t> shape;
  int64_t rows = 1;
  int64_t columns = 1;
};

Result<Extent> ExtentOf(const StoredTensor& of, std::vector<int64_t> shape) {
  Extent extent;
  extent.shape = std::move(shape);
  const std::string text = ShapeText(extent.shape);
  if (extent.shape.size() < 2 || extent.shape.size() > kMaxDimensions) {
    return of.Fail("is of a weight " + text + "; it must have two dimensions or more");
  }
  extent.columns = extent.shape.back();
  for (size_t i = 0; i + 1 < extent.shape.size(); ++i) {
    if (extent.shape[i] < 1 || !CheckedMultiply(extent.rows, extent.shape[i], &extent.rows)) {
      return of.Fail("is of an impossible weight " + text);
    }
  }
  int64_t all = 0;
  if (extent.columns < 1 || extent.columns > kMostColumns ||
      !CheckedMultiply(extent.rows, extent.columns, &all)) {
    return of.Fail("is of an impossible weight " + text);
  }
  return extent;
}

// The shape that a tensor of integers holds.
Result<Extent> ReadShape(const StoredTensor& stored) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> numbers, ReadSmall(stored, kMaxDimensions));
  std::vector<int64_t> shape;
  for (const double number : numbers) {
    if (!(number >= 1 && number <= std::numeric_limits<int32_t>::max())) {
      return stored.Fail("holds an impossible shape");
    }
    shape.push_back(static_cast<int64_t>(number));
  }
  return ExtentOf(stored, std::move(shape));
}

struct Packing {
  int bits = 0;
  CodeUnit unit;
};

// How rows of so many words hold `columns` codes. Programs of old left the rest of a word unused
// where codes do not divide it; newer ones let codes run over.
Result<Packing> PackingOf(const FormatContext& context, const StoredTensor& codes, int64_t columns,
                          int64_t words) {
  std::vector<int64_t> candidates = context.config.some_bits;
  if (context.config.bits > 0) candidates.push_back(context.config.bits);
  if (candidates.empty()) candidates = {4, 8};
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  Packing packing;
  for (const int64_t bits : candidates) {
    if (bits < 1 || bits > 8) continue;
    const bool dense = (columns * bits + 31) / 32 == words;
    const int64_t in_word = 32 / bits;
    if (!dense && (columns + in_word - 1) / in_word != words) continue;
    if (packing.bits != 0) return codes.Fail("may hold codes of several widths of config.json's");
    packing.bits = static_cast<int>(bits);
    packing.unit = dense ? DenseUnit(packing.bits) : CodeUnit{4, in_word};
  }
  if (packing.bits != 0) return packing;
  return codes.Fail("has rows of " + std::to_string(words) + " words, which " +
                    std::to_string(columns) + " codes of config.json's bits do not fill");
}

// Zeros of the scales' layout: plain, or packed down the rows.
Result<std::unique_ptr<NumberMatrix>> ZerosOf(const StoredTensor& zeros, const ScaleLayout& layout,
                                              int bits) {
  const int64_t count = layout.scale_rows * layout.scale_columns;
  if (zeros.dtype() != DType::kInt32 || bits == 0) {
    GRAFT_RETURN_IF_ERROR(CheckElements(zeros, count, "the shape of its scales"));
    return PlainMatrix(zeros, layout.scale_rows, layout.scale_columns);
  }
  const int64_t words = (layout.scale_rows * bits + 31) / 32;
  GRAFT_RETURN_IF_ERROR(CheckElements(zeros, words * layout.scale_columns, "the packing"));
  if (zeros.shape().size() != 2 || zeros.shape()[0] != words) {
    return zeros.Fail("has the shape " + zeros.entry->info.ShapeText() + "; its zeros must be " +
                          "packed in " + std::to_string(words) + " rows",
                      StatusCode::kUnsupported);
  }
  return PackedDown(zeros, layout.scale_rows, layout.scale_columns,
                    IntegerCodes(bits, 1 << (bits - 1)));
}

// The group of each column, where they do not lie in order.
Result<std::vector<int32_t>> GroupsBy(const StoredTensor& index, int64_t columns, int64_t groups) {
  GRAFT_RETURN_IF_ERROR(CheckElements(index, columns, "the number of inputs"));
  if (index.dtype() != DType::kInt32 && index.dtype() != DType::kInt64) {
    return index.Fail("must be of type I32");
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> numbers, ReadSmall(index, kMostColumns));
  std::vector<int32_t> group_of_column;
  // Minus one: never filled in.
  if (std::find(numbers.begin(), numbers.end(), -1.0) != numbers.end()) return group_of_column;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!(numbers[i] >= 0 && numbers[i] < static_cast<double>(groups))) {
      return index.Fail("says that input " + std::to_string(i) + " is in group " +
                        std::to_string(static_cast<int64_t>(numbers[i])) + " of " +
                        std::to_string(groups));
    }
    group_of_column.push_back(static_cast<int32_t>(numbers[i]));
  }
  return group_of_column;
}

Result<double> OneNumber(const StoredTensor& stored) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> numbers, ReadSmall(stored, 1));
  if (numbers.size() == 1 && numbers[0] != 0) return numbers[0];
  return stored.Fail("must hold one number other than 0");
}

// Where the tensors beside the codes are: "X.weight" and "_scale", "X._weight" and "_scale".
struct Names {
  std::string weight;   // what the model calls it
  std::string beside;   // what stands before "_scale"
  std::string program;  // "FP8", "compressed-tensors", ...
};

Names NamesOf(const FormatContext& context, const StoredTensor& codes) {
  const std::string name(codes.name);
  if (constexpr std::string_view kTorchao = "._weight_qdata"; name.ends_with(kTorchao)) {
    const std::string module = name.substr(0, name.size() - kTorchao.size());
    return {module + ".weight", module + "._weight", "torchao "};
  }
  const bool said = context.config.method == "compressed-tensors";
  const bool modelopt = context.config.method == "modelopt";
  const std::string program = said ? "compressed-tensors " : modelopt ? "modelopt " : "";
  if (name.ends_with(kPacked)) {
    const std::string weight = name.substr(0, name.size() - kPacked.size());
    return {weight, weight, said ? program : "compressed-tensors "};
  }
  return {name, name, program};
}

// What does not matter once a weight is read, and what does not matter to weights.
void ClaimAll(const FormatContext& context, const Names& names, const StoredTensor& codes,
              PackedWeight* weight) {
  weight->parts = {codes.name};
  context.Claim(
      names.beside,
      {"_scale", "_scale_inv", "_scale_2", "_zero_point", "_g_idx", "_shape", "_global_scale"},
      weight);
  context.Claim(ModuleOfWeight(names.weight),
                {".input_scale", ".input_scale_ub", ".input_zero_point", ".input_global_scale",
                 ".output_scale", ".output_zero_point", ".activation_scale"},
                weight);
}

Result<const StoredTensor*> ScaleBeside(const FormatContext& context, const Names& names,
                                        const StoredTensor& codes) {
  if (const StoredTensor* inverse = context.stored.Find(names.beside + "_scale_inv")) {
    return inverse;
  }
  return context.stored.Get(names.beside + "_scale", codes);
}

}  // namespace

Result<PackedWeight> ReadPackedIntegers(const FormatContext& context, const StoredTensor& codes) {
  const Names names = NamesOf(context, codes);
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* shape,
                         context.stored.Get(names.beside + "_shape", codes));
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* stored_scales, ScaleBeside(context, names, codes));
  GRAFT_ASSIGN_OR_RETURN(const Extent extent, ReadShape(*shape));
  const int64_t words = codes.shape().empty() ? 0 : codes.shape().back();
  if (words == 0 || codes.elements() / words != extent.rows) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() + ", but is of a weight " +
                      ShapeText(extent.shape));
  }
  GRAFT_ASSIGN_OR_RETURN(const Packing packing, PackingOf(context, codes, extent.columns, words));
  GRAFT_ASSIGN_OR_RETURN(const ScaleLayout layout,
                         LayoutOf(context, *stored_scales, extent.rows, extent.columns));
  GRAFT_ASSIGN_OR_RETURN(GroupScales scales, ScalesOf(*stored_scales, layout));
  bool asymmetric = false;
  if (const StoredTensor* zeros = context.stored.Find(names.beside + "_zero_point")) {
    GRAFT_ASSIGN_OR_RETURN(scales.zero, ZerosOf(*zeros, layout, packing.bits));
    asymmetric = true;
  }
  if (const StoredTensor* index = context.stored.Find(names.beside + "_g_idx")) {
    GRAFT_ASSIGN_OR_RETURN(scales.group_of_column,
                           GroupsBy(*index, extent.columns, layout.scale_columns));
  }
  PackedWeight weight;
  weight.kind = names.program + std::to_string(packing.bits) + " bits " + layout.text +
                (asymmetric ? ", with zeros" : "");
  ClaimAll(context, names, codes, &weight);
  weight.tensor =
      ScaledTensor({names.weight, context.TypeOf(*stored_scales), extent.shape},
                   PackedRows(codes, extent.rows, extent.columns, words * 4, packing.unit,
                              IntegerCodes(packing.bits, 1 << (packing.bits - 1))),
                   std::move(scales));
  return weight;
}

Result<PackedWeight> ReadPackedFloats(const FormatContext& context, const StoredTensor& codes) {
  const Names names = NamesOf(context, codes);
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* stored_scales, ScaleBeside(context, names, codes));
  std::vector<int64_t> shape = codes.shape();
  if (!shape.empty() && shape.back() <= kMostColumns) shape.back() *= 2;
  GRAFT_ASSIGN_OR_RETURN(const Extent extent, ExtentOf(codes, std::move(shape)));
  GRAFT_ASSIGN_OR_RETURN(const ScaleLayout layout,
                         LayoutOf(context, *stored_scales, extent.rows, extent.columns));
  if (const StoredTensor* zeros = context.stored.Find(names.beside + "_zero_point")) {
    return zeros->Fail("would move 4-bit floats, which graft does not read",
                       StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(GroupScales scales, ScalesOf(*stored_scales, layout));
  if (const StoredTensor* all = context.stored.Find(names.beside + "_global_scale")) {
    GRAFT_ASSIGN_OR_RETURN(const double divisor, OneNumber(*all));
    scales.scale = RescaledMatrix(std::move(scales.scale), Rescale::kDivide, divisor);
  } else if (const StoredTensor* second = context.stored.Find(names.beside + "_scale_2")) {
    GRAFT_ASSIGN_OR_RETURN(const double factor, OneNumber(*second));
    scales.scale = RescaledMatrix(std::move(scales.scale), Rescale::kMultiply, factor);
  }
  PackedWeight weight;
  weight.kind = names.program + (stored_scales->dtype() == DType::kFloat8E4M3 ? "NVFP4" : "MXFP4") +
                " " + layout.text;
  ClaimAll(context, names, codes, &weight);
  weight.tensor =
      ScaledTensor({names.weight, context.config.dtype.value_or(DType::kBFloat16), extent.shape},
                   PackedRows(codes, extent.rows, extent.columns, extent.columns / 2, DenseUnit(4),
                              Float4Codes()),
                   std::move(scales));
  return weight;
}

Result<PackedWeight> ReadEightBits(const FormatContext& context, const StoredTensor& codes) {
  const Names names = NamesOf(context, codes);
  const bool integers = codes.dtype() == DType::kInt8;
  const std::string kind = integers ? "int8" : "FP8";
  const bool has_scale = context.stored.Find(names.beside + "_scale") != nullptr ||
                         context.stored.Find(names.beside + "_scale_inv") != nullptr;
  PackedWeight weight;
  ClaimAll(context, names, codes, &weight);
  const DType dtype = context.config.dtype.value_or(DType::kBFloat16);
  if (!has_scale) {
    // A model cast to 8 bits.
    weight.kind = names.program + kind + " without scales";
    const int64_t width = std::max<int64_t>(1, codes.entry->info.row_elements());
    weight.tensor = UnscaledTensor({names.weight, dtype, codes.shape()},
                                   PlainMatrix(codes, codes.entry->info.rows(), width));
    return weight;
  }
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* stored_scales, ScaleBeside(context, names, codes));
  GRAFT_ASSIGN_OR_RETURN(const Extent extent, ExtentOf(codes, codes.shape()));
  GRAFT_ASSIGN_OR_RETURN(const ScaleLayout layout,
                         LayoutOf(context, *stored_scales, extent.rows, extent.columns));
  GRAFT_ASSIGN_OR_RETURN(GroupScales scales, ScalesOf(*stored_scales, layout));
  const StoredTensor* zeros = context.stored.Find(names.beside + "_zero_point");
  if (zeros != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(scales.zero, ZerosOf(*zeros, layout, 0));
  }
  if (const StoredTensor* index = context.stored.Find(names.beside + "_g_idx")) {
    GRAFT_ASSIGN_OR_RETURN(scales.group_of_column,
                           GroupsBy(*index, extent.columns, layout.scale_columns));
  }
  weight.kind = names.program + kind + " " + layout.text + (zeros != nullptr ? ", with zeros" : "");
  weight.tensor = ScaledTensor({names.weight, context.TypeOf(*stored_scales), extent.shape},
                               PlainMatrix(codes, extent.rows, extent.columns), std::move(scales));
  return weight;
}

}  // namespace graft::converter
