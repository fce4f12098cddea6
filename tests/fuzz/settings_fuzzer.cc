// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary text to the readers of preprocessor_config.json and of mlx-lm's
// adapter_config.json.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "converter/adapter/mlx_config.h"
#include "converter/describe/image_files.h"
#include "converter/json/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace converter = graft::converter;
  const auto document = converter::JsonDocument::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size), "settings.json");
  if (!document.ok()) return 0;
  converter::ImagePreparation image;
  image.channels = 3;
  image.height = image.width = 224;
  if (converter::ParseImagePreparation((*document)->root(), &image).ok()) {
    // What is read is what the device computes with.
    for (const float deviation : image.deviation)
      if (!(deviation != 0.0f) || !std::isfinite(deviation)) std::abort();
    (void)converter::DescribePreparation(image);
  }
  if (converter::IsMlxConfig((*document)->root()))
    (void)converter::ReadMlxConfig((*document)->root(), "adapter_config.json").ok();
  return 0;
}
