// SPDX-License-Identifier: Apache-2.0
// The sessions' part of allocation_failures_test.cc: what a session holds is as it was before a
// call that failed.
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/c_api/allocation_sweep.h"
#include "tests/runtime/c_api/swept_models.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

struct Nothing {};

std::string Bytes(const void* from, size_t size) { return {static_cast<const char*>(from), size}; }

const std::vector<int32_t> kIds = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};

void Hold(graft_session* session, size_t tokens) {
  REQUIRE(graft_session_reset(session, nullptr) == GRAFT_OK);
  if (tokens == 0) return;
  REQUIRE(graft_session_append(session, kIds.data(), tokens, nullptr, nullptr) == GRAFT_OK);
}

std::string PositionOf(graft_session* session) {
  return std::to_string(graft_session_position(session));
}

void SweepCreate() {
  const OpenedTiny tiny;
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 3;
  options.cpus = "0";
  options.kv_format = GRAFT_KV_I8;
  SweptCall<graft_session*> create;
  create.function = "graft_session_create";
  create.call = [&](graft_session** session, graft_error* error) {
    return graft_session_create(tiny.model, &options, session, error);
  };
  create.result = [](graft_session* const& session) {
    const float* logits = nullptr;
    REQUIRE(graft_session_append(session, kIds.data(), 2, &logits, nullptr) == GRAFT_OK);
    return Bytes(logits, TinyLlama::kVocabulary * sizeof(float));
  };
  create.free = [](graft_session* const& session) { graft_session_destroy(session); };
  Sweep{create};
}

void SweepPosition(graft_session* session) {
  SweptCall<Nothing> move;
  move.ready = [session] { Hold(session, 6); };
  move.result = [session](const Nothing&) { return PositionOf(session); };
  move.function = "graft_session_reset";
  move.call = [session](Nothing*, graft_error* error) {
    return graft_session_reset(session, error);
  };
  Sweep{move};
  move.function = "graft_session_rewind";
  move.call = [session](Nothing*, graft_error* error) {
    return graft_session_rewind(session, 4, error);
  };
  Sweep{move};
  SweptCall<size_t> keep;
  keep.function = "graft_session_keep_prefix";
  keep.ready = move.ready;
  keep.result = [](const size_t& kept) { return std::to_string(kept); };
  keep.call = [session](size_t* kept, graft_error* error) {
    return graft_session_keep_prefix(session, kIds.data(), 5, kept, error);
  };
  Sweep{keep};
}

void SweepAppend(graft_session* session) {
  SweptCall<const float*> append;
  append.function = "graft_session_append";
  append.result = [](const float* const& logits) {
    return Bytes(logits, TinyLlama::kVocabulary * sizeof(float));
  };
  append.state = [session] { return PositionOf(session); };
  // Three chunks, after what is held or into memory that was given back.
  for (const bool trims : {false, true}) {
    append.ready = [session, trims] {
      Hold(session, 2);
      if (trims) REQUIRE(graft_session_trim(session, nullptr) == GRAFT_OK);
    };
    append.call = [session](const float** logits, graft_error* error) {
      return graft_session_append(session, kIds.data() + 2, 10, logits, error);
    };
    Sweep{append};
  }
}

struct Text {
  size_t tokens;
  int32_t ids[16];
  graft_generate_result result;
};

int32_t Keep(void* user, int32_t id, const char*, size_t) {
  auto* text = static_cast<Text*>(user);
  if (text->tokens < 16) text->ids[text->tokens++] = id;
  return 0;
}

// What is handed out before a failure stays handed out: `text` is not an out-parameter.
void SweepGenerate(graft_session* session, bool has_tokenizer,
                   graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT) {
  Text text = {};
  const char* const stop[] = {"never to be said, whatever happens"};
  options.max_tokens = 5;
  options.temperature = 0.8f;
  options.top_k = 50;
  options.top_p = 0.9f;
  options.repeat_penalty = 1.1f;
  options.whole_prompt = 1;
  options.stop = stop;
  options.stop_count = has_tokenizer ? 1 : 0;
  SweptCall<graft_generate_result> generate;
  generate.function = "graft_session_generate";
  generate.ready = [&] {
    Hold(session, 3);
    text = {};
  };
  generate.set = [](graft_generate_result* result) { result->struct_size = sizeof(*result); };
  generate.result = [&](const graft_generate_result& result) {
    return Bytes(text.ids, text.tokens * sizeof(int32_t)) + " " +
           std::to_string(result.generated_tokens) + " " + std::to_string(result.stop_reason);
  };
  generate.call = [&](graft_generate_result* result, graft_error* error) {
    return graft_session_generate(session, kIds.data(), 6, &options, Keep, &text, result, error);
  };
  Sweep{generate};
}

