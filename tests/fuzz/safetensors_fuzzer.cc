// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the safetensors reader as a file, and reads every tensor it accepts.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "converter/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("input.safetensors", 0);
  if (descriptor < 0) return 0;
  if (write(descriptor, data, size) == static_cast<ssize_t>(size)) {
    const auto file =
        graft::converter::SafetensorsFile::Open("/proc/self/fd/" + std::to_string(descriptor));
    if (file.ok()) {
      for (const auto& entry : (*file)->entries()) {
        const int64_t rows = std::min<int64_t>(entry.info.rows(), 3);
        if (entry.info.row_elements() > (1 << 16)) continue;
        std::vector<double> numbers(static_cast<size_t>(rows * entry.info.row_elements()));
        (void)(*file)->ReadRows(entry, 0, rows, numbers);
      }
    }
  }
  close(descriptor);
  return 0;
}
