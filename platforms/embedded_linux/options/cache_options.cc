// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/cache_options.h"

#include <cstdlib>

namespace graft_run {

void CacheOptions::AddTo(Options* options) {
  constexpr uint64_t kMostMib = uint64_t{1} << 40;
  options->Flag("no-cache", &is_off_);
  options->Flag("no-mmap", &reads_file_);
  options->String("pack", 0, &pack_, nullptr);
  options->StringList("trusted-key", &trusted_keys_);
  options->String("cache-dir", 0, &folder_, &is_given_);
  options->Integer("cache-limit", 0, &limit_mib_, 1, kMostMib);
}

std::string CacheOptions::Folder() const {
  if (is_off_) return {};
  if (is_given_) return folder_;
  if (const char* graft = std::getenv("GRAFT_CACHE_DIR"); graft != nullptr) {
    return *graft == '\0' ? std::string() : std::string(graft) + "/packed";
  }
  // As the XDG base directory specification has it: a relative path counts as none.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::string(cache) + "/graft/packed";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::string(home) + "/.cache/graft/packed";
  }
  return {};
}

}  // namespace graft_run
