// SPDX-License-Identifier: Apache-2.0
// Sessions for dev.graft.Native: tokens in, tokens out.
#include <cstdint>
#include <iterator>
#include <memory>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

jlong CreateSession(JNIEnv* env, jclass, jlong model, jint threads, jint context_tokens,
                    jint prefill_chunk, jint kv_format, jlong memory_limit_bytes, jbyteArray cpus) {
  const BytesOf cpu_list(env, cpus);
  if (!cpu_list.ok()) return 0;
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = static_cast<uint32_t>(threads);
  options.context_tokens = static_cast<uint32_t>(context_tokens);
  options.prefill_chunk = static_cast<uint32_t>(prefill_chunk);
  options.kv_format = kv_format;
  options.memory_limit_bytes = static_cast<uint64_t>(memory_limit_bytes);
  options.cpus = cpu_list.data();
  graft_session* session = nullptr;
  graft_error error = {};
  const graft_status status =
      graft_session_create(FromHandle<graft_model>(model), &options, &session, &error);
  if (!Check(env, status, error)) return 0;
  return ToHandle(session);
}

void DestroySession(JNIEnv*, jclass, jlong session) {
  graft_session_destroy(FromHandle<graft_session>(session));
}

/// The one native method that runs beside another of the same session.
void Cancel(JNIEnv*, jclass, jlong session) {
  graft_session_cancel(FromHandle<graft_session>(session));
}

/// The numbers, in the order of dev.graft.SessionInfo's constructor.
jlongArray SessionNumbers(JNIEnv* env, jclass, jlong session) {
  graft_session_info info = {};
  info.struct_size = sizeof(info);
  graft_error error = {};
  const graft_status status =
      graft_session_get_info(FromHandle<graft_session>(session), &info, &error);
  if (!Check(env, status, error)) return nullptr;
  const int64_t numbers[] = {info.threads, info.context_tokens,
                             static_cast<int64_t>(info.weight_bytes),
                             static_cast<int64_t>(info.cache_bytes_per_token), info.kv_format};
  return NewLongs(env, numbers, std::size(numbers));
}

jlong Position(JNIEnv*, jclass, jlong session) {
  return static_cast<jlong>(graft_session_position(FromHandle<graft_session>(session)));
}

void Rewind(JNIEnv* env, jclass, jlong session, jlong tokens) {
  graft_error error = {};
  const graft_status status =
      graft_session_rewind(FromHandle<graft_session>(session), static_cast<size_t>(tokens), &error);
  Check(env, status, error);
}

jlong KeepPrefix(JNIEnv* env, jclass, jlong session, jintArray ids) {
  const IntsOf numbers(env, ids);
  if (!numbers.ok()) return 0;
  size_t kept = 0;
  graft_error error = {};
  const graft_status status = graft_session_keep_prefix(
      FromHandle<graft_session>(session), numbers.data(), numbers.size(), &kept, &error);
  if (!Check(env, status, error)) return 0;
  return static_cast<jlong>(kept);
}

void Save(JNIEnv* env, jclass, jlong session, jbyteArray path) {
  const BytesOf path_bytes(env, path);
  if (!path_bytes.ok()) return;
  graft_error error = {};
  const graft_status status =
      graft_session_save(FromHandle<graft_session>(session), path_bytes.data(), &error);
  Check(env, status, error);
}

void Restore(JNIEnv* env, jclass, jlong session, jbyteArray path) {
  const BytesOf path_bytes(env, path);
  if (!path_bytes.ok()) return;
  graft_error error = {};
  const graft_status status =
      graft_session_restore(FromHandle<graft_session>(session), path_bytes.data(), &error);
  Check(env, status, error);
}

/// The logits of the last token; `vocabulary` is how many there are.
jfloatArray Append(JNIEnv* env, jclass, jlong session, jintArray ids, jint vocabulary) {
  const IntsOf numbers(env, ids);
  if (!numbers.ok()) return nullptr;
  const float* logits = nullptr;
  graft_error error = {};
  const graft_status status = graft_session_append(FromHandle<graft_session>(session),
                                                   numbers.data(), numbers.size(), &logits, &error);
  if (!Check(env, status, error)) return nullptr;
  return NewFloats(env, logits, logits == nullptr ? 0 : static_cast<size_t>(vocabulary));
}

struct Receiver {
  JNIEnv* env;  // tokens come on the thread that called generate
  jobject sink;
};

int32_t OnToken(void* user, int32_t id, const char* text, size_t size) {
  const auto* receiver = static_cast<const Receiver*>(user);
  return CallSink(receiver->env, receiver->sink, id, text, size) ? 0 : 1;
}

void OnLogprobs(void* user, const graft_token_logprobs* logprobs) {
  const auto* receiver = static_cast<const Receiver*>(user);
  CallLogprobs(receiver->env, receiver->sink, *logprobs);
}

/// Two arrays of as many elements as one. nullptr: an exception is pending.
std::unique_ptr<graft_token_bias[]> BiasesOf(JNIEnv* env, jintArray ids, jfloatArray values,
                                             size_t* count) {
  const IntsOf id_copy(env, ids);
  if (!id_copy.ok()) return nullptr;
  const FloatsOf value_copy(env, values);
  if (!value_copy.ok()) return nullptr;
  auto biases = Allocate<graft_token_bias>(env, id_copy.size());
  if (biases == nullptr) return nullptr;
  for (size_t i = 0; i < id_copy.size(); ++i) biases[i] = {id_copy.data()[i], value_copy.data()[i]};
  *count = id_copy.size();
  return biases;
}

