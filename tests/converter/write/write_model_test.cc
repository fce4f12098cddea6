// SPDX-License-Identifier: Apache-2.0
// Whole files: every byte where it belongs, the same bytes for any number of threads, and nothing
// left behind on failure.
#include "converter/write/write_model.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/base/cancellation.h"
#include "converter/checkpoint/checkpoint.h"
#include "converter/merge/merged_source.h"
#include "converter/quantize/encode.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

constexpr StoredFormat kF32{StorageKind::kFloat32};
constexpr StoredFormat kInt8{StorageKind::kInt8PerChannel};
constexpr StoredFormat kInt4{StorageKind::kInt4Block, 32};

// The bytes that EncodeRows gives for a whole tensor of `source` at once.
bool HoldsEncoded(const LoadedModel& model, const schema::fb::Tensor& tensor,
                  const TensorSource& source) {
  const StoredFormat format{static_cast<StorageKind>(tensor.format()), tensor.block_size()};
  const std::string name = tensor.name()->str();
  const std::vector<double> numbers = ReadAll(source, name);
  const int64_t width = tensor.shape()->size() == 1 ? 1 : tensor.shape()->Get(1);
  const int64_t rows = tensor.shape()->Get(0);
  std::vector<uint8_t> data(static_cast<size_t>(rows * format.RowDataBytes(width)));
  std::vector<uint8_t> scales(static_cast<size_t>(rows * format.RowScaleBytes(width)));
  std::vector<double> stored(numbers.size());
  REQUIRE(EncodeRows(format, numbers, width, data.data(), scales.data(), stored).ok());
  const schema::TensorBytes bytes = model.verified().tensor_bytes(tensor);
  return std::ranges::equal(bytes.data, data) && std::ranges::equal(bytes.scales, scales);
}

// A small stack whose only weight matrix holds `bad` somewhere.
void WriteStackWith(const std::filesystem::path& folder, double bad) {
  SmallTensors tensors;
  tensors["W"] = RandomTensor({40, 64}, 3);
  tensors["W"].values[33 * 64 + 5] = bad;
  WriteTensors(folder / "model.safetensors", tensors);
}

}  // namespace

