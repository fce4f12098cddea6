// SPDX-License-Identifier: Apache-2.0
// WAV files of any bytes, and their sound at another rate.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platforms/embedded_linux/sound/wav_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  graft_run::Sound sound;
  if (!graft_run::ReadWav({reinterpret_cast<const char*>(data), size}, &sound).empty()) return 0;
  if (sound.samples.size() < 10000) graft_run::Resample(16000, &sound);
  return 0;
}
