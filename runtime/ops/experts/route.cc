// SPDX-License-Identifier: Apache-2.0
// Route: chooses the experts of each row.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

using Kind = schema::fb::RoutingKind;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The experts of the largest numbers so far, in falling order. Begins with the first experts, so
// that whatever the numbers are, NaN among them, each choice is an expert.
class Best {
 public:
  Best(size_t count, float* numbers, int32_t* experts)
      : count_(count), numbers_(numbers), experts_(experts) {
    std::fill_n(numbers, count, kMinusInfinity);
    for (size_t i = 0; i < count; ++i) experts[i] = static_cast<int32_t>(i);
  }

  void Offer(float number, size_t expert) {
    if (!(number > numbers_[count_ - 1])) return;
    size_t at = count_ - 1;
    for (; at > 0 && number > numbers_[at - 1]; --at) {
      numbers_[at] = numbers_[at - 1];
      experts_[at] = experts_[at - 1];
    }
    numbers_[at] = number;
    experts_[at] = static_cast<int32_t>(expert);
  }

 private:
  size_t count_;
  float* numbers_;
  int32_t* experts_;
};

class Route final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& route = source.attributes<schema::fb::Route>();
    kind_ = route.kind();
    bias_ = source.floats(route.bias());
    normalized_ = route.normalized();
    epsilon_ = route.epsilon();
    scale_ = route.scale();
    jitter_ = route.jitter();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const float* scores = scores_ + row * experts_;
      float* weights = weights_ + row * width();
      int32_t* choices = choices_ + row * width();
      if (kind_ == Kind::SparseMixer) {
        Mix(scores, weights, choices);
      } else {
        Choose(scores, weights, choices);
      }
      Finish(weights);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    experts_ = places.plan.row_elements(places.step.inputs[0], places.binding);
    scores_ = places.input<float>(0);
    weights_ = places.output<float>(0);
    choices_ = places.output<int32_t>(1);
    return OkStatus();
  }

 private:
  void Choose(const float* scores, float* weights, int32_t* choices) const {
    const bool soft = kind_ == Kind::Softmax;
    float highest = 0.0f;
    float divisor = 1.0f;
    if (soft) {
      highest = *std::max_element(scores, scores + experts_);
      divisor = 0.0f;
      for (size_t i = 0; i < experts_; ++i) divisor += std::exp(scores[i] - highest);
    }
    const auto weight = [&](size_t expert) {
      return soft ? std::exp(scores[expert] - highest) / divisor
                  : 1.0f / (1.0f + std::exp(-scores[expert]));
    };
    Best best(width(), weights, choices);
    for (size_t i = 0; i < experts_; ++i)
      best.Offer(bias_ == nullptr ? scores[i] : weight(i) + bias_[i], i);
    for (size_t i = 0; i < width(); ++i) weights[i] = weight(static_cast<size_t>(choices[i]));
  }

  // Source   Liu et al. 2024, "GRIN: GRadient-INformed MoE".
  void Mix(const float* scores, float* weights, int32_t* choices) const {
    Best best(width(), weights, choices);
    for (size_t i = 0; i < experts_; ++i) best.Offer(scores[i], i);
    for (size_t choice = 0; choice < width(); ++choice) {
      const float top = scores[choices[choice]];
      float sum = 0.0f;
      for (size_t i = 0; i < experts_; ++i) {
        const int32_t* end = choices + choice;
        if (std::find<const int32_t*>(choices, end, static_cast<int32_t>(i)) != end) continue;
        const float size = std::max(std::fabs(scores[i]), top);
        if (!((top - scores[i]) / size > 2.0f * jitter_)) sum += std::exp(scores[i] - top);
      }
      weights[choice] = 1.0f / sum;
    }
  }

  void Finish(float* weights) const {
    float factor = scale_;
    if (normalized_) {
      float sum = epsilon_;
      for (size_t i = 0; i < width(); ++i) sum += weights[i];
      factor /= sum;
    }
    for (size_t i = 0; i < width(); ++i) weights[i] *= factor;
  }

  Kind kind_ = Kind::Softmax;
  const float* bias_ = nullptr;
  bool normalized_ = false;
  float epsilon_ = 0.0f;
  float scale_ = 1.0f;
  float jitter_ = 0.0f;
  size_t experts_ = 0;
  const float* scores_ = nullptr;
  float* weights_ = nullptr;
  int32_t* choices_ = nullptr;
};

// Both outputs are written even if nothing reads one of them: as inputs of their own step they have
// places.
void PlanRoute(PlanBuilder& plan, uint32_t index) {
  Step& step = plan.AddStep(kRoute, index);
  step.inputs.insert(step.inputs.end(), step.outputs.begin(), step.outputs.end());
}

}  // namespace

const StepKind kRoute = {.name = "route", .make = MakeRunner<Route>, .plan = PlanRoute};

}  // namespace graft::runtime::ops
