// SPDX-License-Identifier: Apache-2.0
// The families that llama.cpp writes and graft converts: which names its files give to a model's
// modules.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "converter/gguf/families/gguf_parts.h"
#include "schema/result.h"

namespace graft::converter {

/// What the converter of llama.cpp does to a module's tensors, so that it can be undone.
enum class GgufChange : uint8_t {
  kNone,
  kQueryPairs,  ///< The rows of each query head are stored as rotary pairs.
  kKeyPairs,    ///< The same of key heads.
  kSplitHeads,  ///< Query, key and value rows stored apart, in the model head by head.
  kGroups,      ///< The same; in the model those of a key's queries, the key, and its value.
  kTransposed,  ///< The weight, not the bias.
  kEach,  ///< All experts (or heads) in one tensor; in the model each by itself, its number for "{}".
  /// Stored gates and ups apart; in the model the rows of a gate are before its up's.
  kGatesAndUps,
  kGatesAndUpsInTurn,  ///< In the model a gate, an up, ..., and matrices transposed.
  kMatrices,           ///< Matrices of experts are transposed.
  kOneRow,             ///< A matrix of one row, stored as a vector.
  kOneChannel,         ///< The filters of a convolution by channel, stored as a matrix.
  kVector,             ///< A vector, stored as a matrix.
  kRates,              ///< In the model logarithms of what is stored with a minus.
  kHeadRates,          ///< The same of a vector, stored as a matrix.
  /// Of a delta rule: the first value head of each key head, then the second of each, ...; in the
  /// model those of a key head are together.
  kTiled,
  kTiledBehindKeys,  ///< The rows behind those of queries and keys.
  kTiledFilters,     ///< The same of the filters of a convolution.
  kTiledColumns,
  kTiledRates,
};

/// One of tensors that end in ".weight" and ".bias", or a tensor.
struct GgufModule {
  std::string_view stored;  ///< Without "blk.N.", and without the ending; of a tensor with it.
  std::string_view
      name;  ///< As transformers has it, without the layer's; ends where `stored` does.
  GgufChange change = GgufChange::kNone;
};

struct GgufFamily {
  std::string_view architecture;  ///< general.architecture
  std::string_view model_type;    ///< As config.json has it.
  std::string_view model_class;   ///< As config.json has it, in `architectures`.
  std::string_view layers;        ///< What stands before the number of a layer.
  std::span<const GgufModule> modules;
  std::span<const GgufModule> layer_modules;
  bool adds_one_to_norms = false;  ///< The weights of norms are stored plus one.
  std::string_view plain_norm{};   ///< But those of this module of a layer.
};

/// Whether its rows see those before and after them.
inline bool IsEncoder(const GgufFamily& family) { return family.architecture.ends_with("bert"); }

/// Whether it has attention in some layer.
inline bool HasAttention(const GgufFamily& family) {
  return !family.architecture.starts_with("mamba");
}

/// The family of a file's model.
/// Errors   kNotFound, kCorrupt: the file does not say;
///          kUnsupported: none that is known.
Result<GgufFamily> FindGgufFamily(const GgufParts& parts);

/// The family that an adapter was trained on; `base_type` is the base's model_type, which tells those
/// apart that share an architecture.
/// Errors   as FindGgufFamily.
Result<GgufFamily> FindGgufFamilyOfAdapter(const GgufHeader& header, std::string_view base_type);

/// Whether the tensor is shown as part of another: the second of those with gates and ups.
bool IsJoinedToAnother(const GgufFamily& family, std::string_view name);

/// The layer of "blk.7.attn_q.weight"; -1: it is in none.
int64_t GgufLayerOf(std::string_view name);

/// What transformers calls the tensor that is stored as `name`, "blk.0.attn_q.weight" for one;
/// `change` is that of its module. Empty: the family has no such tensor.
std::string GgufNameInModel(const GgufFamily& family, std::string_view name, GgufChange* change);

}  // namespace graft::converter
