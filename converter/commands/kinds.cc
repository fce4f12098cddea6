// SPDX-License-Identifier: Apache-2.0
// The table of kinds of adapter, as the merge has it.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_settings.h"
#include "converter/commands/commands.h"
#include "converter/json/json.h"
#include "converter/merge/kinds/adapter_kinds.h"

namespace graft::converter {
namespace {

// What adapter_config.json calls it, or the program whose adapters have no such name.
std::string_view NameOf(const AdapterKind& kind) {
  switch (kind.type) {
    case AdapterType::kMlx:
      return "mlx-lm";
    case AdapterType::kKohya:
      return "kohya, LyCORIS";
    default:
      return kind.peft_type;
  }
}

void PrintText(const AdapterKinds& all) {
  std::printf("merged:\n");
  for (const AdapterKind* kind : all.kinds()) {
    const std::string name(NameOf(*kind));
    std::printf("  %s\n", name.c_str());
    for (const Setting* setting : RefusedSettings(*kind)) {
      std::printf("    not with %s: %s\n", std::string(setting->key).c_str(),
                  std::string(setting->reason).c_str());
    }
  }
  std::printf("refused:\n");
  for (const RefusedKind& kind : all.refused()) {
    std::printf("  %s: %s\n", std::string(kind.peft_type).c_str(),
                std::string(kind.reason).c_str());
  }
}

void PrintJson(const AdapterKinds& all) {
  std::printf("{\"merged\": [");
  const char* comma = "";
  for (const AdapterKind* kind : all.kinds()) {
    std::printf("%s\n  {\"kind\": %s, \"refused_settings\": [", comma,
                JsonQuote(NameOf(*kind)).c_str());
    const char* inner = "";
    for (const Setting* setting : RefusedSettings(*kind)) {
      std::printf("%s{\"setting\": %s, \"reason\": %s}", inner, JsonQuote(setting->key).c_str(),
                  JsonQuote(setting->reason).c_str());
      inner = ", ";
    }
    std::printf("]}");
    comma = ",";
  }
  std::printf("],\n \"refused\": [");
  comma = "";
  for (const RefusedKind& kind : all.refused()) {
    std::printf("%s\n  {\"kind\": %s, \"reason\": %s}", comma, JsonQuote(kind.peft_type).c_str(),
                JsonQuote(kind.reason).c_str());
    comma = ",";
  }
  std::printf("]}\n");
}

}  // namespace

int RunKinds(const KindsOptions& options) {
  if (options.json) {
    PrintJson(AllAdapterKinds());
  } else {
    PrintText(AllAdapterKinds());
  }
  return kExitOk;
}

}  // namespace graft::converter
