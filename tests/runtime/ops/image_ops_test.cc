// SPDX-License-Identifier: Apache-2.0
// Ops over images against plain loops: convolutions of all kinds, in floats and from int8; rows that
// are taken, rotated, resized and turned into planes; and attention within blocks of rows.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"
#include "tests/support/graph_maker.h"

namespace graft::test {
namespace {

// f32 sums of some hundred products of numbers around 1.
constexpr double kTolerance = 2e-5;

// An image, or rows, as the only input; one op; its output.
class ImageGraph {
 public:
  explicit ImageGraph(uint32_t seed) : graph_(seed) {}

  GraphMaker& maker() { return graph_; }
  flatbuffers::FlatBufferBuilder& builder() { return graph_.builder().builder(); }
  int32_t Rows(const std::string& name, int64_t rows, int64_t width) {
    return graph_.builder().Input(name, {Fixed(rows), Fixed(width)}, fb::InputRole::Tensor,
                                  fb::ElementType::Float32);
  }
  int32_t Op(std::vector<int32_t> inputs, std::vector<int64_t> shape, fb::OpAttributes kind,
             flatbuffers::Offset<void> attributes) {
    ModelBuilder::Dimensions dimensions;
    for (const int64_t size : shape) dimensions.push_back(Fixed(size));
    const std::string name = "out" + std::to_string(next_++);
    const int32_t out = graph_.builder().Value(name, dimensions);
    graph_.builder().Op(name, std::move(inputs), {out}, kind, attributes);
    return out;
  }
  // What the last value is for these rows; the inputs are called "x" and "y".
  std::vector<float> Run(int32_t output, const Numbers& x, const Numbers* y = nullptr,
                         unsigned threads = 3) {
    graph_.Output(output);
    model_ = graph_.Open();
    runtime::SessionOptions options;
    options.threads = threads;
    session_ = NewSession(model_, options);
    const std::vector<float> x_floats(x.at.begin(), x.at.end());
    std::vector<float> y_floats;
    std::vector<runtime::TensorView> inputs = {View("x", x, x_floats)};
    if (y != nullptr) {
      y_floats.assign(y->at.begin(), y->at.end());
      inputs.push_back(View("y", *y, y_floats));
    }
    const auto outputs = session_->Forward(inputs);
    REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
    const runtime::TensorView& view = (*outputs)[0];
    size_t elements = 1;
    for (const int64_t size : view.shape) elements *= static_cast<size_t>(size);
    const auto* floats = static_cast<const float*>(view.data);
    return {floats, floats + elements};
  }

 private:
  static runtime::TensorView View(const char* name, const Numbers& numbers,
                                  const std::vector<float>& floats) {
    return {name,
            runtime::ElementType::kFloat32,
            {static_cast<int64_t>(numbers.rows), static_cast<int64_t>(numbers.width)},
            floats.data()};
  }

