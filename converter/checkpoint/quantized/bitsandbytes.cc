// SPDX-License-Identifier: Apache-2.0
// bitsandbytes: 4-bit codes of a table in blocks that run over the ends of rows, and int8 rows. The
// arithmetic is float32's, rounded where dequantize_4bit and int8_vectorwise_dequant round.
#include <algorithm>
#include <array>
#include <cmath>

#include "converter/checkpoint/quantized/format_readers.h"
#include "converter/json/json.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostStateBytes = 1 << 16;
constexpr int64_t kMostBlock = 1 << 16;

// Numbers of blocks: one each, or codes of a table times one each for a block of blocks.
struct BlockScales {
  StoredTensor stored;
  int64_t block = 64;
  std::vector<float> table;  // if the scales are codes
  StoredTensor nested;
  int64_t nested_block = 256;
  float offset = 0;

  // Scales [first, first + out.size()).
  Status Read(int64_t first, std::span<double> out) const {
    GRAFT_RETURN_IF_ERROR(stored.file->ReadElements(*stored.entry, first, out));
    if (table.empty()) return OkStatus();
    const int64_t end = first + static_cast<int64_t>(out.size());
    const int64_t first_nested = first / nested_block;
    std::vector<double> of_nested(static_cast<size_t>((end - 1) / nested_block + 1 - first_nested));
    GRAFT_RETURN_IF_ERROR(nested.file->ReadElements(*nested.entry, first_nested, of_nested));
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t at = (first + static_cast<int64_t>(i)) / nested_block - first_nested;
      const float product = table[static_cast<size_t>(out[i])] *
                            static_cast<float>(of_nested[static_cast<size_t>(at)]);
      out[i] = static_cast<double>(product + offset);
    }
    return OkStatus();
  }
};

class FourBits final : public PackedTensor {
 public:
  FourBits(TensorInfo info, const StoredTensor& codes, std::array<double, 16> table,
           BlockScales scales)
      : PackedTensor(std::move(info)), codes_(codes), table_(table), scales_(std::move(scales)) {}

 protected:
  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    const int64_t begin = row_begin * info().row_elements();
    const int64_t end = row_end * info().row_elements();
    // Whole elements of whatever type the bytes were given.
    const auto unit = static_cast<uint64_t>(DTypeBytes(codes_.dtype()));
    const uint64_t first_byte = static_cast<uint64_t>(begin) / 2 / unit * unit;
    const uint64_t end_byte = ((static_cast<uint64_t>(end) + 1) / 2 + unit - 1) / unit * unit;
    thread_local std::vector<uint8_t> bytes;
    thread_local std::vector<double> scales;
    bytes.resize(static_cast<size_t>(end_byte - first_byte));
    GRAFT_RETURN_IF_ERROR(codes_.file->ReadBytes(*codes_.entry, first_byte, bytes));
    const int64_t first_block = begin / scales_.block;
    scales.resize(static_cast<size_t>((end - 1) / scales_.block + 1 - first_block));
    GRAFT_RETURN_IF_ERROR(scales_.Read(first_block, scales));
    for (int64_t i = begin; i < end;) {
      const int64_t block = i / scales_.block;
      const double scale = scales[static_cast<size_t>(block - first_block)];
      for (const int64_t stop = std::min(end, (block + 1) * scales_.block); i < stop; ++i) {
        const uint8_t pair = bytes[static_cast<size_t>(static_cast<uint64_t>(i) / 2 - first_byte)];
        // The first of two in the upper half.
        const unsigned code = i % 2 == 0 ? pair >> 4 : pair & 15U;
        out[static_cast<size_t>(i - begin)] = table_[code] * scale;
      }
    }
    return OkStatus();
  }

 private:
  StoredTensor codes_;
  std::array<double, 16> table_;
  BlockScales scales_;
};

class EightBits final : public PackedTensor {
 public:
  EightBits(TensorInfo info, const StoredTensor& codes, const StoredTensor& scales)
      : PackedTensor(std::move(info)), codes_(codes), scales_(scales) {}

