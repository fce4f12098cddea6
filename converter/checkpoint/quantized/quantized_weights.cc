// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/quantized_weights.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "converter/checkpoint/quantized/refused_codes.h"

namespace graft::converter {
namespace {

bool IsFloat8(DType dtype) { return dtype == DType::kFloat8E4M3 || dtype == DType::kFloat8E5M2; }
bool IsWord(DType dtype) { return dtype == DType::kInt32 || dtype == DType::kUInt32; }
bool IsAny(DType) { return true; }
bool IsByte(DType dtype) { return dtype == DType::kUInt8; }
bool IsInt8(DType dtype) { return dtype == DType::kInt8; }
bool IsU32(DType dtype) { return dtype == DType::kUInt32; }
bool IsEightBits(DType dtype) { return IsInt8(dtype) || IsFloat8(dtype); }

// GPTQ and AWQ share their names; where config.json does not say which it is, the shapes do.
Result<PackedWeight> ReadGptqOrAwq(const FormatContext& context, const StoredTensor& codes) {
  constexpr int64_t kCodesInWord = 8;
  const std::string& method = context.config.method;
  if (method == "gptq") return ReadGptq(context, codes);
  if (method == "awq") return ReadAwq(context, codes);
  const std::string module(codes.name.substr(0, codes.name.rfind('.')));
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* scales, context.stored.Get(module + ".scales", codes));
  const bool across = scales->shape().size() == 2 && codes.shape().size() == 2 &&
                      scales->shape()[1] == codes.shape()[1] * kCodesInWord;
  return across ? ReadAwq(context, codes) : ReadGptq(context, codes);
}

// A tensor is handed to the reader of the first line whose ending and type it has, if a tensor of
// that name with `beside` in place of `dropped` is there.
struct Line {
  std::string_view ending;
  bool (*type)(DType);
  std::string_view dropped;
  std::string_view beside;
  FormatReader reader;
};

constexpr Line kLines[] = {
    {".quant_state.bitsandbytes__nf4", IsByte, "", "", ReadBitsAndBytes4},
    {".quant_state.bitsandbytes__fp4", IsByte, "", "", ReadBitsAndBytes4},
    {".weight", IsInt8, ".weight", ".SCB", ReadBitsAndBytes8},
    {".qweight", IsAny, ".qweight", ".scales", ReadGptqOrAwq},
    {"_packed", IsWord, "_packed", "_shape", ReadPackedIntegers},
    {"_packed", IsByte, "_packed", "_scale", ReadPackedFloats},
    {".weight", IsByte, "", "_scale_2", ReadPackedFloats},
    {".weight", IsU32, ".weight", ".scales", ReadMlx},
    {"_blocks", IsByte, "_blocks", "_scales", ReadMxfp4Blocks},
    {"._weight_qdata", IsEightBits, "qdata", "scale", ReadEightBits},
    {"", IsEightBits, "", "_scale", ReadEightBits},
    {"", IsFloat8, "", "_scale_inv", ReadEightBits},
};

FormatReader ReaderOf(const StoredTensors& stored, const StoredTensor& tensor) {
  for (const Line& line : kLines) {
    if (!tensor.name.ends_with(line.ending) || !line.type(tensor.dtype())) continue;
    if (!line.beside.empty()) {
      std::string name(tensor.name.substr(0, tensor.name.size() - line.dropped.size()));
      if (stored.Find(name += line.beside) == nullptr) continue;
    }
    return line.reader;
  }
  return nullptr;
}

class Reading {
 public:
  Reading(const StoredTensors& stored, const QuantizationConfig& config)
      : stored_(stored), context_{stored, config} {}

  Status Run() {
    for (const StoredTensor& tensor : stored_.all()) {
      if (const FormatReader reader = ReaderOf(stored_, tensor)) {
        GRAFT_RETURN_IF_ERROR(Add(reader(context_, tensor)));
      }
    }
    // Weights cast to 8 bits have nothing beside them; scales of others are such tensors, too.
    for (const StoredTensor& tensor : stored_.all()) {
      if (IsFloat8(tensor.dtype()) && !claimed_.contains(tensor.name)) {
        GRAFT_RETURN_IF_ERROR(Add(ReadEightBits(context_, tensor)));
      }
    }
    for (const PackedWeight& weight : weights_) {
      const StoredTensor* other = stored_.Find(weight.tensor->info().name);
      if (other == nullptr || claimed_.contains(other->name)) continue;
      return other->Fail("is there beside '" + std::string(weight.parts[0]) +
                         "', which holds the same weight in codes");
    }
    std::sort(weights_.begin(), weights_.end(), [](const PackedWeight& a, const PackedWeight& b) {
      return a.tensor->info().name < b.tensor->info().name;
    });
    return OkStatus();
  }

  const std::set<std::string_view>& claimed() const { return claimed_; }
  std::vector<PackedWeight> Take() { return std::move(weights_); }

 private:
  Status Add(Result<PackedWeight> weight) {
    if (!weight.ok()) return weight.status();
    for (const std::string_view part : weight->parts) {
      if (claimed_.insert(part).second) continue;
      return stored_.Find(part)->Fail("belongs to two quantized weights");
    }
    weights_.push_back(std::move(*weight));
    return OkStatus();
  }

  const StoredTensors& stored_;
  FormatContext context_;
  std::vector<PackedWeight> weights_;
  std::set<std::string_view> claimed_;
};

}  // namespace

DType FormatContext::TypeOf(const StoredTensor& scales) const {
  if (config.dtype.has_value()) return *config.dtype;
  const DType own = scales.dtype();
  return IsFloat(own) && own != DType::kFloat64 ? own : DType::kBFloat16;
}

void FormatContext::Claim(std::string_view module, std::initializer_list<std::string_view> names,
                          PackedWeight* weight) const {
  for (const std::string_view name : names) {
    const StoredTensor* found = stored.Find(std::string(module) + std::string(name));
    if (found != nullptr) weight->parts.push_back(found->name);
  }
}

Result<std::vector<PackedWeight>> ReadQuantizedWeights(const StoredTensors& stored,
                                                       const std::filesystem::path& folder,
                                                       const std::string& file) {
  if (std::none_of(stored.all().begin(), stored.all().end(),
                   [](const StoredTensor& tensor) { return MayBeCodes(tensor); })) {
    return std::vector<PackedWeight>();
  }
  GRAFT_ASSIGN_OR_RETURN(const QuantizationConfig config, QuantizationConfig::Read(folder));
  GRAFT_RETURN_IF_ERROR(CheckMethod(stored, config, file));
  Reading reading(stored, config);
  GRAFT_RETURN_IF_ERROR(reading.Run());
  GRAFT_RETURN_IF_ERROR(CheckNoCodesLeft(stored, reading.claimed(), config, file));
  return reading.Take();
}

std::string DescribeKinds(std::span<const PackedWeight> weights) {
  std::map<std::string, int64_t> counts;
  for (const PackedWeight& weight : weights) ++counts[weight.kind];
  std::string text;
  for (const auto& [kind, count] : counts) {
    text += (text.empty() ? "" : "; ") + kind + " (" + std::to_string(count) +
            (count == 1 ? " tensor)" : " tensors)");
  }
  return text;
}

}  // namespace graft::converter
