// SPDX-License-Identifier: Apache-2.0
#include "platforms/posix/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "platforms/posix/descriptor.h"

namespace graft::platform {

std::string ReadSmallFile(const std::string& path, size_t most_bytes) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return "";
  std::string text(most_bytes, '\0');
  size_t filled = 0;
  while (filled < most_bytes) {  // /proc gives long files in pieces
    const ssize_t size = read(file.get(), text.data() + filled, most_bytes - filled);
    if (size <= 0) break;
    filled += static_cast<size_t>(size);
  }
  text.resize(filled);
  return text;
}

}  // namespace graft::platform
