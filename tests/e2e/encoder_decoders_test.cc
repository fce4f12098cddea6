// SPDX-License-Identifier: Apache-2.0
// Every family of tests/data/encoder_decoders, converted here: transformers' logits and greedy
// tokens, with tokens in chunks of any size, after going back, and after a session was saved; and
// quantized they follow.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/converted_model.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

constexpr size_t kFamilies = 11;             // beside T5's encoder
constexpr uint32_t kContextTokens = 24;      // no position of the source is beyond it
constexpr double kRelativeTolerance = 1e-4;  // of the largest logit; found: 1e-6

std::vector<std::string> Families() {
  std::vector<std::string> names = FixturesIn("encoder_decoders", kFamilies + 1);
  std::erase(names, "t5_encoder");
  return names;
}

class Family : public ConvertedModel {
 public:
  explicit Family(const std::string& name, const converter::StoredFormat& format = {})
      : ConvertedModel(converter::TestData("encoder_decoders/" + name), format) {}
  SessionPtr Session(uint32_t prefill_chunk) const {
    return ChunkedSession(model(),
                          {.prefill_chunk = prefill_chunk, .context_tokens = kContextTokens});
  }
};

// What a family's encoder takes, without the batch's dimension of 1.
class Source {
 public:
  explicit Source(const Family& family) {
    graft_tensor wanted{};
    REQUIRE(graft_model_get_input(family.model(), 1, &wanted, nullptr) == GRAFT_OK);
    const Numbers numbers = family.Read(wanted.name);
    tensor_ = wanted;
    for (uint32_t i = 0; i < wanted.rank; ++i) {
      CHECK((wanted.shape[i] == -1 || wanted.shape[i] == numbers.shape[i + 1]));
      tensor_.shape[i] = numbers.shape[i + 1];
    }
    if (wanted.type == GRAFT_TYPE_I32) {
      ids_ = numbers.ids();
      tensor_.data = ids_.data();
    } else {
      features_.assign(numbers.values.begin(), numbers.values.end());
      tensor_.data = features_.data();
    }
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const graft_tensor& tensor() const { return tensor_; }
  void SetIn(graft_session* session) const {
    graft_error error = {};
    const graft_status status = graft_session_set_source(session, &tensor_, &error);
    REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  }

 private:
  graft_tensor tensor_{};
  std::vector<int32_t> ids_;
  std::vector<float> features_;
};

// All logits of one forward.
std::vector<float> ForwardLogits(const Family& family, graft_session* session) {
  const Source source(family);
  const std::vector<int32_t> ids = family.Read("decoder_input_ids").ids();
  graft_tensor tokens{};
  tokens.name = "decoder_input_ids";
  tokens.type = GRAFT_TYPE_I32;
  tokens.rank = 1;
  tokens.shape[0] = static_cast<int64_t>(ids.size());
  tokens.data = ids.data();
  const graft_tensor inputs[] = {tokens, source.tensor()};
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  const graft_status status = graft_session_forward(session, inputs, 2, &outputs, &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  REQUIRE(count == 1);
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  return {numbers, numbers + outputs[0].shape[0] * outputs[0].shape[1]};
}

// What generating without a prompt gives: `count` ids, whatever ends a text.
std::vector<int32_t> Generated(graft_session* session, uint32_t count) {
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = count;
  options.ignore_end = 1;
  std::vector<int32_t> ids;
  const auto keep = [](void* user, int32_t id, const char*, size_t) -> int32_t {
    if (id >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(id);
    return 0;
  };
  graft_error error = {};
  const graft_status status =
      graft_session_generate(session, nullptr, 0, &options, keep, &ids, nullptr, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  return ids;
}

}  // namespace

TEST_SUITE("e2e/encoder_decoders") {
  TEST_CASE("float32 logits and greedy tokens of every family are those of transformers") {
    for (const std::string& name : Families()) {
      CAPTURE(name);
      const Family family(name);
      const SessionPtr session = NewSession(family.model(), 2);
      const Numbers expected = family.Read("logits");
      const double bound = kRelativeTolerance * LargestMagnitude(expected.values);
      CHECK(LargestDifference(ForwardLogits(family, session.get()), expected.values) <= bound);
      // The greedy ids know nothing of what generation_config.json forces.
      const std::vector<int32_t> all = family.Read("greedy_ids").ids();
      std::vector<int32_t> ids = Greedy(session.get(), {all[0]}, 11);  // the last may be forced
      ids.pop_back();
      CHECK(ids == std::vector<int32_t>(all.begin() + 1, all.end()));
    }
  }

  TEST_CASE("T5's encoder alone gives the rows of transformers, beyond its largest distance") {
    const Family family("t5_encoder");
    const SessionPtr session = NewSession(family.model(), 2);
    const std::vector<int32_t> ids = family.Read("input_ids").ids();
    const Numbers expected = family.Read("last_hidden_state");
    // Twice the text in one call: each is computed by itself.
    std::vector<int32_t> two = ids;
    two.insert(two.end(), ids.begin(), ids.end());
    graft_tensor tokens{};
    tokens.name = "input_ids";
    tokens.type = GRAFT_TYPE_I32;
    tokens.rank = 2;
    tokens.shape[0] = 2;
    tokens.shape[1] = static_cast<int64_t>(ids.size());
    tokens.data = two.data();
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error = {};
    REQUIRE(graft_session_forward(session.get(), &tokens, 1, &outputs, &count, &error) == GRAFT_OK);
    REQUIRE(count == 2);
    const auto* rows = static_cast<const float*>(outputs[1].data);
    const double bound = kRelativeTolerance * LargestMagnitude(expected.values);
    for (const size_t text : {0u, 1u}) {
      const float* begin = rows + text * expected.values.size();
      CHECK(LargestDifference({begin, begin + expected.values.size()}, expected.values) <= bound);
    }
  }

  TEST_CASE("chunks, going back, and the same source again change no logit of any family") {
    for (const std::string& name : Families()) {
      CAPTURE(name);
      const Family family(name);
      const Source source(family);
      const std::vector<int32_t> ids = family.Read("decoder_input_ids").ids();
      const Numbers all = family.Read("logits");
      const auto vocabulary = static_cast<size_t>(all.shape.back());
      const std::vector<double> expected(all.values.end() - static_cast<ptrdiff_t>(vocabulary),
                                         all.values.end());
      const double bound = kRelativeTolerance * LargestMagnitude(all.values);
      for (const uint32_t chunk : {1u, 5u}) {
        CAPTURE(chunk);
        const SessionPtr session = family.Session(chunk);
        source.SetIn(session.get());
        CHECK(LargestDifference(AppendedLogits(session.get(), ids, 0, vocabulary), expected) <=
              bound);
        REQUIRE(graft_session_rewind(session.get(), 6, nullptr) == GRAFT_OK);
        source.SetIn(session.get());
        CHECK(graft_session_position(session.get()) == 6);
        REQUIRE(graft_session_trim(session.get(), nullptr) == GRAFT_OK);
        CHECK(LargestDifference(AppendedLogits(session.get(), ids, 6, vocabulary), expected) <=
              bound);
        REQUIRE(graft_session_reset(session.get(), nullptr) == GRAFT_OK);
        CHECK(LargestDifference(AppendedLogits(session.get(), ids, 0, vocabulary), expected) <=
              bound);
      }
    }
  }

  TEST_CASE("a saved session holds its source, and another source forgets the tokens") {
    for (const std::string& name : {std::string("t5"), std::string("whisper")}) {
      CAPTURE(name);
      const Family family(name);
      const Source source(family);
      const std::vector<int32_t> ids = family.Read("decoder_input_ids").ids();
      const auto vocabulary = static_cast<size_t>(family.Read("logits").shape.back());
      const SessionPtr first = family.Session(5);
      const std::string file = family.output("session").string();
      graft_error error = {};
      REQUIRE(graft_session_save(first.get(), file.c_str(), &error) == GRAFT_OK);  // of nothing
      source.SetIn(first.get());
      const std::vector<int32_t> begun(ids.begin(), ids.begin() + 7);
      AppendedLogits(first.get(), begun, 0, vocabulary);
      REQUIRE(graft_session_save(first.get(), file.c_str(), &error) == GRAFT_OK);
      const std::vector<float> expected = AppendedLogits(first.get(), ids, 7, vocabulary);

      const SessionPtr second = family.Session(5);
      REQUIRE_MESSAGE(graft_session_restore(second.get(), file.c_str(), &error) == GRAFT_OK,
                      std::string(error.message));
      CHECK(graft_session_position(second.get()) == 7);
      CHECK(AppendedLogits(second.get(), ids, 7, vocabulary) == expected);
      source.SetIn(second.get());  // the one that is held
      CHECK(graft_session_position(second.get()) == ids.size());

      if (source.tensor().type != GRAFT_TYPE_I32) continue;
      graft_tensor shorter = source.tensor();
      shorter.shape[0] = 5;
      REQUIRE(graft_session_set_source(second.get(), &shorter, nullptr) == GRAFT_OK);
      CHECK(graft_session_position(second.get()) == 0);
      CHECK(AppendedLogits(second.get(), ids, 0, vocabulary) != expected);
    }
  }

  TEST_CASE("generating needs a source, no prompt, and ends as the files say") {
    const Family family("bart");
    const SessionPtr session = NewSession(family.model(), 1);
    graft_error error = {};
    const graft_status status = graft_session_generate(session.get(), nullptr, 0, nullptr, nullptr,
                                                       nullptr, nullptr, &error);
    CHECK(status == GRAFT_FAILED_PRECONDITION);
    Source(family).SetIn(session.get());
    const std::vector<int32_t> ids = Generated(session.get(), 6);
    REQUIRE(ids.size() == 6);
    CHECK(ids.back() == 2);  // forced_eos_token_id
    CHECK(Generated(session.get(), 6) == ids);
    // decoder_start_token_id, forced_bos_token_id, and what is chosen after them.
    std::vector<int32_t> prompt = {2, 0};
    const std::vector<int32_t> greedy = Greedy(session.get(), prompt, 7);
    CHECK(std::equal(ids.begin(), ids.end() - 1, greedy.begin()));
    int32_t start[4] = {};
    size_t count = 0;
    REQUIRE(graft_model_start_tokens(family.model(), nullptr, start, 4, &count, nullptr) ==
            GRAFT_OK);
    CHECK(std::vector<int32_t>(start, start + count) == prompt);
    CHECK(graft_model_start_tokens(family.model(), "de", start, 4, &count, &error) ==
          GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("sources that a model does not take are refused, and what is held stays") {
    const Family family("t5");
    const Source source(family);
    const SessionPtr session = family.Session(5);
    source.SetIn(session.get());
    const std::vector<int32_t> ids = family.Read("decoder_input_ids").ids();
    AppendedLogits(session.get(), ids, 0, 48);
    const std::vector<int32_t> numbers(30, 5);
    const std::vector<int32_t> unknown = {3, 48};
    graft_tensor wrong = source.tensor();
    const auto set = [&] { return graft_session_set_source(session.get(), &wrong, nullptr); };
    wrong.data = numbers.data();
    wrong.shape[0] = 25;
    CHECK(set() == GRAFT_OUT_OF_RANGE);  // the context has 24
    wrong.data = unknown.data();
    wrong.shape[0] = 2;
    CHECK(set() == GRAFT_OUT_OF_RANGE);
    wrong = source.tensor();
    for (const int64_t size : {int64_t{0}, int64_t{-1}}) {
      wrong.shape[0] = size;
      CHECK(set() == GRAFT_INVALID_ARGUMENT);
    }
    wrong = source.tensor();
    wrong.type = GRAFT_TYPE_F32;
    CHECK(set() == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_session_position(session.get()) == ids.size());
    const Family sound("whisper");
    const SessionPtr listener = NewSession(sound.model(), 1);
    graft_tensor features = Source(sound).tensor();
    features.shape[1] -= 1;
    CHECK(graft_session_set_source(listener.get(), &features, nullptr) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("int8 and int4 logits of every family keep their direction") {
    if (kSomeOfAll) return;  // the ops are tested in these formats by themselves
    for (const std::string& name : Families()) {
      CAPTURE(name);
      for (const bool narrow : {false, true}) {
        const Family family(name, {narrow ? converter::StorageKind::kInt4PerChannel
                                          : converter::StorageKind::kInt8PerChannel});
        const SessionPtr session = NewSession(family.model(), 1);
        const std::vector<float> logits = ForwardLogits(family, session.get());
        CHECK(Cosine(logits, family.Read("logits").values) >= (narrow ? 0.8 : 0.99));
      }
    }
  }
}

}  // namespace graft::test