 protected:
  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    constexpr float kStep = 7.874015718698502e-3f;  // 1 / 127
    const int64_t width = info().row_elements();
    GRAFT_RETURN_IF_ERROR(codes_.file->ReadElements(*codes_.entry, row_begin * width, out));
    std::vector<double> scales(static_cast<size_t>(row_end - row_begin));
    GRAFT_RETURN_IF_ERROR(scales_.file->ReadElements(*scales_.entry, row_begin, scales));
    for (size_t row = 0; row < scales.size(); ++row) {
      const auto scale = static_cast<float>(scales[row]);
      for (double& number :
           out.subspan(row * static_cast<size_t>(width), static_cast<size_t>(width))) {
        number = static_cast<double>(static_cast<float>(number) * scale * kStep);
      }
    }
    return OkStatus();
  }

 private:
  StoredTensor codes_;
  StoredTensor scales_;
};

struct State {
  std::string type;
  int64_t block = 0;
  std::vector<int64_t> shape;
  int64_t elements = 1;
  DType dtype = DType::kBFloat16;
  bool nested = false;
  int64_t nested_block = 0;
  float offset = 0;
};

Result<State> ParseState(const StoredTensor& stored) {
  if (stored.elements() > kMostStateBytes) return stored.Fail("has more than 65536 bytes");
  std::string text(static_cast<size_t>(stored.elements()), '\0');
  GRAFT_RETURN_IF_ERROR(stored.file->ReadBytes(
      *stored.entry, 0, std::span(reinterpret_cast<uint8_t*>(text.data()), text.size())));
  GRAFT_ASSIGN_OR_RETURN(
      const auto document,
      JsonDocument::Parse(text, stored.file->path() + ": " + stored.entry->info.name));
  const JsonValue root = document->root();
  State state;
  GRAFT_ASSIGN_OR_RETURN(state.type, root.GetString("quant_type"));
  GRAFT_ASSIGN_OR_RETURN(state.block, root.GetIntIn("blocksize", 1, kMostBlock));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue shape, root.Get("shape", JsonKind::kArray));
  if (shape.size() == 0 || shape.size() > kMaxDimensions) {
    return shape.Fail("must have 1 to 16 dimensions");
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t side, shape.at(i).AsInt());
    if (side < 1 || !CheckedMultiply(state.elements, side, &state.elements)) {
      return shape.Fail("is impossible");
    }
    state.shape.push_back(side);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string dtype, root.GetString("dtype", "bfloat16"));
  if (dtype == "float16") state.dtype = DType::kFloat16;
  if (dtype == "float32") state.dtype = DType::kFloat32;
  state.nested = root.Has("nested_blocksize");
  if (!state.nested) return state;
  GRAFT_ASSIGN_OR_RETURN(state.nested_block, root.GetIntIn("nested_blocksize", 1, kMostBlock));
  GRAFT_ASSIGN_OR_RETURN(const double offset, root.GetDouble("nested_offset"));
  if (!std::isfinite(static_cast<float>(offset))) {
    return root.Find("nested_offset").Fail("is no finite float32");
  }
  state.offset = static_cast<float>(offset);
  return state;
}

int64_t Blocks(int64_t elements, int64_t block) { return (elements - 1) / block + 1; }

}  // namespace

