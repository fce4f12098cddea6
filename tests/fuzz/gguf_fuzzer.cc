// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the GGUF reader as a file: reads rows of every tensor it accepts, and
// makes the configuration and the tokenizer of the model, and the adapter, that it may be.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "converter/formats/gguf/gguf_file.h"
#include "converter/gguf/families/gguf_parts.h"
#include "converter/gguf/families/model_config.h"
#include "converter/gguf/gguf_adapter.h"
#include "converter/gguf/gguf_model.h"
#include "converter/gguf/tokenizer_facts.h"
#include "converter/gguf/tokenizer_text.h"
#include "converter/json/json.h"

namespace {

using namespace graft::converter;

// What is written must be what is read again.
void CheckJson(const std::string& text) {
  const auto document = JsonDocument::Parse(text, "made");
  if (document.ok() || document.status().code() == graft::StatusCode::kUnsupported) return;
  std::fprintf(stderr, "%s\n", std::string(document.status().message()).c_str());
  std::abort();
}

void ReadRows(const WeightFile& file) {
  for (const auto& entry : file.entries()) {
    const int64_t rows = std::min<int64_t>(entry.info.rows(), 3);
    if (entry.info.row_elements() > (1 << 12)) continue;
    std::vector<double> numbers(static_cast<size_t>(rows * entry.info.row_elements()));
    (void)file.ReadRows(entry, 0, rows, numbers);
  }
}

void MakeModel(const std::string& path) {
  const auto parts = GgufParts::Open(path);
  if (!parts.ok()) return;
  const auto family = FindGgufFamily(*parts);
  if (!family.ok()) return;
  if (const auto config = GgufModelConfig(*parts, *family); config.ok()) CheckJson(*config);
  const auto tokenizer = ReadGgufTokenizer(parts->header());
  if (!tokenizer.ok() || !tokenizer->has_value()) return;
  (void)GgufTokenizerJson(parts->header(), **tokenizer);
  CheckJson(GgufTokenizerConfig(**tokenizer));
  if (const auto ends = GgufGenerationConfig(parts->header(), **tokenizer); ends.ok())
    CheckJson(*ends);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("input.gguf", 0);
  if (descriptor < 0) return 0;
  if (write(descriptor, data, size) == static_cast<ssize_t>(size)) {
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    if (const auto file = GgufFile::Open(path); file.ok()) ReadRows(**file);
    MakeModel(path);
    if (const auto model = OpenGgufModel(path); model.ok()) {
      for (const auto& file : model->files) ReadRows(*file);
    }
    if (const auto adapter = OpenGgufAdapter(path, ""); adapter.ok()) ReadRows(**adapter);
  }
  close(descriptor);
  return 0;
}
