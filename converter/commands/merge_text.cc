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
                    {"missing", adapter.missing},
                    {"base_note", adapter.base_note},
                    {"brings", adapter.brings},
                    {"unused_files", adapter.unused_files}});
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
  if (adapter.weight != 1) {
    std::array<char, 32> weight{};
    std::snprintf(weight.data(), weight.size(), ", weight %g", adapter.weight);
    text += weight.data();
  }
  const auto list = [&text](const char* what, const std::vector<std::string>& names) {
    for (size_t i = 0; i < names.size(); ++i) text += (i > 0 ? ", " : what) + names[i];
  };
  list("\n    in place of the base's: its ", adapter.brings);
  if (!adapter.base_note.empty()) text += "\n    " + adapter.base_note;
  list("\n    beside it, but not used: ", adapter.unused_files);
  return text;
}

}  // namespace graft::converter
