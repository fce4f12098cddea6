// SPDX-License-Identifier: Apache-2.0
// The packed kernels of convolutions: what ops and models share of them, and what a cache keeps.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "tests/runtime/model/cached_model.h"
#include "tests/support/graph_maker.h"

namespace graft::test {
namespace {

using ModelPointer = std::shared_ptr<const runtime::Model>;

constexpr int64_t kSide = 6;
constexpr int64_t kChannels = 4;
constexpr size_t kOutChannels = 8;
constexpr int64_t kKernel = 3;

// Convolutions of one image with one weight, each with a stride and an output.
AlignedBytes Convolutions(const std::vector<int64_t>& strides,
                          fb::TensorFormat format = fb::TensorFormat::BFloat16) {
  GraphMaker graph(3);
  const int32_t image = graph.builder().Input("x", {Fixed(kSide * kSide), Fixed(kChannels)},
                                              fb::InputRole::Tensor, fb::ElementType::Float32);
  const Weight weight =
      graph.RandomWeight("kernels", format, kOutChannels, kChannels * kKernel * kKernel);
  const Weight bias = graph.RandomVector("bias", kOutChannels, 0.0, 1.0);
  for (size_t i = 0; i < strides.size(); ++i) {
    const auto stride = static_cast<uint32_t>(strides[i]);
    const int64_t places = (kSide - 1) / strides[i] + 1;
    const fb::ImageWindow window(kChannels, kSide, kSide, kKernel, kKernel, stride, stride, 1, 1, 1,
                                 1);
    const std::string name = "out" + std::to_string(i);
    const int32_t out = graph.builder().Value(name, {Fixed(places * places), Fixed(kOutChannels)});
    auto& builder = graph.builder().builder();
    graph.builder().Op(name, {image}, {out}, fb::OpAttributes::Convolution,
                       fb::CreateConvolution(builder, &window, weight.tensor, bias.tensor).Union());
    graph.Output(out);
  }
  graph.Open();
  return AlignedBytes(graph.file().span());
}

std::vector<std::vector<float>> Run(const ModelPointer& model) {
  std::vector<float> image(kSide * kSide * kChannels);
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 7) - 3.0f;
  const auto session = NewSession(model, {.threads = 2});
  const std::vector<runtime::TensorView> inputs = {
      {"x", runtime::ElementType::kFloat32, {kSide * kSide, kChannels}, image.data()}};
  const auto outputs = session->Forward(inputs);
  REQUIRE(outputs.ok());
  std::vector<std::vector<float>> all;
  for (const runtime::TensorView& view : *outputs) {
    const auto* floats = static_cast<const float*>(view.data);
    all.emplace_back(floats, floats + view.shape[0] * view.shape[1]);
  }
  return all;
}

uint64_t PackedBytes(const ModelPointer& model) { return model->packed_weights().bytes(); }

// The same bytes, said to be of another format.
AlignedBytes WithFormat(const AlignedBytes& file, fb::TensorFormat format) {
  AlignedBytes changed(file.span());
  const auto verified = schema::Verify(changed.span());
  for (const fb::Tensor* tensor : *verified->model().tensors()) {
    if (tensor->name()->str() != "kernels") continue;
    auto* table =
        const_cast<flatbuffers::Table*>(reinterpret_cast<const flatbuffers::Table*>(tensor));
    REQUIRE(table->SetField<uint8_t>(fb::Tensor::VT_FORMAT, static_cast<uint8_t>(format), 0));
  }
  Reseal(changed);
  return changed;
}

TEST_SUITE("runtime/packed_convolutions") {
  TEST_CASE("convolutions of one shape with one weight hold it once, those of others not") {
    const AlignedBytes files[] = {Convolutions({1}), Convolutions({1, 1}), Convolutions({1, 2})};
    const ModelPointer one = OpenBytes(files[0], {});
    const ModelPointer two = OpenBytes(files[1], {});
    const ModelPointer other = OpenBytes(files[2], {});
    CHECK(PackedBytes(two) == PackedBytes(one));
    CHECK(PackedBytes(other) > PackedBytes(one));
    const std::vector<float> expected = Run(one)[0];
    CHECK(Run(two)[0] == expected);
    CHECK(Run(two)[1] == expected);
    CHECK(Run(other)[0] == expected);
  }

  TEST_CASE("a later start finds the kernels in the cache") {
    const CacheFolder folder;
    const AlignedBytes file = Convolutions({1, 2});
    std::vector<std::vector<float>> expected;
    {
      const ModelPointer first = OpenBytes(file, folder.settings());
      CHECK(StateOf(first) == runtime::CacheState::kStored);
      expected = Run(first);
    }
    const ModelPointer later = OpenBytes(file, folder.settings());
    CHECK(StateOf(later) == runtime::CacheState::kHit);
    CHECK(Run(later) == expected);
  }

  TEST_CASE("bytes that are of another format are not taken for kernels that are packed already") {
    const CacheFolder folder;
    const AlignedBytes file = Convolutions({1});
    const AlignedBytes changed = WithFormat(file, fb::TensorFormat::Float16);
    { CHECK(StateOf(OpenBytes(file, folder.settings())) == runtime::CacheState::kStored); }
    const ModelPointer model = OpenBytes(changed, folder.settings());
    CHECK(StateOf(model) == runtime::CacheState::kStored);
    CHECK(Run(model) == Run(OpenBytes(changed, {})));
    CHECK(folder.Files().size() == 2);
  }

  TEST_CASE("a second model over the same bytes takes the first one's kernels") {
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Float32, fb::TensorFormat::Int8PerChannel}) {
      const AlignedBytes file = Convolutions({1, 2}, format);
      const ModelPointer first = OpenBytes(file, {});
      CHECK(first->packed_weights().shared_bytes() == 0);
      const auto expected = Run(first);
      const ModelPointer second = OpenBytes(file, {});
      CHECK(second->packed_weights().linear(0).packed == first->packed_weights().linear(0).packed);
      CHECK(second->packed_weights().linear(1).packed == first->packed_weights().linear(1).packed);
      CHECK(Run(second) == expected);
    }
  }
}

}  // namespace
}  // namespace graft::test
