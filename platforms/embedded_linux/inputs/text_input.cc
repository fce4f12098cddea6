// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/inputs/text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

/// The next line of standard input, without its end; false if there is none. By stdio: the streams
/// of the C++ library bring all of its locales along, 0.3 MB of a static program.
bool ReadLine(std::string* line) {
  line->clear();
  int c = 0;
  while ((c = std::getchar()) != EOF && c != '\n') *line += static_cast<char>(c);
  return c != EOF || !line->empty();
}

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

bool ReadMessage(bool is_terminal, std::string* message) {
  message->clear();
  for (bool is_first = true;; is_first = false) {
    if (is_terminal) std::fputs(is_first ? "> " : "  ", stderr);
    std::string line;
    if (!ReadLine(&line)) return !message->empty();
    if (line.ends_with('\r')) line.pop_back();
    const bool goes_on = line.ends_with('\\');
    if (goes_on) line.back() = '\n';
    *message += line;
    if (!goes_on) return true;
  }
}

}  // namespace graft_run
