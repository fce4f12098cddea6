// SPDX-License-Identifier: Apache-2.0
// Text files on the command line, read whole and within limits, and messages as they are typed.
#pragma once

#include <string>

namespace graft_run {

/// The bytes of `file` ("-": standard input). False after a failure, which has been printed.
bool ReadTextFile(const std::string& file, std::string* text);

/// One message from standard input, which may take several lines; false at its end.
bool ReadMessage(bool is_terminal, std::string* message);

}  // namespace graft_run
