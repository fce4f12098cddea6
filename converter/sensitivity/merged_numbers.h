// SPDX-License-Identifier: Apache-2.0
// The merged numbers of all tensors, as the ops of calibration take them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "converter/calibrate/scratch.h"
#include "converter/lower/constant.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// One Scratch in `folder` for each constant.
/// Memory   some rows for each thread.
/// Errors   those of ReadConstant and Scratch; kCancelled.
Result<std::vector<Scratch>> ReadMergedNumbers(std::span<const Constant> constants,
                                               const TensorSource& source,
                                               const std::filesystem::path& folder, int threads);

/// What `format` stores for `numbers`, rows of `width`, into `stored`.
/// Shapes   numbers, stored [rows, width]
/// Errors   those of EncodeRows; kCancelled.
Status RoundNumbers(std::span<const float> numbers, size_t width, const StoredFormat& format,
                    int threads, std::span<float> stored);

}  // namespace graft::converter
