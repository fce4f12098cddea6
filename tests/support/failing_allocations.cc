// SPDX-License-Identifier: Apache-2.0
#include "tests/support/failing_allocations.h"

#include <pthread.h>
#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace {

// Constant-initialized: they are there before main.
std::atomic<bool> armed{false};
std::atomic<bool> all_from_then_on{false};
std::atomic<size_t> nth{0};
std::atomic<size_t> counted{0};
std::atomic<long> alive{0};

bool Fails() {
  if (!armed.load(std::memory_order_relaxed)) return false;
  const size_t number = counted.fetch_add(1, std::memory_order_relaxed) + 1;
  const size_t first = nth.load(std::memory_order_relaxed);
  if (number != first && !(number > first && all_from_then_on.load())) return false;
  errno = ENOMEM;
  return true;
}

void* Alive(void* memory) {
  if (memory != nullptr) alive.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

}  // namespace

extern "C" {

void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size) { return Fails() ? nullptr : Alive(__real_malloc(size)); }
void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size) {
  return Fails() ? nullptr : Alive(__real_calloc(count, size));
}
void* __real_realloc(void* memory, size_t size);
void* __wrap_realloc(void* memory, size_t size) {
  if (Fails()) return nullptr;
  if (memory == nullptr) return Alive(__real_realloc(memory, size));
  return __real_realloc(memory, size);
}
int __real_posix_memalign(void** memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void** memory, size_t alignment, size_t size) {
  if (Fails()) return ENOMEM;
  const int result = __real_posix_memalign(memory, alignment, size);
  if (result == 0) Alive(*memory);
  return result;
}
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  return Fails() ? nullptr : Alive(__real_aligned_alloc(alignment, size));
}
void* __real_memalign(size_t alignment, size_t size);
void* __wrap_memalign(size_t alignment, size_t size) {
  return Fails() ? nullptr : Alive(__real_memalign(alignment, size));
}
void __real_free(void* memory);
void __wrap_free(void* memory) {
  if (memory != nullptr) alive.fetch_sub(1, std::memory_order_relaxed);
  __real_free(memory);
}
void* __real_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset);
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (Fails()) return reinterpret_cast<void*>(-1);
  return __real_mmap(address, size, protection, flags, file, offset);
}
int __real_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*start)(void*), void* argument);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*start)(void*), void* argument) {
  return Fails() ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

}  // extern "C"

// Where the C++ library is shared, its operator new calls a malloc that is not wrapped.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(std::max<size_t>(size, 1));
}
void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  void* memory = nullptr;
  return posix_memalign(&memory, static_cast<size_t>(alignment), size) == 0 ? memory : nullptr;
}
void* operator new(size_t size, std::align_val_t alignment) {
  if (void* memory = operator new(size, alignment, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return operator new(size, alignment);
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return operator new(size, alignment, std::nothrow);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace graft::test {

FailingAllocations::FailingAllocations(size_t first, Failing failing) {
  nth.store(first);
  all_from_then_on.store(failing == Failing::kAllFromThenOn);
  counted.store(0);
  armed.store(true);
}
FailingAllocations::~FailingAllocations() { armed.store(false); }

size_t AllocationsCounted() { return counted.load(); }
long AllocationsAlive() { return alive.load(); }

}  // namespace graft::test
