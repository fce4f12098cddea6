// SPDX-License-Identifier: Apache-2.0
// --cache-dir, --cache-limit and --no-cache: where packed weights are kept between runs; and
// --no-mmap: how the file that they come from is read; --pack: what it is to become; and
// --trusted-key: who must have signed it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

class CacheOptions {
 public:
  /// This must outlive the parsing.
  void AddTo(Options* options);

  /// The folder: as given, or packed in $GRAFT_CACHE_DIR, or graft/packed in the user's cache
  /// folder ($XDG_CACHE_HOME, ~/.cache). Empty: no cache is wanted, or there is no place for one.
  std::string Folder() const;
  uint64_t limit_bytes() const { return limit_mib_ << 20; }  ///< 0: graft.h's default
  bool reads_file() const { return reads_file_; }            ///< rather than map the model

  /// The same for a file beside the one that --pack is meant for.
  CacheOptions WithoutPack() const {
    CacheOptions options = *this;
    options.pack_.clear();
    return options;
  }
  const std::string& pack() const { return pack_; }  ///< "": none
  /// Files of public keys; none: any file is opened.
  const std::vector<std::string>& trusted_keys() const { return trusted_keys_; }

 private:
  std::string pack_;
  std::vector<std::string> trusted_keys_;
  bool is_off_ = false;
  bool reads_file_ = false;
  bool is_given_ = false;
  std::string folder_;
  uint64_t limit_mib_ = 0;
};

}  // namespace graft_run
