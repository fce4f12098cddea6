// SPDX-License-Identifier: Apache-2.0
// What config.json says, in words; and the endings of names that each program gives its codes.
#include "converter/checkpoint/quantized_base.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "converter/base/sanitize.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

constexpr const char* kStartElsewhere =
    "start from the unquantized checkpoint that it was made from";

struct Codes {
  std::string_view ending;
  bool (*type)(DType);
  const char* method;  // where config.json does not say
};

bool IsInteger(DType dtype) { return !IsFloat(dtype) && dtype != DType::kBool; }
bool IsAny(DType) { return true; }
bool IsByte(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kInt8; }

// Tensors that hold codes or belong to them, and nothing else in a checkpoint.
constexpr Codes kCodes[] = {
    {".qweight", IsInteger, "GPTQ or AWQ"},
    {".qzeros", IsInteger, "GPTQ or AWQ"},
    {".weight_packed", IsInteger, "compressed-tensors"},
    {".weight.absmax", IsAny, "bitsandbytes"},
    {".weight.quant_state.bitsandbytes__nf4", IsByte, "bitsandbytes"},
    {".weight.quant_state.bitsandbytes__fp4", IsByte, "bitsandbytes"},
    {".SCB", IsFloat, "bitsandbytes"},
    {".weight_scale", IsFloat, "compressed-tensors"},
    {".weight_scale_inv", IsFloat, "FP8"},
    {".weight._data", IsInteger, "quanto"},
    {".W_q", IsInteger, "HQQ"},
    {".codebooks", IsFloat, "AQLM"},
    {"_proj_blocks", IsByte, "MXFP4"},
};

const Codes* CodesOf(const TensorInfo& info) {
  const auto* found = std::find_if(std::begin(kCodes), std::end(kCodes), [&](const Codes& codes) {
    return info.name.ends_with(codes.ending) && codes.type(info.dtype);
  });
  return found != std::end(kCodes) ? found : nullptr;
}

// A bare word for a message.
std::string Word(JsonValue value) {
  if (value.IsString()) return Sanitize(std::string(*value.AsString()).substr(0, 40));
  return value.IsNull() ? "" : value.Text(20);
}

// What to do about a checkpoint of that method.
std::string Remedy(const std::string& method) {
  std::string text = kStartElsewhere;
  if (method.find("bitsandbytes") != std::string::npos) {
    text += ", or dequantize it in transformers (model.dequantize()) and save that";
  }
  return text;
}

// "mlx-lm, 4 bits ('quantization' in config.json); ..."; empty if config.json says nothing.
std::string SaidByConfig(const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::path file = folder / "config.json";
  if (!std::filesystem::is_regular_file(file, error)) return {};
  const auto document = JsonDocument::Read(file);
  if (!document.ok()) return {};
  const JsonValue root = (*document)->root();
  const JsonValue theirs = root.Find("quantization_config");
  const JsonValue mlx = root.Find("quantization");
  // mlx-lm writes both, alike, and no method.
  if (mlx.IsObject() && !theirs.Has("quant_method")) {
    const std::string bits = Word(mlx.Find("bits"));
    return "mlx-lm" + (bits.empty() ? "" : " to " + bits + " bits") +
           " ('quantization' in config.json), which graft does not read; " + kStartElsewhere +
           ", or undo it with `mlx_lm.convert --dequantize`";
  }
  if (!theirs.IsObject()) return {};
  std::string method = Word(theirs.Find("quant_method"));
  if (method.empty() && !theirs.Find("load_in_4bit").IsNull()) method = "bitsandbytes";
  if (method.empty()) method = "a program it does not name";
  return method + " ('quantization_config' in config.json), which graft does not read; " +
         Remedy(method);
}

}  // namespace

Status CheckUnquantized(std::span<const TensorInfo> tensors, const std::filesystem::path& folder,
                        const std::string& file) {
  for (const TensorInfo& info : tensors) {
    const Codes* codes = CodesOf(info);
    if (codes == nullptr) continue;
    std::string said = SaidByConfig(folder);
    if (said.empty()) {
      said = std::string(codes->method) + ", which graft does not read; " + Remedy(codes->method);
    }
    return Error(StatusCode::kUnsupported, "%s: its tensor '%s' belongs to weights quantized by %s",
                 file.c_str(), info.name.c_str(), said.c_str());
  }
  return OkStatus();
}

Status ExplainElementType(const Status& error, const std::filesystem::path& folder) {
  const std::string message(error.message());
  if (error.code() != StatusCode::kUnsupported ||
      message.find("has the element type '") == std::string::npos) {
    return error;
  }
  const std::string said = SaidByConfig(folder);
  if (!said.empty()) {
    return Status(error.code(), message + "; the checkpoint is quantized by " + said);
  }
  // U32: mlx packs codes so. F8_...: weights in eight bits.
  const bool codes = message.find("'U32'") != std::string::npos ||
                     message.find("'F8_") != std::string::npos ||
                     message.find("'F4") != std::string::npos;
  if (!codes) return error;
  return Status(error.code(),
                message + "; such tensors hold quantized weights: " + kStartElsewhere);
}

}  // namespace graft::converter
