// SPDX-License-Identifier: Apache-2.0
// Text files on the command line, read whole and within limits.
#pragma once

#include <string>

namespace graft_run {

/// The bytes of `file` ("-": standard input). False after a failure, which has been printed.
bool ReadTextFile(const std::string& file, std::string* text);

}  // namespace graft_run
