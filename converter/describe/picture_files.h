// SPDX-License-Identifier: Apache-2.0
// What a model's folder says of pictures in texts: how they become images, and what stands for them.
#pragma once

#include <filesystem>
#include <string>

#include "converter/lower/lowering.h"
#include "schema/status.h"

namespace graft::converter {

/// Reads preprocessor_config.json, or the image_processor in processor_config.json, of `images`, and
/// the special tokens in processor_config.json and in tokenizer_config.json of `tokens`. Completes
/// `pictures`, of which the lowering has set what the model takes. Without the files it is what the
/// family's processor does by itself.
/// Errors   kUnsupported: another processor, or a setting that changes the pixels and is not
///          computed;
///          kMismatch: images of another size than the model takes; kCorrupt, kIo. Each names the
///          file and what in it.
Status ReadPictureFiles(const std::filesystem::path& images, const std::filesystem::path& tokens,
                        PicturesDescription* pictures);

/// "as a grid of patches, at most 1540 a side, ..." for reports.
std::string DescribePictures(const PicturesDescription& pictures);

}  // namespace graft::converter
