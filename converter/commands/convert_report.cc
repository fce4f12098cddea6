// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/convert_report.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "converter/commands/hash_text.h"
#include "converter/commands/merge_text.h"
#include "converter/commands/pack_report.h"
#include "converter/commands/progress.h"
#include "converter/describe/image_files.h"
#include "converter/describe/picture_files.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

// More names than this make a list nobody reads.
constexpr size_t kMaxNames = 4;

[[gnu::format(printf, 2, 3)]] void Append(std::string* text, const char* format, ...) {
  std::array<char, 1024> line{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  *text += line.data();
}

std::string NameList(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    text += (i > 0 ? ", " : "") + names[i];
  }
  if (names.size() > kMaxNames) {
    text += " and " + std::to_string(names.size() - kMaxNames) + " more";
  }
  return text;
}

std::string ShapeOf(const LayerOutcome& layer) {
  return std::to_string(layer.shape[0]) + "x" + std::to_string(layer.shape[1]);
}

// By outputs where these were measured, else by weights.
double NoiseOf(const LayerOutcome& layer) {
  return layer.output_noise.outputs > 0 ? layer.output_noise.NoiseRatio()
                                        : layer.measures.retained.NoiseRatio();
}

bool Drowned(const LayerOutcome& layer) { return layer.adapted && NoiseOf(layer) > 1.0; }

void AppendMixed(const ConvertReport& report, std::string* text) {
  if (report.outcome.mixed) *text += "  " + DescribeMixed(*report.outcome.mixed) + "\n";
}

// What is left of adapters in the outputs of calibrated matrices.
void AppendSurvival(const ConvertReport& report, std::string* text) {
  size_t matrices = 0;
  double least = 1.0, loudest = 0.0;
  for (const LayerOutcome& layer : report.outcome.layers) {
    if (layer.output_noise.outputs == 0) continue;
    ++matrices;
    least = std::min(least, layer.output_noise.Correlation());
    loudest = std::max(loudest, layer.output_noise.NoiseRatio());
  }
  if (matrices == 0) return;
  Append(text,
         "  in the outputs of %zu calibrated matrices rounding is at most %.2f of the adapter's "
         "change, and the correlation with it at least %.3f\n",
         matrices, loudest, least);
}

void AppendModel(const ConvertReport& report, std::string* text) {
  const TaskDescription& task = report.description.task;
  Append(text, "  %s", task.architecture.c_str());
  if (task.task != Task::kTensors) Append(text, ", %s", TaskName(task.task));
  if (task.context_tokens > 0) {
    Append(text, ", context %lld", static_cast<long long>(task.context_tokens));
  }
  if (task.task != Task::kTensors && task.takes_text && !task.image &&
      report.description.tokenizer.IsNull()) {
    Append(text, ", no tokenizer.json");
  }
  *text += "\n";
  if (task.pictures) {
    const std::string& source = task.pictures->image.source;
    *text += "  pictures " + DescribePictures(*task.pictures) +
             (source.empty() ? "\n" : ", by " + source + "\n");
  }
  if (!task.image) return;
  *text +=
      "  images " + DescribePreparation(*task.image) +
      (task.image->source.empty() ? ", as is usual for ViT: there is no preprocessor_config.json\n"
                                  : ", by " + task.image->source + "\n");
}

Json ImageJson(const std::optional<ImagePreparation>& image) {
  if (!image) return nullptr;
  return {{"source", image->source},
          {"height", image->height},
          {"width", image->width},
          {"channels", image->channels},
          {"preparation", DescribePreparation(*image)}};
}

void AppendFormats(const ConvertReport& report, std::string* text) {
  for (const FormatTotal& total : report.outcome.formats) {
    Append(text, "  %lld %s %s, %s\n", static_cast<long long>(total.tensors),
           total.tensors == 1 ? "tensor" : "tensors", total.format.Name().c_str(),
           BytesText(total.bytes).c_str());
  }
  if (report.outcome.scales_offered > 0) {
    Append(text, "  %.1f %% of the scales are the other file's\n",
           100.0 * static_cast<double>(report.outcome.scales_kept) /
               static_cast<double>(report.outcome.scales_offered));
  }
  std::vector<std::string> fallen;
  for (const LayerOutcome& layer : report.outcome.layers) {
    if (layer.fell_back) fallen.push_back(layer.name + " (" + ShapeOf(layer) + ")");
  }
  if (!report.description.unused.empty()) {
    *text +=
        "  left out, since the model does not use them: " + NameList(report.description.unused) +
        "\n";
  }
  if (fallen.empty()) return;
  *text += "  int8 instead of " + report.wanted.Name() + ", whose " +
           (report.wanted.block_size > 0
                ? "blocks of " + std::to_string(report.wanted.block_size) + " do"
                : std::string("pairs of codes do")) +
           " not divide the in_features: " + NameList(fallen) + "\n";
}

