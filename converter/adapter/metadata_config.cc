// SPDX-License-Identifier: Apache-2.0
// Keys that were seen in files, tried from the most telling to the least.
#include "converter/adapter/metadata_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_keys.h"
#include "converter/tensors/training_wrappers.h"

namespace graft::converter {
namespace {

constexpr std::string_view kAlphaKeys[] = {"lora_alpha", "alpha", "network_alpha",
                                           "ss_network_alpha"};
constexpr std::string_view kWholeKeys[] = {"adapter_config", "peft_config", "lora_config",
                                           "adapter_config.json", "config"};

const std::string* Find(const WeightFile& weights, std::string_view key) {
  for (const auto& [name, value] : weights.metadata()) {
    if (name == key) return &value;
  }
  return nullptr;
}

JsonLimits Limits() {
  JsonLimits limits;
  limits.max_bytes = uint64_t{16} << 20;
  limits.max_depth = 16;
  return limits;
}

std::string NameOf(const WeightFile& weights, std::string_view key) {
  return weights.path() + ": metadata '" + std::string(key) + "'";
}

// diffusers writes the configuration of each part of the pipeline into one object: "unet.r".
Result<std::unique_ptr<JsonDocument>> FromDiffusers(const WeightFile& weights,
                                                    const std::string& text) {
  const std::string name = NameOf(weights, "lora_adapter_metadata");
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Parse(text, name, Limits()));
  const JsonValue root = document->root();
  if (!root.IsObject()) return root.Fail("must be an object");
  // By what is before the dot, the members as JSON text.
  std::map<std::string_view, std::string> parts;
  for (size_t i = 0; i < root.size(); ++i) {
    const std::string_view key = root.key(i);
    const size_t dot = key.find('.');
    const size_t begin = dot == std::string_view::npos ? 0 : dot + 1;
    parts[key.substr(0, begin)] +=
        ", " + JsonQuote(key.substr(begin)) + ": " + root.at(i).Text(Limits().max_bytes);
  }
  const auto differs = std::find_if(parts.begin(), parts.end(), [&](const auto& part) {
    return part.second != parts.begin()->second;
  });
  if (parts.empty() || differs != parts.end()) {
    return root.Fail(parts.empty() ? "holds no settings"
                                   : "has settings for several parts of a pipeline that differ; "
                                     "save each part's adapter in a file of its own",
                     StatusCode::kUnsupported);
  }
  return JsonDocument::Parse("{\"peft_type\": \"LORA\"" + parts.begin()->second + "}", name,
                             Limits());
}

// A pattern that matches the module and no other.
std::string Escaped(std::string_view module) {
  std::string pattern;
  for (const char c : module) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
  return pattern;
}

// Every module with the rank that its factors have.
std::string FromRanks(const WeightFile& weights, const AdapterKinds& kinds,
                      std::optional<double> alpha) {
  std::map<std::string, int64_t> ranks;
  for (const WeightFile::Entry& entry : weights.entries()) {
    const AdapterKey key = SplitPeftKey(WithoutTrainingWrappers(entry.info.name), {}, kinds);
    if (key.role == "lora_A" && !entry.info.shape.empty()) ranks[key.module] = entry.info.shape[0];
  }
  if (ranks.empty()) return {};
  const int64_t common = ranks.begin()->second;
  // Each becomes a pattern that every module is held against.
  constexpr ptrdiff_t kMaxOthers = 1000;
  const auto others = std::count_if(ranks.begin(), ranks.end(),
                                    [common](const auto& rank) { return rank.second != common; });
  if (others > kMaxOthers) return {};
  std::string rank_pattern;
  std::string alpha_pattern;
  for (const auto& [module, rank] : ranks) {
    if (rank == common) continue;
    const std::string begin =
        (rank_pattern.empty() ? "" : ", ") + JsonQuote(Escaped(module)) + ": ";
    rank_pattern += begin + std::to_string(rank);
    alpha_pattern += begin + std::to_string(rank);
  }
  std::string number = std::to_string(common);
  if (alpha.has_value()) {
    char digits[40];
    number.assign(digits, std::to_chars(digits, digits + sizeof digits, *alpha).ptr);
    alpha_pattern.clear();
  }
  std::string flags;
  for (const char* flag : {"use_rslora", "use_dora"}) {
    const std::string* text = Find(weights, flag);
    if (text != nullptr && (*text == "true" || *text == "True" || *text == "1"))
      flags += ", \"" + std::string(flag) + "\": true";
  }
  return "{\"peft_type\": \"LORA\"" + flags + ", \"r\": " + std::to_string(common) +
         ", \"lora_alpha\": " + number + ", \"rank_pattern\": {" + rank_pattern +
         "}, \"alpha_pattern\": {" + alpha_pattern + "}}";
}

// Names that diffusers or ComfyUI give to the modules of a pipeline.
bool IsPipelineKey(std::string_view name) {
  constexpr std::string_view kBeginnings[] = {"unet.",
                                              "text_encoder.",
                                              "text_encoder_2.",
                                              "text_encoder_3.",
                                              "diffusion_model.",
                                              "transformer.transformer_blocks.",
                                              "transformer.single_transformer_blocks.",
                                              "transformer.blocks.",
                                              "prior.",
                                              "controlnet."};
  return std::any_of(std::begin(kBeginnings), std::end(kBeginnings),
                     [name](std::string_view beginning) { return name.starts_with(beginning); });
}

}  // namespace

std::optional<double> AlphaFromMetadata(const WeightFile& weights) {
  for (const std::string_view key : kAlphaKeys) {
    const std::string* text = Find(weights, key);
    double alpha = 0;
    if (text == nullptr) continue;
    const char* end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data(), end, alpha);
    if (parsed.ec == std::errc() && parsed.ptr == end && std::isfinite(alpha)) return alpha;
  }
  return std::nullopt;
}

Result<std::unique_ptr<JsonDocument>> ConfigFromMetadata(const WeightFile& weights,
                                                         const AdapterKinds& kinds) {
  if (const std::string* text = Find(weights, "lora_adapter_metadata"); text != nullptr) {
    return FromDiffusers(weights, *text);
  }
  for (const std::string_view key : kWholeKeys) {
    const std::string* text = Find(weights, key);
    if (text == nullptr || !text->starts_with('{')) continue;
    GRAFT_ASSIGN_OR_RETURN(auto document,
                           JsonDocument::Parse(*text, NameOf(weights, key), Limits()));
    if (document->root().Has("peft_type")) return document;
  }
  const std::optional<double> alpha = AlphaFromMetadata(weights);
  const std::span<const WeightFile::Entry> entries = weights.entries();
  const bool pipeline = std::all_of(entries.begin(), entries.end(), [](const auto& entry) {
    return IsPipelineKey(entry.info.name);
  });
  if (!alpha.has_value() && !pipeline) return std::unique_ptr<JsonDocument>();
  const std::string text = FromRanks(weights, kinds, alpha);
  if (text.empty()) return std::unique_ptr<JsonDocument>();
  return JsonDocument::Parse(text, weights.path() + ": metadata", Limits());
}

}  // namespace graft::converter
