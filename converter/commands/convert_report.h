// SPDX-License-Identifier: Apache-2.0
// What a conversion did, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "converter/describe/describe_model.h"
#include "converter/packs/write_pack.h"
#include "converter/write/write_model.h"

namespace graft::converter {

struct ConvertReport {
  std::string file;
  const ModelDescription& description;
  const MergeReport* merge = nullptr;  ///< Null: nothing was merged.
  const WriteOutcome& outcome;
  const PackOutcome* pack = nullptr;  ///< Null: a model was written.
  StoredFormat wanted;
  double seconds = 0.0;
};

/// What its user should know before relying on the file; mostly nothing.
std::vector<std::string> ConvertWarnings(const ConvertReport& report);

/// Some lines; with `per_layer` a table of all weight matrices too.
std::string ConvertReportText(const ConvertReport& report, bool per_layer);

/// Everything, as one JSON object and a line end.
std::string ConvertReportJson(const ConvertReport& report);

}  // namespace graft::converter
