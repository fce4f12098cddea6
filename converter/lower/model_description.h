// SPDX-License-Identifier: Apache-2.0
// ModelDescription: all that a file says of a model, before any weight is read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/lower/constant.h"
#include "converter/lower/lowering.h"
#include "converter/merge/merge_report.h"

namespace graft::schema::fb {
struct Graph;
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::converter {

/// What an adapter did to one tensor, for the record.
struct AdaptedTensor {
  std::string kind;  ///< "lora", ...
  int64_t rank = 0;
  double scale = 0.0;
};

/// A question that the file asks itself: see model.fbs.
struct ProbeText {
  std::string text;  ///< Empty: the ids are given without one.
  bool chat = false;
  std::vector<uint32_t> ids;
  uint32_t answered_ids = 0;  ///< 0: nothing is computed.
};

/// A model but for its weights. `graph` and `tokenizer` lie in the FlatBufferBuilder that the
/// header is finished in.
struct ModelDescription {
  flatbuffers::Offset<schema::fb::Graph> graph;
  flatbuffers::Offset<schema::fb::Tokenizer> tokenizer;  ///< Null: none.
  std::vector<Constant> constants;
  TaskDescription task;
  std::vector<uint32_t> end_tokens;
  std::string chat_template;  ///< Empty: none.
  std::string bos_token;      ///< As the template knows it; empty: none.
  std::string eos_token;
  std::string base_name;
  std::vector<AdapterReport> adapters;
  std::string combined_by;     ///< "sum", "ties 0.5"; empty: one adapter, whole.
  std::string base_stored_as;  ///< As Checkpoint::stored_as.
  std::string base_rounding;   ///< "nf4", "nf4 double-quantized"; empty: none.
  std::map<std::string, AdaptedTensor, std::less<>> adapted;  ///< By the name of the source tensor.
  std::vector<ProbeText> probes;
  uint32_t probe_tokens = 0;        ///< Logits that each probe with an answer compares.
  std::vector<std::string> unused;  ///< Tensors of the source that the graph does without.

  /// What an adapter did to what `constant` is made of, of several to the first; null: nothing.
  const AdaptedTensor* AdaptedOf(const Constant& constant) const {
    const auto find = [&](const std::string& source) {
      const auto found = adapted.find(source);
      return found == adapted.end() ? nullptr : &found->second;
    };
    const AdaptedTensor* change = find(constant.part.source);
    for (const std::string& source : constant.part.sources) {
      if (change == nullptr) change = find(source);
    }
    return change;
  }
};

}  // namespace graft::converter
