// SPDX-License-Identifier: Apache-2.0
// What a file is that was taken for another, by how it begins, and what to do instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "converter/base/input_file.h"

namespace graft::converter {

/// As many bytes of a file's beginning as WhatFileIs looks at.
inline constexpr size_t kForeignStartBytes = 512;

/// "is a Git LFS pointer, ...": a whole predicate for a message; null if `start`, the first
/// kForeignStartBytes of a file or all it has, is no beginning that is known. Safetensors files and
/// those of torch.save are known to nobody here.
const char* WhatFileIs(std::span<const uint8_t> start);

/// The same of an open file.
/// Errors   those of ReadAt.
Result<const char*> WhatFileIs(const InputFile& file);

}  // namespace graft::converter
