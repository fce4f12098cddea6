// SPDX-License-Identifier: Apache-2.0
// Memory limits: what does not fit is refused in words before it is allocated, and what is said to
// fit does.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "runtime/model/packed_weights.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

constexpr uint64_t kUnknown = std::numeric_limits<uint64_t>::max();

// A machine's files, made up.
class FakeMachine {
 public:
  FakeMachine() {
    std::string name = std::filesystem::temp_directory_path() / "graft-machine-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    root_ = name;
  }
  ~FakeMachine() { std::filesystem::remove_all(root_); }
  void Write(const char* path, const std::string& text) const {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  uint64_t Available() const { return runtime::AvailableMemory(root_.c_str()); }

 private:
  std::filesystem::path root_;
};

Status Create(const TinyLlama& llama, uint32_t context_tokens, uint64_t limit_bytes) {
  runtime::SessionOptions options;
  options.threads = 1;
  options.context_tokens = context_tokens;
  options.memory_limit_bytes = limit_bytes;
  return runtime::Session::Create(llama.model(), options).status();
}

TEST_SUITE("runtime/memory_budget") {
  TEST_CASE("available memory is what the machine has left, swap included, within the group") {
    const FakeMachine machine;
    CHECK(machine.Available() == kUnknown);
    machine.Write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    1000 kB\n");
    CHECK(machine.Available() == 1000 * 1024);
    machine.Write("proc/meminfo", "MemAvailable:    1000 kB\nSwapFree:   9900 kB\n");
    CHECK(machine.Available() == 1000 * 1024);
    // Swap in zram is memory itself.
    const std::string swaps = "Filename\tType\tSize\tUsed\tPriority\n";
    machine.Write("proc/swaps", swaps + "/dev/block/zram0 partition\t9000\t100\t-2\n");
    CHECK(machine.Available() == 1000 * 1024);
    machine.Write("proc/swaps", swaps + "/dev/sda2  partition\t300\t100\t-2\n" +
                                    "/dev/zram0 partition 9000 0 5\n/swapfile file 300 0 -3\n");
    CHECK(machine.Available() == 1500 * 1024);
    machine.Write("sys/fs/cgroup/memory.max", "max\n");
    CHECK(machine.Available() == 1500 * 1024);
    machine.Write("sys/fs/cgroup/memory.max", "4096\n");
    CHECK(machine.Available() == 4096);
    machine.Write("proc/meminfo", "MemAvailable: unclear\n");
    CHECK(machine.Available() == 4096);
  }

  TEST_CASE("a context beyond the limit is refused, and the one that is said to fit does") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const uint64_t limit = llama.model()->packed_weights().bytes() + (4u << 20);
    const Status refused = Create(llama, 1u << 20, limit);
    REQUIRE(refused.code() == StatusCode::kOutOfMemory);
    const std::string message(refused.message());
    CHECK_MESSAGE(message.find(std::to_string(limit)) != std::string::npos, message);
    const std::string words = "a context of ";
    const size_t at = message.rfind(words);
    REQUIRE_MESSAGE(at != std::string::npos, message);
    const auto fits =
        static_cast<uint32_t>(std::strtoul(message.c_str() + at + words.size(), nullptr, 10));
    CHECK(fits > 256);
    CHECK(Create(llama, fits, limit).ok());
    CHECK(Create(llama, fits + 1, limit).code() == StatusCode::kOutOfMemory);
  }

  TEST_CASE("a limit that the weights alone exceed fits no context") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const Status refused = Create(llama, 16, 1);
    CHECK(refused.code() == StatusCode::kOutOfMemory);
    CHECK(std::string(refused.message()).find("no context fits") != std::string::npos);
  }

  TEST_CASE("a cache beyond the machine's memory is refused when the session is made") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    if (runtime::AvailableMemory() > (uint64_t{1} << 36)) return;  // the cache might fit
    const Status refused = Create(llama, 1u << 30, 0);
    REQUIRE(refused.code() == StatusCode::kOutOfMemory);
    CHECK(std::string(refused.message()).find("the cache of 1073741824 tokens") !=
          std::string::npos);
  }

  TEST_CASE("a model's limit holds for its packed weights and for sessions that set none") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const uint64_t packed = llama.model()->packed_weights().bytes();
    const auto open = [&](uint64_t limit) {
      runtime::ModelOptions options;
      options.threads = 1;
      options.memory_limit_bytes = limit;
      return runtime::Model::Open(std::make_unique<runtime::MemorySource>(std::span<const uint8_t>(
                                      llama.file().data(), llama.file().size())),
                                  options);
    };
    const auto refused = open(packed - 1);
    CHECK(refused.status().code() == StatusCode::kOutOfMemory);
    const auto opened = open(packed);
    REQUIRE(opened.ok());
    CHECK(runtime::Session::Create(opened.value(), {}).status().code() == StatusCode::kOutOfMemory);
    runtime::SessionOptions own;
    own.memory_limit_bytes = packed + (64u << 20);
    CHECK(runtime::Session::Create(opened.value(), own).status().ok());
  }
}

}  // namespace
}  // namespace graft::test
