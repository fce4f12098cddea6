// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/machine/machine.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace graft_run {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastBytes = uint64_t{256} << 20;
constexpr uint64_t kMostBytes = uint64_t{2} << 30;
constexpr uint64_t kCacheMultiple = 4;
constexpr size_t kPasses = 12;
constexpr size_t kRunWords = 64;  // read between two looks at the loop's end

// Several times the last cache, but never so much that the machine has to make room for it.
size_t BufferBytes() {
  uint64_t bytes = kLeastBytes;
#ifdef _SC_LEVEL3_CACHE_SIZE
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE}) {
    const long cache = sysconf(level);
    if (cache > 0) bytes = std::max(bytes, kCacheMultiple * static_cast<uint64_t>(cache));
  }
#endif
  bytes = std::min(bytes, kMostBytes);
  const long pages = sysconf(_SC_AVPHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) {
    bytes = std::min(bytes, static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) / 2);
  }
  return static_cast<size_t>(bytes);
}

// Each word takes part in the result, so that no read can be left out. Eight sums that do not wait
// for each other: the loop is bound by the reads.
uint64_t ReadWords(const uint64_t* words, size_t count) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + kRunWords <= count; i += kRunWords) {
    for (size_t j = 0; j < kRunWords; j += 8) {
      for (size_t lane = 0; lane < 8; ++lane) sums[lane] ^= words[i + j + lane];
    }
  }
  uint64_t all = 0;
  for (const uint64_t sum : sums) all ^= sum;
  return all;
}

}  // namespace

struct ReadBandwidth::Reader {
  pthread_t thread = {};
  uint64_t* part = nullptr;
  size_t words = 0;
  std::barrier<>* barrier = nullptr;
  Clock::time_point start;
  Clock::time_point end;
  volatile uint64_t result = 0;
};

MemoryUse ReadMemoryUse() {
  MemoryUse use;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen("/proc/self/status", "re"),
      [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  if (file == nullptr) return use;
  const auto take = [](const char* line, const char* key, uint64_t* value) {
    const size_t length = std::strlen(key);
    if (std::strncmp(line, key, length) == 0) std::sscanf(line + length, "%" SCNu64, value);
  };
  char line[256];
  while (std::fgets(line, sizeof(line), file.get()) != nullptr) {
    take(line, "VmHWM:", &use.peak_kib);
    take(line, "RssAnon:", &use.anonymous_kib);
    take(line, "RssFile:", &use.mapped_kib);
  }
  return use;
}

// Memory in large pages where the system has them, as the weights are.
ReadBandwidth::ReadBandwidth(unsigned threads)
    : bytes_(BufferBytes()), readers_(std::max(1u, threads)) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  words_ = static_cast<uint64_t*>(memory);
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes_, MADV_HUGEPAGE);
#endif
  const size_t part_words = bytes_ / sizeof(uint64_t) / readers_.size() / kRunWords * kRunWords;
  for (size_t i = 0; i < readers_.size(); ++i) {
    readers_[i].part = words_ + i * part_words;
    readers_[i].words = part_words;
  }
  RunOnAll(Touch);
}

ReadBandwidth::~ReadBandwidth() {
  if (words_ != nullptr) munmap(words_, bytes_);
}

// Written by the thread that reads it: untouched pages are all one page of zeros.
void* ReadBandwidth::Touch(void* argument) {
  auto* reader = static_cast<Reader*>(argument);
  for (size_t i = 0; i < reader->words; ++i) reader->part[i] = i;
  return nullptr;
}

void* ReadBandwidth::Read(void* argument) {
  auto* reader = static_cast<Reader*>(argument);
  reader->barrier->arrive_and_wait();
  reader->start = Clock::now();
  for (size_t pass = 0; pass < kPasses; ++pass) {
    reader->result = ReadWords(reader->part, reader->words);
  }
  reader->end = Clock::now();
  return nullptr;
}

void ReadBandwidth::RunOnAll(void* (*task)(void*)) {
  std::barrier<> barrier(static_cast<std::ptrdiff_t>(readers_.size()));
  for (Reader& reader : readers_) reader.barrier = &barrier;
  size_t started = 1;
  for (; started < readers_.size(); ++started) {
    if (pthread_create(&readers_[started].thread, nullptr, task, &readers_[started]) != 0) break;
  }
  for (size_t i = started; i < readers_.size(); ++i) barrier.arrive_and_drop();
  task(&readers_[0]);
  for (size_t i = 1; i < started; ++i) pthread_join(readers_[i].thread, nullptr);
  readers_.resize(started);  // a thread that cannot be started is left out from now on
}

double ReadBandwidth::Measure() {
  if (words_ == nullptr || readers_[0].words == 0) return 0;
  RunOnAll(Read);
  Clock::time_point start = readers_[0].start;
  Clock::time_point end = readers_[0].end;
  size_t words = 0;
  for (const Reader& reader : readers_) {
    start = std::min(start, reader.start);
    end = std::max(end, reader.end);
    words += reader.words;
  }
  const double seconds = std::chrono::duration<double>(end - start).count();
  return seconds > 0 ? static_cast<double>(words * sizeof(uint64_t) * kPasses) / seconds : 0;
}

}  // namespace graft_run
