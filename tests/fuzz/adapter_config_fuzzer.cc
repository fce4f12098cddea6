// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary text to the adapter_config.json reader.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "converter/adapter/adapter_config.h"
#include "converter/merge/kinds/adapter_kinds.h"

namespace {

// A folder of this process's own, in memory where the system has such a place.
const std::filesystem::path& Folder() {
  static const std::filesystem::path folder = [] {
    std::string name = std::filesystem::is_directory("/dev/shm") ? "/dev/shm/graft_fuzz_XXXXXX"
                                                                 : "/tmp/graft_fuzz_XXXXXX";
    return std::filesystem::path(mkdtemp(name.data()));
  }();
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::ofstream(Folder() / "adapter_config.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  const auto config =
      graft::converter::AdapterConfig::Read(Folder(), graft::converter::AllAdapterKinds());
  (void)config.ok();
  return 0;
}
