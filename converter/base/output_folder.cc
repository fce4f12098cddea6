// SPDX-License-Identifier: Apache-2.0
// mkdir, fill, rename.
#include "converter/base/output_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "converter/base/output_file.h"

namespace graft::converter {

namespace fs = std::filesystem;

namespace {

constexpr int kMaxNames = 1000;

}  // namespace

Result<std::unique_ptr<OutputFolder>> OutputFolder::Create(const fs::path& target) {
  // "out/" and "out" are the same folder, and the temporary one must stand beside it.
  const fs::path clean = target.has_filename() ? target : target.parent_path();
  std::error_code error;
  if (fs::exists(fs::symlink_status(clean, error)) &&
      !(fs::is_directory(clean, error) && fs::is_empty(clean, error))) {
    return Error(StatusCode::kInvalidArgument,
                 "%s: is there already; name a folder that does not exist yet", clean.c_str());
  }
  SweepLeftovers(clean);
  for (int attempt = 0;; ++attempt) {
    const fs::path temporary = TemporaryFor(clean, attempt);
    if (mkdir(temporary.c_str(), 0755) != 0) {
      if (errno == EEXIST && attempt < kMaxNames) continue;
      return Error(StatusCode::kIo, "%s: cannot be created: %s", clean.c_str(),
                   std::strerror(errno));
    }
    const int descriptor = open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0 && HoldTemporary(descriptor))
      return std::unique_ptr<OutputFolder>(new OutputFolder(clean, temporary, descriptor));
    if (descriptor >= 0) close(descriptor);
  }
}

OutputFolder::~OutputFolder() {
  std::error_code error;
  if (!finished_) fs::remove_all(temporary_, error);
  close(descriptor_);
}

Status OutputFolder::Finish() {
  SyncFolder(temporary_);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) {
    return Error(StatusCode::kIo, "%s: cannot be put in place: %s", target_.c_str(),
                 std::strerror(errno));
  }
  finished_ = true;
  return OkStatus();
}

}  // namespace graft::converter
