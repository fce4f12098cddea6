// SPDX-License-Identifier: Apache-2.0
// What graft-run generate is asked for: one prompt, or those of a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <graft/graft.h>

namespace graft_run {

struct GenerateRequest {
  std::string id;  // JSON; empty: none
  std::string prompt;
  std::vector<int32_t> ids;
  uint64_t seed = 0;
  uint64_t max_tokens = 0;  // 0: the command's
};

/// Reads a file with an object on each line: "prompt", and if wanted "id", "seed", "max_tokens".
/// False after a failure, which has been printed.
bool ReadRequests(const std::string& file, uint64_t seed, std::vector<GenerateRequest>* requests);

}  // namespace graft_run
