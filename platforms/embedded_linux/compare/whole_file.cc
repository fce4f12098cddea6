// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

bool WriteAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

bool WriteWholeFile(const std::string& file, std::string_view bytes) {
  struct stat facts {};
  if (stat(file.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode)) {
    Fail(file, "is not a plain file");
    return false;
  }
  const std::string temporary = file + Format(".%ld.tmp", static_cast<long>(getpid()));
  const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    Fail(file, std::strerror(errno));
    return false;
  }
  bool is_stored = WriteAll(descriptor, bytes) && fsync(descriptor) == 0;
  is_stored = close(descriptor) == 0 && is_stored;
  if (is_stored && std::rename(temporary.c_str(), file.c_str()) == 0) return true;
  Fail(file, std::strerror(errno));
  unlink(temporary.c_str());
  return false;
}

}  // namespace graft_run
