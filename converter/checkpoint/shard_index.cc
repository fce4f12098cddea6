// SPDX-License-Identifier: Apache-2.0
// The names of the files are gathered first, then each is opened, then held against the map.
#include "converter/checkpoint/shard_index.h"

#include <map>
#include <string>
#include <utility>

#include "converter/formats/open_weight_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;

}  // namespace

bool IsShardIndex(std::string_view file_name) {
  return file_name.ends_with(".safetensors.index.json") || file_name.ends_with(".bin.index.json");
}

Result<std::vector<std::unique_ptr<WeightFile>>> OpenShards(const std::filesystem::path& index) {
  JsonLimits limits;
  limits.max_bytes = kMaxIndexBytes;
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(index, limits));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue map,
                         document->root().Get("weight_map", JsonKind::kObject));
  std::map<std::string, size_t, std::less<>> shard_of;
  for (size_t i = 0; i < map.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view file, map.at(i).AsString());
    // A name from a file may point at files of this folder only.
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string_view::npos ||
        file.find('\0') != std::string_view::npos) {
      return map.at(i).Fail("is not the name of a file in the same folder");
    }
    shard_of.emplace(file, 0);
  }
  std::vector<std::unique_ptr<WeightFile>> shards;
  for (auto& [name, number] : shard_of) {
    auto shard = OpenWeightFile(index.parent_path() / name);
    if (!shard.ok() && shard.status().code() == StatusCode::kNotFound) {
      return Error(StatusCode::kNotFound, "%s: names the shard %s, which is missing", index.c_str(),
                   name.c_str());
    }
    if (!shard.ok()) return shard.status();
    number = shards.size();
    shards.push_back(std::move(shard).value());
  }
  for (size_t i = 0; i < map.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view file, map.at(i).AsString());
    if (shards[shard_of.find(file)->second]->Find(map.key(i)) == nullptr) {
      return map.at(i).Fail("should be in that shard, which does not hold it");
    }
  }
  return shards;
}

}  // namespace graft::converter
