// SPDX-License-Identifier: Apache-2.0
// TokenLog: how likely the tokens of an answer were, kept to be shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/console/console.h"

namespace graft_run {

class TokenLog {
 public:
  void Add(const graft_token_logprobs& token);
  /// The sum over all tokens whose probability was computed.
  double total() const { return total_; }
  /// One object for each token.
  std::vector<JsonObject> ToJson(const graft_model* model) const;
  /// One line for each token, to standard output.
  void Print(const graft_model* model) const;

 private:
  struct Entry {
    int32_t id = 0;
    float logprob = 0;
    std::vector<std::pair<int32_t, float>> likeliest;
  };
  std::vector<Entry> entries_;
  double total_ = 0;
};

/// The text of one token; special tokens too.
std::string TokenText(const graft_model* model, int32_t id);

}  // namespace graft_run
