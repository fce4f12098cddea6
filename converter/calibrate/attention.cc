// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "converter/base/parallel.h"
#include "converter/calibrate/numbers/fixed_math.h"
#include "converter/calibrate/numbers/products.h"
#include "converter/calibrate/text_ops.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

/// One head of one text.
struct Head {
  const schema::fb::Attention& attention;
  const float* keys;  ///< Of the first position.
  const float* values;
  size_t stride;  ///< Numbers from a position's key to the next one's.
  double alibi_slope;
};

/// The attention logit of a position, from the product of query and key.
double LogitOf(const Head& head, double product, size_t position) {
  double logit = product * static_cast<double>(head.attention.scale());
  const auto cap = static_cast<double>(head.attention.soft_cap());
  if (cap > 0) logit = cap * FixedTanh(logit / cap);
  return logit + static_cast<double>(head.attention.alibi_scale()) * head.alibi_slope *
                     static_cast<double>(position);
}

/// out = sum over positions of softmax(logits) * value, in double.
void Attend(const Head& head, const float* query, size_t position, std::vector<double>* weights,
            std::vector<double>* sums, float* out) {
  const size_t width = head.attention.head_dim();
  const size_t window = head.attention.window();
  const size_t first = window > 0 && position + 1 > window ? position + 1 - window : 0;
  weights->resize(position + 1 - first);
  double top = -1e300;
  for (size_t p = first; p <= position; ++p) {
    const double product = Dot(query, head.keys + p * head.stride, width);
    (*weights)[p - first] = LogitOf(head, product, p);
    top = std::max(top, (*weights)[p - first]);
  }
  for (double& weight : *weights) weight -= top;
  FixedExps(weights->data(), weights->size());
  double all = 0;
  sums->assign(width, 0.0);
  for (size_t p = first; p <= position; ++p) {
    all += (*weights)[p - first];
    AddScaled((*weights)[p - first], head.values + p * head.stride, width, sums->data());
  }
  for (size_t i = 0; i < width; ++i) out[i] = static_cast<float>((*sums)[i] / all);
}

/// Puts the call's keys and values behind those of the past.
void Store(const OpCall& call, size_t width) {
  const Batch& batch = call.batch;
  const size_t half = call.cache.size() / 2;
  for (size_t row = 0; row < batch.rows(); ++row) {
    const size_t at = (row / batch.rows_each * batch.most_rows + batch.PositionOf(row)) * width;
    std::copy_n(call.in[1].numbers + row * width, width, call.cache.data() + at);
    std::copy_n(call.in[2].numbers + row * width, width, call.cache.data() + half + at);
  }
}

}  // namespace

Status RunAttention(const OpCall& call) {
  const schema::fb::Attention& attention = *call.op.attributes_as_Attention();
  const Batch& batch = call.batch;
  const size_t kv_width = size_t{attention.kv_heads()} * attention.head_dim();
  const size_t group = attention.heads() / attention.kv_heads();
  const bool is_cached = !call.cache.empty();
  if (is_cached) Store(call, kv_width);
  const float* keys = is_cached ? call.cache.data() : call.in[1].numbers;
  const float* values = is_cached ? call.cache.data() + call.cache.size() / 2 : call.in[2].numbers;
  const size_t text_stride = (is_cached ? batch.most_rows : batch.rows_each) * kv_width;
  const std::span<const float> slopes = call.tensor(attention.alibi_slopes());
  const auto tasks = static_cast<int64_t>(batch.sequences * attention.heads());
  // Threads are worth their start where there is much to do.
  const bool is_large = batch.rows() * (batch.past + batch.rows_each) * call.out_width > 1'000'000;
  return ParallelFor(is_large ? call.threads : 1, tasks, [&](int64_t task) {
    thread_local std::vector<double> weights, sums;
    const size_t text = static_cast<size_t>(task) / attention.heads();
    const size_t index = static_cast<size_t>(task) % attention.heads();
    const size_t key_at = text * text_stride + index / group * attention.head_dim();
    const Head head{attention, keys + key_at, values + key_at, kv_width,
                    slopes.empty() ? 0.0 : static_cast<double>(slopes[index])};
    for (size_t i = 0; i < batch.rows_each; ++i) {
      const size_t row = text * batch.rows_each + i;
      const size_t at = row * call.out_width + index * attention.head_dim();
      Attend(head, call.in[0].numbers + at, batch.past + i, &weights, &sums, call.out + at);
    }
    return OkStatus();
  });
}

}  // namespace graft::converter
