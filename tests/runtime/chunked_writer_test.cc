// SPDX-License-Identifier: Apache-2.0
// Pieces of any size from several threads arrive as whole aligned chunks, each once.
#include "runtime/chunked_writer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace graft::runtime {
namespace {

constexpr uint64_t kChunk = ChunkedWriter::kChunkBytes;

/// A file in memory that notes what was written to it.
class RecordingFile final : public CacheWriter {
 public:
  explicit RecordingFile(uint64_t bytes) : content(bytes, 0) {}
  Status Write(uint64_t offset, std::span<const uint8_t> bytes) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (writes.size() == refuse_after) return Status(StatusCode::kIo, "the disk is full");
    writes.emplace_back(offset, bytes.size());
    std::memcpy(content.data() + offset, bytes.data(), bytes.size());
    return OkStatus();
  }
  Result<std::unique_ptr<DataSource>> Map() override {
    return Status(StatusCode::kUnsupported, "not mapped");
  }
  Status Publish() override { return OkStatus(); }

  std::vector<uint8_t> content;
  std::vector<std::pair<uint64_t, uint64_t>> writes;
  size_t refuse_after = SIZE_MAX;

 private:
  std::mutex mutex_;
};

std::vector<uint8_t> Noise(size_t bytes) {
  std::mt19937 random(7);
  std::vector<uint8_t> noise(bytes);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  return noise;
}

/// [0, bytes) cut into ranges of many sizes, in random order.
std::vector<std::pair<uint64_t, uint64_t>> Cut(uint64_t bytes) {
  std::mt19937 random(11);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t begin = 0; begin < bytes;) {
    const uint64_t largest = random() % 4 == 0 ? 3 * kChunk : kChunk / 3;
    const uint64_t size = std::min<uint64_t>(bytes - begin, 1 + random() % largest);
    ranges.emplace_back(begin, size);
    begin += size;
  }
  std::shuffle(ranges.begin(), ranges.end(), random);
  return ranges;
}

}  // namespace

TEST_SUITE("runtime/chunked_writer") {
  TEST_CASE("every byte arrives, in whole chunks") {
    for (const uint64_t bytes : {uint64_t{1}, kChunk - 1, kChunk, 9 * kChunk + 4097}) {
      CAPTURE(bytes);
      const std::vector<uint8_t> noise = Noise(bytes);
      const auto ranges = Cut(bytes);
      for (const size_t threads : {1, 3}) {
        RecordingFile file(bytes);
        ChunkedWriter writer(file, bytes);
        std::vector<std::thread> team;
        std::vector<Status> results(threads, OkStatus());
        for (size_t number = 0; number < threads; ++number) {
          team.emplace_back([&, number] {
            for (size_t i = number; i < ranges.size() && results[number].ok(); i += threads) {
              const auto [offset, size] = ranges[i];
              results[number] = writer.Write(offset, std::span(noise).subspan(offset, size));
            }
          });
        }
        for (std::thread& thread : team) thread.join();
        for (const Status& result : results) CHECK(result.ok());
        CHECK(file.content == noise);
        CHECK(file.writes.size() == (bytes + kChunk - 1) / kChunk);
        for (const auto& [offset, size] : file.writes) {
          CHECK(offset % kChunk == 0);
          CHECK(size == std::min(kChunk, bytes - offset));
        }
      }
    }
  }

  TEST_CASE("what the file refuses is the caller's failure") {
    RecordingFile file(2 * kChunk);
    file.refuse_after = 1;
    ChunkedWriter writer(file, 2 * kChunk);
    const std::vector<uint8_t> noise = Noise(kChunk);
    CHECK(writer.Write(kChunk / 2, std::span(noise).first(kChunk / 2)).ok());
    CHECK(writer.Write(0, std::span(noise).first(kChunk / 2)).ok());
    CHECK(writer.Write(kChunk + 1, std::span(noise).first(kChunk - 1)).ok());
    CHECK(writer.Write(kChunk, std::span(noise).first(1)).code() == StatusCode::kIo);
  }
}

}  // namespace graft::runtime
