// SPDX-License-Identifier: Apache-2.0
// A small file that appears whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace graft_run {

/// Writes `bytes` beside `file`, syncs, and renames. False after a failure, which has been printed.
bool WriteWholeFile(const std::string& file, std::string_view bytes);

}  // namespace graft_run
