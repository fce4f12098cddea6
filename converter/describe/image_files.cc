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

// Means and deviations that are widely used.
struct Normalization {
  float mean[3], deviation[3];
};
constexpr Normalization kHalf = {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}};
constexpr Normalization kImageNet = {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
constexpr Normalization kClip = {{0.48145466f, 0.4578275f, 0.40821073f},
                                 {0.26862954f, 0.26130258f, 0.27577711f}};

// The defaults of transformers' classes, where the file has no value.
struct Processor {
  std::string_view name;
  Filter filter;
  int64_t size;
  int64_t crop;          // 0: images are not cropped
  bool is_shorter_side;  // what `size` is where it says nothing else; else both sides
  const Normalization& normalization;
};
constexpr Processor kProcessors[] = {{"ViT", Filter::kBilinear, 224, 0, false, kHalf},
                                     {"DeiT", Filter::kBicubic, 256, 224, false, kHalf},
                                     {"Beit", Filter::kBicubic, 224, 0, false, kHalf},
                                     {"Bit", Filter::kBicubic, 224, 224, true, kClip},
                                     {"CLIP", Filter::kBicubic, 224, 224, true, kClip},
                                     {"ConvNext", Filter::kBicubic, 384, 0, true, kHalf},
                                     {"MobileNetV2", Filter::kBilinear, 256, 224, true, kHalf},
                                     {"Segformer", Filter::kBilinear, 512, 0, false, kImageNet},
                                     {"Siglip", Filter::kBicubic, 224, 0, false, kHalf}};
// Images of this side or more are warped by ConvNeXt's; smaller ones are cut out of one that was
// resized to more.
constexpr int64_t kWarpedSide = 384;
constexpr double kUsualCrop = 224.0 / 256;
constexpr std::string_view kEndings[] = {"ImageProcessor", "ImageProcessorFast",
                                         "ImageProcessorPil", "FeatureExtractor"};

// Settings that are read below, or that say nothing about pixels.
constexpr std::string_view kOfAllProcessors[] = {"image_processor_type",
                                                 "processor_class",
                                                 "do_resize",
                                                 "size",
                                                 "default_to_square",
                                                 "resample",
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
                                                 "image_seq_length",
                                                 "backend"};
constexpr std::string_view kOfThese[] = {"feature_extractor_type", "do_center_crop",   "crop_size",
                                         "reduce_labels",          "do_reduce_labels", "pad_size"};

constexpr const char* kFilterNames[] = {"nearest", "bilinear", "bicubic", "Lanczos"};

struct Sides {
  int64_t height = 0;
  int64_t width = 0;  // 0: height is that of the shorter side
};

std::string SidesText(int64_t height, int64_t width) {
  return std::to_string(height) + "x" + std::to_string(width);
}

// Resizes before it rounds to pixels, in floats.
constexpr std::string_view kResizesFloats = "DINOv3ViTImageProcessor";

Result<Processor> FindProcessor(const JsonValue& config) {
  const char* key =
      config.Has("image_processor_type") ? "image_processor_type" : "feature_extractor_type";
  if (!config.Has(key)) return kProcessors[0];
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString(key));
  std::string known;
  for (const Processor& processor : kProcessors) {
    known.append(known.empty() ? "" : ", ").append(processor.name);
    for (const std::string_view ending : kEndings) {
      if (type == std::string(processor.name).append(ending)) return processor;
    }
  }
  return config.Find(key).Fail(
      "is \"" + type + "\"; this version computes the image processors of " + known,
      StatusCode::kUnsupported);
}

// A setting of no known name may be one that changes the pixels; null and false ask for nothing.
Status RefuseOtherSettings(const JsonValue& config, const Processor& processor) {
  for (size_t i = 0; i < config.size(); ++i) {
    if (IsSettingOfAllProcessors(config.key(i))) continue;
    if (std::find(std::begin(kOfThese), std::end(kOfThese), config.key(i)) != std::end(kOfThese))
      continue;
    if (config.key(i) == "crop_pct" && processor.name == "ConvNext") continue;
    const JsonValue value = config.at(i);
    if (value.IsNull() || (value.kind() == JsonKind::kBool && !value.AsBool().value())) continue;
    return value.Fail("is " + value.Text() + ", a setting that is not computed",
                      StatusCode::kUnsupported);
  }
  return OkStatus();
}

// A number, {"height", "width"} or {"shortest_edge"}.
Result<Sides> ReadSides(const JsonValue& config, const char* key, const Sides& fallback,
                        bool is_shorter_side) {
  if (!config.Has(key)) return fallback;
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
      {0, Filter::kNearest}, {1, Filter::kLanczos}, {2, Filter::kBilinear}, {3, Filter::kBicubic}};
  if (!config.Has("resample")) return fallback;
  GRAFT_ASSIGN_OR_RETURN(const int64_t code, config.GetInt("resample"));
  for (const auto& [number, filter] : kFilters) {
    if (code == number) return filter;
  }
  return config.Find("resample")
      .Fail("is " + std::to_string(code) +
                "; this version resizes by nearest (0), Lanczos (1), bilinear (2) and bicubic (3)",
            StatusCode::kUnsupported);
}

// How images are resized, and what they are cut to; sides of 0: neither. Which member says it.
struct Resizing {
  Sides resized, result;
  const char* member = "size";
};

