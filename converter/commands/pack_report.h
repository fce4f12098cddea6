// SPDX-License-Identifier: Apache-2.0
// What packing did, for people and for programs.
#pragma once

#include <string>

#include "converter/packs/write_pack.h"

namespace graft::converter {

/// One line, without its end.
std::string PackReportText(const std::string& file, const PackOutcome& outcome);

/// One JSON object.
std::string PackReportJson(const std::string& file, const PackOutcome& outcome);

}  // namespace graft::converter
