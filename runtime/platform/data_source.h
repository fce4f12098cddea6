// SPDX-License-Identifier: Apache-2.0
// Where a model's bytes come from: a mapped file, a part of one, or memory the caller owns.
// platforms/ implements it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "schema/result.h"

namespace graft::runtime {

class PatchedSource;

/// Where bytes lie outside of a process's own copies: two sources whose bytes have equal origins
/// have the same bytes.
struct ByteOrigin {
  uint64_t device = 0;
  uint64_t file = 0;
  uint64_t version = 0;  ///< another one once the file was written to
  uint64_t offset = 0;
  bool is_known = false;
  friend auto operator<=>(const ByteOrigin&, const ByteOrigin&) = default;
};

/// Read-only bytes, aligned to 64, that stay where they are while the source lives.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual std::span<const uint8_t> bytes() const = 0;
  /// Says that [offset, offset + size) will not be read soon, so its pages need not stay in memory.
  /// A hint.
  virtual void Release(uint64_t offset, uint64_t size) const = 0;
  /// Says that [offset, offset + size) is about to be read once from its start to its end. A hint.
  virtual void WillRead(uint64_t offset, uint64_t size) const = 0;
  /// Makes [offset, offset + size) readable, for sources whose bytes are made when they are needed.
  /// Before that they read as zeros there. Any thread.
  /// Errors   kCorrupt, kOutOfMemory.
  virtual Status Load(uint64_t, uint64_t) const { return OkStatus(); }
  /// The bytes of [offset, offset + size), to be read once: where they lie, or made in `room`,
  /// which is cheaper than to load and drop them. Any thread.
  /// Errors   kCorrupt, kOutOfMemory.
  virtual Result<const uint8_t*> ReadOnce(uint64_t offset, uint64_t size,
                                          std::vector<uint8_t>*) const {
    GRAFT_RETURN_IF_ERROR(Load(offset, size));
    return bytes().data() + offset;
  }
  /// Loads for good: Drop leaves these bytes alone.
  virtual Status Keep(uint64_t, uint64_t) const { return OkStatus(); }
  /// Says that nobody reads [offset, offset + size) until it is loaded again.
  virtual void Drop(uint64_t offset, uint64_t size) const { Release(offset, size); }
  /// Says that nothing is loaded for a while: what loading takes beside the bytes may go.
  virtual void Settle() const {}
  /// Maps the pages of [offset, offset + size) at `to` as well, in place of what the caller has
  /// mapped there: false if that cannot be done.
  /// Requires whole pages on both sides.
  virtual bool ShowAt(uint64_t, uint64_t, uint8_t*) const { return false; }
  /// Where [offset, offset + size) is from; not known of what was read or made.
  virtual ByteOrigin OriginOf(uint64_t, uint64_t) const { return {}; }
  /// This as what a pack makes of another source; null for what is none.
  virtual const PatchedSource* patched() const { return nullptr; }
  /// Memory of the process's own that holds bytes for good; 0 if all are mapped, or someone else's.
  virtual uint64_t own_bytes() const { return 0; }
};

// ---- What a platform supplies
// -------------------------------------------------------------------------------------

enum class FileAccess : uint8_t {
  kMap,   ///< pages come from the file as they are read: it must not shrink meanwhile
  kRead,  ///< into memory, once: what happens to the file later does not matter
};

/// Maps a whole file read-only, or reads it.
/// Errors   kNotFound, kIo, kCorrupt (empty), each naming the path;
///          kOutOfMemory: more than can be read into memory.
Result<std::unique_ptr<DataSource>> OpenPath(const char* path,
                                             FileAccess access = FileAccess::kMap);
/// Maps or reads `size` bytes at `offset` of an open file (size 0: to its end), which it does not
/// take over.
Result<std::unique_ptr<DataSource>> OpenDescriptor(int descriptor, uint64_t offset, uint64_t size,
                                                   FileAccess access = FileAccess::kMap);
/// Bytes that can be allocated and used before something is killed for it, by the files below
/// `root` ("": the machine's own); the largest number if the platform does not tell.
uint64_t AvailableMemory(const char* root = "");

/// Borrows memory.
class MemorySource final : public DataSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  std::span<const uint8_t> bytes() const override { return bytes_; }
  void Release(uint64_t, uint64_t) const override {}
  void WillRead(uint64_t, uint64_t) const override {}
  ByteOrigin OriginOf(uint64_t offset, uint64_t) const override {
    // No file has this number.
    return {UINT64_MAX, 0, 0, reinterpret_cast<uintptr_t>(bytes_.data()) + offset, true};
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace graft::runtime
