// SPDX-License-Identifier: Apache-2.0
#include "converter/formats/open_weight_file.h"

#include <string>
#include <utility>

#include "converter/formats/safetensors.h"
#include "converter/formats/torch_file.h"

namespace graft::converter {

Result<std::unique_ptr<WeightFile>> OpenWeightFile(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) {
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<WeightFile> file, TorchFile::Open(path));
    return file;
  }
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<WeightFile> file, SafetensorsFile::Open(path));
  return file;
}

}  // namespace graft::converter
