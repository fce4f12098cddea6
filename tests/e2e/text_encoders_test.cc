// SPDX-License-Identifier: Apache-2.0
// Every encoder of tests/data/encoders, converted here: transformers' vectors and scores of three
// texts in one pass, each alone and in another order; and quantized they follow.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/converted_model.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

constexpr size_t kEncoders = 19;
// Of the largest value. Found: 2e-6.
constexpr double kRelativeTolerance = 1e-4;

std::vector<std::string> Encoders() { return FixturesIn("encoders", kEncoders); }

// The texts of a fixture, each with its ids and types, and what transformers computed of them.
struct Text {
  std::vector<int32_t> ids, types;
  size_t row = 0;  // in the fixture
};

class Encoder : public ConvertedModel {
 public:
  explicit Encoder(const std::string& name, const converter::StoredFormat& format = {})
      : ConvertedModel(converter::TestData("encoders/" + name), format),
        session_(NewSession(model())),
        has_types_(HasTensor("token_type_ids")) {}

  bool HasTensor(const std::string& tensor) const {
    return ReadFile((folder() / "io.safetensors").string()).find('"' + tensor + '"') !=
           std::string::npos;
  }

  std::vector<Text> Texts() const {
    const Numbers ids = Read("input_ids");
    const std::vector<int32_t> all = ids.ids();
    const std::vector<int32_t> mask = Read("attention_mask").ids();
    const std::vector<int32_t> types = has_types_ ? Read("token_type_ids").ids() : mask;
    const auto width = static_cast<size_t>(ids.shape[1]);
    std::vector<Text> texts(static_cast<size_t>(ids.shape[0]));
    for (size_t i = 0; i < all.size(); ++i) {
      Text& text = texts[i / width];
      text.row = i / width;
      if (mask[i] == 0) continue;
      text.ids.push_back(all[i]);
      text.types.push_back(types[i]);
    }
    return texts;
  }

  // The largest difference of an output from the fixture's `tensor`, of its largest number.
  double Difference(const std::vector<Text>& texts, const std::string& tensor) {
    const Numbers expected = Read(tensor);
    double largest = 0.0;
    Compare(texts, tensor, expected, [&](float a, double b) {
      largest = std::max(largest, std::abs(static_cast<double>(a) - b));
    });
    return largest / LargestMagnitude(expected.values);
  }

  double CosineOf(const std::vector<Text>& texts, const std::string& tensor) {
    std::vector<float> found;
    std::vector<double> wanted;
    Compare(texts, tensor, Read(tensor), [&](float a, double b) {
      found.push_back(a);
      wanted.push_back(b);
    });
    return Cosine(found, wanted);
  }

 private:
  // The texts in one pass, padded to the longest.
  template <typename Visit>
  void Compare(const std::vector<Text>& texts, const std::string& tensor, const Numbers& expected,
               Visit visit) {
    size_t longest = 0;
    for (const Text& text : texts) longest = std::max(longest, text.ids.size());
    std::vector<int32_t> ids(texts.size() * longest), mask(ids.size()), types(ids.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto at = static_cast<std::ptrdiff_t>(i * longest);
      std::copy(texts[i].ids.begin(), texts[i].ids.end(), ids.begin() + at);
      std::copy(texts[i].types.begin(), texts[i].types.end(), types.begin() + at);
      std::fill_n(mask.begin() + at, texts[i].ids.size(), 1);
    }
    std::vector<graft_tensor> inputs = {Input("input_ids", ids, texts.size(), longest),
                                        Input("attention_mask", mask, texts.size(), longest)};
    if (has_types_) inputs.push_back(Input("token_type_ids", types, texts.size(), longest));
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error = {};
    REQUIRE_MESSAGE(graft_session_forward(session_.get(), inputs.data(), inputs.size(), &outputs,
                                          &count, &error) == GRAFT_OK,
                    std::string(error.message));
    const auto* output = std::find_if(outputs, outputs + count,
                                      [&](const graft_tensor& o) { return o.name == tensor; });
    REQUIRE_MESSAGE(output != outputs + count, "no output " << tensor);
    const auto width = static_cast<size_t>(output->shape[output->rank - 1]);
    const bool by_tokens = expected.shape.size() == 3;
    const auto padded = static_cast<size_t>(by_tokens ? expected.shape[1] : 1);
    const auto* values = static_cast<const float*>(output->data);
    for (size_t i = 0; i < texts.size(); ++i) {
      const size_t rows = by_tokens ? texts[i].ids.size() : 1;
      const float* from = values + i * (by_tokens ? longest : 1) * width;
      const double* to = expected.values.data() + texts[i].row * padded * width;
      for (size_t k = 0; k < rows * width; ++k) visit(from[k], to[k]);
    }
  }

  static graft_tensor Input(const char* name, const std::vector<int32_t>& numbers, size_t texts,
                            size_t tokens) {
    graft_tensor tensor = {};
    tensor.name = name;
    tensor.type = GRAFT_TYPE_I32;
    tensor.rank = 2;
    tensor.shape[0] = static_cast<int64_t>(texts);
    tensor.shape[1] = static_cast<int64_t>(tokens);
    tensor.data = numbers.data();
    return tensor;
  }

  SessionPtr session_;
  bool has_types_ = false;
};

constexpr const char* kOutputs[] = {"logits", "last_hidden_state", "pooler_output"};

TEST_SUITE("e2e/text_encoders") {
  TEST_CASE("texts in one pass, alone and in another order get what transformers computes") {
    for (const std::string& name : Encoders()) {
      CAPTURE(name);
      Encoder encoder(name);
      std::vector<Text> texts = encoder.Texts();
      size_t outputs = 0;
      for (const char* output : kOutputs) {
        if (!encoder.HasTensor(output)) continue;
        CAPTURE(output);
        ++outputs;
        CHECK(encoder.Difference(texts, output) <= kRelativeTolerance);
        for (const Text& text : texts)
          CHECK(encoder.Difference({text}, output) <= kRelativeTolerance);
        std::reverse(texts.begin(), texts.end());
        CHECK(encoder.Difference(texts, output) <= kRelativeTolerance);
      }
      CHECK(outputs >= 1);
    }
  }

  TEST_CASE("int8 and int4 vectors and scores keep their direction") {
    if (kSomeOfAll) return;  // the ops are tested in these formats by themselves
    for (const std::string& name : Encoders()) {
      CAPTURE(name);
      for (const bool narrow : {false, true}) {
        Encoder encoder(name, {narrow ? converter::StorageKind::kInt4PerChannel
                                      : converter::StorageKind::kInt8PerChannel});
        const char* output = encoder.HasTensor("logits") ? "logits" : "last_hidden_state";
        // Rows of 16 random numbers lose much to 4 bits.
        CHECK(encoder.CosineOf(encoder.Texts(), output) >= (narrow ? 0.75 : 0.99));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
