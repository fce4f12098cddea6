// SPDX-License-Identifier: Apache-2.0
// Sessions of a small Llama: right logits, however the tokens are fed, and what a session refuses.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

using runtime::KvFormat;
using runtime::SessionOptions;

// Logits are sums over 96 f32 products of numbers around 1, after three layers of the same.
constexpr double kFloatTolerance = 2e-4;
constexpr double kSameTolerance = 2e-5;

std::vector<float> LastRow(runtime::Session& session, std::span<const int32_t> ids) {
  const float* logits = nullptr;
  const Status status = session.Append(ids, &logits);
  REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
  return {logits, logits + TinyLlama::kVocabulary};
}

double Difference(const std::vector<float>& row, const Numbers& all, size_t at) {
  double largest = 0.0;
  for (size_t i = 0; i < row.size(); ++i)
    largest = std::max(largest, std::fabs(row[i] - all(at, i)));
  return largest;
}

// Logits of every row, or of those that the task wants, of a graph of embedding and head.
Numbers ForwardOfTask(fb::TaskKind task, const std::vector<int32_t>& ids, uint32_t chunk) {
  GraphMaker graph(9);
  graph.TokenInputs();
  const Weight table = graph.RandomWeight("table", fb::TensorFormat::Float32, 13, 24);
  const Weight head = graph.RandomWeight("head", fb::TensorFormat::Float32, 3, 24);
  graph.Output(graph.Linear(graph.SelectRows(graph.Embedding(table), 24), head));
  graph.builder().SetTask(task);
  const auto session = NewSession(graph.Open(), {.prefill_chunk = chunk});
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session->Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  const runtime::TensorView& view = (*outputs)[0];
  const auto rows = static_cast<size_t>(view.shape[0]);
  return AsNumbers({static_cast<const float*>(view.data), rows * 3}, rows);
}

