// SPDX-License-Identifier: Apache-2.0
// ZipArchive: where the entries of an uncompressed zip file lie, each place checked against the
// file and against the others before it is told.
//
// From the end of the file backwards (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4):
//   end record (22 bytes + comment)   number of entries, size and offset of the directory
//   zip64 locator (20), zip64 record  the same in 64 bits, where there are any
//   directory                         for each entry 46 bytes, name, extra fields, comment
//   entries                           30 bytes, name, extra fields, data, perhaps sizes once more
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/base/input_file.h"

namespace graft::converter {

inline constexpr uint64_t kMaxZipDirectoryBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxZipEntries = 500'000;

class ZipArchive {
 public:
  struct Entry {
    std::string name;
    uint64_t data_offset = 0;  ///< From the start of the file.
    uint64_t size_bytes = 0;
  };

  /// Reads the directory and the header of every entry. Checksums of entries are not looked at.
  /// Errors   kCorrupt: not a zip file, cut short, or contradicting itself; entries that overlap or
  ///          share a name; more than the limits above.
  ///          kUnsupported: an entry that is compressed or encrypted, an archive in several parts.
  ///          Messages name the file and the entry.
  static Result<ZipArchive> Read(const InputFile& file);

  /// In name order.
  std::span<const Entry> entries() const { return entries_; }
  /// Null if there is none of that name.
  const Entry* Find(std::string_view name) const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace graft::converter