void AppendMerge(const ConvertReport& report, std::string* text) {
  const std::vector<AdapterReport> none;
  for (const AdapterReport& adapter : report.merge == nullptr ? none : report.merge->adapters) {
    *text += AdapterText(adapter) + "\n";
    if (!adapter.missing.empty()) {
      *text += "    targeted, but not in the adapter: " + NameList(adapter.missing) + "\n";
    }
  }
  if (!report.description.combined_by.empty()) {
    *text += "  combined by " + report.description.combined_by + "\n";
  }
  if (!report.description.base_stored_as.empty()) {
    *text += "  the base is stored as " + report.description.base_stored_as + "\n";
  }
  if (!report.description.base_rounding.empty()) {
    *text += "  the base was rounded to " + report.description.base_rounding + " first\n";
  }
  size_t tensors = 0;
  size_t kept = 0;
  double smallest = 0.0;
  double largest = 0.0;
  std::vector<std::string> drowned;
  for (const LayerOutcome& layer : report.outcome.layers) {
    if (!layer.adapted) continue;
    const double ratio = layer.measures.retained.DeltaRatio();
    smallest = tensors == 0 ? ratio : std::min(smallest, ratio);
    largest = std::max(largest, ratio);
    ++tensors;
    if (Drowned(layer)) drowned.push_back(layer.name);
    if (layer.kept_delta) ++kept;
  }
  if (tensors == 0) return;
  Append(text, "  %zu matrices changed by %.2g to %.2g of their norm\n", tensors, smallest,
         largest);
  if (kept > 0) {
    Append(text, "  %zu of them are stored in int8, since %s would drown the adapter\n", kept,
           report.wanted.Name().c_str());
  }
  if (drowned.empty()) return;
  Append(text, "  in %zu of them rounding is louder than the adapter (see --report)%s: %s\n",
         drowned.size(),
         report.wanted.is_int4() && kept == 0 ? "; --keep-delta stores those in int8" : "",
         NameList(drowned).c_str());
}

GridCounts AllGrids(const ConvertReport& report) {
  GridCounts all;
  for (const LayerOutcome& layer : report.outcome.layers) all.Add(layer.measures.grid);
  return all;
}

Json GridJson(const GridCounts& grid) {
  return {{"groups", grid.groups},
          {"on_grid", grid.on_grid},
          {"exact", grid.exact},
          {"negative", grid.negative}};
}

// Weights that were codes already.
void AppendGrids(const ConvertReport& report, std::string* text) {
  const GridCounts all = AllGrids(report);
  if (all.on_grid + all.negative == 0) return;
  Append(text, "  %lld of %lld groups of weights lie on the format's grid and keep their codes",
         static_cast<long long>(all.on_grid), static_cast<long long>(all.groups));
  if (all.on_grid > all.exact) {
    Append(text, "; the scales of %lld are rounded to the format's",
           static_cast<long long>(all.on_grid - all.exact));
  }
  if (all.negative > 0) {
    Append(text, "; %lld more would need a negative scale, and are rounded anew",
           static_cast<long long>(all.negative));
  }
  *text += "\n";
}

void AppendQuantizationError(const ConvertReport& report, std::string* text) {
  QuantizationError all;
  const LayerOutcome* worst = nullptr;
  for (const LayerOutcome& layer : report.outcome.layers) {
    all.Add(layer.measures.error);
    if (worst == nullptr || layer.measures.error.SnrDb() < worst->measures.error.SnrDb()) {
      worst = &layer;
    }
  }
  if (worst == nullptr || all.error_squares == 0.0) return;
  Append(text, "  weights keep %.1f dB over the rounding; least in %s, %.1f dB\n", all.SnrDb(),
         worst->name.c_str(), worst->measures.error.SnrDb());
}

void AppendTable(const ConvertReport& report, std::string* text) {
  int width = 6;
  for (const LayerOutcome& layer : report.outcome.layers) {
    width = std::max(width, static_cast<int>(layer.name.size()));
  }
  Append(text, "\n%-*s  %13s  %-13s  %7s  %10s  %8s  %4s  %9s  %8s  %6s  %6s\n", width, "matrix",
         "shape", "format", "SNR dB", "max error", "zeros", "rank", "scale", "|d|/|W|", "corr",
         "noise");
  for (const LayerOutcome& layer : report.outcome.layers) {
    const QuantizationError& error = layer.measures.error;
    Append(text, "%-*s  %13s  %-13s  %7.2f  %10.3g  %8lld", width, layer.name.c_str(),
           ShapeOf(layer).c_str(), layer.format.Name().c_str(), error.SnrDb(), error.max_error,
           static_cast<long long>(error.zeros_made));
    if (layer.adapted) {
      const RetainedDelta& retained = layer.measures.retained;
      Append(text, "  %4lld  %9.4g  %8.4f", static_cast<long long>(layer.change.rank),
             layer.change.scale, retained.DeltaRatio());
      if (layer.output_noise.outputs > 0) {
        Append(text, "  %6.3f  %6.3f", layer.output_noise.Correlation(),
               layer.output_noise.NoiseRatio());
      } else if (retained.sampled > 0) {
        Append(text, "  %6.3f  %6.3f", retained.Correlation(), retained.NoiseRatio());
      }
    }
    *text += "\n";
  }
  *text +=
      "corr: correlation of the adapter's change with what quantization leaves of it. "
      "noise: rounding error over the adapter's change. Of calibrated matrices both are of what "
      "they put out, of others of weights.\n";
}

