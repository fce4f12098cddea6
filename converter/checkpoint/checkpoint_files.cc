// SPDX-License-Identifier: Apache-2.0
// Copies by a list of endings.
#include "converter/checkpoint/checkpoint_files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "converter/json/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSmallFileBytes = uint64_t{512} << 20;

bool IsWeightsOrDocumentation(const std::string& name) {
  constexpr std::string_view kEndings[] = {
      ".safetensors", ".bin",     ".pt",         ".pth", ".ckpt",   ".gguf", ".onnx",
      ".h5",          ".msgpack", ".index.json", ".md",  ".tflite", ".ot",   ".graft"};
  return name.starts_with(".") ||
         std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

Status WriteSmallFile(const fs::path& file, std::string_view text) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  if (out == nullptr) {
    return Error(StatusCode::kIo, "%s: cannot be created: %s", file.c_str(), std::strerror(errno));
  }
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  const bool closed = std::fclose(out) == 0;
  if (written && closed) return OkStatus();
  return Error(StatusCode::kIo, "%s: writing failed: %s", file.c_str(), std::strerror(errno));
}

Status CarryOverFile(const fs::path& from, const fs::path& to) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(from, kMaxSmallFileBytes));
  return WriteSmallFile(to, text);
}

Status CarryOverFiles(const fs::path& from, const fs::path& to, const ConfigChanges& changes,
                      const std::set<std::string>& except) {
  std::error_code error;
  for (fs::directory_iterator it(from, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code kind_error;
    if (!it->is_regular_file(kind_error) || IsWeightsOrDocumentation(name) ||
        except.contains(name)) {
      continue;
    }
    if (name == "config.json" && changes.any()) {
      GRAFT_ASSIGN_OR_RETURN(const std::string text, ChangedConfig(it->path(), changes));
      GRAFT_RETURN_IF_ERROR(WriteSmallFile(to / name, text));
    } else {
      GRAFT_RETURN_IF_ERROR(CarryOverFile(it->path(), to / name));
    }
  }
  if (error)
    return Error(StatusCode::kIo, "%s: cannot be listed: %s", from.c_str(),
                 error.message().c_str());
  return OkStatus();
}

Status CarryOverFolder(const fs::path& from, const fs::path& to) {
  constexpr int kMaxDepth = 8;
  std::error_code error;
  if (!fs::is_directory(from, error)) return OkStatus();
  fs::create_directories(to, error);
  for (fs::recursive_directory_iterator it(from, error), end; !error && it != end;
       it.increment(error)) {
    if (it.depth() >= kMaxDepth) it.disable_recursion_pending();
    const fs::path target = to / it->path().lexically_relative(from);
    std::error_code kind_error;
    if (it->is_directory(kind_error)) {
      fs::create_directories(target, error);
    } else if (it->is_regular_file(kind_error)) {
      GRAFT_RETURN_IF_ERROR(CarryOverFile(it->path(), target));
    }
  }
  if (!error) return OkStatus();
  return Error(StatusCode::kIo, "%s: cannot be copied: %s", from.c_str(), error.message().c_str());
}

Status WriteShardIndex(const fs::path& file,
                       std::vector<std::pair<std::string, std::string>> shard_of,
                       uint64_t total_bytes, uint64_t total_elements) {
  std::sort(shard_of.begin(), shard_of.end());
  std::string text =
      "{\n  \"metadata\": {\n    \"total_parameters\": " + std::to_string(total_elements) +
      ",\n    \"total_size\": " + std::to_string(total_bytes) + "\n  },\n  \"weight_map\": {";
  for (size_t i = 0; i < shard_of.size(); ++i) {
    text += (i > 0 ? ",\n    " : "\n    ") + JsonQuote(shard_of[i].first) + ": " +
            JsonQuote(shard_of[i].second);
  }
  return WriteSmallFile(file, text + "\n  }\n}\n");
}

}  // namespace graft::converter