  GraphMaker graph_;
  std::shared_ptr<const runtime::Model> model_;
  std::unique_ptr<runtime::Session> session_;
  int next_ = 0;
};

Numbers RandomRows(std::mt19937& random, size_t rows, size_t width) {
  return AsNumbers(RandomFloats(random, rows * width), rows);
}

double Difference(const std::vector<float>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  return largest;
}

struct Case {
  fb::ImageWindow window;
  uint32_t out_channels, groups, extra_height, extra_width;
};

struct Size {
  int64_t height, width;
};

Size PlacesOf(const Case& c) {
  const auto along = [](int64_t side, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation,
                        int64_t extra) {
    return (side + 2 * pad + extra - dilation * (kernel - 1) - 1) / stride + 1;
  };
  const fb::ImageWindow& w = c.window;
  return {along(w.height(), w.kernel_height(), w.stride_height(), w.pad_height(),
                w.dilation_height(), c.extra_height),
          along(w.width(), w.kernel_width(), w.stride_width(), w.pad_width(), w.dilation_width(),
                c.extra_width)};
}

// Each window by itself, channel by channel.
std::vector<double> ReferenceConvolution(const Case& c, const Numbers& image, const Weight& weight,
                                         const Weight& bias, double low, double high) {
  const fb::ImageWindow& w = c.window;
  const Size places = PlacesOf(c);
  const int64_t group_channels = w.channels() / c.groups;
  const int64_t group_out = c.out_channels / c.groups;
  std::vector<double> out;
  for (int64_t y = 0; y < places.height; ++y) {
    for (int64_t x = 0; x < places.width; ++x) {
      for (int64_t o = 0; o < c.out_channels; ++o) {
        double sum = bias.numbers.at[static_cast<size_t>(o)];
        size_t at = 0;
        for (int64_t channel = 0; channel < group_channels; ++channel) {
          for (int64_t i = 0; i < w.kernel_height(); ++i) {
            for (int64_t j = 0; j < w.kernel_width(); ++j, ++at) {
              const int64_t row = y * w.stride_height() + i * w.dilation_height() - w.pad_height();
              const int64_t column = x * w.stride_width() + j * w.dilation_width() - w.pad_width();
              if (row < 0 || row >= w.height() || column < 0 || column >= w.width()) continue;
              sum += weight.numbers(static_cast<size_t>(o), at) *
                     image(static_cast<size_t>(row * w.width() + column),
                           static_cast<size_t>(o / group_out * group_channels + channel));
            }
          }
        }
        out.push_back(std::clamp(sum, low, high));
      }
    }
  }
  return out;
}

void CheckConvolution(const Case& c, fb::TensorFormat format, bool clamps, double tolerance) {
  ImageGraph graph(7);
  const fb::ImageWindow& w = c.window;
  const int64_t pixels = int64_t{w.height()} * w.width();
  const size_t width = w.channels() / c.groups * w.kernel_height() * w.kernel_width();
  const Weight weight = graph.maker().RandomWeight("kernels", format, c.out_channels, width);
  const Weight bias = graph.maker().RandomVector("bias", c.out_channels, 0.0, 1.0);
  const Size places = PlacesOf(c);
  const std::vector<int64_t> shape = {places.height * places.width, c.out_channels};
  int32_t out =
      graph.Op({graph.Rows("x", pixels, w.channels())}, shape, fb::OpAttributes::Convolution,
               fb::CreateConvolution(graph.builder(), &w, weight.tensor, bias.tensor, c.groups,
                                     c.extra_height, c.extra_width)
                   .Union());
  if (clamps) {
    out = graph.Op({out}, shape, fb::OpAttributes::Clamp,
                   fb::CreateClamp(graph.builder(), -0.5f, 1.5f).Union());
  }
  const Numbers image =
      RandomRows(graph.maker().random(), static_cast<size_t>(pixels), w.channels());
  const std::vector<double> expected = ReferenceConvolution(
      c, image, weight, bias, clamps ? -0.5 : -INFINITY, clamps ? 1.5 : INFINITY);
  CHECK(Difference(graph.Run(out, image), expected) <= tolerance);
}

TEST_SUITE("runtime/image_ops") {
  // Windows: channels, height, width, kernel, stride, padding, dilation.
  const Case kCases[] = {
      // Each channel by itself.
      {{19, 11, 13, 3, 3, 1, 1, 1, 1, 1, 1}, 19, 19, 0, 0},
      {{33, 9, 40, 3, 3, 2, 2, 0, 0, 1, 1}, 33, 33, 1, 1},
      {{16, 21, 18, 7, 7, 1, 1, 3, 3, 1, 1}, 16, 16, 0, 0},
      {{5, 12, 9, 3, 2, 1, 3, 2, 1, 2, 1}, 5, 5, 1, 0},
      {{1, 8, 8, 5, 1, 2, 1, 2, 0, 1, 1}, 1, 1, 1, 0},
      // In groups, one of them with as many channels as groups.
      {{12, 10, 7, 3, 3, 1, 1, 1, 1, 1, 1}, 20, 4, 0, 0},
      {{6, 9, 9, 3, 3, 2, 1, 1, 1, 1, 2}, 12, 6, 0, 0},
      // Of all channels.
      {{9, 20, 11, 3, 3, 1, 1, 1, 1, 1, 1}, 17, 1, 0, 0},
      {{7, 15, 16, 5, 3, 2, 3, 2, 0, 1, 1}, 6, 1, 1, 2},
      {{8, 17, 5, 1, 1, 2, 2, 0, 0, 1, 1}, 24, 1, 0, 0},
      {{4, 6, 6, 1, 1, 1, 1, 0, 0, 1, 1}, 3, 1, 0, 0},
      {{3, 40, 3, 4, 2, 4, 1, 0, 1, 1, 1}, 8, 1, 0, 0},
  };

  TEST_CASE("a convolution gives what its windows give one by one, with and without bounds") {
    for (const Case& c : kCases) {
      CAPTURE(&c - kCases);
      CheckConvolution(c, fb::TensorFormat::Float32, false, kTolerance);
      CheckConvolution(c, fb::TensorFormat::Float32, true, kTolerance);
      CheckConvolution(c, fb::TensorFormat::BFloat16, false, kTolerance);
    }
  }

  TEST_CASE("of int8 kernels in groups it is as exact; of all channels it rounds each window") {
    for (const Case& c : kCases) {
      CAPTURE(&c - kCases);
      const bool rounds = c.groups == 1 && c.window.channels() > 1;
      CheckConvolution(c, fb::TensorFormat::Int8PerChannel, true, rounds ? 0.6 : 2e-4);
    }
  }

  TEST_CASE("rows are taken in any order, and zeros for none") {
    ImageGraph graph(1);
    const std::vector<int32_t> rows = {4, -1, 0, 0, 6, 3, -1};
    const int32_t out =
        graph.Op({graph.Rows("x", 7, 5)}, {7, 5}, fb::OpAttributes::TakeRows,
                 fb::CreateTakeRows(graph.builder(), graph.builder().CreateVector(rows)).Union());
    const Numbers x = RandomRows(graph.maker().random(), 7, 5);
    std::vector<double> expected;
    for (const int32_t row : rows) {
      for (size_t i = 0; i < 5; ++i)
        expected.push_back(row < 0 ? 0.0 : x(static_cast<size_t>(row), i));
    }
    CHECK(Difference(graph.Run(out, x), expected) == 0.0);
  }

  TEST_CASE("heads are rotated by the angles of their row") {
    ImageGraph graph(2);
    const size_t rows = 6;
    const size_t heads = 3;
    const size_t half = 7;
    const auto angles = RandomFloats(graph.maker().random(), rows * half, 3.0);
    const int32_t tensor =
        graph.maker().builder().FloatTensor("angles", {int64_t{rows}, int64_t{half}}, angles);
    const size_t width = heads * 2 * half;
    const int32_t out = graph.Op({graph.Rows("x", rows, width)}, {int64_t{rows}, int64_t{width}},
                                 fb::OpAttributes::Rotate,
                                 fb::CreateRotate(graph.builder(), tensor, 2 * half).Union());
    const Numbers x = RandomRows(graph.maker().random(), rows, width);
    Numbers expected = x;
    for (size_t row = 0; row < rows; ++row) {
      for (size_t i = 0; i < heads * half; ++i) {
        const size_t a = i / half * 2 * half + i % half;
        const double angle = angles[row * half + i % half];
        expected(row, a) = x(row, a) * std::cos(angle) - x(row, a + half) * std::sin(angle);
        expected(row, a + half) = x(row, a + half) * std::cos(angle) + x(row, a) * std::sin(angle);
      }
    }
    CHECK(Difference(graph.Run(out, x), expected.at) <= 1e-6);
  }

  TEST_CASE("an image is resized between its pixels, and turned into planes") {
    const struct {
      Size from, to;
    } cases[] = {{{2, 3}, {5, 7}}, {{1, 1}, {3, 4}}, {{8, 6}, {4, 9}}, {{5, 5}, {5, 5}}};
    for (const auto& [from, to] : cases) {
      ImageGraph graph(3);
      const int64_t channels = 6;
      const int32_t resized = graph.Op(
          {graph.Rows("x", from.height * from.width, channels)}, {to.height * to.width, channels},
          fb::OpAttributes::ResizePixels,
          fb::CreateResizePixels(graph.builder(), static_cast<uint32_t>(from.height),
                                 static_cast<uint32_t>(from.width),
                                 static_cast<uint32_t>(to.height), static_cast<uint32_t>(to.width))
              .Union());
      const int32_t out =
          graph.Op({resized}, {channels, to.height, to.width}, fb::OpAttributes::Planes,
                   fb::CreatePlanes(graph.builder()).Union());
      const Numbers x = RandomRows(graph.maker().random(),
                                   static_cast<size_t>(from.height * from.width), channels);
      std::vector<double> expected;
      const auto place = [](int64_t i, int64_t side, int64_t out_side) {
        const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(side) /
                              static_cast<double>(out_side) -
                          0.5;
        return std::clamp(at, 0.0, static_cast<double>(side - 1));
      };
      for (size_t channel = 0; channel < channels; ++channel) {
        for (int64_t i = 0; i < to.height; ++i) {
          for (int64_t j = 0; j < to.width; ++j) {
            const double y = place(i, from.height, to.height);
            const double z = place(j, from.width, to.width);
            double sum = 0;
            for (int64_t row = 0; row < from.height; ++row) {
              for (int64_t column = 0; column < from.width; ++column) {
                const double part = std::max(0.0, 1 - std::abs(y - static_cast<double>(row))) *
                                    std::max(0.0, 1 - std::abs(z - static_cast<double>(column)));
                sum += part * x(static_cast<size_t>(row * from.width + column), channel);
              }
            }
            expected.push_back(sum);
          }
        }
      }
      CHECK(Difference(graph.Run(out, x), expected) <= 2e-6);
    }
  }

  // Rows of 2 heads of 5 attend to themselves: query, key and value are one input.
  void CheckBlocks(uint32_t rows, uint32_t block, bool has_regions) {
    ImageGraph graph(4);
    const size_t heads = 2;
    const size_t dim = 5;
    const size_t width = heads * dim;
    const size_t side = block != 0 ? block : rows;
    const auto bias = RandomFloats(graph.maker().random(), heads * side * side);
    const int32_t tensor =
        graph.maker().builder().FloatTensor("bias", {static_cast<int64_t>(bias.size())}, bias);
    std::vector<uint8_t> regions;
    for (uint32_t i = 0; i < rows && has_regions; ++i)
      regions.push_back(static_cast<uint8_t>(i % side * 3 / side + i / side % 2));
    const auto stored_regions = graph.builder().CreateVector(regions);
    fb::AttentionBuilder attributes(graph.builder());
    attributes.add_heads(heads);
    attributes.add_kv_heads(heads);
    attributes.add_head_dim(dim);
    attributes.add_scale(0.4f);
    attributes.add_score_bias(tensor);
    attributes.add_block(block);
    if (has_regions) attributes.add_regions(stored_regions);
    const auto attention = attributes.Finish().Union();
    const int32_t x = graph.Rows("x", rows, width);
    const int32_t out =
        graph.Op({x, x, x}, {rows, int64_t{width}}, fb::OpAttributes::Attention, attention);
    const Numbers numbers = RandomRows(graph.maker().random(), rows, width);
    std::vector<double> expected(rows * width);
    for (size_t i = 0; i < rows; ++i) {
      for (size_t head = 0; head < heads; ++head) {
        double total = 0;
        std::vector<double> sums(dim);
        const size_t first = i / side * side;
        for (size_t j = first; j < first + side; ++j) {
          if (has_regions && regions[i] != regions[j]) continue;
          double score = 0;
          for (size_t k = 0; k < dim; ++k)
            score += numbers(i, head * dim + k) * numbers(j, head * dim + k);
          const double weight =
              std::exp(0.4 * score + bias[(head * side + i % side) * side + j % side]);
          total += weight;
          for (size_t k = 0; k < dim; ++k) sums[k] += weight * numbers(j, head * dim + k);
        }
        for (size_t k = 0; k < dim; ++k) expected[i * width + head * dim + k] = sums[k] / total;
      }
    }
    CHECK(Difference(graph.Run(out, numbers), expected) <= 1e-5);
  }

  TEST_CASE("rows attend to their block and region, with numbers for each pair") {
    CheckBlocks(30, 0, false);
    CheckBlocks(70, 0, false);
    CheckBlocks(48, 16, false);
    CheckBlocks(45, 9, true);
    CheckBlocks(150, 75, true);
    CheckBlocks(6, 1, false);
  }

  TEST_CASE("rows attend to another number of rows") {
    for (const auto& [rows, keys] : {std::pair<size_t, size_t>{1, 40}, {1, 700}, {50, 7}}) {
      ImageGraph graph(5);
      const size_t width = 6;
      const int32_t x = graph.Rows("x", static_cast<int64_t>(rows), int64_t{width});
      const int32_t y = graph.Rows("y", static_cast<int64_t>(keys), int64_t{width});
      const int32_t out = graph.Op(
          {x, y, y}, {static_cast<int64_t>(rows), int64_t{width}}, fb::OpAttributes::Attention,
          fb::CreateAttention(graph.builder(), 1, 1, static_cast<uint32_t>(width), 0.5f).Union());
      const Numbers query = RandomRows(graph.maker().random(), rows, width);
      const Numbers key = RandomRows(graph.maker().random(), keys, width);
      std::vector<double> expected;
      for (size_t i = 0; i < rows; ++i) {
        double total = 0;
        std::vector<double> sums(width);
        for (size_t j = 0; j < keys; ++j) {
          double score = 0;
          for (size_t k = 0; k < width; ++k) score += query(i, k) * key(j, k);
          total += std::exp(0.5 * score);
          for (size_t k = 0; k < width; ++k) sums[k] += std::exp(0.5 * score) * key(j, k);
        }
        for (const double sum : sums) expected.push_back(sum / total);
      }
      CHECK(Difference(graph.Run(out, query, &key), expected) <= 1e-5);
    }
  }
}

}  // namespace
}  // namespace graft::test
