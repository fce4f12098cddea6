// SPDX-License-Identifier: Apache-2.0
// A lock on the temporary itself says more than a process's number, which may come back.
#include "converter/base/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kInfix = ".tmp-";

/// "12" or "12-0".
bool IsTemporaryEnding(std::string_view text) {
  const size_t dash = std::min(text.find('-'), text.size());
  const auto is_number = [](std::string_view part) {
    return !part.empty() && part.size() < 12 &&
           std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  return is_number(text.substr(0, dash)) &&
         (dash == text.size() || is_number(text.substr(dash + 1)));
}

void RemoveIfLeft(const fs::path& temporary) {
  const int descriptor = open(temporary.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  struct stat facts = {};
  const bool is_ours = fstat(descriptor, &facts) == 0 && facts.st_uid == geteuid() &&
                       (S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode));
  if (is_ours && flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
  }
  close(descriptor);
}

struct Marks {
  std::mutex mutex;
  std::multiset<std::string> names;
};

// Never destroyed: a thread may look at it while the program ends.
Marks& AllMarks() {
  static Marks* const marks = new Marks;
  return *marks;
}

}  // namespace

fs::path TemporaryFor(const fs::path& path, int attempt) {
  fs::path temporary = path;
  temporary += std::string(kInfix) + std::to_string(getpid()) + "-" + std::to_string(attempt);
  return temporary;
}

bool HoldTemporary(int descriptor) {
  struct stat facts = {};
  // Where a file system has no locks nobody sweeps either.
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  return fstat(descriptor, &facts) == 0 && facts.st_nlink > 0;
}

void SweepLeftovers(const fs::path& path) {
  const std::string start = path.filename().string() + std::string(kInfix);
  std::vector<fs::path> found;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(start) && IsTemporaryEnding(std::string_view(name).substr(start.size())))
      found.push_back(it->path());
  }
  for (const fs::path& temporary : found) RemoveIfLeft(temporary);
}

TemporaryMark::TemporaryMark(const fs::path& temporary) : name_(fs::absolute(temporary)) {
  const std::lock_guard<std::mutex> lock(AllMarks().mutex);
  AllMarks().names.insert(name_);
}

TemporaryMark::~TemporaryMark() {
  const std::lock_guard<std::mutex> lock(AllMarks().mutex);
  AllMarks().names.erase(AllMarks().names.find(name_));
}

void RemoveTemporaries() {
  const std::lock_guard<std::mutex> lock(AllMarks().mutex);
  for (const std::string& name : AllMarks().names) {
    std::error_code ignored;
    fs::remove_all(name, ignored);
  }
}

}  // namespace graft::converter
