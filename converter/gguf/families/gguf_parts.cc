// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families/gguf_parts.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <utility>

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".gguf";
constexpr int64_t kMaxParts = 10000;

fs::path PartPath(const fs::path& path, int64_t part, int64_t parts) {
  std::string name = path.filename().string();
  name.resize(name.size() - kEnding.size() - GgufSplitEnding(name).size());
  std::array<char, 64> numbers{};
  std::snprintf(numbers.data(), numbers.size(), "-%05" PRId64 "-of-%05" PRId64, part + 1, parts);
  return path.parent_path() / (name + numbers.data() + std::string(kEnding));
}

Status CheckPart(const GgufHeader& header, int64_t part, int64_t parts) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, header.GetInt("split.no"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t count, header.GetInt("split.count"));
  if (number == part && count == parts) return OkStatus();
  return header.Fail("split.no", "says part " + std::to_string(number + 1) + " of " +
                                     std::to_string(count) + ", but the file is called part " +
                                     std::to_string(part + 1) + " of " + std::to_string(parts));
}

}  // namespace

std::string_view GgufSplitEnding(std::string_view file_name) {
  constexpr std::string_view kForm = "-00000-of-00000";
  if (!file_name.ends_with(kEnding)) return {};
  file_name.remove_suffix(kEnding.size());
  if (file_name.size() <= kForm.size()) return {};
  const std::string_view ending = file_name.substr(file_name.size() - kForm.size());
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool is_digit = ending[i] >= '0' && ending[i] <= '9';
    if (kForm[i] == '0' ? !is_digit : ending[i] != kForm[i]) return {};
  }
  return ending;
}

Result<GgufParts> GgufParts::Open(const fs::path& path) {
  GgufParts parts;
  parts.path_ = path;
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  int64_t count = 1;
  if (file->header().Has("split.count")) {
    GRAFT_ASSIGN_OR_RETURN(count, file->header().GetInt("split.count"));
  }
  if (count < 0 || count > kMaxParts)
    return file->header().Fail("split.count", "must be at most " + std::to_string(kMaxParts));
  if (count <= 1) {
    parts.files_.push_back(std::move(file));
    return parts;
  }
  if (GgufSplitEnding(path.filename().string()).empty()) {
    return file->header().Fail("split.count",
                               "says that the file is one of " + std::to_string(count) +
                                   "; keep their names, such as NAME-00001-of-00003.gguf");
  }
  file.reset();
  for (int64_t part = 0; part < count; ++part) {
    const fs::path name = PartPath(path, part, count);
    auto opened = GgufFile::Open(name);
    if (!opened.ok() && opened.status().code() == StatusCode::kNotFound) {
      return Error(StatusCode::kNotFound, "%s: its part %s is missing", path.c_str(),
                   name.filename().c_str());
    }
    if (!opened.ok()) return opened.status();
    GRAFT_RETURN_IF_ERROR(CheckPart((*opened)->header(), part, count));
    parts.files_.push_back(std::move(opened).value());
  }
  return parts;
}

const GgufTensor* GgufParts::Find(std::string_view tensor) const {
  for (const auto& file : files_) {
    for (const GgufTensor& candidate : file->header().tensors()) {
      if (candidate.name == tensor) return &candidate;
    }
  }
  return nullptr;
}

Status GgufParts::Read(const GgufTensor& tensor, std::span<double> out) const {
  for (const auto& file : files_) {
    const auto& tensors = file->header().tensors();
    if (!tensors.empty() && &tensor >= tensors.data() && &tensor < tensors.data() + tensors.size())
      return file->ReadStored(tensor, 0, out);
  }
  return Error(StatusCode::kInternal, "%s: the tensor is of another model", path_.c_str());
}

}  // namespace graft::converter
