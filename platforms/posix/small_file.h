// SPDX-License-Identifier: Apache-2.0
// Files in which a system tells of itself: a few lines, made when they are read.
#pragma once

#include <string>

namespace graft::platform {

/// The first `most_bytes` of a file; empty if it cannot be read.
std::string ReadSmallFile(const std::string& path, size_t most_bytes = 4096);

}  // namespace graft::platform
