// SPDX-License-Identifier: Apache-2.0
// Temporary files and folders of outputs: who is at work on one, and what becomes of those whose
// program died.
#pragma once

#include <filesystem>
#include <string>

namespace graft::converter {

/// The name under which `path` is made: "PATH.tmp-PROCESS-ATTEMPT".
std::filesystem::path TemporaryFor(const std::filesystem::path& path, int attempt);

/// Says that this process works on what `descriptor` is open on, until the descriptor is closed or
/// the process ends, however it does.
/// Returns  false: someone took it for a leftover meanwhile, and it is gone.
bool HoldTemporary(int descriptor);

/// Removes what is called as TemporaryFor names it and nobody holds. What cannot be removed stays.
void SweepLeftovers(const std::filesystem::path& path);

/// Names `temporary` to RemoveTemporaries while it lives.
class TemporaryMark {
 public:
  explicit TemporaryMark(const std::filesystem::path& temporary);
  ~TemporaryMark();
  TemporaryMark(const TemporaryMark&) = delete;
  TemporaryMark& operator=(const TemporaryMark&) = delete;

 private:
  std::string name_;
};

/// Removes all that is marked, for a program that ends in the middle of its work. Any thread.
void RemoveTemporaries();

}  // namespace graft::converter
