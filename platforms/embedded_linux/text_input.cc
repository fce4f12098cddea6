// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "platforms/embedded_linux/console.h"

namespace graft_run {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

bool ReadTextFile(const std::string& file, std::string* text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(
      file == "-" ? nullptr : std::fopen(file.c_str(), "rbe"),
      [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  std::FILE* input = file == "-" ? stdin : opened.get();
  if (input == nullptr) {
    Fail(file, std::strerror(errno));
    return false;
  }
  text->clear();
  char block[65536];
  size_t count = 0;
  while ((count = std::fread(block, 1, sizeof(block), input)) > 0) {
    if (text->size() + count > kMaxTextBytes) {
      Fail(file, Format("holds more than %zu bytes", kMaxTextBytes));
      return false;
    }
    text->append(block, count);
  }
  if (std::ferror(input) != 0) {
    Fail(file, std::strerror(errno));
    return false;
  }
  return true;
}

}  // namespace graft_run
