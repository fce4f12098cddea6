// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/image_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

#include "converter/base/input_file.h"
#include "schema/image_window.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;
using Filter = ImagePreparation::Filter;

constexpr int64_t kMaxSide = schema::kMaxImageSide;
constexpr double kUsualRescale = 1.0 / 255;

// The defaults of transformers' classes, where the file has no value.
struct Processor {
  std::string_view name;
  Filter filter;
  int64_t size;
  int64_t crop;  // 0: images are not cropped
};
constexpr Processor kProcessors[] = {{"ViT", Filter::kBilinear, 224, 0},
                                     {"DeiT", Filter::kBicubic, 256, 224}};
constexpr std::string_view kEndings[] = {"ImageProcessor", "ImageProcessorFast",
                                         "ImageProcessorPil", "FeatureExtractor"};

// Settings that are read below, or that say nothing about pixels.
constexpr std::string_view kKnown[] = {"image_processor_type",
                                       "feature_extractor_type",
                                       "processor_class",
                                       "do_resize",
                                       "size",
                                       "default_to_square",
                                       "resample",
                                       "do_center_crop",
                                       "crop_size",
                                       "do_rescale",
                                       "rescale_factor",
                                       "do_normalize",
                                       "image_mean",
                                       "image_std",
                                       "do_convert_rgb",
                                       "data_format",
                                       "input_data_format",
                                       "return_tensors",
                                       "device",
                                       "disable_grouping",
                                       "_valid_processor_keys",
                                       "pad_size",
                                       "image_seq_length",
                                       "backend"};

constexpr const char* kFilterNames[] = {"nearest", "bilinear", "bicubic"};

struct Sides {
  int64_t height = 0;
  int64_t width = 0;  // 0: height is that of the shorter side
};

std::string SidesText(int64_t height, int64_t width) {
  return std::to_string(height) + "x" + std::to_string(width);
}

Result<Processor> FindProcessor(const JsonValue& config) {
  const char* key =
      config.Has("image_processor_type") ? "image_processor_type" : "feature_extractor_type";
  if (!config.Has(key)) return kProcessors[0];
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString(key));
  for (const Processor& processor : kProcessors) {
    for (const std::string_view ending : kEndings) {
      if (type == std::string(processor.name).append(ending)) return processor;
    }
  }
  return config.Find(key).Fail(
      "is \"" + type + "\"; this version computes the image processors of ViT and DeiT",
      StatusCode::kUnsupported);
}

// A setting of no known name may be one that changes the pixels; null and false ask for nothing.
Status RefuseOtherSettings(const JsonValue& config) {
  for (size_t i = 0; i < config.size(); ++i) {
    if (std::find(std::begin(kKnown), std::end(kKnown), config.key(i)) != std::end(kKnown))
      continue;
    const JsonValue value = config.at(i);
    if (value.IsNull() || (value.kind() == JsonKind::kBool && !value.AsBool().value())) continue;
    return value.Fail("is " + value.Text() + ", a setting that is not computed",
                      StatusCode::kUnsupported);
  }
  return OkStatus();
}

// A number, {"height", "width"} or {"shortest_edge"}.
Result<Sides> ReadSides(const JsonValue& config, const char* key, int64_t fallback,
                        bool is_shorter_side) {
  if (!config.Has(key)) return Sides{fallback, fallback};
  const JsonValue member = config.Find(key);
  if (!member.IsObject()) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t side, config.GetIntIn(key, 1, kMaxSide));
    return Sides{side, is_shorter_side ? 0 : side};
  }
  for (size_t i = 0; i < member.size(); ++i) {
    const std::string_view name = member.key(i);
    if (member.at(i).IsNull() || name == "height" || name == "width" || name == "shortest_edge")
      continue;
    return member.at(i).Fail(
        "is not computed; this version knows height and width, or shortest_edge",
        StatusCode::kUnsupported);
  }
  Sides sides;
  if (member.Has("shortest_edge")) {
    GRAFT_ASSIGN_OR_RETURN(sides.height, member.GetIntIn("shortest_edge", 1, kMaxSide));
    return sides;
  }
  GRAFT_ASSIGN_OR_RETURN(sides.height, member.GetIntIn("height", 1, kMaxSide));
  GRAFT_ASSIGN_OR_RETURN(sides.width, member.GetIntIn("width", 1, kMaxSide));
  return sides;
}

// Pillow's numbers.
Result<Filter> ReadFilter(const JsonValue& config, Filter fallback) {
  constexpr std::pair<int64_t, Filter> kFilters[] = {
      {0, Filter::kNearest}, {2, Filter::kBilinear}, {3, Filter::kBicubic}};
  if (!config.Has("resample")) return fallback;
  GRAFT_ASSIGN_OR_RETURN(const int64_t code, config.GetInt("resample"));
  for (const auto& [number, filter] : kFilters) {
    if (code == number) return filter;
  }
  return config.Find("resample")
      .Fail("is " + std::to_string(code) +
                "; this version resizes by nearest (0), bilinear (2) and bicubic (3)",
            StatusCode::kUnsupported);
}

