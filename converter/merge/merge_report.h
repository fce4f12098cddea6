// SPDX-License-Identifier: Apache-2.0
// MergeReport: what the adapters did, for people and for the file's provenance.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "schema/container.h"

namespace graft::converter {

struct AdapterReport {
  std::string name;      ///< The folder's last part.
  std::string kind;      ///< "lora", "dora", "loha", ...
  schema::Hash128 hash;  ///< XXH3-128 of the weight file.
  double weight = 1;
  int64_t modules_merged = 0;
  int64_t modules_expected = 0;
  std::vector<std::string>
      missing;  ///< Base tensors the configuration targets and the adapter has nothing for.
  std::string base_note;                  ///< What BaseNote says of the base it was trained on.
  std::vector<std::string> brings;        ///< Files in place of the base's: "tokenizer", ...
  std::vector<std::string> unused_files;  ///< Known files that do nothing, with the reason.
};

/// An order of adapters that is not that of the command line: what a merge gives does not depend on
/// the latter.
inline bool ComesBefore(const AdapterReport& a, const AdapterReport& b) {
  return std::tie(a.hash.high, a.hash.low, a.weight, a.name) <
         std::tie(b.hash.high, b.hash.low, b.weight, b.name);
}

/// One tensor an adapter changed.
struct TensorReport {
  std::string name;
  std::string kind;  ///< "lora", "dora", "saved" (replaced whole), "lora_bias", "untied", ...
  int64_t rank = 0;  ///< 0 where there is none.
  double scale = 0;  ///< What the low-rank product was multiplied with; 0 where there is none.
};

struct MergeReport {
  std::string base_stored_as;  ///< As Checkpoint::stored_as.
  std::vector<AdapterReport> adapters;
  std::vector<TensorReport> tensors;  ///< In name order.
};

}  // namespace graft::converter