Json LayerJson(const LayerOutcome& layer) {
  const QuantizationError& error = layer.measures.error;
  const RetainedDelta& retained = layer.measures.retained;
  Json json = {{"name", layer.name},
               {"shape", layer.shape},
               {"format", layer.format.Name()},
               {"fell_back", layer.fell_back},
               {"kept_delta", layer.kept_delta},
               {"bytes", layer.bytes},
               {"snr_db", error.SnrDb()},
               {"max_error", error.max_error},
               {"zeros_made", error.zeros_made}};
  if (layer.int4_divergence > 0) json["int4_divergence"] = layer.int4_divergence;
  if (layer.adapted) {
    Json change = {{"kind", layer.change.kind},
                   {"rank", layer.change.rank},
                   {"scale", layer.change.scale},
                   {"delta_ratio", retained.DeltaRatio()}};
    if (retained.sampled > 0) {
      change["delta_correlation"] = retained.Correlation();
      change["delta_noise_ratio"] = retained.NoiseRatio();
      change["sampled_elements"] = retained.sampled;
    }
    if (layer.output_noise.outputs > 0) {
      change["output_noise_ratio"] = layer.output_noise.NoiseRatio();
      change["output_correlation"] = layer.output_noise.Correlation();
    }
    json["adapter"] = std::move(change);
  }
  return json;
}

Json MixedJson(const MixedFormats& mixed) {
  Json json = {{"bits", mixed.bits}, {"divergence", mixed.divergence}};
  json["curve"] = Json::array();
  for (const CurvePoint& point : mixed.curve) {
    json["curve"].push_back({{"bits", point.bits}, {"divergence", point.divergence}});
  }
  return json;
}

}  // namespace

std::string ConvertReportText(const ConvertReport& report, bool per_layer) {
  std::string text = report.pack != nullptr
                         ? PackReportText(report.file, *report.pack)
                         : report.file + ": " + BytesText(report.outcome.file_bytes);
  text += "\n";
  AppendModel(report, &text);
  AppendFormats(report, &text);
  AppendMixed(report, &text);
  AppendMerge(report, &text);
  AppendSurvival(report, &text);
  AppendGrids(report, &text);
  AppendQuantizationError(report, &text);
  for (const std::string& warning : ConvertWarnings(report)) text += "  warning: " + warning + "\n";
  Append(&text, "  verified; %.1f s\n", report.seconds);
  if (per_layer) AppendTable(report, &text);
  return text;
}

std::string ConvertReportJson(const ConvertReport& report) {
  const TaskDescription& task = report.description.task;
  Json json = {
      {"file", report.file},
      {"file_bytes", report.outcome.file_bytes},
      {"header_bytes", report.outcome.header_bytes},
      {"seconds", report.seconds},
      {"task", TaskName(task.task)},
      {"architecture", task.architecture},
      {"context_tokens", task.context_tokens},
      {"has_tokenizer", !report.description.tokenizer.IsNull()},
      {"image", ImageJson(task.image)},
      {"pictures", task.pictures ? Json(DescribePictures(*task.pictures)) : Json()},
      {"quantization", report.wanted.Name()},
      {"base",
       {{"name", report.description.base_name}, {"hash", HashText(report.outcome.base_hash)}}}};
  for (const FormatTotal& total : report.outcome.formats) {
    json["formats"][total.format.Name()] = {{"tensors", total.tensors}, {"bytes", total.bytes}};
  }
  if (report.outcome.mixed) json["mixed"] = MixedJson(*report.outcome.mixed);
  if (report.outcome.probe_divergence) {
    json["probe_divergence"] = *report.outcome.probe_divergence;
  }
  json["warnings"] = ConvertWarnings(report);
  if (report.outcome.scales_offered > 0) {
    json["like"] = {{"scales_offered", report.outcome.scales_offered},
                    {"scales_kept", report.outcome.scales_kept}};
  }
  if (report.pack != nullptr) json["pack"] = Json::parse(PackReportJson(report.file, *report.pack));
  json["unused_tensors"] = report.description.unused;
  json["combined_by"] = report.description.combined_by;
  json["base"]["stored_as"] = report.description.base_stored_as;
  json["base"]["rounding"] = report.description.base_rounding;
  const MergeReport nothing;
  const MergeReport& merge = report.merge == nullptr ? nothing : *report.merge;
  json["adapters"] = AdaptersJson(merge);
  json["changed_tensors"] = ChangedTensorsJson(merge);
  json["grid"] = GridJson(AllGrids(report));
  json["layers"] = Json::array();
  for (const LayerOutcome& layer : report.outcome.layers)
    json["layers"].push_back(LayerJson(layer));
  // Names come from files: bytes that are not UTF-8 are replaced, not refused.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace graft::converter
