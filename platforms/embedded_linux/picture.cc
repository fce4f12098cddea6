// SPDX-License-Identifier: Apache-2.0
// Decoding is stb_image's work. It allocates through the three functions here, which keep to a
// budget: a compressed stream may claim to be gigabytes.
#include "platforms/embedded_linux/picture.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/picture_header.h"

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
namespace {

// What decoding takes at most: of a PNG the scan lines of up to 4 channels of 16 bits, the same
// without filters, and its 8 bits; of a JPEG the planes, padded to 32 pixels, and twice as much for
// their coefficients if it is progressive. The compressed bytes are gathered in doubling steps.
size_t BudgetFor(const PictureHeader& header, size_t file_bytes) {
  constexpr size_t kBytesPerPixel = 32;
  constexpr size_t kFixedBytes = size_t{1} << 20;
  return (size_t{header.width} + 64) * (size_t{header.height} + 64) * kBytesPerPixel +
         4 * file_bytes + kFixedBytes;
}

}  // namespace

void PictureDeleter::operator()(uint8_t* pixels) const { Free(pixels); }

std::string DecodePicture(std::span<const uint8_t> bytes, Picture* picture) {
  if (bytes.size() > kMaxPictureBytes) {
    return Format("has more than %llu MiB",
                  static_cast<unsigned long long>(kMaxPictureBytes >> 20));
  }
  PictureHeader header;
  if (std::string problem = ReadPictureHeader(bytes, &header); !problem.empty()) return problem;
  const uint64_t pixels = uint64_t{header.width} * header.height;
  if (pixels == 0 || header.width > kMaxPictureSide || header.height > kMaxPictureSide) {
    return Format("is %u x %u pixels; it must have 1 to %u a side", header.width, header.height,
                  kMaxPictureSide);
  }
  if (pixels > kMaxPicturePixels) {
    return Format("has %u x %u pixels; at most %llu in all are decoded", header.width,
                  header.height, static_cast<unsigned long long>(kMaxPicturePixels));
  }
  budget_bytes = BudgetFor(header, bytes.size());
  budget_was_exceeded = false;
  int width = 0;
  int height = 0;
  int channels_in_file = 0;
  picture->pixels.reset(stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width,
                                              &height, &channels_in_file, 3));
  if (picture->pixels == nullptr) {
    return budget_was_exceeded ? "holds far more data than its size asks for"
                               : std::string("cannot be decoded: ") + stbi_failure_reason();
  }
  picture->width = static_cast<uint32_t>(width);
  picture->height = static_cast<uint32_t>(height);
  return {};
}

bool ReadPicture(const std::string& file, Picture* picture) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> input(
      std::fopen(file.c_str(), "rbe"),
      [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  std::string bytes;
  char block[65536];
  size_t count = 0;
  while (input != nullptr && bytes.size() <= kMaxPictureBytes &&
         (count = std::fread(block, 1, sizeof(block), input.get())) > 0) {
    bytes.append(block, count);
  }
  if (input == nullptr || std::ferror(input.get()) != 0) {
    Fail(file, std::strerror(errno));
    return false;
  }
  const std::string problem =
      DecodePicture({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, picture);
  if (!problem.empty()) Fail(file, problem);
  return problem.empty();
}

}  // namespace graft_run
