// SPDX-License-Identifier: Apache-2.0
// What converter tests make and look at: temporary folders, small safetensors files, whole tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// A folder that goes away with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct SmallTensor {
  std::vector<int64_t> shape;
  std::vector<double> values;
  DType dtype = DType::kFloat32;
};
using SmallTensors = std::map<std::string, SmallTensor>;

/// Numbers in [-1, 1] that float32, and bfloat16 if `coarse`, hold exactly; the same for the same
/// seed.
SmallTensor RandomTensor(std::vector<int64_t> shape, uint32_t seed, bool coarse = false);

void WriteTensors(const std::filesystem::path& file, const SmallTensors& tensors,
                  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}});
void WriteText(const std::filesystem::path& file, std::string_view text);
std::string ReadBytes(const std::filesystem::path& file);
/// A safetensors file of that header and data, the length in front.
std::string RawSafetensors(std::string_view header, std::string_view data);

/// All elements of a tensor, read `block` rows at a time.
std::vector<double> ReadAll(const TensorSource& source, std::string_view name,
                            int64_t block = 1000);

/// A copy of a folder and those below it, files only.
void CopyFolder(const std::filesystem::path& from, const std::filesystem::path& to);

/// GRAFT_TEST_DATA / name.
std::filesystem::path TestData(std::string_view name);

}  // namespace graft::converter
