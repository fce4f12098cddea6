// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/machine.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

// Zeroed memory in large pages where the system has them, as the weights are.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    words_ = static_cast<uint64_t*>(memory);
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  }
  ~Buffer() {
    if (words_ != nullptr) munmap(words_, bytes_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint64_t* words() const { return words_; }

 private:
  uint64_t* words_ = nullptr;
  size_t bytes_;
};

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

struct Reader {
  pthread_t thread = {};
  uint64_t* part = nullptr;
  size_t words = 0;
  std::barrier<>* barrier = nullptr;
  std::array<Clock::time_point, kPasses> starts;
  std::array<Clock::time_point, kPasses> ends;
  volatile uint64_t result = 0;
};

void* Read(void* argument) {
  auto* reader = static_cast<Reader*>(argument);
  // Written by the thread that reads it: untouched pages are all one page of zeros.
  for (size_t i = 0; i < reader->words; ++i) reader->part[i] = i;
  for (size_t pass = 0; pass < kPasses; ++pass) {
    reader->barrier->arrive_and_wait();
    reader->starts[pass] = Clock::now();
    reader->result = ReadWords(reader->part, reader->words);
    reader->ends[pass] = Clock::now();
  }
  return nullptr;
}

}  // namespace

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

double MeasureReadBandwidth(unsigned threads) {
  const size_t bytes = BufferBytes();
  const Buffer buffer(bytes);
  const size_t part_words =
      bytes / sizeof(uint64_t) / std::max(1u, threads) / kRunWords * kRunWords;
  if (buffer.words() == nullptr || part_words == 0) return 0;
  std::vector<Reader> readers(std::max(1u, threads));
  std::barrier<> barrier(static_cast<std::ptrdiff_t>(readers.size()));
  for (size_t i = 0; i < readers.size(); ++i) {
    readers[i].part = buffer.words() + i * part_words;
    readers[i].words = part_words;
    readers[i].barrier = &barrier;
  }
  // The caller is the first reader. A thread that cannot be started is left out.
  size_t started = 1;
  for (; started < readers.size(); ++started) {
    if (pthread_create(&readers[started].thread, nullptr, Read, &readers[started]) != 0) break;
  }
  for (size_t i = started; i < readers.size(); ++i) barrier.arrive_and_drop();
  Read(&readers[0]);
  for (size_t i = 1; i < started; ++i) pthread_join(readers[i].thread, nullptr);
  double best = 0;
  for (size_t pass = 0; pass < kPasses; ++pass) {
    auto start = readers[0].starts[pass];
    auto end = readers[0].ends[pass];
    for (size_t i = 1; i < started; ++i) {
      start = std::min(start, readers[i].starts[pass]);
      end = std::max(end, readers[i].ends[pass]);
    }
    const double seconds = std::chrono::duration<double>(end - start).count();
    if (seconds > 0)
      best = std::max(best, static_cast<double>(part_words * sizeof(uint64_t) * started) / seconds);
  }
  return best;
}

}  // namespace graft_run
