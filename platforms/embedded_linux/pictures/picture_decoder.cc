// SPDX-License-Identifier: Apache-2.0
// stb_image, allocating through the functions here.
#include "platforms/embedded_linux/pictures/picture_decoder.h"

#include <cstddef>
#include <cstdlib>

namespace {

// What stb_image may still allocate. A block's size stands before it.
size_t budget_bytes = 0;
bool budget_was_exceeded = false;
constexpr size_t kSizeBytes = alignof(std::max_align_t);

size_t* BlockOf(void* pointer) {
  return reinterpret_cast<size_t*>(static_cast<uint8_t*>(pointer) - kSizeBytes);
}

void* Reallocate(void* pointer, size_t size) {
  size_t* old = pointer == nullptr ? nullptr : BlockOf(pointer);
  const size_t held = old == nullptr ? 0 : *old;
  if (size > budget_bytes + held) {
    budget_was_exceeded = true;
    return nullptr;
  }
  auto* block = static_cast<size_t*>(std::realloc(old, kSizeBytes + size));
  if (block == nullptr) return nullptr;
  budget_bytes = budget_bytes + held - size;
  *block = size;
  return reinterpret_cast<uint8_t*>(block) + kSizeBytes;
}

void Free(void* pointer) {
  if (pointer == nullptr) return;
  budget_bytes += *BlockOf(pointer);
  std::free(BlockOf(pointer));
}

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_SIMD  // gives the same pixels, in a third of the code
#define STBI_NO_THREAD_LOCALS
#define STBI_FAILURE_USERMSG
#define STBI_ASSERT(condition) static_cast<void>(0)
#define STBI_MALLOC(size) Reallocate(nullptr, size)
#define STBI_REALLOC(pointer, size) Reallocate(pointer, size)
#define STBI_FREE(pointer) Free(pointer)
#include <stb_image.h>

namespace graft_run {

uint8_t* DecodeColours(std::span<const uint8_t> bytes, uint32_t width, uint32_t height,
                       size_t budget, const char** problem) {
  budget_bytes = budget;
  budget_was_exceeded = false;
  int found_width = 0;
  int found_height = 0;
  int channels_in_file = 0;
  uint8_t* pixels = stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()),
                                          &found_width, &found_height, &channels_in_file, 3);
  if (pixels == nullptr) {
    *problem = budget_was_exceeded ? "more data than its size asks for" : stbi_failure_reason();
    return nullptr;
  }
  if (static_cast<uint32_t>(found_width) == width && static_cast<uint32_t>(found_height) == height)
    return pixels;
  Free(pixels);
  *problem = "its size is given in two ways";
  return nullptr;
}

void FreeColours(uint8_t* pixels) { Free(pixels); }

}  // namespace graft_run
