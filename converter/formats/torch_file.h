// SPDX-License-Identifier: Apache-2.0
// One file of torch.save (pytorch_model.bin, adapter_model.bin), read without running anything.
//
// A zip file of stored entries below one folder of any name:
//   NAME/data.pkl    a pickled dict from names to tensors: pickle.h says what is read of it
//   NAME/data/KEY    the bytes of the storage KEY; several tensors may lie in one
//   NAME/byteorder   "little", or missing in older files; big-endian files are refused
//   NAME/version     in ASCII, at most 10 so far
// Entries of other names are left alone, and checksums are not looked at.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "converter/tensors/weight_file.h"

namespace graft::converter {

class TorchFile final : public WeightFile {
 public:
  /// Errors   kNotFound, kIo;
  ///          kCorrupt: a zip file or pickle that contradicts itself or its limits, a tensor that
  ///          goes beyond its storage, tensors that overlap so much that together they are 64 times
  ///          larger than the file.
  ///          kUnsupported: a pickle that asks for anything but a dict of tensors, the format from
  ///          before PyTorch 1.6, big-endian numbers. Messages name file and tensor.
  static Result<std::unique_ptr<TorchFile>> Open(const std::filesystem::path& path);

 private:
  explicit TorchFile(std::unique_ptr<InputFile> file) : WeightFile(std::move(file)) {}
  Status ReadTensors();
};

}  // namespace graft::converter
