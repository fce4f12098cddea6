// SPDX-License-Identifier: Apache-2.0
#include <cinttypes>
#include <cstdio>
#include <string>

#include "converter/base/output_check.h"
#include "converter/base/parallel.h"
#include "converter/commands/commands.h"
#include "converter/commands/hash_text.h"
#include "converter/commands/mapped_model.h"
#include "converter/commands/pack_report.h"
#include "converter/commands/progress.h"
#include "converter/json/json.h"
#include "converter/packs/write_pack.h"

namespace graft::converter {
namespace {

Status WritePackFile(const PackCommandOptions& options) {
  GRAFT_RETURN_IF_ERROR(RefuseInputAsOutput(options.output, {options.base, options.input}));
  GRAFT_RETURN_IF_ERROR(RefuseForeignOutput(options.output));
  GRAFT_ASSIGN_OR_RETURN(const auto base, MappedModel::Open(options.base));
  GRAFT_ASSIGN_OR_RETURN(const auto adapted, MappedModel::Open(options.input));
  Progress progress("packing", "bytes", options.quiet);
  PackOptions pack;
  pack.path = options.output;
  pack.threads = options.threads > 0 ? options.threads : DefaultThreads();
  pack.progress = [&progress](int64_t done, int64_t total) { progress.Update(done, total); };
  GRAFT_ASSIGN_OR_RETURN(const PackOutcome outcome,
                         WritePack(base->verified(), adapted->verified(), pack));
  progress.Finish();
  if (options.json) {
    std::printf("%s\n", PackReportJson(options.output, outcome).c_str());
  } else if (!options.quiet) {
    std::printf("%s\n", PackReportText(options.output, outcome).c_str());
  }
  return OkStatus();
}

// The base may become what is made of it: it is replaced as a whole.
Status ApplyPackFile(const PackCommandOptions& options) {
  GRAFT_RETURN_IF_ERROR(RefuseInputAsOutput(options.output, {options.input}));
  GRAFT_RETURN_IF_ERROR(RefuseForeignOutput(options.output));
  GRAFT_ASSIGN_OR_RETURN(const auto base, MappedModel::Open(options.base));
  GRAFT_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.input));
  const auto pack = schema::Pack::Open(file->bytes(), base->verified());
  if (!pack.ok()) return pack.status().WithContext(options.input);
  Progress progress("applying", "bytes", options.quiet);
  PackOptions apply;
  apply.path = options.output;
  apply.threads = options.threads > 0 ? options.threads : DefaultThreads();
  apply.progress = [&progress](int64_t done, int64_t total) { progress.Update(done, total); };
  if (Status status = ApplyPack(base->verified(), *pack, apply); !status.ok()) {
    return status.WithContext(options.input);
  }
  progress.Finish();
  const schema::PackPreamble& preamble = pack->preamble();
  if (options.json) {
    std::printf("{\"file\": %s, \"file_bytes\": %" PRIu64 ", \"identity\": \"%s\"}\n",
                JsonQuote(options.output).c_str(), preamble.result_bytes,
                HashText(preamble.result_identity).c_str());
  } else if (!options.quiet) {
    std::printf("%s: %s, as it was packed\n", options.output.c_str(),
                BytesText(preamble.result_bytes).c_str());
  }
  return OkStatus();
}

}  // namespace

int RunPack(const PackCommandOptions& options) {
  const Status status = WritePackFile(options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

int RunApply(const PackCommandOptions& options) {
  const Status status = ApplyPackFile(options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace graft::converter
