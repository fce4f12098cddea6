// SPDX-License-Identifier: Apache-2.0
// graft-run generate: continues a text, showing it as it comes.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/generation/constraint_options.h"
#include "platforms/embedded_linux/generation/draft_options.h"
#include "platforms/embedded_linux/generation/generate_requests.h"
#include "platforms/embedded_linux/generation/token_log.h"
#include "platforms/embedded_linux/inputs/source_input.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/sampling_options.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/pictures/text_pictures.h"

namespace graft_run {
namespace {

constexpr uint64_t kPromptCacheContext = 4096;
constexpr uint64_t kNoLogprobs = UINT64_MAX;

struct Settings {
  std::string file;
  std::string prompt;
  std::string prompt_file;
  std::string prompt_ids;
  bool has_prompt = false;
  bool has_prompt_file = false;
  bool has_prompt_ids = false;
  std::string input_file;  // of an encoder-decoder's source
  bool has_input = false;
  std::string source_language, target_language;  // empty: the model's own
  std::string prompt_cache;                      // empty: none
  std::vector<std::string> images;
  SamplingOptions sampling{/*default_max_tokens=*/256};
  ConstraintOptions constraint;
  DraftOptions draft;
  ThreadOptions threads;
  uint64_t context = 0;
  int32_t kv_format = GRAFT_KV_AUTO;
  std::string prompts_file;
  bool has_prompts_file = false;
  uint64_t answers = 1;             // to each prompt
  uint64_t logprobs = kNoLogprobs;  // of so many tokens beside the one that was taken
  bool ignore_eos = false;
  bool json = false;
  CacheOptions cache;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  Options options;
  settings->cache.AddTo(&options);
  options.String("prompt", 'p', &settings->prompt, &settings->has_prompt);
  options.String("prompt-file", 'f', &settings->prompt_file, &settings->has_prompt_file);
  options.String("prompt-ids", 0, &settings->prompt_ids, &settings->has_prompt_ids);
  options.String("input", 0, &settings->input_file, &settings->has_input);
  options.String("source-language", 0, &settings->source_language, nullptr);
  options.String("target-language", 0, &settings->target_language, nullptr);
  options.String("prompt-cache", 0, &settings->prompt_cache, nullptr);
  options.StringList("image", &settings->images);
  settings->sampling.AddTo(&options);
  settings->constraint.AddTo(&options);
  settings->draft.AddTo(&options);
  settings->threads.AddTo(&options);
  options.Integer("context", 'c', &settings->context, 1, kMaxContextTokens);
  std::string kv = "auto";
  options.String("kv", 0, &kv, nullptr);
  options.String("prompts", 0, &settings->prompts_file, &settings->has_prompts_file);
  options.Integer("n", 0, &settings->answers, 1, 10000);
  options.Integer("logprobs", 0, &settings->logprobs, 0, 1000);
  options.Flag("ignore-eos", &settings->ignore_eos);
  options.Flag("json", &settings->json);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  if (std::string problem = settings->constraint.Check(); !problem.empty()) return problem;
  if (std::string problem = settings->sampling.Check(); !problem.empty()) return problem;
  const int given = settings->has_prompt + settings->has_prompt_file + settings->has_prompt_ids +
                    settings->has_input + settings->has_prompts_file;
  if (given != 1) return "give one of --prompt, --prompt-file, --prompt-ids, --prompts and --input";
  if (settings->has_prompts_file && !settings->prompt_cache.empty()) {
    return "--prompt-cache is for one prompt";
  }
  settings->json = settings->json || settings->has_prompts_file;
  return ParseKvFormat(kv, &settings->kv_format);
}

/// What the callbacks need: the text so far, and whether to show it.
struct Listener {
  bool shows = false;
  std::string text;
  std::vector<int32_t> ids;
  TokenLog log;
};

void OnLogprobs(void* user, const graft_token_logprobs* logprobs) {
  static_cast<Listener*>(user)->log.Add(*logprobs);
}

int32_t OnToken(void* user, int32_t id, const char* text, size_t size) {
  auto* listener = static_cast<Listener*>(user);
  if (id >= 0) listener->ids.push_back(id);
  listener->text.append(text, size);
  if (!listener->shows || size == 0) return 0;
  std::fwrite(text, 1, size, stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;  // nobody reads any more
}

double PerSecond(uint64_t count, uint64_t nanoseconds) {
  return nanoseconds == 0 ? 0 : static_cast<double>(count) * 1e9 / static_cast<double>(nanoseconds);
}

/// Positions to make room for: what was asked for, else what prompt and answer need, at most what
/// the model was trained for.
uint64_t ContextFor(const Settings& settings, const graft_model_info& info, size_t prompt_tokens,
                    uint64_t max_tokens) {
  if (settings.context != 0) return settings.context;
  if (max_tokens == 0) max_tokens = settings.sampling.max_tokens;
  uint64_t wanted = std::min(prompt_tokens + max_tokens, kMaxContextTokens);
  // What is in a prompt cache may be longer than this prompt. Room that is not used costs nothing.
  if (!settings.prompt_cache.empty()) wanted = std::max(wanted, kPromptCacheContext);
  return info.context_tokens == 0 ? wanted : std::min<uint64_t>(wanted, info.context_tokens);
}

bool ReadPrompt(Settings* settings, const graft_model* model, TextPictures* pictures,
                std::vector<int32_t>* ids) {
  for (const std::string& image : settings->images) {
    if (!pictures->Add(image)) return false;
  }
  if (settings->has_prompt_ids) return true;  // read already
  if (settings->has_prompt_file && !ReadTextFile(settings->prompt_file, &settings->prompt)) {
    return false;
  }
  if (!pictures->empty() && !pictures->Place(settings->file, model, &settings->prompt))
    return false;
  if (!Tokenize(settings->file, model, settings->prompt, true, ids)) return false;
  if (!ids->empty()) return true;
  Fail(settings->file, "the prompt is empty, and this model puts no token before a text");
  return false;
}

/// The source from the file, the text or the ids that were given, and what its answer begins with.
bool ReadSource(Settings* settings, const graft_model* model, std::vector<int32_t>* ids,
                SourceInput* source) {
  if (settings->has_input) {
    if (!ReadSourceFile(settings->input_file, model, source)) return false;
  } else if (settings->has_prompt_ids) {
    SetSourceIds(std::move(*ids), source);
  } else {
    if (settings->has_prompt_file && !ReadTextFile(settings->prompt_file, &settings->prompt))
      return false;
    if (!EncodeSource(settings->file, model, settings->prompt, settings->source_language, source))
      return false;
  }
  return ReadStartTokens(settings->file, model, settings->target_language, ids);
}

/// Takes up what an earlier run has computed, if there is a file; false after a failure, which has
/// been printed.
bool RestorePromptCache(const Settings& settings, graft_session* session) {
  graft_error error{};
  const graft_status status = graft_session_restore(session, settings.prompt_cache.c_str(), &error);
  if (status == GRAFT_OK || status == GRAFT_NOT_FOUND) return true;
  // Not replaced: it may be another model's, and wanted.
  Fail(settings.prompt_cache, error.message);
  return false;
}

/// One answer of those that are asked for.
struct Answer {
  const GenerateRequest& request;
  size_t request_index = 0;
  size_t index = 0;
};

JsonObject ResultAsJson(const Settings& settings, const graft_model* model, const Answer& answer,
                        const Listener& listener, const graft_generate_result& result,
                        double prefill, double decode, const char* stop_reason) {
  JsonObject object;
  if (settings.has_prompts_file) object.Integer("prompt_index", answer.request_index);
  if (!answer.request.id.empty()) object.Json("id", answer.request.id);
  if (settings.answers > 1) object.Integer("index", answer.index);
  object.String("text", listener.text)
      .Ids("ids", listener.ids)
      .Integer("prompt_tokens", result.prompt_tokens)
      .Integer("reused_tokens", result.reused_tokens)
      .Integer("generated_tokens", result.generated_tokens)
      .Integer("drafted", result.drafted_tokens)
      .Integer("accepted", result.accepted_tokens)
      .Number("prefill_tokens_per_second", prefill)
      .Number("decode_tokens_per_second", decode)
      .String("stop_reason", stop_reason);
  if (settings.logprobs != kNoLogprobs) {
    object.Number("logprob", listener.log.total()).Objects("logprobs", listener.log.ToJson(model));
  }
  return object;
}

void ShowResult(const Settings& settings, const graft_model* model, const Answer& answer,
                const Listener& listener, const graft_generate_result& result) {
  const double prefill = PerSecond(result.prompt_tokens - result.reused_tokens, result.prefill_ns);
  const uint64_t steps = result.generated_tokens > 0 ? result.generated_tokens - 1 : 0;
  const double decode =
      PerSecond(steps, result.decode_ns);  // the first token comes with the prompt
  if (settings.json) {
    ResultAsJson(settings, model, answer, listener, result, prefill, decode,
                 StopReasonName(result.stop_reason))
        .Print();
    std::fflush(stdout);
    return;
  }
  if (!listener.text.ends_with('\n')) std::fputc('\n', stdout);
  if (settings.logprobs != kNoLogprobs) listener.log.Print(model);
  std::fflush(stdout);
  if (result.reused_tokens > 0 && !settings.prompt_cache.empty()) {
    std::fprintf(stderr, "prompt cache: %zu of the prompt's tokens were there\n",
                 result.reused_tokens);
  }
  std::fprintf(stderr,
               "prompt: %zu tokens, %.1f tok/s; generated: %zu tokens, %.1f tok/s; stopped: %s\n",
               result.prompt_tokens, prefill, result.generated_tokens, decode,
               StopReasonName(result.stop_reason));
  if (settings.draft.is_on()) {
    std::fprintf(stderr, "drafted: %zu tokens; accepted: %zu\n", result.drafted_tokens,
                 result.accepted_tokens);
  }
}

/// Shows what there is of an answer that failed, or that Ctrl-C ended.
void ShowPart(const Settings& settings, const graft_model* model, const Answer& answer,
              const Listener& listener, graft_status status) {
  if (settings.json && status == GRAFT_CANCELLED) {
    graft_generate_result result{};  // a call that fails tells nothing of how it came about
    result.prompt_tokens = answer.request.ids.size();
    result.generated_tokens = listener.ids.size();
    ResultAsJson(settings, model, answer, listener, result, 0, 0, "cancelled").Print();
  } else if (listener.shows && !listener.text.empty()) {
    std::fputc('\n', stdout);
  }
  std::fflush(stdout);
}

/// Gives one answer. Returns an exit code.
int GiveAnswer(const Settings& settings, const graft_model* model, graft_session* session,
               const Answer& answer) {
  std::vector<const char*> stop;
  graft_generate_options options = settings.sampling.ToGenerateOptions(&stop);
  settings.constraint.SetIn(&options);
  settings.draft.SetIn(&options);
  options.ignore_end = settings.ignore_eos;
  options.whole_prompt = 1;
  options.seed = answer.request.seed + answer.index;
  if (answer.request.max_tokens != 0) {
    options.max_tokens = static_cast<uint32_t>(answer.request.max_tokens);
  }
  if (settings.logprobs != kNoLogprobs) {
    options.on_logprobs = OnLogprobs;
    options.logprob_count = static_cast<uint32_t>(settings.logprobs);
  }
  Listener listener;
  listener.shows = !settings.json;
  graft_generate_result result{};
  result.struct_size = sizeof(result);
  graft_error error{};
  const std::vector<int32_t>& prompt = answer.request.ids;
  const graft_status status = graft_session_generate(session, prompt.data(), prompt.size(),
                                                     &options, OnToken, &listener, &result, &error);
  if (status != GRAFT_OK) {
    ShowPart(settings, model, answer, listener, status);
    return settings.constraint.FailCall(settings.file, "", error);
  }
  ShowResult(settings, model, answer, listener, result);
  return std::ferror(stdout) == 0 ? kExitOk : Fail("standard output", "cannot be written");
}

int Generate(const Settings& settings, const graft_model* model, graft_session* session,
             const std::vector<GenerateRequest>& requests) {
  const InterruptGuard guard(session);
  for (size_t r = 0; r < requests.size(); ++r) {
    for (size_t i = 0; i < settings.answers; ++i) {
      const int code = GiveAnswer(settings, model, session, {requests[r], r, i});
      if (code != kExitOk) return code;
    }
  }
  graft_error error{};
  if (!settings.prompt_cache.empty() &&
      graft_session_save(session, settings.prompt_cache.c_str(), &error) != GRAFT_OK) {
    return Fail(settings.prompt_cache, error.message);
  }
  return kExitOk;
}

/// The prompts of the file, as tokens.
bool ReadPrompts(const Settings& settings, const graft_model* model,
                 std::vector<GenerateRequest>* requests) {
  if (!ReadRequests(settings.prompts_file, settings.sampling.seed, requests)) return false;
  for (GenerateRequest& request : *requests) {
    if (!Tokenize(settings.file, model, request.prompt, true, &request.ids)) return false;
    if (!request.ids.empty()) continue;
    Fail(settings.file, "a prompt is empty, and this model puts no token before a text");
    return false;
  }
  return true;
}

/// Positions that the longest prompt and its answer need.
uint64_t ContextFor(const Settings& settings, const graft_model_info& info,
                    const std::vector<GenerateRequest>& requests) {
  uint64_t most = 0;
  for (const GenerateRequest& request : requests) {
    most = std::max(most, ContextFor(settings, info, request.ids.size(), request.max_tokens));
  }
  return most;
}

}  // namespace

int RunGenerate(int argc, char** argv) {
  Settings settings;
  std::vector<GenerateRequest> requests(1);
  std::string problem = ReadSettings(argc, argv, &settings);
  if (problem.empty() && settings.has_prompt_ids)
    problem = ParseIds(settings.prompt_ids, &requests[0].ids);
  if (!problem.empty()) return FailUsage("generate: " + problem);
  requests[0].seed = settings.sampling.seed;

  if (!settings.constraint.Read()) return kExitFailure;
  const ModelHandle model = OpenModel(settings.file, settings.threads, settings.cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  if (info.task != GRAFT_TASK_TEXT_GENERATION) {
    return Fail(settings.file, "the model does not generate text; see graft-run forward");
  }
  const bool has_text =
      settings.has_prompt || settings.has_prompt_file || settings.has_prompts_file;
  if (info.has_tokenizer == 0 && has_text) {
    return Fail(settings.file, "the model has no tokenizer; give the prompt as --prompt-ids");
  }
  SourceInput source;
  TextPictures pictures;
  if (info.takes_pictures == 0 && !settings.images.empty())
    return Fail(settings.file, "the model takes no pictures");
  if (settings.has_prompts_file) {
    if (info.takes_source != GRAFT_SOURCE_NONE || !settings.images.empty()) {
      return Fail(settings.file, "--prompts is for models that continue a text, without pictures");
    }
    requests.clear();
    if (!ReadPrompts(settings, model.get(), &requests)) return kExitFailure;
  } else if (info.takes_source != GRAFT_SOURCE_NONE) {
    if (!ReadSource(&settings, model.get(), &requests[0].ids, &source)) return kExitFailure;
  } else if (settings.has_input || !settings.source_language.empty() ||
             !settings.target_language.empty()) {
    return Fail(settings.file, "the model takes no source, and has no languages");
  } else if (!ReadPrompt(&settings, model.get(), &pictures, &requests[0].ids)) {
    return kExitFailure;
  }
  const uint64_t context = std::max(ContextFor(settings, info, requests), SourceTokens(source));
  for (const GenerateRequest& request : requests) {
    if (request.ids.size() <= context) continue;
    return Fail(settings.file, Format("the prompt has %zu tokens, the context holds %" PRIu64,
                                      request.ids.size(), context));
  }
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, context, settings.kv_format);
  if (session == nullptr) return kExitFailure;
  if (!settings.prompt_cache.empty() && !RestorePromptCache(settings, session.get()))
    return kExitFailure;
  if (!SetSource(settings.file, session.get(), source)) return kExitFailure;
  if (!settings.draft.Open(settings.threads, settings.cache, context)) return kExitFailure;
  if (info.takes_pictures != 0 && !pictures.SetIn(settings.file, session.get()))
    return kExitFailure;
  return Generate(settings, model.get(), session.get(), requests);
}

}  // namespace graft_run
