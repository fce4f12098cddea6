// SPDX-License-Identifier: Apache-2.0
// The smallest encoder-decoder: an embedding of the source, to which an embedding of the tokens
// attends.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/support/model_builder.h"

namespace graft::test {

/// What a test can spoil before the file is built.
struct SourceModel {
  bool has_features = false;  ///< f32 [3, 1, 6] in the place of ids
  fb::InputRole source_role = fb::InputRole::SourceIds;
  bool same_symbol = false;     ///< source and tokens have one dimension
  bool extra_tensor = false;    ///< an input of role Tensor beside them
  bool positions_only = false;  ///< positions of a source, and no source
  bool cache_of_source = true;
  bool causal = false;
  bool keys_of_tokens = false;    ///< keys and values have rows of tokens
  bool output_of_source = false;  ///< the encoder's rows are an output
  uint32_t window = 0;
  bool attends = true;
  bool has_target = true;
  fb::TaskKind task = fb::TaskKind::TextGeneration;
  std::vector<uint32_t> start_tokens = {5}, suppressed = {}, first_suppressed = {};
  std::vector<std::pair<std::string, uint32_t>> languages = {};
  fb::LanguagePlace language_place = fb::LanguagePlace::Nowhere;
  std::string target_language;
  int32_t forced_end_token = -1;
  bool has_audio = false;
  uint32_t sample_rate = 16000, fft_samples = 400, hop_samples = 160, mels = 3, frames = 6;
  int32_t timestamp_token = -1;

  static constexpr int64_t kVocabulary = 512;
  int64_t logits = kVocabulary;

  /// tokenizer: makes one in the file, if the model shall have one.
  AlignedBytes Build(
      const std::function<flatbuffers::Offset<fb::Tokenizer>(flatbuffers::FlatBufferBuilder&)>&
          tokenizer = {}) const;
};

}  // namespace graft::test
