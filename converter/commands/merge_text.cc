// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/merge_text.h"

#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "converter/commands/hash_text.h"

namespace graft::converter {

nlohmann::ordered_json AdaptersJson(const MergeReport& report) {
  auto list = nlohmann::ordered_json::array();
  for (const AdapterReport& adapter : report.adapters) {
    list.push_back({{"name", adapter.name},
                    {"kind", adapter.kind},
                    {"hash", HashText(adapter.hash)},
                    {"weight", adapter.weight},
                    {"modules_merged", adapter.modules_merged},
                    {"modules_expected", adapter.modules_expected},
                    {"missing", adapter.missing}});
  }
  return list;
}

nlohmann::ordered_json ChangedTensorsJson(const MergeReport& report) {
  auto list = nlohmann::ordered_json::array();
  for (const TensorReport& tensor : report.tensors) {
    list.push_back({{"name", tensor.name},
                    {"kind", tensor.kind},
                    {"rank", tensor.rank},
                    {"scale", tensor.scale}});
  }
  return list;
}

std::string AdapterText(const AdapterReport& adapter) {
  std::string text = "  adapter " + adapter.name + ": " + adapter.kind + ", " +
                     std::to_string(adapter.modules_merged) + " of " +
                     std::to_string(adapter.modules_expected) + " modules merged";
  if (adapter.weight == 1) return text;
  std::array<char, 32> weight{};
  std::snprintf(weight.data(), weight.size(), ", weight %g", adapter.weight);
  return text + weight.data();
}

}  // namespace graft::converter
