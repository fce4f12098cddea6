// SPDX-License-Identifier: Apache-2.0
// What config.json says, in words; and the endings of names that each program gives its codes.
#include "converter/checkpoint/quantized/refused_codes.h"

#include <algorithm>

#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

constexpr const char* kStartElsewhere =
    "start from the unquantized checkpoint that it was made from";

bool IsInteger(DType dtype) { return !IsFloat(dtype) && dtype != DType::kBool; }
bool IsAny(DType) { return true; }
bool IsByte(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kInt8; }
bool IsWord(DType dtype) { return dtype == DType::kUInt32 || dtype == DType::kInt32; }
bool IsSmallInteger(DType dtype) {
  return IsByte(dtype) || IsWord(dtype) || dtype == DType::kInt16;
}

struct Codes {
  std::string_view ending;
  bool (*type)(DType);
  const char* method;  // where config.json does not say
};

// Tensors that hold codes or belong to them, and nothing else in a checkpoint.
constexpr Codes kCodes[] = {
    {".qweight", IsInteger, "GPTQ or AWQ"},
    {".qzeros", IsInteger, "GPTQ or AWQ"},
    {"_packed", IsInteger, "compressed-tensors"},
    {".absmax", IsAny, "bitsandbytes"},
    {".SCB", IsFloat, "bitsandbytes"},
    {".weight_scale", IsAny, "compressed-tensors"},
    {".weight_scale_inv", IsAny, "FP8"},
    {"._weight_qdata", IsAny, "torchao"},
    {".weight._data", IsAny, "quanto"},
    {".W_q", IsInteger, "HQQ"},
    {".codebooks", IsFloat, "AQLM"},
    {".q_weight", IsInteger, "EXL2"},
    {".Qidxs", IsInteger, "QuIP#"},
    {".trellis", IsInteger, "EXL3 or QTIP"},
    {".dense_weights", IsAny, "SpQR"},
    {".centroids.weight", IsFloat, "VPTQ"},
    {".weight_scales", IsFloat, "EETQ"},
    {"_proj_blocks", IsByte, "MXFP4"},
};

const Codes* CodesOf(const StoredTensor& tensor) {
  const auto* found = std::find_if(std::begin(kCodes), std::end(kCodes), [&](const Codes& codes) {
    return tensor.name.ends_with(codes.ending) && codes.type(tensor.dtype());
  });
  return found != std::end(kCodes) ? found : nullptr;
}

// What config.json calls methods whose codes need more than tables and scales.
constexpr std::string_view kUnread[] = {"aqlm",      "bitnet",    "eetq",     "exl2",  "exl3",
                                        "exllamav2", "exllamav3", "fp_quant", "higgs", "hqq",
                                        "marlin",    "qtip",      "quanto",   "quark", "quip",
                                        "quip#",     "sinq",      "spqr",     "vptq"};

std::string Said(const QuantizationConfig& config) {
  const std::string name = Sanitize(config.spelling.substr(0, 40));
  if (config.method == "mlx") {
    return "mlx-lm" +
           (config.bits > 0 ? " to " + std::to_string(config.bits) + " bits" : std::string()) +
           " ('quantization' in config.json), which graft does not read in this form; " +
           kStartElsewhere + ", or undo it with `mlx_lm.convert --dequantize`";
  }
  std::string advice = kStartElsewhere;
  if (config.method == "bitsandbytes") {
    advice += ", or dequantize it in transformers (model.dequantize()) and save that";
  }
  return name +
         " ('quantization_config' in config.json), which graft does not read in this form; " +
         advice;
}

}  // namespace

bool MayBeCodes(const StoredTensor& tensor) {
  return !IsFloat(tensor.dtype()) || CodesOf(tensor) != nullptr;
}

Status CheckMethod(const StoredTensors& stored, const QuantizationConfig& config,
                   const std::string& file) {
  if (std::find(std::begin(kUnread), std::end(kUnread), config.method) == std::end(kUnread)) {
    return OkStatus();
  }
  // A base may only be meant to be quantized when it is loaded.
  for (const StoredTensor& tensor : stored.all()) {
    const bool codes = CodesOf(tensor) != nullptr ||
                       (IsSmallInteger(tensor.dtype()) && tensor.shape().size() >= 2);
    if (!codes) continue;
    return Error(StatusCode::kUnsupported,
                 "%s: its tensor '%s' belongs to weights quantized by %s ('quantization_config' in "
                 "config.json), whose codes graft does not read; %s",
                 file.c_str(), tensor.entry->info.name.c_str(),
                 Sanitize(config.spelling.substr(0, 40)).c_str(), kStartElsewhere);
  }
  return OkStatus();
}

Status CheckNoCodesLeft(const StoredTensors& stored, const std::set<std::string_view>& claimed,
                        const QuantizationConfig& config, const std::string& file) {
  for (const StoredTensor& tensor : stored.all()) {
    const Codes* codes = CodesOf(tensor);
    if (codes == nullptr || claimed.contains(tensor.name)) continue;
    const std::string said =
        config.method.empty() ? std::string(codes->method) +
                                    ", which graft does not read in this form; " + kStartElsewhere
                              : Said(config);
    return Error(StatusCode::kUnsupported, "%s: its tensor '%s' belongs to weights quantized by %s",
                 file.c_str(), tensor.entry->info.name.c_str(), said.c_str());
  }
  return OkStatus();
}

Status ExplainElementType(const Status& error, const std::filesystem::path& folder) {
  const std::string message(error.message());
  if (error.code() != StatusCode::kUnsupported ||
      message.find("has the element type '") == std::string::npos) {
    return error;
  }
  const auto config = QuantizationConfig::Read(folder);
  if (config.ok() && !config->method.empty()) {
    return Status(error.code(), message + "; the checkpoint is quantized by " + Said(*config));
  }
  const bool codes =
      message.find("'F4") != std::string::npos || message.find("'F6") != std::string::npos;
  if (!codes) return error;
  return Status(error.code(),
                message + "; such tensors hold quantized weights: " + kStartElsewhere);
}

}  // namespace graft::converter