Status ReadResize(const JsonValue& config, const Processor& processor, ImagePreparation* image) {
  GRAFT_ASSIGN_OR_RETURN(const bool is_square, config.GetBool("default_to_square", true));
  GRAFT_ASSIGN_OR_RETURN(const bool resizes, config.GetBool("do_resize", true));
  GRAFT_ASSIGN_OR_RETURN(const bool crops, config.GetBool("do_center_crop", processor.crop > 0));
  GRAFT_ASSIGN_OR_RETURN(image->filter, ReadFilter(config, processor.filter));
  Sides sides;
  if (resizes) {
    GRAFT_ASSIGN_OR_RETURN(sides, ReadSides(config, "size", processor.size, !is_square));
    image->resize_height = sides.height;
    image->resize_width = sides.width;
  }
  const char* last = "size";
  if (crops) {
    last = "crop_size";
    const int64_t fallback = processor.crop > 0 ? processor.crop : processor.size;
    GRAFT_ASSIGN_OR_RETURN(sides, ReadSides(config, last, fallback, /*is_shorter_side=*/false));
  } else if (!resizes) {
    return OkStatus();  // images of the model's size are what they are; others are cut to it
  }
  if (sides.height == image->height && sides.width == image->width) return OkStatus();
  return config.Fail(std::string("'") + last + "' makes images " +
                         (sides.width == 0 ? "whose shorter side is " + std::to_string(sides.height)
                                           : "of " + SidesText(sides.height, sides.width)) +
                         ", but the model takes " + SidesText(image->height, image->width),
                     StatusCode::kMismatch);
}

// A number for each channel, or one for all.
Result<std::vector<float>> ReadNumbers(const JsonValue& config, const char* key, int64_t channels,
                                       bool is_divisor) {
  std::vector<float> numbers(static_cast<size_t>(channels), 0.5f);
  if (!config.Has(key)) return numbers;
  const JsonValue member = config.Find(key);
  const bool is_list = member.IsArray();
  if (is_list && member.size() != numbers.size()) {
    return member.Fail("has " + std::to_string(member.size()) + " numbers; the model has " +
                       std::to_string(channels) + " channels");
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const double number, (is_list ? member.at(i) : member).AsDouble());
    numbers[i] = static_cast<float>(number);
    if (!std::isfinite(numbers[i]) || (is_divisor && !(numbers[i] > 0.0f)))
      return member.Fail(is_divisor ? "must be finite and above 0" : "must be finite");
  }
  return numbers;
}

Status ReadNormalization(const JsonValue& config, ImagePreparation* image) {
  GRAFT_ASSIGN_OR_RETURN(const bool rescales, config.GetBool("do_rescale", true));
  if (rescales) {
    GRAFT_ASSIGN_OR_RETURN(image->rescale, config.GetDouble("rescale_factor", kUsualRescale));
    if (!std::isfinite(static_cast<float>(image->rescale)))
      return config.Find("rescale_factor").Fail("must be finite");
  }
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, config.GetBool("do_normalize", true));
  if (!normalizes) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(image->mean, ReadNumbers(config, "image_mean", image->channels, false));
  GRAFT_ASSIGN_OR_RETURN(image->deviation, ReadNumbers(config, "image_std", image->channels, true));
  return OkStatus();
}

std::string NumbersText(const std::vector<float>& numbers) {
  std::string text;
  for (const float number : numbers) {
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), " %g", static_cast<double>(number));
    text += digits.data();
  }
  return text;
}

}  // namespace

Status ParseImagePreparation(const JsonValue& config, ImagePreparation* image) {
  if (!config.IsObject()) return config.Fail("must hold an object");
  GRAFT_ASSIGN_OR_RETURN(const Processor processor, FindProcessor(config));
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config));
  GRAFT_RETURN_IF_ERROR(ReadResize(config, processor, image));
  return ReadNormalization(config, image);
}

Status ReadImagePreparation(const fs::path& folder, ImagePreparation* image) {
  const fs::path file = folder / "preprocessor_config.json";
  if (Exists(file)) {
    image->source = file.string();
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
    return ParseImagePreparation(document->root(), image);
  }
  image->resize_height = image->height;
  image->resize_width = image->width;
  image->filter = kProcessors[0].filter;
  image->rescale = kUsualRescale;
  image->mean.assign(static_cast<size_t>(image->channels), 0.5f);
  image->deviation = image->mean;
  return OkStatus();
}

std::string DescribePreparation(const ImagePreparation& image) {
  std::string text = "not resized";
  if (image.resize_height > 0) {
    text = image.resize_width > 0
               ? "resized to " + SidesText(image.resize_height, image.resize_width)
               : "their shorter side resized to " + std::to_string(image.resize_height);
    text.append(" (").append(kFilterNames[static_cast<size_t>(image.filter)]).append(")");
  }
  if (image.resize_height != image.height || image.resize_width != image.width)
    text += ", cut to " + SidesText(image.height, image.width);
  std::array<char, 32> rescale{};
  std::snprintf(rescale.data(), rescale.size(), ", times %g", image.rescale);
  text += rescale.data();
  if (!image.mean.empty()) text += ", mean" + NumbersText(image.mean);
  if (!image.deviation.empty()) text += ", deviation" + NumbersText(image.deviation);
  return text;
}

}  // namespace graft::converter
