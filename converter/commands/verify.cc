// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <string>

#include "converter/base/parallel.h"
#include "converter/commands/commands.h"
#include "converter/commands/mapped_model.h"
#include "converter/commands/progress.h"
#include "converter/json/json.h"
#include "converter/write/write_model.h"
#include "schema/generated/model_generated.h"
#include "schema/packs/pack.h"

namespace graft::converter {
namespace {

// A pack proves itself against its base, and as what was signed.
bool IsPack(const std::string& path) {
  const auto file = MappedFile::Open(path);
  const auto& magic = schema::kPackMagic;
  return file.ok() && (*file)->bytes().size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), (*file)->bytes().begin());
}

Status VerifyFile(const VerifyOptions& options) {
  if (!options.key.empty()) {
    GRAFT_RETURN_IF_ERROR(CheckSigned(options));
    if (IsPack(options.file)) {
      std::printf(
          options.json ? "{\"file\": %s, \"ok\": true}\n" : "%s: ok, it is what was signed\n",
          options.json ? JsonQuote(options.file).c_str() : options.file.c_str());
      return OkStatus();
    }
  }
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
  const Status status = VerifyFile(options);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace graft::converter
