// SPDX-License-Identifier: Apache-2.0
// What compare found about a file: of its predictions of a text, and of what it wrote by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/embedded_linux/compare/row_score.h"

namespace graft_run {

/// Positions [begin, end) of a window: how a model does with that much context.
struct RangeFigures {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t tokens = 0;
  double mean_kl = 0;
  double same_top = 0;  ///< share of the positions where both find the same token likeliest
  double perplexity = 0;
  double reference_perplexity = 0;
};

struct TextFigures {
  uint64_t tokens = 0;  ///< predicted
  double mean_kl = 0;
  double kl_standard_error = 0;  ///< of the mean, as if positions did not depend on each other
  double median_kl = 0;
  double kl_99 = 0;  ///< 99th percentile
  double max_kl = 0;
  double same_top = 0;
  double perplexity = 0;
  double reference_perplexity = 0;
  std::vector<RangeFigures> ranges;
};

/// Gathers the scores of one file.
class TextScores {
 public:
  /// position   of the predicted token in its window, from 1 on
  void Add(uint64_t position, const RowScore& score, double reference_loss);
  TextFigures Summarize() const;

 private:
  struct Sums {
    uint64_t tokens = 0;
    uint64_t same_top = 0;
    double kl = 0;
    double loss = 0;
    double reference_loss = 0;
  };

  std::vector<float> kls_;
  Sums all_;
  double squared_kl_ = 0;
  std::vector<Sums> ranges_;  ///< positions 1 to 15, 16 to 31, 32 to 63, ...
};

/// What a text that a model wrote shows from the outside.
struct Behaviour {
  bool ended = false;            ///< by an end token, within the tokens it had
  bool opened_thinking = false;  ///< "<think>" or its like is in the prompt's end or the answer
  bool closed_thinking = false;  ///< and is closed
  bool is_json = false;          ///< the answer behind the thinking is one JSON value
};

struct Answer {
  std::string text;
  std::vector<int32_t> ids;
  Behaviour behaviour;
};

/// One prompt, answered greedily by the reference and by a file.
struct PromptFigures {
  std::string prompt;
  Answer reference;
  Answer answer;
  uint64_t equal_tokens = 0;  ///< from the start on
  bool is_equal = false;
};

struct FileFigures {
  std::string file;
  uint64_t file_bytes = 0;
  TextFigures text;
  std::vector<PromptFigures> prompts;
};

/// Counts over a file's prompts: of the reference's answers that do a thing, how many of the file's
/// do it too.
struct GateFigures {
  uint64_t ended = 0, reference_ended = 0;
  uint64_t closed_thinking = 0, reference_closed_thinking = 0;
  uint64_t json = 0, reference_json = 0;
  uint64_t equal = 0;

  /// No fewer answers end, close their thinking and are JSON than those of the reference that do.
  bool passes() const {
    return ended == reference_ended && closed_thinking == reference_closed_thinking &&
           json == reference_json;
  }
};
GateFigures GateOf(const std::vector<PromptFigures>& prompts);

struct Comparison {
  std::string reference;
  uint64_t reference_bytes = 0;
  std::string text_file;
  uint64_t window = 0;  ///< tokens
  uint64_t windows = 0;
  std::vector<FileFigures> files;
};

}  // namespace graft_run
