// SPDX-License-Identifier: Apache-2.0
// MappedModel: a .graft file mapped and verified, for the commands that look at one.
#pragma once

#include <memory>
#include <string>

#include "schema/result.h"
#include "schema/verify.h"

namespace graft::converter {

class MappedModel {
 public:
  /// Maps `path` and runs schema::Verify.
  /// Errors   kNotFound, kIo, and those of Verify; messages name the file.
  static Result<std::unique_ptr<MappedModel>> Open(const std::string& path);
  ~MappedModel();
  MappedModel(const MappedModel&) = delete;
  MappedModel& operator=(const MappedModel&) = delete;

  const schema::VerifiedModel& verified() const { return *verified_; }
  uint64_t file_bytes() const { return size_bytes_; }

 private:
  MappedModel(void* data, uint64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  void* data_;
  uint64_t size_bytes_;
  std::unique_ptr<schema::VerifiedModel> verified_;
};

}  // namespace graft::converter