Result<PackedWeight> ReadBitsAndBytes4(const FormatContext& context, const StoredTensor& stored) {
  GRAFT_ASSIGN_OR_RETURN(const State state, ParseState(stored));
  const std::string_view name = stored.name.substr(0, stored.name.rfind(".quant_state."));
  const std::string prefix(name);
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* codes, context.stored.Get(name, stored));
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* map,
                         context.stored.Get(prefix + ".quant_map", *codes));
  BlockScales scales;
  scales.block = state.block;
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* absmax,
                         context.stored.Get(prefix + ".absmax", *codes));
  scales.stored = *absmax;
  const uint64_t bytes = (static_cast<uint64_t>(state.elements) + 1) / 2;
  const auto unit = static_cast<uint64_t>(DTypeBytes(codes->dtype()));
  if (codes->entry->size_bytes != (bytes + unit - 1) / unit * unit) {
    return codes->Fail("has " + std::to_string(codes->entry->size_bytes) +
                       " bytes, but its quant_state's shape " + ShapeText(state.shape) + " needs " +
                       std::to_string(bytes));
  }
  const int64_t blocks = Blocks(state.elements, state.block);
  GRAFT_RETURN_IF_ERROR(CheckElements(*absmax, blocks, "quant_state's shape and blocksize"));
  GRAFT_RETURN_IF_ERROR(CheckElements(*map, 16, "4 bits"));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> values, ReadSmall(*map, 16));
  std::array<double, 16> table{};
  std::copy(values.begin(), values.end(), table.begin());

  if (state.nested) {
    if (absmax->dtype() != DType::kUInt8) return absmax->Fail("must be of type U8: it is nested");
    GRAFT_ASSIGN_OR_RETURN(const StoredTensor* nested,
                           context.stored.Get(prefix + ".nested_absmax", *codes));
    GRAFT_ASSIGN_OR_RETURN(const StoredTensor* nested_map,
                           context.stored.Get(prefix + ".nested_quant_map", *codes));
    GRAFT_RETURN_IF_ERROR(
        CheckElements(*nested, Blocks(blocks, state.nested_block), "nested_blocksize"));
    GRAFT_RETURN_IF_ERROR(CheckElements(*nested_map, 256, "8 bits"));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<double> of_codes, ReadSmall(*nested_map, 256));
    for (const double value : of_codes) scales.table.push_back(static_cast<float>(value));
    scales.nested = *nested;
    scales.nested_block = state.nested_block;
    scales.offset = state.offset;
  } else if (!IsFloat(absmax->dtype())) {
    return absmax->Fail("must be of a float type: the quant_state says nothing of nested scales");
  }
  PackedWeight weight;
  weight.kind = "bitsandbytes " + std::string(state.type == "nf4" ? "NF4" : "FP4") +
                " in blocks of " + std::to_string(state.block) +
                (state.nested ? ", double-quantized" : "");
  weight.parts = {name, stored.name};
  context.Claim(name, {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}, &weight);
  TensorInfo info{prefix, context.config.dtype.value_or(state.dtype), state.shape};
  weight.tensor = std::make_unique<FourBits>(std::move(info), *codes, table, std::move(scales));
  return weight;
}

Result<PackedWeight> ReadBitsAndBytes8(const FormatContext& context, const StoredTensor& codes) {
  const std::string_view module = ModuleOfWeight(codes.name);
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* scales,
                         context.stored.Get(std::string(module) + ".SCB", codes));
  if (codes.shape().size() != 2) return codes.Fail("must have two dimensions");
  if (!IsFloat(scales->dtype())) return scales->Fail("must be of a float type");
  GRAFT_RETURN_IF_ERROR(CheckElements(*scales, codes.shape()[0], "the rows of its weight"));
  if (const StoredTensor* form = context.stored.Find(std::string(module) + ".weight_format")) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<double> number, ReadSmall(*form, 1));
    if (!number.empty() && number[0] != 0) {
      return codes.Fail(
          "lies in tiles of a GPU (weight_format), which graft does not read; load "
          "and save it with a newer bitsandbytes",
          StatusCode::kUnsupported);
    }
  }
  PackedWeight weight;
  weight.kind = "bitsandbytes int8";
  weight.parts = {codes.name};
  context.Claim(module, {".SCB", ".weight_format"}, &weight);
  TensorInfo info{std::string(codes.name), context.TypeOf(codes), codes.shape()};
  weight.tensor = std::make_unique<EightBits>(std::move(info), codes, *scales);
  return weight;
}

}  // namespace graft::converter