/// `kind` as dev.graft.GenerateOptions numbers them.
void SetConstraint(jint kind, const StringsOf& texts, graft_generate_options* options) {
  if (kind >= 1 && kind <= 3 && texts.count() == 0) return;
  if (kind == 1) options->json_schema = texts.data()[0];
  if (kind == 2) options->regex = texts.data()[0];
  if (kind == 3) options->grammar = texts.data()[0];
  if (kind != 4) return;
  options->choices = texts.data();
  options->choice_count = texts.count();
}

/// The numbers, in the order of dev.graft.GenerateResult's constructor.
jlongArray Run(JNIEnv* env, jlong session, const IntsOf& ids, const graft_generate_options& options,
               jobject sink) {
  Receiver receiver = {env, sink};
  graft_generate_result result = {};
  result.struct_size = sizeof(result);
  graft_error error = {};
  const graft_status status =
      graft_session_generate(FromHandle<graft_session>(session), ids.data(), ids.size(), &options,
                             OnToken, &receiver, &result, &error);
  if (env->ExceptionCheck() == JNI_TRUE) return nullptr;  // what the listener threw
  if (!Check(env, status, error)) return nullptr;
  const int64_t numbers[] = {
      static_cast<int64_t>(result.prompt_tokens),  static_cast<int64_t>(result.generated_tokens),
      static_cast<int64_t>(result.reused_tokens),  static_cast<int64_t>(result.prefill_ns),
      static_cast<int64_t>(result.decode_ns),      result.stop_reason,
      static_cast<int64_t>(result.drafted_tokens), static_cast<int64_t>(result.accepted_tokens)};
  return NewLongs(env, numbers, std::size(numbers));
}

jlongArray Generate(JNIEnv* env, jclass, jlong session, jintArray prompt, jint max_tokens,
                    jfloat temperature, jint top_k, jfloat top_p, jfloat min_p,
                    jfloat repeat_penalty, jint repeat_window, jlong seed, jobjectArray stop,
                    jboolean ignore_end, jboolean whole_prompt, jint constraint_kind,
                    jobjectArray constraint, jobjectArray trigger, jboolean in_order, jlong draft,
                    jboolean speculate, jbyteArray tools, jbyteArray reply_format,
                    jbyteArray tool_choice, jintArray bias_ids, jfloatArray bias_values,
                    jfloat presence_penalty, jfloat frequency_penalty, jint logprobs,
                    jobject sink) {
  const IntsOf ids(env, prompt);
  if (!ids.ok()) return nullptr;
  const StringsOf stop_strings(env, stop);
  if (!stop_strings.ok()) return nullptr;
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = static_cast<uint32_t>(max_tokens);
  options.temperature = temperature;
  options.top_k = static_cast<uint32_t>(top_k);
  options.top_p = top_p;
  options.min_p = min_p;
  options.repeat_penalty = repeat_penalty;
  options.repeat_window = static_cast<uint32_t>(repeat_window);
  options.seed = static_cast<uint64_t>(seed);
  options.stop = stop_strings.data();
  options.stop_count = stop_strings.count();
  options.ignore_end = ignore_end == JNI_TRUE ? 1 : 0;
  options.whole_prompt = whole_prompt == JNI_TRUE ? 1 : 0;
  const StringsOf constraint_texts(env, constraint);
  if (!constraint_texts.ok()) return nullptr;
  const StringsOf triggers(env, trigger);
  if (!triggers.ok()) return nullptr;
  SetConstraint(constraint_kind, constraint_texts, &options);
  if (triggers.count() > 0) options.constraint_trigger = triggers.data()[0];
  options.json_in_order = in_order == JNI_TRUE ? 1 : 0;
  options.draft_session = FromHandle<graft_session>(draft);
  options.speculate = speculate == JNI_TRUE ? 1 : 0;
  const BytesOf tools_bytes(env, tools);
  if (!tools_bytes.ok()) return nullptr;
  const BytesOf format_bytes(env, reply_format);
  if (!format_bytes.ok()) return nullptr;
  const BytesOf choice_bytes(env, tool_choice);
  if (!choice_bytes.ok()) return nullptr;
  options.tools = tools_bytes.data();
  options.tool_choice = choice_bytes.data();
  options.reply_format = format_bytes.data();
  const auto biases = BiasesOf(env, bias_ids, bias_values, &options.bias_count);
  if (biases == nullptr) return nullptr;
  options.biases = biases.get();
  options.presence_penalty = presence_penalty;
  options.frequency_penalty = frequency_penalty;
  if (logprobs >= 0) {
    options.on_logprobs = OnLogprobs;
    options.logprob_count = static_cast<uint32_t>(logprobs);
  }

  return Run(env, session, ids, options, sink);
}

}  // namespace

std::span<const JNINativeMethod> SessionMethods() {
  static const JNINativeMethod methods[] = {
      Method<CreateSession>("createSession", "(JIIIIJ[B)J"),
      Method<DestroySession>("destroySession", "(J)V"),
      Method<Cancel>("cancel", "(J)V"),
      Method<SessionNumbers>("sessionNumbers", "(J)[J"),
      Method<Position>("position", "(J)J"),
      Method<Rewind>("rewind", "(JJ)V"),
      Method<KeepPrefix>("keepPrefix", "(J[I)J"),
      Method<Save>("save", "(J[B)V"),
      Method<Restore>("restore", "(J[B)V"),
      Method<Append>("append", "(J[II)[F"),
      Method<Generate>("generate",
                       "(J[IIFIFFFIJ[[BZZI[[B[[BZJZ[B[B[B[I[FFFILdev/graft/TokenSink;)[J"),
  };
  return methods;
}

}  // namespace graft::android
