// SPDX-License-Identifier: Apache-2.0
// Files that the runtime writes: limits are errors and not signals, and what is no file stays.
#include "runtime/platform/file_stream.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace graft::test {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "graft-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

TEST_SUITE("platforms/file_stream") {
  TEST_CASE("a limit on the size of files is an error, and leaves nothing behind") {
    const Folder folder;
    const std::string path = folder.path / "saved";
    struct sigaction before {};
    REQUIRE(sigaction(SIGXFSZ, nullptr, &before) == 0);
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const rlimit old = limit;
    limit.rlim_cur = 10000;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const std::vector<uint8_t> bytes(4000, 7);
    {
      auto writer = runtime::CreateFileAt(path.c_str());
      REQUIRE(writer.ok());
      CHECK((*writer)->Write(bytes).ok());
      CHECK((*writer)->Write(bytes).ok());
      const Status status = (*writer)->Write(bytes);  // the signal would end this process
      CHECK(status.code() == StatusCode::kIo);
      CHECK(status.message().find("too large") != std::string_view::npos);
      CHECK(status.message().find(path) != std::string_view::npos);
    }
    CHECK(folder.files() == 0);
    {
      auto writer = runtime::CreateFileAt(path.c_str());
      REQUIRE(writer.ok());
      CHECK((*writer)->Write(bytes).ok());
      CHECK((*writer)->Commit().ok());
    }
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(folder.files() == 1);
    CHECK(fs::file_size(path) == bytes.size());
    // How the application takes the signal is its own affair.
    struct sigaction after {};
    REQUIRE(sigaction(SIGXFSZ, nullptr, &after) == 0);
    CHECK((after.sa_handler == before.sa_handler));
  }

  TEST_CASE("what is no plain file is not replaced") {
    const Folder folder;
    const std::string pipe = folder.path / "pipe";
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    const std::string link = folder.path / "link";
    fs::create_symlink("/dev/null", link);
    for (const std::string& path : {pipe, link, std::string("/dev/null"), folder.path.string()}) {
      const auto writer = runtime::CreateFileAt(path.c_str());
      CHECK(writer.status().code() == StatusCode::kIo);
      CHECK(writer.status().message().find("plain file") != std::string_view::npos);
    }
    CHECK(folder.files() == 2);
  }
}

}  // namespace
}  // namespace graft::test