// As ConvNeXt resizes: a side alone.
Result<Resizing> ReadCropPart(const JsonValue& config, const Sides& size) {
  Resizing resizing;
  if (size.width != 0) {
    return config.Find("size").Fail("must say shortest_edge", StatusCode::kUnsupported);
  }
  const int64_t side = size.height;
  resizing.result = {side, side};
  GRAFT_ASSIGN_OR_RETURN(const double part, config.GetDouble("crop_pct", kUsualCrop));
  if (!(part > 0.01 && part <= 1.0))
    return config.Find("crop_pct").Fail("must be above 0.01, and at most 1");
  resizing.resized = resizing.result;
  if (side < kWarpedSide)
    resizing.resized = {static_cast<int64_t>(static_cast<double>(side) / part), 0};
  return resizing;
}

Result<Resizing> ReadResizing(const JsonValue& config, const Processor& processor) {
  const bool is_convnext = processor.name == "ConvNext";
  GRAFT_ASSIGN_OR_RETURN(const bool is_square,
                         config.GetBool("default_to_square", !processor.is_shorter_side));
  GRAFT_ASSIGN_OR_RETURN(const bool resizes, config.GetBool("do_resize", true));
  GRAFT_ASSIGN_OR_RETURN(const bool crops, config.GetBool("do_center_crop", processor.crop > 0));
  Resizing resizing;
  if (resizes) {
    const Sides fallback = {processor.size, processor.is_shorter_side ? 0 : processor.size};
    GRAFT_ASSIGN_OR_RETURN(const Sides size,
                           ReadSides(config, "size", fallback, is_convnext || !is_square));
    if (is_convnext) return ReadCropPart(config, size);
    resizing.resized = resizing.result = size;
  }
  if (!crops || is_convnext) return resizing;
  resizing.member = "crop_size";
  const int64_t side = processor.crop > 0 ? processor.crop : processor.size;
  GRAFT_ASSIGN_OR_RETURN(resizing.result, ReadSides(config, "crop_size", {side, side},
                                                    /*is_shorter_side=*/false));
  return resizing;
}

Status ReadResize(const JsonValue& config, const Processor& processor, ImagePreparation* image) {
  GRAFT_ASSIGN_OR_RETURN(image->filter, ReadFilter(config, processor.filter));
  GRAFT_ASSIGN_OR_RETURN(const Resizing resizing, ReadResizing(config, processor));
  image->resize_height = resizing.resized.height;
  image->resize_width = resizing.resized.width;
  // Images that are neither resized nor cut are what they are; others than the model's are cut to it.
  const Sides& sides = resizing.result;
  if (sides.height == 0 || (sides.height == image->height && sides.width == image->width))
    return OkStatus();
  return config.Fail(std::string("'") + resizing.member + "' makes images " +
                         (sides.width == 0 ? "whose shorter side is " + std::to_string(sides.height)
                                           : "of " + SidesText(sides.height, sides.width)) +
                         ", but the model takes " + SidesText(image->height, image->width),
                     StatusCode::kMismatch);
}

// A number for each channel, or one for all.
Result<std::vector<float>> ReadNumbers(const JsonValue& config, const char* key, int64_t channels,
                                       const float (&fallback)[3], bool is_divisor) {
  std::vector<float> numbers(fallback, fallback + channels);
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

Status ReadNormalization(const JsonValue& config, const Normalization& usual,
                         ImagePreparation* image) {
  GRAFT_ASSIGN_OR_RETURN(const bool rescales, config.GetBool("do_rescale", true));
  if (rescales) {
    GRAFT_ASSIGN_OR_RETURN(image->rescale, config.GetDouble("rescale_factor", kUsualRescale));
    if (!std::isfinite(static_cast<float>(image->rescale)))
      return config.Find("rescale_factor").Fail("must be finite");
  }
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, config.GetBool("do_normalize", true));
  if (!normalizes) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(image->mean,
                         ReadNumbers(config, "image_mean", image->channels, usual.mean, false));
  GRAFT_ASSIGN_OR_RETURN(image->deviation,
                         ReadNumbers(config, "image_std", image->channels, usual.deviation, true));
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

bool IsSettingOfAllProcessors(std::string_view name) {
  return std::find(std::begin(kOfAllProcessors), std::end(kOfAllProcessors), name) !=
         std::end(kOfAllProcessors);
}

Status ParseImagePreparation(const JsonValue& config, ImagePreparation* image) {
  if (!config.IsObject()) return config.Fail("must hold an object");
  GRAFT_ASSIGN_OR_RETURN(const Processor processor, FindProcessor(config));
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, processor));
  GRAFT_RETURN_IF_ERROR(ReadResize(config, processor, image));
  return ReadNormalization(config, processor.normalization, image);
}

Status ReadPixelSettings(const JsonValue& config, Filter usual_filter, bool is_clip,
                         ImagePreparation* image) {
  GRAFT_ASSIGN_OR_RETURN(image->filter, ReadFilter(config, usual_filter));
  return ReadNormalization(config, is_clip ? kClip : kHalf, image);
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

Result<bool> ComputesPreparation(const fs::path& folder) {
  const fs::path file = folder / "preprocessor_config.json";
  if (!Exists(file)) return true;
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  const JsonValue config = document->root();
  if (!config.IsObject()) return true;  // ReadImagePreparation says what is wrong
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("image_processor_type", ""));
  return !type.starts_with(kResizesFloats);
}

Status FindPreparedSize(const fs::path& folder, int64_t* height, int64_t* width) {
  const fs::path file = folder / "preprocessor_config.json";
  if (!Exists(file)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  const JsonValue config = document->root();
  if (!config.IsObject()) return OkStatus();  // what is wrong is said once it is known who reads it
  const Result<Processor> processor = FindProcessor(config);
  if (!processor.ok()) return OkStatus();
  const Result<Resizing> resizing = ReadResizing(config, *processor);
  if (!resizing.ok() || resizing->result.width == 0) return OkStatus();
  *height = resizing->result.height;
  *width = resizing->result.width;
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
