// SPDX-License-Identifier: Apache-2.0
// Opens arbitrary bytes as a quantized checkpoint, and reads rows of every weight that is accepted.
// What stands before the first zero byte is config.json, the rest a safetensors file.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "converter/checkpoint/checkpoint.h"

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "quantizedXXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

void Write(const std::filesystem::path& file, const uint8_t* data, size_t size) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const auto config_bytes = static_cast<size_t>(std::find(data, data + size, 0) - data);
  if (config_bytes == size) return 0;
  Write(folder.path / "config.json", data, config_bytes);
  Write(folder.path / "model.safetensors", data + config_bytes + 1, size - config_bytes - 1);
  const auto base = graft::converter::Checkpoint::Open(folder.path);
  if (!base.ok()) return 0;
  for (const auto& info : (*base)->tensors()) {
    constexpr int64_t kMostElements = 1 << 16;
    const int64_t rows = std::min<int64_t>(info.rows(), 3);
    if (info.row_elements() > kMostElements) continue;
    std::vector<double> numbers(static_cast<size_t>(rows * info.row_elements()));
    (void)(*base)->ReadRows(info.name, info.rows() - rows, info.rows(), numbers);
  }
  return 0;
}