TEST_SUITE("runtime/session") {
  TEST_CASE("a model that classifies gives the last row alone, whatever the chunks") {
    const std::vector<int32_t> ids = {3, 1, 12, 0, 7, 7, 2};
    const Numbers all = ForwardOfTask(fb::TaskKind::Tensors, ids, 4);
    REQUIRE(all.rows == ids.size());
    for (const uint32_t chunk : {1u, 3u, 7u, 128u}) {
      const Numbers last = ForwardOfTask(fb::TaskKind::Classification, ids, chunk);
      REQUIRE(last.rows == 1);
      for (size_t i = 0; i < 3; ++i) CHECK(last(0, i) == doctest::Approx(all(6, i)));
    }
  }

  TEST_CASE("f32 logits match the reference at every position") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(67);
    const Numbers expected = llama.Expected(ids);
    for (const unsigned threads : {1u, 2u, 3u}) {
      const auto session = NewSession(llama.model(), {.threads = threads});
      CHECK(LargestDifference(ForwardIds(*session, ids), expected) < kFloatTolerance);
    }
  }

  TEST_CASE("f16 and bf16 logits match the reference of the widened weights") {
    for (const auto format : {fb::TensorFormat::Float16, fb::TensorFormat::BFloat16}) {
      const TinyLlama llama(format);
      const auto ids = TinyLlama::Ids(41);
      const auto session =
          NewSession(llama.model(), {.threads = 2, .kv_format = KvFormat::kFloat32});
      CHECK(LargestDifference(ForwardIds(*session, ids), llama.Expected(ids)) < kFloatTolerance);
    }
  }

  TEST_CASE("quantized logits follow the reference with quantized activations") {
    for (const auto format : {fb::TensorFormat::Int8PerChannel, fb::TensorFormat::Int4Block,
                              fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      const TinyLlama llama(format);
      const auto ids = TinyLlama::Ids(41);
      for (const auto kv : {KvFormat::kFloat32, KvFormat::kFloat16}) {
        const Numbers expected = llama.Expected(ids, kv == KvFormat::kFloat16);
        const auto session = NewSession(llama.model(), {.threads = 2, .kv_format = kv});
        const Numbers actual = ForwardIds(*session, ids);
        double error = 0.0;
        double power = 0.0;
        for (size_t i = 0; i < expected.at.size(); ++i) {
          error += std::pow(actual.at[i] - expected.at[i], 2);
          power += std::pow(expected.at[i], 2);
        }
        // A difference in the last bit may move an activation to the next of its 255 codes, a step
        // of about 0.024 standard deviations (the range is some 6 of them); a few of a thousand
        // codes move. An operand from the wrong row or block would be an error of order 1.
        CAPTURE(static_cast<int>(kv));
        CHECK(std::sqrt(error / power) < 0.005);
      }
    }
  }

  TEST_CASE("chunks of any size, and single tokens, give the same logits") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block}) {
      const TinyLlama llama(format);
      const auto ids = TinyLlama::Ids(131);
      const auto at_once = NewSession(
          llama.model(), {.threads = 2, .prefill_chunk = 200, .kv_format = KvFormat::kFloat32});
      const Numbers expected = ForwardIds(*at_once, ids);
      const double tolerance =
          format == fb::TensorFormat::Float32 ? kSameTolerance : 0.05 * LargestMagnitude(expected);
      for (const uint32_t chunk : {1u, 3u, 16u, 64u, 130u}) {
        CAPTURE(chunk);
        const auto session = NewSession(
            llama.model(), {.threads = 2, .prefill_chunk = chunk, .kv_format = KvFormat::kFloat32});
        CHECK(LargestDifference(ForwardIds(*session, ids), expected) < tolerance);
        REQUIRE(session->Rewind(0).ok());
        CHECK(Difference(LastRow(*session, ids), expected, 130) < tolerance);
        CHECK(session->position() == 131);
      }
      const auto session =
          NewSession(llama.model(), {.threads = 2, .kv_format = KvFormat::kFloat32});
      for (size_t i = 0; i < ids.size(); ++i) {
        REQUIRE(Difference(LastRow(*session, std::span(ids).subspan(i, 1)), expected, i) <
                tolerance);
      }
    }
  }

  TEST_CASE("appending without asking for logits leaves the cache right") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(90);
    const auto session = NewSession(llama.model(), {.threads = 2, .prefill_chunk = 32});
    const Numbers expected = ForwardIds(*session, ids);
    REQUIRE(session->Rewind(0).ok());
    REQUIRE(session->Append(std::span(ids).first(77), nullptr).ok());
    CHECK(Difference(LastRow(*session, std::span(ids).subspan(77)), expected, 89) < kSameTolerance);
  }

  TEST_CASE("rewinding forgets exactly what came after") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(50);
    const auto session = NewSession(llama.model(), {.threads = 2});
    const Numbers expected = ForwardIds(*session, ids);
    CHECK(session->position() == 50);
    REQUIRE(session->Rewind(20).ok());
    const std::vector<int32_t> other(25, 7);
    REQUIRE(session->Append(other, nullptr).ok());
    REQUIRE(session->Rewind(20).ok());
    CHECK(Difference(LastRow(*session, std::span(ids).subspan(20)), expected, 49) < kSameTolerance);
    const Status status = session->Rewind(51);
    CHECK(status.code() == StatusCode::kOutOfRange);
    CHECK(status.message().find("51") != std::string::npos);
  }

  TEST_CASE("the context is a limit, and a refused append changes nothing") {
    const TinyLlama llama(fb::TensorFormat::Float32, 40);
    const auto session = NewSession(llama.model(), {.threads = 1});
    CHECK(session->context_tokens() == 40);
    const auto ids = TinyLlama::Ids(41);
    Status status = session->Append(ids, nullptr);
    CHECK(status.code() == StatusCode::kOutOfRange);
    CHECK(status.message().find("40") != std::string::npos);
    CHECK(session->position() == 0);
    REQUIRE(session->Append(std::span(ids).first(40), nullptr).ok());
    status = session->Append(std::span(ids).first(1), nullptr);
    CHECK(status.code() == StatusCode::kOutOfRange);
    CHECK(session->position() == 40);
    const auto larger = NewSession(llama.model(), {.threads = 1, .context_tokens = 41});
    CHECK(larger->Append(ids, nullptr).ok());
  }

  TEST_CASE("ids outside the vocabulary are refused before anything runs") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto session = NewSession(llama.model(), {.threads = 1});
    for (const int32_t bad :
         {-1, static_cast<int32_t>(TinyLlama::kVocabulary), INT32_MAX, INT32_MIN}) {
      const std::array<int32_t, 3> ids = {1, 2, bad};
      const Status status = session->Append(ids, nullptr);
      CHECK(status.code() == StatusCode::kOutOfRange);
      CHECK(status.message().find(std::to_string(bad)) != std::string::npos);
      CHECK(session->position() == 0);
    }
  }

  TEST_CASE("a cancelled append puts the position back") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(60);
    for (const unsigned threads : {1u, 3u}) {
      const auto session = NewSession(llama.model(), {.threads = threads, .prefill_chunk = 16});
      const Numbers expected = ForwardIds(*session, ids);
      REQUIRE(session->Rewind(10).ok());
      session->Cancel();
      CHECK(session->cancelled());
      CHECK(session->Append(std::span(ids).subspan(10), nullptr).code() == StatusCode::kCancelled);
      CHECK(session->position() == 10);
      session->ClearCancel();
      CHECK(Difference(LastRow(*session, std::span(ids).subspan(10)), expected, 59) <
            kSameTolerance);
    }
  }

  TEST_CASE("another thread can cancel what runs") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto session = NewSession(llama.model(), {.threads = 2, .context_tokens = 256});
    const auto ids = TinyLlama::Ids(200);
    Status status;
    std::thread worker([&] {
      while (status.ok()) {
        status = session->Rewind(0);
        if (status.ok()) status = session->Append(ids, nullptr);
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    session->Cancel();
    worker.join();
    CHECK(status.code() == StatusCode::kCancelled);
    CHECK(session->position() == 0);
  }

  TEST_CASE("sessions of one model on different threads do not disturb each other") {
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    const auto ids = TinyLlama::Ids(64);
    std::array<Numbers, 2> first;
    for (size_t i = 0; i < 2; ++i) {
      const auto session = NewSession(llama.model(), {.threads = 1});
      std::vector<int32_t> own(ids.begin() + static_cast<ptrdiff_t>(i), ids.end());
      first[i] = ForwardIds(*session, own);
    }
    std::array<double, 2> largest = {};
    std::array<std::thread, 2> threads;
    for (size_t i = 0; i < 2; ++i) {
      threads[i] = std::thread([&, i] {
        const auto session = NewSession(llama.model(), {.threads = 2});
        std::vector<int32_t> own(ids.begin() + static_cast<ptrdiff_t>(i), ids.end());
        for (int round = 0; round < 5; ++round) {
          largest[i] = std::max(largest[i], LargestDifference(ForwardIds(*session, own), first[i]));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    // The slices differ with the number of threads, the sums in each element do not.
    CHECK(largest[0] == 0.0);
    CHECK(largest[1] == 0.0);
  }

  TEST_CASE("a session keeps its model alive, and nothing else does") {
    GraphMaker graph(5);
    const Weight weight = graph.RandomWeight("weight", fb::TensorFormat::Float32, 4, 6);
    graph.Output(graph.Linear(graph.TensorInput("x", 6), weight));
    std::shared_ptr<const runtime::Model> model = graph.Open();
    const std::weak_ptr<const runtime::Model> watch = model;
    auto session = NewSession(std::move(model), {.threads = 2});
    CHECK(watch.use_count() == 1);
    const std::vector<float> x = RandomFloats(graph.random(), 6);
    CHECK(LargestDifference(ForwardNumbers(*session, x, 6),
                            ReferenceLinear(AsNumbers(x, 1), weight, nullptr)) < 1e-5);
    session.reset();
    CHECK(watch.expired());
  }

  TEST_CASE("forward refuses inputs that do not fit and names them") {
    GraphMaker graph(5);
    const Weight weight = graph.RandomWeight("weight", fb::TensorFormat::Float32, 4, 6);
    graph.Output(graph.Linear(graph.TensorInput("x", 6), weight));
    const auto session = NewSession(graph.Open(), {.threads = 1});
    const std::vector<float> x(60);
    const auto refused = [&](std::vector<runtime::TensorView> inputs, const char* mention) {
      const auto outputs = session->Forward(inputs);
      REQUIRE(!outputs.ok());
      CHECK(outputs.status().code() == StatusCode::kInvalidArgument);
      CHECK_MESSAGE(outputs.status().message().find(mention) != std::string::npos,
                    std::string(outputs.status().message()));
    };
    using runtime::ElementType;
    refused({}, "x is missing");
    refused({{"z", ElementType::kFloat32, {2, 6}, x.data()}}, "no input z");
    refused({{"x", ElementType::kInt32, {2, 6}, x.data()}}, "f32");
    refused({{"x", ElementType::kFloat32, {2, 5}, x.data()}}, "[2, 5]");
    refused({{"x", ElementType::kFloat32, {12}, x.data()}}, "[12]");
    refused({{"x", ElementType::kFloat32, {0, 6}, x.data()}}, "[0, 6]");
    refused({{"x", ElementType::kFloat32, {-1, 6}, x.data()}}, "[-1, 6]");
    refused({{"x", ElementType::kFloat32, {2, 6}, nullptr}}, "x");
    // What fits is copied as large as it says; the other of the name may be smaller, or the first.
    refused({{"x", ElementType::kFloat32, {10, 6}, x.data()},
             {"x", ElementType::kFloat32, {1, 1}, x.data()}},
            "x is given twice");
    refused({{"x", ElementType::kFloat32, {1, 1}, x.data()},
             {"x", ElementType::kFloat32, {10, 6}, x.data()}},
            "x is given twice");
    const std::vector<runtime::TensorView> good = {{"x", ElementType::kFloat32, {10, 6}, x.data()}};
    CHECK(session->Forward(good).ok());
    CHECK(session->Append(std::vector<int32_t>{1}, nullptr).code() == StatusCode::kUnsupported);
  }

  TEST_CASE("forward takes each input once, whatever kind of graph it is") {
    const std::vector<int32_t> ids(8, 1);
    const std::vector<float> pixels(36);
    const std::vector<runtime::TensorView> tokens = {
        {"input_ids", runtime::ElementType::kInt32, {8}, ids.data()},
        {"input_ids", runtime::ElementType::kInt32, {2}, ids.data()}};
    const auto decoder = NewSession(TinyLlama(fb::TensorFormat::Float32).model(), {.threads = 1});
    CHECK(decoder->Forward(tokens).status().message() == "input input_ids is given twice");
    // Of fixed sizes: several at once are a batch.
    ModelBuilder builder;
    const auto shape = ModelBuilder::Dimensions{Fixed(2), Fixed(3)};
    const int32_t x = builder.Input("x", shape, fb::InputRole::Tensor, fb::ElementType::Float32);
    const int32_t y = builder.Value("y", shape);
    builder.Op("s", {x}, {y}, fb::OpAttributes::Scale,
               fb::CreateScale(builder.builder(), 2.0f).Union());
    builder.Output(y);
    const AlignedBytes file = builder.Finish();
    const auto opened =
        runtime::Model::Open(std::make_unique<runtime::MemorySource>(file.span()), {});
    REQUIRE(opened.ok());
    const auto items = NewSession(*opened, {.threads = 1});
    const std::vector<runtime::TensorView> batch = {
        {"x", runtime::ElementType::kFloat32, {6, 2, 3}, pixels.data()},
        {"x", runtime::ElementType::kFloat32, {6, 1, 1}, pixels.data()}};
    CHECK(items->Forward(batch).status().message() == "input x is given twice");
    CHECK(items->Forward(std::span(batch).first(1)).ok());
  }

  TEST_CASE("options out of range are refused") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    auto session = runtime::Session::Create(llama.model(), {.threads = 100000});
    REQUIRE(!session.ok());
    CHECK(session.status().code() == StatusCode::kInvalidArgument);
    session = runtime::Session::Create(llama.model(), {.threads = 1, .context_tokens = UINT32_MAX});
    REQUIRE(!session.ok());
    CHECK(session.status().code() == StatusCode::kInvalidArgument);
    session = runtime::Session::Create(nullptr, {});
    REQUIRE(!session.ok());
    CHECK(session.status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace graft::test
