// SPDX-License-Identifier: Apache-2.0
// mlx: codes without gaps in words of 32 bits, the scales and biases of groups beside them. What the
// shapes leave open (4 bits in groups of 64, or 8 in groups of 32?) config.json says.
#include "converter/checkpoint/quantized/format_readers.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

struct Settings {
  int64_t bits = 0;
  int64_t group_size = 0;
  std::string mode = "affine";
};

Settings SettingsOf(const QuantizationConfig& config, std::string_view module) {
  Settings settings{config.bits, config.group_size, config.format};
  if (const auto own = config.modules.find(module); own != config.modules.end()) {
    if (own->second.bits > 0) settings.bits = own->second.bits;
    if (own->second.group_size > 0) settings.group_size = own->second.group_size;
    if (!own->second.format.empty()) settings.mode = own->second.format;
  }
  // What mlx takes where nothing is said.
  if (settings.mode.empty()) settings.mode = "affine";
  if (settings.bits == 0) settings.bits = 4;
  if (settings.group_size == 0) settings.group_size = settings.mode == "mxfp4" ? 32 : 64;
  return settings;
}

CodeTable Float8Codes() {
  CodeTable table{8, {}};
  for (size_t code = 0; code < 256; ++code) {
    table.values[code] = static_cast<double>(Float8E4M3BitsToFloat(static_cast<uint8_t>(code)));
  }
  return table;
}

Status CheckMode(const StoredTensor& codes, const Settings& settings) {
  const std::string& mode = settings.mode;
  if (mode != "affine" && mode != "mxfp4" && mode != "nvfp4" && mode != "mxfp8") {
    return codes.Fail("is of mlx's mode '" + mode.substr(0, 40) +
                          "', which graft does not read; undo it with `mlx_lm.convert "
                          "--dequantize`",
                      StatusCode::kUnsupported);
  }
  const int64_t bits = mode == "affine" ? settings.bits : mode == "mxfp8" ? 8 : 4;
  if (settings.bits == bits) return OkStatus();
  return codes.Fail("has " + std::to_string(settings.bits) +
                    " bits, says config.json, in a mode of " + std::to_string(bits));
}

}  // namespace

Result<PackedWeight> ReadMlx(const FormatContext& context, const StoredTensor& codes) {
  const std::string_view module = ModuleOfWeight(codes.name);
  const std::string prefix(module);
  GRAFT_ASSIGN_OR_RETURN(const StoredTensor* stored, context.stored.Get(prefix + ".scales", codes));
  const StoredTensor* biases = context.stored.Find(prefix + ".biases");
  const Settings settings = SettingsOf(context.config, module);
  const bool affine = settings.mode == "affine";
  GRAFT_RETURN_IF_ERROR(CheckMode(codes, settings));
  std::vector<int64_t> shape = codes.shape();
  if (shape.size() < 2 || codes.elements() == 0 || stored->shape().size() != shape.size()) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() + ", its scales " +
                      stored->entry->info.ShapeText());
  }
  const int64_t words = shape.back();
  const int64_t rows = codes.elements() / words;
  const int64_t groups = stored->shape().back();
  constexpr int64_t kMostWords = int64_t{1} << 24;
  constexpr int64_t kMostGroup = 1 << 16;
  const bool known_bits = settings.bits >= 2 && settings.bits <= 8 && settings.bits != 7;
  if (!known_bits || settings.group_size > kMostGroup || words > kMostWords ||
      words * 32 != groups * settings.group_size * settings.bits) {
    return codes.Fail("has the shape " + codes.entry->info.ShapeText() + " and scales " +
                      stored->entry->info.ShapeText() + ", which " + std::to_string(settings.bits) +
                      " bits in groups of " + std::to_string(settings.group_size) +
                      " (config.json) do not fill");
  }
  const auto bits = static_cast<int>(settings.bits);
  GRAFT_RETURN_IF_ERROR(CheckElements(*stored, rows * groups, "its weight's rows"));
  if (affine != IsFloat(stored->dtype()) || (!affine && stored->dtype() != DType::kUInt8)) {
    return stored->Fail("is of type " + std::string(DTypeName(stored->dtype())) +
                        ", which does not belong to the mode '" + settings.mode + "'");
  }
  const int64_t columns = groups * settings.group_size;
  GroupScales scales;
  scales.columns_each = settings.group_size;
  if (affine) {
    GRAFT_ASSIGN_OR_RETURN(biases, context.stored.Get(prefix + ".biases", codes));
    GRAFT_RETURN_IF_ERROR(CheckElements(*biases, rows * groups, "the shape of its scales"));
    if (!IsFloat(biases->dtype())) return biases->Fail("must be of a float type");
    scales.scale = PlainMatrix(*stored, rows, groups);
    scales.bias = PlainMatrix(*biases, rows, groups);
  } else {
    scales.scale = PackedRows(*stored, rows, groups, groups, {1, 1},
                              settings.mode == "nvfp4" ? Float8Codes() : PowerOfTwoCodes());
  }
  const CodeTable table = affine      ? IntegerCodes(bits, 0)
                          : bits == 8 ? Float8Codes()
                                      : Float4Codes();
  PackedWeight weight;
  weight.kind = "mlx " + (affine ? std::to_string(bits) + " bits" : settings.mode) +
                " in groups of " + std::to_string(settings.group_size);
  weight.parts = {codes.name};
  context.Claim(module, {".scales", ".biases"}, &weight);
  shape.back() = columns;
  weight.tensor = ScaledTensor({std::string(codes.name), context.TypeOf(*stored), std::move(shape)},
                               PackedRows(codes, rows, columns, words * 4, DenseUnit(bits), table),
                               std::move(scales));
  return weight;
}

}  // namespace graft::converter
