// SPDX-License-Identifier: Apache-2.0
// Opens a model whose file of packed weights was written over: the bytes are a row of edits
// (offset of 3 bytes, length of one, what stands there now). The model opens whatever they are, and
// says what it says without a cache unless every checksum was made right.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/support/fuzz_models.h"
#include "tests/support/tiny_llama.h"

namespace {

int32_t Likeliest(graft_session* session) {
  const int32_t id = 5;
  const float* logits = nullptr;
  if (graft_session_append(session, &id, 1, &logits, nullptr) != GRAFT_OK) std::abort();
  size_t best = 0;
  for (size_t i = 1; i < graft::test::TinyLlama::kVocabulary; ++i)
    best = logits[i] > logits[best] ? i : best;
  return static_cast<int32_t>(best);
}

int32_t OpenAndAsk(const std::string& folder) {
  static const graft::test::AlignedBytes bytes = graft::fuzz::PackedModel();
  const graft::fuzz::OpenedModel opened(graft::test::AlignedBytes(bytes.span()), folder.c_str());
  if (opened.session() == nullptr) std::abort();
  return Likeliest(opened.session());
}

// The file that the library writes, and where.
struct Stored {
  std::string folder = graft::fuzz::Folder() + "/cache";
  int32_t answer = OpenAndAsk(folder);
  std::filesystem::path path;
  std::vector<uint8_t> bytes;
  Stored() {
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.file_size() > bytes.size()) {
        path = entry.path();
        std::ifstream file(path, std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(file), {});
      }
    if (bytes.empty()) std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Stored stored;
  std::vector<uint8_t> file = stored.bytes;
  size_t at = 0;
  while (at + 4 <= size) {
    const size_t offset =
        (size_t{data[at]} | size_t{data[at + 1]} << 8 | size_t{data[at + 2]} << 16) %
        (file.size() + 1);
    const size_t length = data[at + 3];
    at += 4;
    if (length == 0) file.resize(offset);  // cut
    for (size_t i = 0; i < length && at < size && offset + i < file.size(); ++i)
      file[offset + i] = data[at++];
  }
  std::ofstream(stored.path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  if (OpenAndAsk(stored.folder) != stored.answer) std::abort();
  return 0;
}
