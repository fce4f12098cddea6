// SPDX-License-Identifier: Apache-2.0
// PieceCache: what short pieces of text became, since words repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/hash_tables.h"

namespace graft::runtime {

/// Belongs to one thread and one tokenizer at a time. Forgets a piece when another needs its place.
class PieceCache {
 public:
  /// From now on remembers. Costs 256 KiB; worth it from a few kilobytes of text.
  void Enable() {
    if (entries_ != nullptr) return;
    entries_.reset(new (std::nothrow) Entry[kEntries]);
    if (entries_ == nullptr) return;  // slower, no worse
    for (size_t i = 0; i < kEntries; ++i) entries_[i].bytes = 0;
  }

  /// Appends the ids of `piece`, which is not empty, if they are known.
  bool Find(std::string_view piece, std::vector<int32_t>* ids) const {
    if (entries_ == nullptr || piece.size() > kMaxBytes) return false;
    const Entry& entry = entries_[HashBytes(piece) % kEntries];
    if (entry.bytes != piece.size() || std::memcmp(entry.piece, piece.data(), piece.size()) != 0) {
      return false;
    }
    ids->insert(ids->end(), entry.id, entry.id + entry.ids);
    return true;
  }

  /// Remembers that `piece` became the `count` ids at `ids`.
  void Store(std::string_view piece, const int32_t* ids, size_t count) {
    if (entries_ == nullptr || piece.size() > kMaxBytes || count > kMaxIds) return;
    Entry& entry = entries_[HashBytes(piece) % kEntries];
    entry.bytes = static_cast<uint8_t>(piece.size());
    entry.ids = static_cast<uint8_t>(count);
    std::memcpy(entry.piece, piece.data(), piece.size());
    if (count > 0) std::memcpy(entry.id, ids, count * sizeof(int32_t));
  }

 private:
  static constexpr size_t kEntries = 4096;
  static constexpr size_t kMaxBytes = 26;
  static constexpr size_t kMaxIds = 9;
  struct Entry {
    uint8_t bytes;
    uint8_t ids;
    char piece[kMaxBytes];
    int32_t id[kMaxIds];
  };

  std::unique_ptr<Entry[]> entries_;
};

}  // namespace graft::runtime
