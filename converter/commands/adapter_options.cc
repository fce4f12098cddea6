// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/adapter_options.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "converter/base/hub_cache.h"
#include "converter/base/input_file.h"

namespace graft::converter {

Result<AdapterSpec> ParseAdapter(const std::string& word) {
  const AdapterSpec whole{word, 1.0};
  const size_t colon = word.rfind(':');
  if (colon == std::string::npos || Exists(word)) return whole;
  const std::string_view number = std::string_view(word).substr(colon + 1);
  double weight = 0;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), weight);
  if (parsed.ec == std::errc::invalid_argument || parsed.ptr != number.data() + number.size()) {
    return whole;
  }
  if (parsed.ec != std::errc() || !std::isfinite(weight)) {
    return Error(StatusCode::kInvalidArgument, "--adapter %s: the weight must be a finite number",
                 word.c_str());
  }
  return AdapterSpec{word.substr(0, colon), weight};
}

Result<std::vector<AdapterSpec>> ParseAdapters(const std::vector<std::string>& words) {
  std::vector<AdapterSpec> adapters;
  for (const std::string& word : words) {
    GRAFT_ASSIGN_OR_RETURN(AdapterSpec adapter, ParseAdapter(word));
    adapters.push_back(std::move(adapter));
  }
  return adapters;
}

Result<std::vector<AdapterSpec>> FindAdapters(const std::vector<std::string>& words) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<AdapterSpec> adapters, ParseAdapters(words));
  const std::filesystem::path cache = HubCacheFolder();
  for (AdapterSpec& adapter : adapters) {
    GRAFT_ASSIGN_OR_RETURN(adapter.folder, ResolveHubPath(adapter.folder, cache));
  }
  return adapters;
}

Result<MergeRules> ParseMergeRules(const AdapterOptions& options) {
  MergeRules rules;
  GRAFT_ASSIGN_OR_RETURN(rules.combine.method, ParseCombineMethod(options.combine));
  const bool prunes = rules.combine.method != CombineMethod::kSum;
  if (prunes != (options.density != 0.0)) {
    return Error(StatusCode::kInvalidArgument,
                 prunes ? "--combine %s needs --density, the part of each change to keep"
                        : "--density says how much to keep, and --combine %s keeps all",
                 options.combine.c_str());
  }
  if (prunes) rules.combine.density = options.density;
  if (options.adapters.empty() && (prunes || options.nf4_base)) {
    return Error(StatusCode::kInvalidArgument, "%s means nothing without --adapter",
                 prunes ? "--combine" : "--nf4-base");
  }
  if (options.nf4_double_quantization && !options.nf4_base) {
    return Error(StatusCode::kInvalidArgument,
                 "--nf4-double-quant means nothing without --nf4-base");
  }
  if (options.nf4_base) rules.nf4_base = Nf4Options{options.nf4_double_quantization};
  return rules;
}

int RunWithAdapters(const AdapterOptions& options, const std::function<Status()>& command) {
  Status usage = ParseAdapters(options.adapters).status();
  if (usage.ok()) usage = ParseMergeRules(options).status();
  if (!usage.ok()) {
    ReportFailure(usage);
    return kExitUsage;
  }
  const Status status = command();
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace graft::converter
