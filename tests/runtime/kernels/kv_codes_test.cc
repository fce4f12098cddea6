// SPDX-License-Identifier: Apache-2.0
// Numbers that are not ordinary on their way into an int8 cache: zeros, subnormals, infinities,
// NaN.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/kernels/kv_store.h"

namespace graft::test {
namespace {

using runtime::KvElement;
using runtime::KvView;

struct Cache {
  explicit Cache(size_t head_dim) {
    view.kv_heads = 2;
    view.head_dim = head_dim;
    view.capacity = 32;
    view.element = KvElement::kInt8;
    bytes.assign(view.bytes() / sizeof(float) + 1, 0.0f);
    view.Place(reinterpret_cast<uint8_t*>(bytes.data()));
  }
  double Key(size_t head, size_t position, size_t k) const {
    const size_t at = (head * view.capacity + position / 16 * 16) * view.head_dim + k * 16;
    return reinterpret_cast<const int8_t*>(view.keys)[at + position % 16] *
           static_cast<double>(view.key_scales[head * view.capacity + position]);
  }
  double Value(size_t head, size_t position, size_t k) const {
    const size_t at = (head * view.capacity + position) * view.padded_dim() + k;
    return reinterpret_cast<const int8_t*>(view.values)[at] *
           static_cast<double>(view.value_scales[head * view.capacity + position]);
  }
  std::vector<float> bytes;
  KvView view;
};

TEST_SUITE("runtime/kv codes") {
  TEST_CASE(
      "each head of each position has a scale of its own, and is off by half a code at most") {
    for (const size_t head_dim : {3, 16, 40, 128}) {
      CAPTURE(head_dim);
      Cache cache(head_dim);
      std::vector<float> key(2 * head_dim), value(2 * head_dim);
      for (const size_t position : {0, 15, 16, 31}) {
        for (size_t i = 0; i < key.size(); ++i) {
          const float size = i < head_dim ? 1000.0f : 1e-3f;
          key[i] = size * std::sin(static_cast<float>(i + position));
          value[i] = size * std::cos(static_cast<float>(3 * i + position));
        }
        StoreKv(cache.view, position, key.data(), value.data());
        for (size_t i = 0; i < key.size(); ++i) {
          const size_t head = i / head_dim;
          const double half_code = (head == 0 ? 1000.0 : 1e-3) / 254.0 * (1.0 + 1e-5);
          CHECK(std::fabs(cache.Key(head, position, i % head_dim) - key[i]) <= half_code);
          CHECK(std::fabs(cache.Value(head, position, i % head_dim) - value[i]) <= half_code);
        }
      }
    }
  }

  TEST_CASE("zeros and subnormals become zero, and the padding of values is zero") {
    for (const size_t head_dim : {5, 32}) {
      Cache cache(head_dim);
      std::fill(cache.bytes.begin(), cache.bytes.end(), 12345.0f);
      std::vector<float> key(2 * head_dim, 0.0f);
      std::vector<float> value(2 * head_dim, std::numeric_limits<float>::denorm_min());
      StoreKv(cache.view, 7, key.data(), value.data());
      for (size_t head = 0; head < 2; ++head) {
        for (size_t k = 0; k < cache.view.padded_dim(); ++k) {
          CHECK(cache.Value(head, 7, k) == 0.0);
          if (k < head_dim) CHECK(cache.Key(head, 7, k) == 0.0);
        }
      }
    }
  }

  TEST_CASE(
      "an infinity or NaN anywhere in a head makes it NaN, and leaves the other heads alone") {
    for (const float odd :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      for (const size_t head_dim : {5, 37}) {
        for (size_t at = 0; at < head_dim; ++at) {
          Cache cache(head_dim);
          std::vector<float> key(2 * head_dim, 1.0f), value(2 * head_dim, 2.0f);
          key[at] = odd;
          value[head_dim + at] = odd;
          StoreKv(cache.view, 3, key.data(), value.data());
          CHECK(std::isnan(cache.Key(0, 3, 0)));
          CHECK(cache.Key(1, 3, at) == doctest::Approx(1.0));
          CHECK(cache.Value(0, 3, at) == doctest::Approx(2.0));
          CHECK(std::isnan(cache.Value(1, 3, 0)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
