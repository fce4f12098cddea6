// SPDX-License-Identifier: Apache-2.0
// Lists of Gemma 4's files that do not say of each layer what they must.
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/gguf/gguf_model.h"
#include "tests/support/gguf_maker.h"
#include "tests/support/mentions.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

struct Lists {
  std::vector<int32_t> heads = {2, 1}, widths = {16, 16}, slides = {1, 0};
  std::vector<float> factors = {1.0f, 1e30f, 1e30f, 1e30f};
};

// What its configuration says, or the error.
std::string ConfigOf(const Lists& lists) {
  GgufMaker maker;
  maker.Text("general.architecture", "gemma4");
  for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"block_count", 2},
                                   {"context_length", 64},
                                   {"embedding_length", 16},
                                   {"attention.head_count", 4},
                                   {"attention.key_length", 8},
                                   {"attention.value_length", 8},
                                   {"attention.key_length_swa", 4},
                                   {"attention.sliding_window", 4}}) {
    maker.Integer(std::string("gemma4.") + key, value);
  }
  maker.Integers("gemma4.attention.head_count_kv", lists.heads);
  maker.Integers("gemma4.feed_forward_length", lists.widths);
  maker.Integers("gemma4.attention.sliding_window_pattern", lists.slides);
  maker.Floats32("rope_freqs.weight", {static_cast<int64_t>(lists.factors.size())}, lists.factors);
  maker.Floats32("token_embd.weight", {1, 16}, std::vector<float>(16));
  const TemporaryFolder folder;
  WriteText(folder / "m.gguf", maker.Bytes());
  const auto model = OpenGgufModel(folder / "m.gguf");
  return model.ok() ? ReadBytes(model->folder / "config.json")
                    : std::string(model.status().message());
}

TEST_SUITE("converter/gguf_gemma_settings") {
  TEST_CASE("heads, widths and positions are told of full and of sliding layers") {
    const std::string config = ConfigOf({});
    CheckMentions(config, "\"num_key_value_heads\": 2");
    CheckMentions(config, "\"num_global_key_value_heads\": 1");
    CheckMentions(config, "\"partial_rotary_factor\": 0.25");
    CheckMentions(config, "\"attention_k_eq_v\": true");
  }

  TEST_CASE("lists that are empty or do not fit are refused by name") {
    CheckMentions(ConfigOf({.heads = {}}), "'gemma4.attention.head_count_kv' is empty");
    CheckMentions(ConfigOf({.heads = {-1, 2}}), "'gemma4.attention.head_count_kv' is out of range");
    CheckMentions(ConfigOf({.widths = {}}), "'gemma4.feed_forward_length' is empty");
    CheckMentions(ConfigOf({.widths = {16, 17}}), "'gemma4.feed_forward_length'");
    CheckMentions(ConfigOf({.slides = {1}}), "does not say it of each layer");
    CheckMentions(ConfigOf({.factors = {1.0f, 2.0f, 1e30f, 1e30f}}), "'rope_freqs.weight'");
    CheckMentions(ConfigOf({.factors = {1.0f}}), "'rope_freqs.weight'");
  }
}

}  // namespace
}  // namespace graft::converter
