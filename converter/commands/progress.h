// SPDX-License-Identifier: Apache-2.0
// Progress: a bar with rate and time left on standard error, if that is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace graft::converter {

class Progress {
 public:
  /// `what` stands before the bar, `unit` is what is counted. `quiet`: never draw.
  Progress(std::string what, std::string unit, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Thread-safe; draws some times a second at most. Time counts from the first one.
  void Update(int64_t done, int64_t total);
  /// Clears the line.
  void Finish();

 private:
  using Clock = std::chrono::steady_clock;

  const std::string what_;
  const std::string unit_;
  const bool visible_;
  std::mutex mutex_;
  Clock::time_point start_;  // of the first update
  Clock::time_point drawn_;
  int64_t first_done_ = -1;  // then
  int64_t most_done_ = 0;
  bool on_screen_ = false;
};

/// "1.2 GB", "340 kB", "17 bytes": decimal units, at most four digits.
std::string BytesText(uint64_t bytes);

}  // namespace graft::converter
