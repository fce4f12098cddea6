// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace graft::converter {
namespace {

constexpr int kBarWidth = 32;
constexpr std::chrono::milliseconds kRedrawEvery(100);

bool IsTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && !(term != nullptr && std::string_view(term) == "dumb");
}

}  // namespace

Progress::Progress(std::string what, std::string unit, bool quiet)
    : what_(std::move(what)), unit_(std::move(unit)), visible_(!quiet && IsTerminal()) {}

Progress::~Progress() { Finish(); }

void Progress::Update(int64_t done, int64_t total) {
  if (!visible_ || total <= 0) return;
  // A thread that finds another one drawing goes on working.
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  most_done_ = std::max(most_done_, done);
  const Clock::time_point now = Clock::now();
  if (first_done_ < 0) {
    first_done_ = done;
    start_ = drawn_ = now;
  }
  if (now - drawn_ < kRedrawEvery) return;
  drawn_ = now;
  on_screen_ = true;
  const double share = static_cast<double>(most_done_) / static_cast<double>(total);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(most_done_ - first_done_) / seconds;
  const double left = rate > 0 ? static_cast<double>(total - most_done_) / rate : 0;
  std::string bar(kBarWidth, '.');
  std::fill_n(bar.begin(), std::clamp(static_cast<int>(share * kBarWidth), 0, kBarWidth), '#');
  const bool is_fast = rate >= 1e6;
  std::fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %.*f%s %s/s  %.0f s left", what_.c_str(),
               bar.c_str(), share * 100, is_fast || rate >= 10 ? 0 : 1, is_fast ? rate / 1e6 : rate,
               is_fast ? " M" : "", unit_.c_str(), left);
  std::fflush(stderr);
}

void Progress::Finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!on_screen_) return;
  on_screen_ = false;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

std::string BytesText(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1000.0;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 99.95 ? "%.1f %s" : "%.0f %s", value,
                kUnits[unit]);
  return text.data();
}

}  // namespace graft::converter
