// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/platform/data_source.h"

namespace graft::test {
namespace {

/// A folder that goes with the test.
struct Folder {
  std::string path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "graft-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string Write(const char* name, const std::vector<uint8_t>& bytes) const {
    const std::string file = path + "/" + name;
    const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT, 0600);
    REQUIRE(write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    close(descriptor);
    return file;
  }
};

std::vector<uint8_t> Numbers(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 256);
  return bytes;
}

TEST_SUITE("platforms/mapped_source") {
  TEST_CASE("a file is mapped whole, its bytes aligned") {
    const Folder folder;
    const auto bytes = Numbers(100001);
    const auto source = runtime::OpenPath(folder.Write("file", bytes).c_str());
    REQUIRE_MESSAGE(source.ok(), source.status().message());
    const auto mapped = (*source)->bytes();
    CHECK(std::vector<uint8_t>(mapped.begin(), mapped.end()) == bytes);
    CHECK(reinterpret_cast<uintptr_t>(mapped.data()) % 64 == 0);
    // Hints change nothing that is read, whatever their range.
    for (const uint64_t offset : {0, 1, 4096, 70000, 100001, 200000}) {
      for (const uint64_t size : {uint64_t{0}, uint64_t{5}, uint64_t{50000}, UINT64_MAX}) {
        (*source)->WillRead(offset, size);
        (*source)->Release(offset, size);
      }
    }
    CHECK(std::vector<uint8_t>(mapped.begin(), mapped.end()) == bytes);
  }

  TEST_CASE("any part of an open file can be had, wherever it starts") {
    const Folder folder;
    const auto bytes = Numbers(50000);
    const int descriptor = open(folder.Write("file", bytes).c_str(), O_RDONLY);
    for (const uint64_t offset : {0, 1, 4, 64, 100, 4096, 4160, 16384, 49999}) {
      for (const uint64_t size : {uint64_t{0}, uint64_t{1}}) {
        const auto source = runtime::OpenDescriptor(descriptor, offset, size);
        REQUIRE_MESSAGE(source.ok(), source.status().message());
        const auto part = (*source)->bytes();
        CHECK(part.size() == (size == 0 ? bytes.size() - offset : size));
        CHECK(std::memcmp(part.data(), bytes.data() + offset, part.size()) == 0);
        CHECK(reinterpret_cast<uintptr_t>(part.data()) % 64 == 0);
      }
    }
    for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{
             {50000, 0}, {50000, 1}, {0, 50001}, {49999, 2}, {UINT64_MAX, 1}, {64, UINT64_MAX}}) {
      const auto source = runtime::OpenDescriptor(descriptor, offset, size);
      REQUIRE(!source.ok());
      CHECK(source.status().code() == StatusCode::kInvalidArgument);
    }
    close(descriptor);
  }

  TEST_CASE("a file that is read may shrink, grow and change") {
    const Folder folder;
    const auto bytes = Numbers(100001);
    const std::string path = folder.Write("file", bytes);
    const auto source = runtime::OpenPath(path.c_str(), runtime::FileAccess::kRead);
    REQUIRE_MESSAGE(source.ok(), source.status().message());
    CHECK((*source)->own_bytes() == bytes.size());
    for (const off_t size : {0, 17, 200000}) {
      REQUIRE(truncate(path.c_str(), size) == 0);
      const auto read = (*source)->bytes();
      CHECK(std::vector<uint8_t>(read.begin(), read.end()) == bytes);
      CHECK(reinterpret_cast<uintptr_t>(read.data()) % 64 == 0);
    }
    const int descriptor = open(folder.Write("other", bytes).c_str(), O_RDONLY);
    const auto part = runtime::OpenDescriptor(descriptor, 4096, 100, runtime::FileAccess::kRead);
    REQUIRE(part.ok());
    REQUIRE(truncate((folder.path + "/other").c_str(), 0) == 0);
    CHECK(std::memcmp((*part)->bytes().data(), bytes.data() + 4096, 100) == 0);
    close(descriptor);
  }

  TEST_CASE("a file larger than memory is not read") {
    const Folder folder;
    const std::string path = folder.Write("sparse", {1});
    const auto huge = static_cast<off_t>(std::min<uint64_t>(
        runtime::AvailableMemory() / 4096 * 4096 + (1u << 30), uint64_t{1} << 42));
    if (truncate(path.c_str(), huge) != 0) return;  // the file system has no such files
    const auto source = runtime::OpenPath(path.c_str(), runtime::FileAccess::kRead);
    CHECK(source.status().code() == StatusCode::kOutOfMemory);
  }

  TEST_CASE("what cannot be mapped is named with the reason") {
    const Folder folder;
    const auto check = [](const std::string& path, StatusCode code) {
      const auto source = runtime::OpenPath(path.c_str());
      REQUIRE(!source.ok());
      CHECK(source.status().code() == code);
      CHECK(source.status().message().find(path) != std::string_view::npos);
    };
    check(folder.path + "/absent", StatusCode::kNotFound);
    check(folder.path, StatusCode::kIo);
    check(folder.Write("empty", {}), StatusCode::kCorrupt);
    check("/dev/null", StatusCode::kIo);
    REQUIRE(mkfifo((folder.path + "/pipe").c_str(), 0600) == 0);
    check(folder.path + "/pipe", StatusCode::kIo);  // and does not wait for a writer
    CHECK(!runtime::OpenDescriptor(-1, 0, 0).ok());
  }
}

}  // namespace
}  // namespace graft::test
