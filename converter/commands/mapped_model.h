// SPDX-License-Identifier: Apache-2.0
// MappedModel: a .graft file mapped and verified, for the commands that look at one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "schema/result.h"
#include "schema/verify.h"

namespace graft::converter {

/// The bytes of a file.
class MappedFile {
 public:
  /// Errors   kNotFound, kIo, kCorrupt: empty; messages name the file.
  static Result<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  std::span<const uint8_t> bytes_;
};

class MappedModel {
 public:
  /// Maps `path` and runs schema::Verify.
  /// Errors   those of MappedFile::Open and of Verify; messages name the file.
  static Result<std::unique_ptr<MappedModel>> Open(const std::string& path);

  const schema::VerifiedModel& verified() const { return verified_; }
  uint64_t file_bytes() const { return file_->bytes().size(); }

 private:
  MappedModel(std::unique_ptr<MappedFile> file, const schema::VerifiedModel& verified)
      : file_(std::move(file)), verified_(verified) {}

  std::unique_ptr<MappedFile> file_;
  schema::VerifiedModel verified_;
};

}  // namespace graft::converter