TEST_SUITE("converter/write_model") {
  TEST_CASE("writes the same bytes with one thread, two and seven" *
            doctest::skip(test::kSomeOfAll)) {
    TemporaryFolder output;
    for (const StoredFormat& format : {kF32, kInt4}) {
      std::string first;
      for (const int threads : {1, 2, 7}) {
        const auto outcome = ConvertModel({TestData("tales/base"), TestData("tales/holmes"), format,
                                           output / "model.graft", threads, 1});
        REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
        const std::string bytes = ReadBytes(output / "model.graft");
        CHECK(bytes.size() == outcome->file_bytes);
        if (first.empty()) first = bytes;
        CHECK(bytes == first);
      }
    }
  }

  TEST_CASE("puts each tensor, merged, in its place") {
    TemporaryFolder output;
    for (const StoredFormat& format : {kF32, kInt8, kInt4}) {
      if (test::kSomeOfAll && format.kind != kInt4.kind) continue;
      REQUIRE(ConvertModel({TestData("tales/base"), TestData("tales/holmes"), format,
                            output / "model.graft", 2})
                  .ok());
      const LoadedModel model(output / "model.graft");
      auto opened = Checkpoint::Open(TestData("tales/base"));
      REQUIRE(opened.ok());
      const std::shared_ptr<const Checkpoint> base = std::move(opened).value();
      const AdapterSpec adapter{TestData("tales/holmes"), 1.0};
      const auto merged = MergedSource::Open(base, {&adapter, 1});
      REQUIRE_MESSAGE(merged.ok(), merged.status().message());
      int compared = 0;
      for (const schema::fb::Tensor* tensor : *model.model().tensors()) {
        if ((*merged)->Find(tensor->name()->str()) == nullptr) continue;
        INFO(tensor->name()->str());
        CHECK(HoldsEncoded(model, *tensor, **merged));
        ++compared;
      }
      CHECK(compared == 56);
    }
  }

  TEST_CASE("leaves bytes between tensors zero, and a tail after the last") {
    TemporaryFolder output;
    REQUIRE(ConvertModel({TestData("architectures/llama"), {}, kInt4, output / "m.graft"}).ok());
    const std::string bytes = ReadBytes(output / "m.graft");
    const LoadedModel model(output / "m.graft");
    std::vector<bool> used(bytes.size(), false);
    const auto mark = [&](uint64_t begin, uint64_t size) {
      std::fill_n(used.begin() + static_cast<int64_t>(begin), size, true);
    };
    mark(0, model.model().segments()->Get(0)->offset() -
                1);  // preamble, header and the zeros after it
    for (const schema::fb::Tensor* tensor : *model.model().tensors()) {
      for (const schema::fb::Span* span : {tensor->data(), tensor->scales()}) {
        if (span == nullptr) continue;
        const uint64_t begin =
            model.model().segments()->Get(span->segment())->offset() + span->offset();
        CHECK(begin % 64 == 0);
        mark(begin, span->bytes());
      }
    }
    size_t unused = 0;
    size_t not_zero = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (used[i]) continue;
      ++unused;
      not_zero += bytes[i] != 0;
    }
    CHECK(unused >= 128);
    CHECK(not_zero == 0);
  }

  TEST_CASE("says where a matrix fell back to int8") {
    TemporaryFolder output;
    // Its MLP is 172 wide: no multiple of 32.
    const auto outcome = ConvertModel({TestData("stories260k"), {}, kInt4, output / "model.graft"});
    REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
    int fallen = 0;
    for (const LayerOutcome& layer : outcome->layers) {
      const bool is_down = layer.name.find("down_proj") != std::string::npos;
      CHECK(layer.fell_back == is_down);
      CHECK(layer.format == (is_down ? kInt8 : kInt4));
      fallen += layer.fell_back;
    }
    CHECK(fallen == 5);
    REQUIRE(outcome->formats.size() == 3);
    const LoadedModel model(output / "model.graft");
    CHECK(model.FindTensor("model.layers.0.mlp.down_proj.weight")->format() ==
          schema::fb::TensorFormat::Int8PerChannel);
  }

  TEST_CASE("records what was merged and what it cost") {
    TemporaryFolder output;
    REQUIRE(ConvertModel({TestData("tales/base"), TestData("tales/holmes"), kInt4,
                          output / "model.graft", 1, 1})
                .ok());
    const LoadedModel model(output / "model.graft");
    const schema::fb::Provenance& provenance = *model.model().provenance();
    CHECK(provenance.base_name()->str() == "base");
    CHECK(provenance.quantization()->str() == "int4-block32");
    REQUIRE(provenance.adapters()->size() == 1);
    CHECK(provenance.adapters()->Get(0)->name()->str() == "holmes");
    CHECK(provenance.adapters()->Get(0)->modules_merged() == 42);
    CHECK(provenance.adapters()->Get(0)->modules_expected() == 42);
    REQUIRE(provenance.layers()->size() == 43);
    for (const schema::fb::LayerReport* layer : *provenance.layers()) {
      const bool adapted = layer->name()->str() != "model.embed_tokens.weight";
      CHECK(layer->kind()->str() == (adapted ? "lora" : ""));
      CHECK(layer->rank() == (adapted ? 8 : 0));
      CHECK(layer->quantization_snr_db() > 20);
      CHECK(layer->quantization_snr_db() < 23);
      CHECK((layer->delta_ratio() > 0.1) == adapted);
      CHECK((layer->delta_correlation() > 0.7) == adapted);
      CHECK((layer->delta_noise_ratio() > 0) == adapted);
    }
  }

  TEST_CASE("estimates from a sample of rows what is left of an adapter" *
            doctest::skip(test::kSomeOfAll)) {
    TemporaryFolder output;
    const auto all =
        ConvertModel({TestData("tales/base"), TestData("tales/holmes"), kInt4, output / "a", 1, 1});
    const auto sample = ConvertModel(
        {TestData("tales/base"), TestData("tales/holmes"), kInt4, output / "b", 1, 16});
    const auto none =
        ConvertModel({TestData("tales/base"), TestData("tales/holmes"), kInt4, output / "c", 1, 0});
    REQUIRE((all.ok() && sample.ok() && none.ok()));
    for (size_t i = 0; i < all->layers.size(); ++i) {
      const RetainedDelta& exact = all->layers[i].measures.retained;
      const RetainedDelta& estimate = sample->layers[i].measures.retained;
      if (!all->layers[i].adapted) continue;
      CHECK(exact.sampled == all->layers[i].shape[0] * all->layers[i].shape[1]);
      CHECK(estimate.sampled == exact.sampled / 16);
      CHECK(estimate.Correlation() == doctest::Approx(exact.Correlation()).epsilon(0.1));
      CHECK(estimate.DeltaRatio() == exact.DeltaRatio());
      CHECK(none->layers[i].measures.retained.Correlation() == 0);
      CHECK(none->layers[i].measures.retained.DeltaRatio() == exact.DeltaRatio());
    }
  }

  TEST_CASE("refuses numbers that are not finite, naming tensor and rows, and leaves no file") {
    TemporaryFolder input;
    TemporaryFolder output;
    WriteStackWith(input.path(), std::nan(""));
    const auto outcome = ConvertModel({input.path(), {}, kInt4, output / "model.graft", 2});
    CHECK(outcome.status().code() == StatusCode::kCorrupt);
    const std::string message(outcome.status().message());
    CHECK(message.find("tensor 'W'") != std::string::npos);
    CHECK(message.find("row 33 holds a number that is not finite") != std::string::npos);
    CHECK(NamesIn(output.path()).empty());
  }

  TEST_CASE("keeps an older file when the new one fails") {
    TemporaryFolder input;
    TemporaryFolder output;
    WriteText(output / "model.graft", "older");
    WriteStackWith(input.path(), HUGE_VAL);
    CHECK_FALSE(ConvertModel({input.path(), {}, kF32, output / "model.graft"}).ok());
    CHECK(ReadBytes(output / "model.graft") == "older");
    CHECK(NamesIn(output.path()) == std::vector<std::string>{"model.graft"});
    WriteStackWith(input.path(), 0.5);
    CHECK(ConvertModel({input.path(), {}, kF32, output / "model.graft"}).ok());
    CHECK(ReadBytes(output / "model.graft").size() > 1000);
    CHECK(NamesIn(output.path()) == std::vector<std::string>{"model.graft"});
  }

  TEST_CASE("names an output that cannot be written") {
    TemporaryFolder output;
    WriteText(output / "file", "");
    const auto missing =
        ConvertModel({TestData("architectures/llama"), {}, kF32, output / "no/such/m.graft"});
    CHECK(missing.status().code() == StatusCode::kNotFound);
    CHECK(std::string(missing.status().message()).find("no/such/m.graft: cannot create") !=
          std::string::npos);
    const auto in_file =
        ConvertModel({TestData("architectures/llama"), {}, kF32, output / "file/m.graft"});
    CHECK(in_file.status().code() == StatusCode::kIo);
    const auto folder = ConvertModel({TestData("architectures/llama"), {}, kF32, output.path()});
    CHECK(folder.status().code() == StatusCode::kIo);
    CHECK(NamesIn(output.path()) == std::vector<std::string>{"file"});
  }

  TEST_CASE("stops when asked to and leaves nothing") {
    TemporaryFolder output;
    g_cancelled = true;
    const auto outcome =
        ConvertModel({TestData("tales/base"), {}, kInt4, output / "model.graft", 2});
    g_cancelled = false;
    CHECK(outcome.status().code() == StatusCode::kCancelled);
    CHECK(NamesIn(output.path()).empty());
  }

  TEST_CASE("fails with the size it needs where there is no room for the file") {
    TemporaryFolder output;
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 1 << 20;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto outcome = ConvertModel({TestData("tales/base"), {}, kF32, output / "model.graft"});
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK(outcome.status().code() == StatusCode::kIo);
    const std::string message(outcome.status().message());
    INFO(message);
    CHECK(message.find("the file needs 1110") != std::string::npos);
    CHECK(NamesIn(output.path()).empty());
  }
}

}  // namespace graft::converter
