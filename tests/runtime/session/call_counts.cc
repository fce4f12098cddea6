// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/session/call_counts.h"

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// Constant-initialized: they count from before main.
std::atomic<size_t> allocations{0};
std::atomic<size_t> locks{0};
std::atomic<size_t> reshapes{0};

void Count(std::atomic<size_t>& calls) { calls.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

extern "C" {

void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size) {
  Count(allocations);
  return __real_malloc(size);
}
void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size) {
  Count(allocations);
  return __real_calloc(count, size);
}
void* __real_realloc(void* memory, size_t size);
void* __wrap_realloc(void* memory, size_t size) {
  Count(allocations);
  return __real_realloc(memory, size);
}
int __real_posix_memalign(void** memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void** memory, size_t alignment, size_t size) {
  Count(allocations);
  return __real_posix_memalign(memory, alignment, size);
}
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  Count(allocations);
  return __real_aligned_alloc(alignment, size);
}
void* __real_memalign(size_t alignment, size_t size);
void* __wrap_memalign(size_t alignment, size_t size) {
  Count(allocations);
  return __real_memalign(alignment, size);
}
void* __real_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset);
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  Count(allocations);
  return __real_mmap(address, size, protection, flags, file, offset);
}

int __real_pthread_mutex_lock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
  Count(locks);
  return __real_pthread_mutex_lock(mutex);
}

// enum xnn_status (xnn_operator_t, size_t batch_size, pthreadpool_t) of each kind of operator.
int __real_xnn_reshape_fully_connected_nc_f32(void* op, size_t rows, void* pool);
int __wrap_xnn_reshape_fully_connected_nc_f32(void* op, size_t rows, void* pool) {
  Count(reshapes);
  return __real_xnn_reshape_fully_connected_nc_f32(op, rows, pool);
}
int __real_xnn_reshape_fully_connected_nc_qd8_f32_qc8w(void* op, size_t rows, void* pool);
int __wrap_xnn_reshape_fully_connected_nc_qd8_f32_qc8w(void* op, size_t rows, void* pool) {
  Count(reshapes);
  return __real_xnn_reshape_fully_connected_nc_qd8_f32_qc8w(op, rows, pool);
}
int __real_xnn_reshape_fully_connected_nc_qd8_f32_qb4w(void* op, size_t rows, void* pool);
int __wrap_xnn_reshape_fully_connected_nc_qd8_f32_qb4w(void* op, size_t rows, void* pool) {
  Count(reshapes);
  return __real_xnn_reshape_fully_connected_nc_qd8_f32_qb4w(op, rows, pool);
}
int __real_xnn_reshape_fully_connected_nc_qd8_f32_qc4w(void* op, size_t rows, void* pool);
int __wrap_xnn_reshape_fully_connected_nc_qd8_f32_qc4w(void* op, size_t rows, void* pool) {
  Count(reshapes);
  return __real_xnn_reshape_fully_connected_nc_qd8_f32_qc4w(op, rows, pool);
}

}  // extern "C"

// Where the C++ library is shared, its operator new calls a malloc that is not counted.
void* operator new(size_t size) {
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  std::abort();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace graft::test {

CallCounts CountedCalls() { return {allocations.load(), locks.load(), reshapes.load()}; }

}  // namespace graft::test
