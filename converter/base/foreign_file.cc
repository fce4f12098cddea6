// SPDX-License-Identifier: Apache-2.0
// Magic numbers.
#include "converter/base/foreign_file.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace graft::converter {
namespace {

using namespace std::string_view_literals;

struct Beginning {
  std::string_view bytes;
  const char* what;
  size_t offset = 0;
};

constexpr const char* kPacked =
    "is an archive; unpack it and name the folder or file that was in it";
constexpr const char* kGgml =
    "is a file of llama.cpp from before GGUF, which graft does not read; start from the "
    "safetensors checkpoint it was made from";

constexpr Beginning kBeginnings[] = {
    {"version https://git-lfs.github.com/spec/"sv,
     "is a Git LFS pointer that stands for a file that was not downloaded; run `git lfs pull` in "
     "its folder, or download the file itself"},
    {"GGUF"sv,
     "is a GGUF file, which is read as a base or an adapter of its own, and as no other kind of "
     "file; call it .gguf"},
    {"lmgg"sv, kGgml},
    {"fmgg"sv, kGgml},
    {"tjgg"sv, kGgml},
    {"algg"sv,
     "is an adapter of llama.cpp from before GGUF, which graft does not read; start "
     "from the PEFT adapter it was made from"},
    {"\x1F\x8B"sv, kPacked},  // gzip
    {"7z\xBC\xAF\x27\x1C"sv, kPacked},
    {"Rar!\x1A\x07"sv, kPacked},
    {"\xFD"
     "7zXZ\0"sv,
     kPacked},
    {"\x28\xB5\x2F\xFD"sv, kPacked},  // zstd
    {"BZh"sv, kPacked},
    {"ustar"sv, kPacked, 257},  // tar
    {"\x89HDF\r\n\x1A\n"sv,
     "is an HDF5 file of Keras or TensorFlow, which graft does not read; save the model from "
     "transformers as safetensors"},
    {"\x93NUMPY"sv, "is a NumPy array, which graft does not read; save the tensors as safetensors"},
    {"TFL3"sv,
     "is a TensorFlow Lite model, which graft does not read; start from the safetensors "
     "checkpoint it was made from",
     4},
    {"\x89GRAFT\r\n"sv,
     "is a .graft file, which is what comes out; start from the checkpoint it was made from"},
};

// ONNX begins with its version as a field and, by who wrote it, a string.
bool IsOnnx(std::string_view start) {
  return start.size() > 4 && start[0] == 0x08 && start[1] >= 3 && start[1] <= 20 &&
         start[2] == 0x12 && start[3] > 0;
}

// CTranslate2 (faster-whisper) begins with its version as 32 bits and, by a length of 16, the name of what it holds: "WhisperSpec".
bool IsCTranslate2(std::string_view start) {
  constexpr size_t kNameStart = 6;
  if (start.size() <= kNameStart || start.substr(1, 3) != "\0\0\0"sv || start[5] != 0) return false;
  const auto name_bytes = static_cast<unsigned char>(start[4]);
  return start.substr(kNameStart, name_bytes).ends_with("Spec\0"sv);
}

// A page of the hub's instead of the file: an error, a log-in.
bool IsMarkup(std::string_view start) {
  while (!start.empty() && (std::isspace(static_cast<unsigned char>(start[0])) != 0 ||
                            start.starts_with("\xEF\xBB\xBF"))) {
    start.remove_prefix(start.starts_with("\xEF\xBB\xBF") ? 3 : 1);
  }
  const auto begins = [start](std::string_view word) {
    return start.size() >= word.size() &&
           std::equal(word.begin(), word.end(), start.begin(), [](char a, char b) {
             return a == std::tolower(static_cast<unsigned char>(b));
           });
  };
  return begins("<!doctype") || begins("<html") || begins("<head") || begins("<?xml") ||
         begins("<error");
}

}  // namespace

const char* WhatFileIs(std::span<const uint8_t> bytes) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (start.empty()) {
    return "is empty; its download did not finish, or there was no room for it: download it again";
  }
  if (IsMarkup(start)) {
    return "is a web page, perhaps an error's or a log-in's, and not the file; download the file "
           "itself (on the hub: its download link, or `hf download`)";
  }
  for (const Beginning& beginning : kBeginnings) {
    if (start.size() >= beginning.offset &&
        start.substr(beginning.offset).starts_with(beginning.bytes)) {
      return beginning.what;
    }
  }
  if (IsOnnx(start)) {
    return "is an ONNX model, which graft does not read; start from the safetensors checkpoint it "
           "was made from";
  }
  if (IsCTranslate2(start)) {
    return "is a model of CTranslate2 (faster-whisper), which graft does not read; start from the "
           "safetensors checkpoint it was made from";
  }
  return nullptr;
}

Result<const char*> WhatFileIs(const InputFile& file) {
  uint8_t start[kForeignStartBytes];
  const size_t bytes = static_cast<size_t>(std::min<uint64_t>(sizeof start, file.size_bytes()));
  GRAFT_RETURN_IF_ERROR(file.ReadAt(0, std::span(start).first(bytes)));
  return WhatFileIs(std::span<const uint8_t>(start, bytes));
}

}  // namespace graft::converter
