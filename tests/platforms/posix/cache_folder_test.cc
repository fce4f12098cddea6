// SPDX-License-Identifier: Apache-2.0
// Cache folders: no place to write, too little room, what dead writers left, and many at once.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "tests/runtime/model/cached_model.h"

namespace graft::test {
namespace {

using runtime::CacheState;

constexpr uid_t kNobody = 65534;

/// Limits the size of files while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit now = before_;
    now.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &now) == 0);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

/// Whether the file may be written by no one here: files stored by the superuser are trusted, the
/// superuser itself can write anywhere.
class AsNobody {
 public:
  AsNobody() : is_root_(geteuid() == 0) {
    if (is_root_) REQUIRE(seteuid(kNobody) == 0);
  }
  ~AsNobody() {
    if (is_root_ && seteuid(0) != 0) std::abort();
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  const bool is_root_;
};

void Touch(const std::string& path, time_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

/// Runs `body` in a process of its own.
template <typename Body>
pid_t Fork(const Body& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(body() ? 0 : 1);
  return child;
}

TEST_SUITE("runtime/cache_folder") {
  TEST_CASE("a missing folder is made, with its parents") {
    const CacheFolder folder;
    const LinearModel model(1);
    runtime::CacheSettings settings = folder.settings();
    settings.folder += "/a/b/c";
    CHECK(StateOf(model.Open(settings)) == CacheState::kStored);
    CHECK(StateOf(model.Open(settings)) == CacheState::kHit);
    struct stat facts {};
    REQUIRE(stat((folder.path() + "/a/b/c").c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0700);
  }

  TEST_CASE("a folder that cannot be had leaves the weights in memory and says so") {
    const CacheFolder folder;
    const LinearModel model(1);
    const auto expected = model.Run(model.Open());
    std::ofstream(folder.path() + "/file") << "no folder";
    for (const std::string& path : {folder.path() + "/file", folder.path() + "/file/below",
                                    std::string("/proc/graft-cache"), std::string("/dev/null")}) {
      CAPTURE(path);
      const auto opened = model.Open({path});
      CHECK(StateOf(opened) == CacheState::kFailed);
      CHECK(opened->packed_weights().cache_note().find(path) != std::string::npos);
      CHECK(model.Run(opened) == expected);
    }
  }

  TEST_CASE("a read-only folder still gives its files, and takes none") {
    const CacheFolder folder;
    const LinearModel model(1);
    const LinearModel other(2);
    const auto expected = model.Run(model.Open());
    REQUIRE(StateOf(model.Open(folder.settings())) == CacheState::kStored);
    const std::string path = folder.path() + "/" + folder.Files()[0];
    REQUIRE(chmod(path.c_str(), 0444) == 0);
    REQUIRE(chmod(folder.path().c_str(), 0555) == 0);
    {
      const AsNobody nobody;
      const auto hit = model.Open(folder.settings());
      CHECK(StateOf(hit) == CacheState::kHit);
      CHECK(model.Run(hit) == expected);
      const auto miss = other.Open(folder.settings());
      CHECK(StateOf(miss) == CacheState::kFailed);
      CHECK(other.Run(miss) == other.Run(other.Open()));
    }
    REQUIRE(chmod(folder.path().c_str(), 0700) == 0);
    CHECK(folder.Files().size() == 1);
  }

  TEST_CASE("files of another user are not believed") {
    if (geteuid() != 0) return;  // only the superuser can make one
    const CacheFolder folder;
    const LinearModel model(1);
    REQUIRE(StateOf(model.Open(folder.settings())) == CacheState::kStored);
    const std::string path = folder.path() + "/" + folder.Files()[0];
    REQUIRE(chown(path.c_str(), kNobody, kNobody) == 0);
    const auto opened = model.Open(folder.settings());
    CHECK(StateOf(opened) == CacheState::kStored);
    CHECK(opened->packed_weights().cache_note().find("user") != std::string::npos);
  }

  TEST_CASE("files that others may write are not believed") {
    const CacheFolder folder;
    const LinearModel model(1);
    REQUIRE(StateOf(model.Open(folder.settings())) == CacheState::kStored);
    const std::string path = folder.path() + "/" + folder.Files()[0];
    for (const mode_t mode : {0620, 0602, 0666}) {
      REQUIRE(chmod(path.c_str(), mode) == 0);
      const auto opened = model.Open(folder.settings());
      CHECK(StateOf(opened) == CacheState::kStored);  // anew, for this user alone
      CHECK(opened->packed_weights().cache_note().find("others may write") != std::string::npos);
    }
    REQUIRE(chmod(path.c_str(), 0644) == 0);
    CHECK(StateOf(model.Open(folder.settings())) == CacheState::kHit);
  }

  TEST_CASE("too little room is found before anything is packed, and leaves nothing behind") {
    const CacheFolder folder;
    const LinearModel model(1);
    const auto expected = model.Run(model.Open());
    {
      const FileSizeLimit limit(8192);
      const auto opened = model.Open(folder.settings());
      CHECK(StateOf(opened) == CacheState::kFailed);
      CHECK(opened->packed_weights().cache_note().find("room") != std::string::npos);
      CHECK(model.Run(opened) == expected);
    }
    CHECK(folder.Files().empty());
    CHECK(StateOf(model.Open(folder.settings())) == CacheState::kStored);
  }

  TEST_CASE("a write that fails half way is an error, and leaves nothing behind") {
    const CacheFolder folder;
    {
      auto writer = runtime::CreateCacheFile(folder.settings(), "x.graftcache", 65536);
      REQUIRE(writer.ok());
      const std::vector<uint8_t> bytes(16384, 7);
      CHECK((*writer)->Write(0, bytes).ok());
      const FileSizeLimit limit(32768);
      const Status status = (*writer)->Write(24576, bytes);
      CHECK(status.code() == StatusCode::kIo);
      CHECK(status.message().find(folder.path()) != std::string_view::npos);
      CHECK(folder.Files().size() == 1);
    }
    CHECK(folder.Files().empty());
  }

  TEST_CASE("beyond the limit the files used longest ago go") {
    const CacheFolder folder;
    const std::array<LinearModel, 3> models = {LinearModel(1), LinearModel(2), LinearModel(3)};
    std::ofstream(folder.path() + "/of-the-user.txt") << "stays";
    REQUIRE(StateOf(models[0].Open(folder.settings())) == CacheState::kStored);
    const std::string first = folder.Files()[0];
    const uint64_t bytes = std::filesystem::file_size(folder.path() + "/" + first);
    Touch(folder.path() + "/" + first, 1000);
    const runtime::CacheSettings settings = folder.settings(2 * bytes);
    REQUIRE(StateOf(models[1].Open(settings)) == CacheState::kStored);
    for (const std::string& name : folder.Files()) {
      if (name != first && name.ends_with(".graftcache")) Touch(folder.path() + "/" + name, 2000);
    }
    // A hit makes the first the one used last.
    REQUIRE(StateOf(models[0].Open(settings)) == CacheState::kHit);
    REQUIRE(StateOf(models[2].Open(settings)) == CacheState::kStored);
    CHECK(folder.Files().size() == 3);
    CHECK(StateOf(models[0].Open(settings)) == CacheState::kHit);
    CHECK(StateOf(models[2].Open(settings)) == CacheState::kHit);
    const auto alone = models[1].Open(folder.settings(bytes - 1));
    CHECK(StateOf(alone) == CacheState::kFailed);
    CHECK(alone->packed_weights().cache_note().find("limit") != std::string::npos);
    CHECK(folder.Files().size() == 3);
  }

  TEST_CASE("what dead writers left goes, what living ones hold stays") {
    const CacheFolder folder;
    const std::string left = folder.path() + "/a.graftcache.1-0-0.graftcache-tmp";
    const std::string held = folder.path() + "/b.graftcache.2-0-0.graftcache-tmp";
    std::ofstream(left) << "left";
    std::ofstream(held) << "held";
    const int descriptor = open(held.c_str(), O_RDWR);
    REQUIRE(flock(descriptor, LOCK_EX | LOCK_NB) == 0);
    REQUIRE(StateOf(LinearModel(1).Open(folder.settings())) == CacheState::kStored);
    CHECK(!std::filesystem::exists(left));
    CHECK(std::filesystem::exists(held));
    close(descriptor);
    REQUIRE(StateOf(LinearModel(2).Open(folder.settings())) == CacheState::kStored);
    CHECK(!std::filesystem::exists(held));
  }

  TEST_CASE("processes that store the same file at once do not disturb each other") {
    const CacheFolder folder;
    const LinearModel model(1, Change::kNone, 1000, 256);
    const auto expected = model.Run(model.Open());
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
      children.push_back(Fork([&] {
        for (int round = 0; round < 5; ++round) {
          const auto opened = model.Open(folder.settings());
          if (StateOf(opened) == CacheState::kFailed) return false;
          if (model.Run(opened) != expected) return false;
          for (const std::string& name : folder.Files()) {
            if (round < 4 && name.ends_with(".graftcache")) {
              unlink((folder.path() + "/" + name).c_str());
            }
          }
        }
        return true;
      }));
    }
    for (const pid_t child : children) {
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      CHECK(status == 0);
    }
    const auto hit = model.Open(folder.settings());
    CHECK(StateOf(hit) == CacheState::kHit);
    CHECK(model.Run(hit) == expected);
    CHECK(folder.Files().size() == 1);
  }

  // GRAFT_TEST_KILLS=200 kills more of them.
  TEST_CASE("writers killed at any moment leave nothing that a later start believes") {
    const char* more = std::getenv("GRAFT_TEST_KILLS");
    const int kills = more == nullptr ? 20 : std::atoi(more);
    const CacheFolder folder;
    const LinearModel model(1, Change::kNone, 4000, 512);
    const auto expected = model.Run(model.Open());
    std::mt19937 random(std::random_device{}());
    useconds_t longest = 20000;  // grows until writers finish now and then
    int killed = 0;
    for (int i = 0; i < kills; ++i) {
      for (const std::string& name : folder.Files()) {
        if (name.ends_with(".graftcache")) unlink((folder.path() + "/" + name).c_str());
      }
      const pid_t child =
          Fork([&] { return StateOf(model.Open(folder.settings())) == CacheState::kStored; });
      usleep(static_cast<useconds_t>(random() % longest));
      kill(child, SIGKILL);
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      killed += WIFSIGNALED(status) ? 1 : 0;
      longest = WIFSIGNALED(status) ? longest + longest / 8 : longest - longest / 4;
      longest = std::max<useconds_t>(longest, 100);
      const auto opened = model.Open(folder.settings());
      REQUIRE(model.Run(opened) == expected);
      REQUIRE(StateOf(opened) != CacheState::kFailed);
    }
    MESSAGE(killed << " of " << kills << " writers were killed before they were done");
    CHECK(killed > 0);
    // The next writer removes the last one's leftovers.
    REQUIRE(StateOf(LinearModel(2).Open(folder.settings())) == CacheState::kStored);
    for (const std::string& name : folder.Files()) CHECK(name.ends_with(".graftcache"));
  }
}

}  // namespace
}  // namespace graft::test
