// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/base/hub_cache.h"
#include "converter/base/parallel.h"
#include "converter/checkpoint/base_hash.h"
#include "converter/commands/adapter_options.h"
#include "converter/commands/commands.h"
#include "converter/commands/convert_report.h"
#include "converter/commands/progress.h"
#include "converter/describe/describe_model.h"
#include "converter/write/write_model.h"

namespace graft::converter {
namespace {

Status Convert(const ConvertOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  WriteOptions write;
  GRAFT_ASSIGN_OR_RETURN(write.format, ParseStoredFormat(options.quant, options.block_size));
  write.path = options.output;
  write.threads = options.threads > 0 ? options.threads : DefaultThreads();
  write.keep_delta = options.keep_delta;
  if (options.exact_delta) write.delta_row_stride = 1;

  GRAFT_ASSIGN_OR_RETURN(const auto adapters, FindAdapters(options.merge.adapters));
  GRAFT_ASSIGN_OR_RETURN(MergeRules rules, ParseMergeRules(options.merge));
  rules.threads = write.threads;
  GRAFT_ASSIGN_OR_RETURN(const auto base, ResolveHubPath(options.base, HubCacheFolder()));
  GRAFT_ASSIGN_OR_RETURN(const OpenedModel model, OpenModel(base, adapters, rules));
  flatbuffers::FlatBufferBuilder header(1 << 16);
  header.ForceDefaults(true);
  BaseHash base_hash(*model.base);
  GRAFT_ASSIGN_OR_RETURN(const ModelDescription description, DescribeModel(model, header));
  write.base_hash = [&base_hash] { return base_hash.Get(); };

  Progress progress("converting", "weights", options.quiet);
  write.progress = [&progress](int64_t done, int64_t total) { progress.Update(done, total); };
  GRAFT_ASSIGN_OR_RETURN(const WriteOutcome outcome,
                         WriteModel(description, model.source(), write, header));
  progress.Finish();

  ConvertReport report{
      options.output,
      description,
      model.merged ? &model.merged->report() : nullptr,
      outcome,
      write.format,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  const std::string text =
      options.json ? ConvertReportJson(report) : ConvertReportText(report, options.report);
  if (!options.quiet || options.json) std::fputs(text.c_str(), stdout);
  return OkStatus();
}

}  // namespace

int RunConvert(const ConvertOptions& options) {
  return RunWithAdapters(options.merge, [&] { return Convert(options); });
}

}  // namespace graft::converter