// Text that is held to a form, and tokens that are guessed.
void SweepConstraints(const OpenedScripted& opened) {
  const char* const choices[] = {"one", "another"};
  graft_session_options session_options = GRAFT_SESSION_OPTIONS_INIT;
  session_options.threads = 1;
  graft_session* draft = nullptr;
  REQUIRE(graft_session_create(opened.model, &session_options, &draft, nullptr) == GRAFT_OK);
  const auto sweep = [&](void (*set)(graft_generate_options*), bool drafts) {
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    set(&options);
    options.speculate = drafts ? 2 : 0;
    if (drafts) options.draft_session = draft;
    if (options.choice_count > 0) options.choices = choices;
    SweepGenerate(opened.session, true, options);
  };
  sweep(
      [](graft_generate_options* options) {
        options->json_schema =
            R"({"type": "object", "properties": {"a": {"enum": [1, "x"]}, "b": {"type": "string", "pattern": "^a+$"}}, "required": ["a"]})";
      },
      false);
  sweep([](graft_generate_options* options) { options->regex = "(?:[a-c]{2}|x.*)y"; }, true);
  sweep([](graft_generate_options* options) { options->grammar = "root ::= \"a\" root | [0-9]+"; },
        false);
  sweep([](graft_generate_options* options) { options->choice_count = 2; }, false);
  sweep(
      [](graft_generate_options* options) {
        options->tools =
            R"([{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}])";
        options->reply_format = "llama";
      },
      true);
  sweep([](graft_generate_options*) {}, true);
  graft_session_destroy(draft);
}

void SweepSaving(graft_session* session) {
  const Folder folder;
  const std::string path = folder.path("saved");
  SweptCall<Nothing> save;
  save.function = "graft_session_save";
  save.ready = [session] { Hold(session, 6); };
  save.state = [session] { return PositionOf(session); };
  save.call = [&](Nothing*, graft_error* error) {
    return graft_session_save(session, path.c_str(), error);
  };
  save.afterwards = [&] { CHECK(folder.CountOf("") <= 1); };
  Sweep{save};
  SweptCall<Nothing> restore = save;
  restore.function = "graft_session_restore";
  restore.ready = [session] { Hold(session, 2); };
  restore.call = [&](Nothing*, graft_error* error) {
    return graft_session_restore(session, path.c_str(), error);
  };
  restore.result = save.result = [session](const Nothing&) { return PositionOf(session); };
  Sweep{restore};
}

struct Outputs {
  const graft_tensor* tensors;
  size_t count;
};

void SweepForward(graft_session* session, const graft_tensor& input, size_t outputs_bytes) {
  SweptCall<Outputs> forward;
  forward.function = "graft_session_forward";
  forward.result = [=](const Outputs& out) {
    return std::string(out.tensors[0].name) + Bytes(out.tensors[0].data, outputs_bytes);
  };
  forward.call = [=](Outputs* out, graft_error* error) {
    return graft_session_forward(session, &input, 1, &out->tensors, &out->count, error);
  };
  Sweep{forward};
  forward.ready = [=] { REQUIRE(graft_session_trim(session, nullptr) == GRAFT_OK); };
  Sweep{forward};
}

void SweepInfo(graft_session* session) {
  SweptCall<graft_session_info> info;
  info.function = "graft_session_get_info";
  info.set = [](graft_session_info* out) { out->struct_size = sizeof(*out); };
  info.result = [](const graft_session_info& out) { return Bytes(&out, sizeof(out)); };
  info.call = [session](graft_session_info* out, graft_error* error) {
    return graft_session_get_info(session, out, error);
  };
  Sweep{info};
  SweptCall<Nothing> plain;
  plain.function = "graft_session_measure";
  plain.call = [session](Nothing*, graft_error* error) {
    return graft_session_measure(session, 1, error);
  };
  Sweep{plain};
  SweptCall<graft_step_time> time;
  time.function = "graft_session_step_time";
  time.ready = [session] { Hold(session, 4); };
  time.set = [](graft_step_time* out) { out->struct_size = sizeof(*out); };
  time.call = [session](graft_step_time* out, graft_error* error) {
    return graft_session_step_time(session, 0, out, error);
  };
  Sweep{time};
  REQUIRE(graft_session_measure(session, 0, nullptr) == GRAFT_OK);
  plain.function = "graft_session_trim";
  plain.ready = time.ready;
  plain.result = [session](const Nothing&) { return PositionOf(session); };
  plain.call = [session](Nothing*, graft_error* error) {
    return graft_session_trim(session, error);
  };
  Sweep{plain};
}

}  // namespace

void SweepSessions() {
  SweepCreate();
  const OpenedTiny tiny;
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 2;
  options.prefill_chunk = 4;
  options.context_tokens = 64;
  graft_session* session = nullptr;
  REQUIRE(graft_session_create(tiny.model, &options, &session, nullptr) == GRAFT_OK);
  SweepPosition(session);
  SweepAppend(session);
  SweepGenerate(session, false);
  SweepSaving(session);
  graft_tensor input = {};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 1;
  input.shape[0] = static_cast<int64_t>(kIds.size());
  input.data = kIds.data();
  SweepForward(session, input, kIds.size() * TinyLlama::kVocabulary * sizeof(float));
  SweepInfo(session);
  graft_session_destroy(session);
  const OpenedScripted scripted;
  SweepGenerate(scripted.session, true);
  SweepConstraints(scripted);
}

}  // namespace graft::test
