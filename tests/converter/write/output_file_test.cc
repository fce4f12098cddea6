// SPDX-License-Identifier: Apache-2.0
// Outputs: what dead runs left beside them goes, what living ones hold stays, and limits are errors.
#include "converter/base/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>

#include <doctest/doctest.h>

#include "converter/base/input_file.h"
#include "converter/base/leftovers.h"
#include "converter/base/output_folder.h"
#include "converter/json/json.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

std::set<std::string> Names(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST_SUITE("converter/outputs") {
  TEST_CASE("what dead writers left beside an output goes, and nothing else") {
    const TemporaryFolder folder;
    for (const char* left : {"o.graft.tmp-123-0", "o.graft.tmp-1-17", "o.graft.tmp-55"})
      WriteText(folder / left, "left");
    fs::create_directories(folder / "o.graft.tmp-9" / "inner");
    WriteText(folder / "o.graft.tmp-9" / "inner" / "model.safetensors.tmp-9-0", "left");
    const std::set<std::string> others = {"o.graft.tmp-",    "o.graft.tmp-1-2-3", "o.graft.tmp-1x",
                                          "o.graft.tmp-1-",  "p.graft.tmp-1-0",   "o.grafttmp-1-0",
                                          "xo.graft.tmp-1-0"};
    for (const std::string& other : others) WriteText(folder / other, "mine");
    WriteText(folder / "o.graft.tmp-77-0", "held");
    const int held = open((folder / "o.graft.tmp-77-0").c_str(), O_RDWR);
    REQUIRE(flock(held, LOCK_EX | LOCK_NB) == 0);
    fs::create_symlink(folder / "p.graft.tmp-1-0", folder / "o.graft.tmp-88-0");
    std::set<std::string> expected = others;
    expected.insert({"o.graft.tmp-77-0", "o.graft.tmp-88-0"});

    auto file = OutputFile::Create(folder / "o.graft", 4);
    REQUIRE_MESSAGE(file.ok(), std::string(file.status().message()));
    std::set<std::string> now = Names(folder.path());
    CHECK(now.size() == expected.size() + 1);
    // Another writer of the same file takes neither for a leftover.
    auto second = OutputFile::Create(folder / "o.graft", 4);
    REQUIRE(second.ok());
    CHECK(Names(folder.path()).size() == expected.size() + 2);
    CHECK((*second)->Commit().ok());
    CHECK((*file)->Commit().ok());
    expected.insert("o.graft");
    CHECK(Names(folder.path()) == expected);
    close(held);
    CHECK(OutputFile::Create(folder / "o.graft", 4).ok());
    CHECK(Names(folder.path()).count("o.graft.tmp-77-0") == 0);
  }

  TEST_CASE("folders are swept and held alike") {
    const TemporaryFolder folder;
    fs::create_directories(folder / "od.tmp-123");
    WriteText(folder / "od.tmp-123" / "config.json", "{}");
    auto first = OutputFolder::Create(folder / "od");
    REQUIRE(first.ok());
    CHECK(Names(folder.path()).size() == 1);
    auto second = OutputFolder::Create(folder / "od/");
    REQUIRE(second.ok());
    CHECK(Names(folder.path()).size() == 2);
    WriteText((*first)->path() / "a", "a");
    CHECK((*first)->Finish().ok());
    second->reset();
    CHECK(Names(folder.path()) == std::set<std::string>{"od"});
  }

  TEST_CASE("what is marked can be removed by whoever ends the program") {
    const TemporaryFolder folder;
    auto file = OutputFile::Create(folder / "o", 4);
    auto made = OutputFolder::Create(folder / "od");
    REQUIRE(file.ok());
    REQUIRE(made.ok());
    WriteText((*made)->path() / "a", "a");
    RemoveTemporaries();
    CHECK(Names(folder.path()).empty());
  }

  TEST_CASE("a limit on the size of files is an error that says what is needed") {
    const TemporaryFolder folder;
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const rlimit old = limit;
    limit.rlim_cur = 10000;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const Status status = OutputFile::Create(folder / "o", 20000).status();
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(status.code() == StatusCode::kIo);
    CHECK(status.message().find("the file needs 20000 bytes") != std::string_view::npos);
    CHECK(Names(folder.path()).empty());
  }

  TEST_CASE("what is no plain file is neither waited for nor replaced") {
    const TemporaryFolder folder;
    const fs::path pipe = folder / "pipe";
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    for (const fs::path& path : {pipe, fs::path("/dev/null")}) {
      CHECK(OutputFile::Create(path, 4).status().message().find("is not a regular file") !=
            std::string_view::npos);
      CHECK(InputFile::Open(path).status().message().find("is not a regular file") !=
            std::string_view::npos);
      CHECK(ReadTextFile(path, 100).status().message().find("is not a regular file") !=
            std::string_view::npos);
    }
    CHECK(Names(folder.path()) == std::set<std::string>{"pipe"});
  }
}

}  // namespace
}  // namespace graft::converter
