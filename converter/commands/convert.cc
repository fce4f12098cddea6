// SPDX-License-Identifier: Apache-2.0
#include <flatbuffers/flatbuffers.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "converter/checkpoint.h"
#include "converter/commands/commands.h"
#include "converter/describe_model.h"
#include "converter/parallel.h"
#include "converter/progress.h"
#include "converter/write_model.h"

namespace graft::converter {
namespace {

std::string NameOf(const std::filesystem::path& path) {
  const std::filesystem::path clean = path.lexically_normal();
  return clean.has_filename() ? clean.filename().string() : clean.parent_path().filename().string();
}

Result<WriteOutcome> Convert(const ConvertOptions& options) {
  WriteOptions write;
  GRAFT_ASSIGN_OR_RETURN(write.format, ParseStoredFormat(options.quant, options.block_size));
  write.path = options.output;
  write.threads = options.threads > 0 ? options.threads : DefaultThreads();
  if (options.exact_delta) write.delta_row_stride = 1;

  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> base, Checkpoint::Open(options.base));
  flatbuffers::FlatBufferBuilder header(1 << 16);
  header.ForceDefaults(true);
  GRAFT_ASSIGN_OR_RETURN(DescribedModel model, DescribeModel(options.base, *base, header));
  const TensorSource& source = model.own_source ? *model.own_source : *base;
  ModelDescription& description = model.description;
  description.base_name = NameOf(options.base);
  GRAFT_ASSIGN_OR_RETURN(description.base_hash, base->Hash());

  Progress progress("converting", options.quiet || options.json);
  write.progress = [&progress](int64_t done, int64_t total) { progress.Update(done, total); };
  return WriteModel(description, source, write, header);
}

}  // namespace

int RunConvert(const ConvertOptions& options) {
  const auto outcome = Convert(options);
  if (!outcome.ok()) return ReportFailure(outcome.status());
  std::printf("%s: %s\n", options.output.c_str(), BytesText(outcome->file_bytes).c_str());
  return kExitOk;
}

}  // namespace graft::converter
