// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "converter/base/hub_cache.h"
#include "converter/commands/adapter_options.h"
#include "converter/commands/commands.h"
#include "converter/commands/merge_text.h"
#include "converter/commands/progress.h"
#include "converter/merge/merge_checkpoint.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

Result<std::optional<DType>> ParseDType(const std::string& word) {
  if (word == "keep") return std::optional<DType>();
  if (word == "f32") return std::optional<DType>(DType::kFloat32);
  if (word == "f16") return std::optional<DType>(DType::kFloat16);
  if (word == "bf16") return std::optional<DType>(DType::kBFloat16);
  return Error(StatusCode::kInvalidArgument, "--dtype is '%s'; it must be keep, f32, f16 or bf16",
               word.c_str());
}

std::string ReportJson(const MergeOptions& options, const MergeReport& report) {
  const Json json = {{"output", options.output},
                     {"base", {{"stored_as", report.base_stored_as}}},
                     {"adapters", AdaptersJson(report)},
                     {"tensors", ChangedTensorsJson(report)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

Status Merge(const MergeOptions& options) {
  MergeRequest request;
  GRAFT_ASSIGN_OR_RETURN(request.base, ResolveHubPath(options.base, HubCacheFolder()));
  GRAFT_ASSIGN_OR_RETURN(request.adapters, FindAdapters(options.merge.adapters));
  GRAFT_ASSIGN_OR_RETURN(request.rules, ParseMergeRules(options.merge));
  request.rules.threads = options.threads;
  request.output = options.output;
  request.threads = options.threads;
  GRAFT_ASSIGN_OR_RETURN(request.dtype, ParseDType(options.dtype));
  Progress progress("merging", "bytes", options.quiet);
  request.progress = [&progress](uint64_t done, uint64_t total) {
    progress.Update(static_cast<int64_t>(done), static_cast<int64_t>(total));
  };
  GRAFT_ASSIGN_OR_RETURN(const MergeReport report, MergeCheckpoint(request));
  progress.Finish();
  if (options.json) {
    std::printf("%s\n", ReportJson(options, report).c_str());
    return OkStatus();
  }
  if (options.quiet) return OkStatus();
  std::printf("%s: %zu %s changed\n", options.output.c_str(), report.tensors.size(),
              report.tensors.size() == 1 ? "tensor" : "tensors");
  if (!report.base_stored_as.empty()) {
    std::printf("  the base is stored as %s\n", report.base_stored_as.c_str());
  }
  for (const AdapterReport& adapter : report.adapters) {
    std::printf("%s\n", AdapterText(adapter).c_str());
    for (const std::string& name : adapter.missing) {
      std::printf("    targeted, but not in the adapter: %s\n", name.c_str());
    }
  }
  return OkStatus();
}

}  // namespace

int RunMerge(const MergeOptions& options) {
  return RunWithAdapters(options.merge, [&] { return Merge(options); });
}

}  // namespace graft::converter
