// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/model_heads.h"

#include <string>

#include "converter/base/input_file.h"
#include "converter/gguf/families/gguf_settings.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxHeadDim = 65536;

bool SetDeltaHeads(int64_t keys, int64_t values, int64_t key_dim, ModelHeads* heads) {
  if (values % keys != 0) return false;
  heads->delta_keys = keys;
  heads->values_per_delta_key = values / keys;
  heads->delta_key_rows = 2 * keys * key_dim;
  return true;
}

// Gemma 4's heads differ from layer to layer, and none of its rows are in another order.
bool HasOtherKeys(const GgufSettings& settings, const GgufFamily& family) {
  return settings.Has("attention.head_count_kv") && family.architecture != "gemma4";
}

}  // namespace

Result<ModelHeads> ReadModelHeads(const GgufHeader& header, const GgufFamily& family) {
  const GgufSettings settings(header, std::string(family.architecture));
  ModelHeads heads;
  if (!HasAttention(family)) return heads;
  GRAFT_ASSIGN_OR_RETURN(heads.queries,
                         settings.GetForAllLayers("attention.head_count", 1, kMaxHeads));
  heads.keys = heads.queries;
  if (HasOtherKeys(settings, family)) {
    GRAFT_ASSIGN_OR_RETURN(heads.keys,
                           settings.GetForSomeLayers("attention.head_count_kv", kMaxHeads));
  }
  if (family.architecture != "qwen35") return heads;
  GRAFT_ASSIGN_OR_RETURN(const int64_t keys, settings.GetIntIn("ssm.group_count", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(const int64_t values,
                         settings.GetIntIn("ssm.time_step_rank", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(const int64_t dim, settings.GetIntIn("ssm.state_size", 1, kMaxHeadDim));
  if (SetDeltaHeads(keys, values, dim, &heads)) return heads;
  return settings.Fail("ssm.time_step_rank", "is no multiple of the key heads",
                       StatusCode::kCorrupt);
}

Result<ModelHeads> ReadModelHeads(const std::filesystem::path& folder) {
  ModelHeads heads;
  const std::filesystem::path file = folder / "config.json";
  if (folder.empty() || !Exists(file)) return heads;
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  JsonValue root = document->root();
  if (root.Find("text_config").IsObject()) root = root.Find("text_config");
  const char* key = root.Has("num_attention_heads") ? "num_attention_heads" : "n_head";
  if (root.Has(key)) {
    GRAFT_ASSIGN_OR_RETURN(heads.queries, root.GetIntIn(key, 1, kMaxHeads));
    GRAFT_ASSIGN_OR_RETURN(heads.keys,
                           root.GetIntIn("num_key_value_heads", 1, kMaxHeads, heads.queries));
  }
  if (!root.Has("linear_num_key_heads") || !root.Has("linear_num_value_heads")) return heads;
  GRAFT_ASSIGN_OR_RETURN(const int64_t keys, root.GetIntIn("linear_num_key_heads", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(const int64_t values,
                         root.GetIntIn("linear_num_value_heads", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(const int64_t dim,
                         root.GetIntIn("linear_key_head_dim", 1, kMaxHeadDim, 128));
  if (SetDeltaHeads(keys, values, dim, &heads)) return heads;
  return root.Find("linear_num_value_heads").Fail("is no multiple of the key heads");
}

GgufLayout LayoutOf(GgufChange change, const ModelHeads& heads, size_t axes) {
  using Order = GgufLayout::Order;
  GgufLayout layout;
  switch (change) {
    case GgufChange::kQueryPairs:
    case GgufChange::kKeyPairs:
      layout.order = Order::kHalves;
      layout.heads = change == GgufChange::kQueryPairs ? heads.queries : heads.keys;
      break;
    case GgufChange::kSplitHeads:
      layout.order = Order::kByHead;
      layout.heads = heads.queries;
      layout.parts = 3;
      break;
    case GgufChange::kGroups:
      layout.order = Order::kByGroup;
      layout.heads = heads.keys;
      layout.parts = heads.keys > 0 ? heads.queries / heads.keys : 0;
      break;
    case GgufChange::kTransposed:
    case GgufChange::kMatrices:
      layout.order = Order::kColumns;
      break;
    case GgufChange::kOneRow:
      if (axes == 1) layout.inserted = 0;
      break;
    case GgufChange::kOneChannel:
      if (axes == 2) layout.inserted = 1;
      break;
    case GgufChange::kRates:
    case GgufChange::kHeadRates:
      layout.logarithms = true;
      layout.flat = change == GgufChange::kHeadRates;
      break;
    case GgufChange::kVector:
      layout.flat = true;
      break;
    case GgufChange::kTiled:
    case GgufChange::kTiledBehindKeys:
    case GgufChange::kTiledFilters:
    case GgufChange::kTiledColumns:
    case GgufChange::kTiledRates:
      layout.order = change == GgufChange::kTiledColumns ? Order::kColumnsByHead : Order::kByHead;
      layout.heads = heads.delta_keys;
      layout.parts = heads.values_per_delta_key;
      if (change == GgufChange::kTiledBehindKeys || change == GgufChange::kTiledFilters)
        layout.kept_rows = heads.delta_key_rows;
      if (change == GgufChange::kTiledFilters && axes == 2) layout.inserted = 1;
      layout.logarithms = change == GgufChange::kTiledRates;
      break;
    case GgufChange::kNone:
    case GgufChange::kEach:
    case GgufChange::kGatesAndUps:
    case GgufChange::kGatesAndUpsInTurn:
      break;
  }
  return layout;
}

}  // namespace graft::converter
