// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/output_check.h"

#include <sys/stat.h>

namespace graft_run {

std::string OutputProblem(const std::string& output, std::initializer_list<std::string> inputs) {
  struct stat written {};
  if (output.empty() || stat(output.c_str(), &written) != 0) return {};
  for (const std::string& input : inputs) {
    struct stat read {};
    if (input.empty() || stat(input.c_str(), &read) != 0) continue;
    if (read.st_dev == written.st_dev && read.st_ino == written.st_ino && S_ISREG(read.st_mode))
      return output + " is read here and would be overwritten";
  }
  return {};
}

}  // namespace graft_run
