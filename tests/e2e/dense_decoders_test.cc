// SPDX-License-Identifier: Apache-2.0
// Every family of tests/data/decoders, converted here: transformers' logits and greedy tokens, with
// the prompt in chunks of any size and after going back; and quantized they follow.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/converted_model.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

constexpr size_t kFamilies = 66;
constexpr size_t kPrompt = 8;
// Of the largest logit. Found: 1e-6.
constexpr double kRelativeTolerance = 1e-4;

std::vector<std::string> Families() { return FixturesIn("decoders", kFamilies); }

class Family : public ConvertedModel {
 public:
  explicit Family(const std::string& name, const converter::StoredFormat& format = {})
      : ConvertedModel(converter::TestData("decoders/" + name), format) {}
};

TEST_SUITE("e2e/dense_decoders") {
  TEST_CASE("float32 logits and greedy tokens of every family are those of transformers") {
    for (const std::string& name : Families()) {
      CAPTURE(name);
      const Family family(name);
      const SessionPtr session = NewSession(family.model(), 1);
      const Numbers expected = family.Read("logits");
      const std::vector<float> logits = Logits(session.get(), family.Read("input_ids").ids());
      const double bound = kRelativeTolerance * LargestMagnitude(expected.values);
      CHECK(LargestDifference(logits, expected.values) <= bound);
      const std::vector<int32_t> all = family.Read("greedy_ids").ids();
      const std::vector<int32_t> prompt(all.begin(), all.begin() + kPrompt);
      CHECK(Greedy(session.get(), prompt, kPrompt) ==
            std::vector<int32_t>(all.begin() + kPrompt, all.end()));
    }
  }

  TEST_CASE("chunks of a prompt, and going back in it, change no logit of any family") {
    for (const std::string& name : Families()) {
      CAPTURE(name);
      const Family family(name);
      const std::vector<int32_t> ids = family.Read("input_ids").ids();
      const Numbers all = family.Read("logits");
      const auto vocabulary = static_cast<size_t>(all.shape.back());
      const std::vector<double> expected(all.values.end() - static_cast<ptrdiff_t>(vocabulary),
                                         all.values.end());
      const double bound = kRelativeTolerance * LargestMagnitude(all.values);
      for (const uint32_t chunk : {1u, 5u}) {
        CAPTURE(chunk);
        const SessionPtr session = ChunkedSession(family.model(), {.prefill_chunk = chunk});
        CHECK(LargestDifference(AppendedLogits(session.get(), ids, 0, vocabulary), expected) <=
              bound);
        graft_error error = {};
        REQUIRE(graft_session_rewind(session.get(), 11, &error) == GRAFT_OK);
        CHECK(LargestDifference(AppendedLogits(session.get(), ids, 11, vocabulary), expected) <=
              bound);
      }
    }
  }

  TEST_CASE("int8 and int4 logits of every family keep their direction") {
    if (kSomeOfAll) return;  // the ops are tested in these formats by themselves
    for (const std::string& name : Families()) {
      CAPTURE(name);
      for (const bool narrow : {false, true}) {
        const Family family(name, {narrow ? converter::StorageKind::kInt4PerChannel
                                          : converter::StorageKind::kInt8PerChannel});
        const SessionPtr session = NewSession(family.model(), 1);
        const std::vector<float> logits = Logits(session.get(), family.Read("input_ids").ids());
        // Norms behind every branch make the rounding in it as large as it is beside the rest.
        // PyTorch has the same with weights rounded to the same codes. So it is with the delta rule,
        // whose keys and queries are brought to a length of 1.
        const double of_int4 = name.starts_with("gemma4")    ? 0.7
                               : name.starts_with("qwen3_5") ? 0.6
                                                             : 0.9;
        CHECK(Cosine(logits, family.Read("logits").values) >= (narrow ? of_int4 : 0.99));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
