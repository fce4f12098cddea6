// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary names, one a line, to what cuts adapter keys apart and looks modules up.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_keys.h"
#include "converter/adapter/names/underscored_names.h"
#include "converter/merge/kinds/adapter_kinds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft::converter;
  std::vector<WeightFile::Entry> entries;
  std::vector<TensorInfo> base;
  AdapterNames names;
  for (std::string_view text(reinterpret_cast<const char*>(data), size); !text.empty();) {
    const size_t end = std::min(text.find('\n'), text.size());
    WeightFile::Entry& entry = entries.emplace_back();
    entry.info.name = std::string(text.substr(0, end));
    base.push_back(entry.info);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::sort(base.begin(), base.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  (void)StyleOfKeys(entries, AllAdapterKinds());
  const UnderscoredNames modules(base);
  for (const WeightFile::Entry& entry : entries) {
    const std::string& name = entry.info.name;
    names.insert(SplitPeftKey(name, names, AllAdapterKinds()).adapter_name);
    (void)SplitPeftKey(name, names, AllAdapterKinds());
    (void)SplitMlxKey(name);
    const AdapterKey key = SplitKohyaKey(name);
    const auto found = modules.Find(UnderscoredName(key.module));
    // What is found is a module of the base, and ends with what was asked for.
    if (found.ok() && found->size() < UnderscoredName(key.module).size()) std::abort();
  }
  return 0;
}
