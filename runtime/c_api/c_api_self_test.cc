// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that tells whether a model computes what was converted.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/chat/chat_template.h"
#include "runtime/tasks/self_test.h"
#include "schema/generated/model_generated.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;
namespace fb = graft::schema::fb;

namespace {

// The ids that a probe's text becomes here.
Result<std::vector<int32_t>> EncodeProbe(const ModelState& state, const fb::Probe& probe) {
  const std::string_view text = probe.text()->string_view();
  if (!probe.chat()) return state.text->Encode(text, true);
  GRAFT_ASSIGN_OR_RETURN(const runtime::ChatTemplate* const chat, state.chat_template.Get());
  const runtime::ChatMessage message{"user", text};
  GRAFT_ASSIGN_OR_RETURN(const std::string rendered, chat->Render({&message, 1}, {}));
  return state.text->Encode(rendered, false);
}

// Fails with what is wrong with texts.
Status CheckTexts(const ModelState& state, const fb::Probes& probes) {
  for (uint32_t i = 0; i < probes.probes()->size(); ++i) {
    const fb::Probe& probe = *probes.probes()->Get(i);
    if (probe.text() == nullptr || probe.text()->size() == 0) continue;
    const auto ids = EncodeProbe(state, probe);
    if (!ids.ok()) return ids.status().WithContext("the text of a probe becomes no tokens");
    const auto& expected = *probe.ids();
    if (std::equal(ids->begin(), ids->end(), expected.begin(), expected.end(),
                   [](int32_t a, uint32_t b) { return static_cast<uint32_t>(a) == b; })) {
      continue;
    }
    return Error(StatusCode::kMismatch,
                 "the text of probe %u becomes other tokens than it did: tokenizer%s differs", i,
                 probe.chat() ? " or chat template" : "");
  }
  return OkStatus();
}

// Where of the base only the numbers before rounding are known, what its rounding costs is taken for
// what the adapted model's does: 0.45 to 1.44 times that in nine models in int8 and int4.
constexpr double kBaseRoundings = 1.5;

bool AnswersAsBase(const runtime::ProbeFigures& figures) {
  if (!figures.has_base) return false;
  if (figures.has_stored_base) return figures.stored_base <= figures.tolerance;
  return figures.base <= kBaseRoundings * figures.rounding_loss + figures.tolerance &&
         figures.base < figures.adapted;
}

/// The rest of the verdict, once it is known that texts are as they were.
void Judge(const runtime::ProbeFigures& figures, graft_self_test* result) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  result->answers = figures.answers;
  result->deviation = figures.deviation;
  result->tolerance = figures.tolerance;
  result->adapted_deviation = figures.adapted;
  result->base_deviation = figures.has_base ? figures.base : kNone;
  result->adapter_share = figures.has_base ? figures.adapter_share : kNone;
  const int32_t expected = figures.has_base ? GRAFT_SELF_TEST_ADAPTED : GRAFT_SELF_TEST_BASE;
  result->verdict = GRAFT_SELF_TEST_BROKEN;
  if (figures.answers == 0) {
    result->verdict = GRAFT_SELF_TEST_NONE;
  } else if (figures.deviation <= figures.tolerance) {
    result->verdict = expected;
  } else if (AnswersAsBase(figures)) {
    result->verdict = GRAFT_SELF_TEST_BASE;
  }
  result->passed = result->verdict == expected || figures.answers == 0 ? 1 : 0;
}

Status SelfTest(const graft_model* model, graft_self_test* result) {
  if (model == nullptr) return NullArgument("model");
  GRAFT_RETURN_IF_ERROR(CheckOutStruct(result, "result"));
  const std::shared_ptr<const ModelState> state = model->slot->state();
  const fb::Probes* probes = state->text->model()->verified().model().probes();
  GRAFT_ASSIGN_OR_RETURN(const runtime::ProbeFigures figures,
                         runtime::MeasureProbes(state->text->model()));
  graft_self_test filled{};
  Judge(figures, &filled);
  Status texts = OkStatus();
  if (probes != nullptr) {
    filled.probes = probes->probes()->size();
    texts = CheckTexts(*state, *probes);
  }
  std::string note;
  if (!texts.ok()) {
    if (texts.code() == StatusCode::kOutOfMemory) return texts;
    filled.verdict = GRAFT_SELF_TEST_BROKEN;
    filled.passed = 0;
    note = texts.message();
  } else if (filled.verdict == GRAFT_SELF_TEST_BROKEN) {
    note = "the logits are neither those of the file's weights nor the base's";
  } else if (filled.passed == 0) {
    note = "the logits are those of the base: the adapter is not in effect";
  } else if (filled.verdict == GRAFT_SELF_TEST_ADAPTED && filled.adapter_share < 0.5) {
    note = "the weights are as converted, but rounding has left less than half of the adapter";
  }
  note.copy(filled.note, sizeof(filled.note) - 1);
  WriteStruct(filled, result);
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_model_self_test(const graft_model* model, graft_self_test* result,
                                             graft_error* error) {
  return Call([&] { return SelfTest(model, result); }, error);
}
