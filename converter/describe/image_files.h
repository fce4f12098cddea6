// SPDX-License-Identifier: Apache-2.0
// What a model's folder says of images: how one of any size becomes the model's input.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "schema/status.h"

namespace graft::converter {

/// Reads preprocessor_config.json, as the image processors of transformers write it (called
/// feature extractors in older files), and completes `image`, of which the lowering has set the
/// size. Without the file: ViT's usual preparation, at the model's size.
/// Errors   kUnsupported: another processor, or a setting that changes the pixels and is not
///          computed;
///          kMismatch: images of another size than the model takes; kCorrupt, kIo. Each names the
///          file and what in it.
Status ReadImagePreparation(const std::filesystem::path& folder, ImagePreparation* image);

/// False for a processor whose pixels are not computed, but whose model can do without: it takes
/// pixel values as they are.
/// Errors   kCorrupt, kIo.
Result<bool> ComputesPreparation(const std::filesystem::path& folder);

/// The size that the file prepares images to, if there is one and it says so; for models that could
/// take any.
Status FindPreparedSize(const std::filesystem::path& folder, int64_t* height, int64_t* width);

/// The same as ReadImagePreparation from the file's contents.
Status ParseImagePreparation(const JsonValue& config, ImagePreparation* image);

/// A setting of preprocessor_config.json that every image processor may have, and that is read or
/// says nothing about pixels.
bool IsSettingOfAllProcessors(std::string_view name);

/// Filter, rescaling and normalization of a processor that resizes in some way of its own; is_clip:
/// the usual mean and deviation are CLIP's.
/// Errors   as ReadImagePreparation.
Status ReadPixelSettings(const JsonValue& config, ImagePreparation::Filter usual_filter,
                         bool is_clip, ImagePreparation* image);

/// "resized to 224x224 (bicubic), ..." for reports.
std::string DescribePreparation(const ImagePreparation& image);

}  // namespace graft::converter
