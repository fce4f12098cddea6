// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "converter/base/parallel.h"
#include "converter/commands/commands.h"
#include "converter/commands/mapped_model.h"
#include "converter/commands/progress.h"
#include "converter/json/json.h"
#include "converter/write/write_model.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

Status Verify(const VerifyOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<MappedModel> file, MappedModel::Open(options.file));
  if (Status status = VerifyContents(file->verified(), DefaultThreads()); !status.ok()) {
    return status.WithContext(options.file);
  }
  const schema::fb::Model& model = file->verified().model();
  if (options.json) {
    std::printf(
        "{\"file\": %s, \"ok\": true, \"file_bytes\": %llu, \"tensors\": %u, "
        "\"segments\": %u}\n",
        JsonQuote(options.file).c_str(), static_cast<unsigned long long>(file->file_bytes()),
        model.tensors()->size(), model.segments()->size());
  } else {
    std::printf("%s: ok, %u tensors in %u segments, %s\n", options.file.c_str(),
                model.tensors()->size(), model.segments()->size(),
                BytesText(file->file_bytes()).c_str());
  }
  return OkStatus();
}

}  // namespace

int RunVerify(const VerifyOptions& options) {
  const Status status = Verify(options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace graft::converter
