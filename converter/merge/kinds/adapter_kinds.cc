// SPDX-License-Identifier: Apache-2.0
// The table: every kind of adapter that merges, and every one that is known not to.
#include "converter/merge/kinds/adapter_kinds.h"

#include <iterator>
#include <vector>

namespace graft::converter {

// Each is defined in the file that plans it.
extern const PlannedKind kLoraKind;
extern const PlannedKind kAdaLoraKind;
extern const PlannedKind kLoHaKind;
extern const PlannedKind kLoKrKind;
extern const PlannedKind kVeraKind;
extern const PlannedKind kIa3Kind;
extern const PlannedKind kOftKind;
extern const PlannedKind kBoftKind;
extern const PlannedKind kHraKind;
extern const PlannedKind kBeftKind;
extern const PlannedKind kC3aKind;
extern const PlannedKind kDeftKind;
extern const PlannedKind kDeloraKind;
extern const PlannedKind kFrodKind;
extern const PlannedKind kGloraKind;
extern const PlannedKind kGraloraKind;
extern const PlannedKind kHiraKind;
extern const PlannedKind kLnTuningKind;
extern const PlannedKind kMissKind;
extern const PlannedKind kBoneKind;
extern const PlannedKind kOsfKind;
extern const PlannedKind kPeanutKind;
extern const PlannedKind kRoadKind;
extern const PlannedKind kShiraKind;
extern const PlannedKind kSupertuningKind;
extern const PlannedKind kVbLoraKind;
extern const PlannedKind kFourierFtKind;
extern const PlannedKind kPveraKind;
extern const PlannedKind kRandLoraKind;
extern const PlannedKind kTinyLoraKind;
extern const PlannedKind kUniLoraKind;
extern const PlannedKind kWaveFtKind;
extern const PlannedKind kMlxKind;
extern const PlannedKind kKohyaKind;

namespace {

constexpr const PlannedKind* kKinds[] = {
    &kLoraKind,    &kAdaLoraKind,   &kLoHaKind,     &kLoKrKind,     &kVeraKind,
    &kIa3Kind,     &kOftKind,       &kBoftKind,     &kHraKind,      &kBeftKind,
    &kC3aKind,     &kDeftKind,      &kDeloraKind,   &kFrodKind,     &kGloraKind,
    &kGraloraKind, &kHiraKind,      &kLnTuningKind, &kMissKind,     &kBoneKind,
    &kOsfKind,     &kPeanutKind,    &kRoadKind,     &kShiraKind,    &kSupertuningKind,
    &kVbLoraKind,  &kFourierFtKind, &kPveraKind,    &kRandLoraKind, &kTinyLoraKind,
    &kUniLoraKind, &kWaveFtKind,    &kMlxKind,      &kKohyaKind,
};

constexpr std::string_view kNotWeights =
    "it is not a weight adapter: it prepends trained vectors to the input, and there is nothing to "
    "merge";
constexpr std::string_view kMergeFirst =
    "graft does not know how to merge it; call PEFT's merge_and_unload and convert the result";

constexpr RefusedKind kRefused[] = {
    {"PROMPT_TUNING", kNotWeights},
    {"MULTITASK_PROMPT_TUNING", kNotWeights},
    {"P_TUNING", kNotWeights},
    {"PREFIX_TUNING", kNotWeights},
    {"ADAPTION_PROMPT", kNotWeights},
    {"CPT", kNotWeights},
    {"CARTRIDGE", kNotWeights},
    {"XLORA", "X-LoRA mixes adapters anew for each token, so no single set of weights equals it"},
    {"POLY", "Poly mixes adapters by task, so no single set of weights equals it"},
    {"QALORA",
     "QALoRA pools its input in groups under a quantized base; merge it with the tool that trained "
     "it"},
    {"TRAINABLE_TOKENS", kMergeFirst},
    {"PSOFT",
     "PSOFT turns a weight within its singular vectors, whose signs no file holds: they are as the "
     "LAPACK of the machine that trained it chose them; call PEFT's merge_and_unload there and "
     "convert the result"},
    {"ADAMSS",
     "AdaMSS changes clusters of a weight's rows, and saves which rows are one only where it "
     "trained; call PEFT's merge_and_unload there and convert the result"},
    {"LILY",
     "Lily mixes its factors anew for each token by a router, so no single set of weights equals "
     "it"},
};

}  // namespace

const AdapterKinds& AllAdapterKinds() {
  static const AdapterKinds kinds({std::begin(kKinds), std::end(kKinds)}, kRefused);
  return kinds;
}

PlanModule PlannerOf(const AdapterKind& kind) {
  for (const PlannedKind* planned : kKinds) {
    if (planned == &kind) return planned->plan;
  }
  return nullptr;
}

}  // namespace graft::converter
