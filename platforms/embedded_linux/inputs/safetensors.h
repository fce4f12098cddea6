// SPDX-License-Identifier: Apache-2.0
// Safetensors files of inputs and outputs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/embedded_linux/inputs/safetensors_header.h"

namespace graft_run {

/// A file opened for reading. Every function prints its failure, which names the file, and returns
/// false.
class SafetensorsReader {
 public:
  SafetensorsReader() = default;
  ~SafetensorsReader();
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  bool Open(const std::string& file);
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  /// Null if there is none of that name.
  const TensorEntry* Find(const std::string& name) const;
  /// All elements of a tensor; integers may be I32 or I64 and must fit, reals must be F32.
  bool ReadIntegers(const TensorEntry& entry, std::vector<int32_t>* values) const;
  bool ReadReals(const TensorEntry& entry, std::vector<float>* values) const;

 private:
  bool ReadBytes(const TensorEntry& entry, void* to) const;

  std::string file_;
  int descriptor_ = -1;
  uint64_t data_start_ = 0;
  std::vector<TensorEntry> tensors_;
};

/// A file being written beside its final name, which it takes only once it is complete.
class SafetensorsWriter {
 public:
  SafetensorsWriter() = default;
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Lays the tensors out one after another, in the order given; begin and end are filled in.
  bool Open(const std::string& file, std::vector<TensorEntry> tensors);
  /// Writes `bytes` of tensor `index`, from its byte `offset` on.
  bool Write(size_t index, uint64_t offset, const void* data, uint64_t bytes);
  bool Commit();

 private:
  bool FailSystem();

  std::string file_;
  std::string temporary_;
  int descriptor_ = -1;
  uint64_t data_start_ = 0;
  std::vector<TensorEntry> tensors_;
};

}  // namespace graft_run
