// SPDX-License-Identifier: Apache-2.0
// MergeReport: what the adapters did, for people and for the file's provenance.
#pragma once

#include <cstdint>
#include <string>
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
  std::vector<std::string> brings;        ///< Files in place of the base's: "tokenizer", ...
  std::vector<std::string> unused_files;  ///< Known files that do nothing, with the reason.
};

/// One tensor an adapter changed.
struct TensorReport {
  std::string name;
  std::string kind;  ///< "lora", "dora", "saved" (replaced whole), "lora_bias", "untied", ...
  int64_t rank = 0;  ///< 0 where there is none.
  double scale = 0;  ///< What the low-rank product was multiplied with; 0 where there is none.
};

struct MergeReport {
  std::vector<AdapterReport> adapters;
  std::vector<TensorReport> tensors;  ///< In name order.
};

}  // namespace graft::converter
