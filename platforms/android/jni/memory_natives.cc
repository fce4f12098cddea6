// SPDX-License-Identifier: Apache-2.0
// Memory for dev.graft.Native: what a model will take, and giving back what can be made again.
#include <cstdint>
#include <iterator>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

graft_session_options SessionOptions(jint threads, jint context_tokens, jint prefill_chunk,
                                     jint kv_format) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = static_cast<uint32_t>(threads);
  options.context_tokens = static_cast<uint32_t>(context_tokens);
  options.prefill_chunk = static_cast<uint32_t>(prefill_chunk);
  options.kv_format = kv_format;
  return options;
}

/// The numbers, in the order of dev.graft.MemoryEstimate.
jlongArray Numbers(JNIEnv* env, const graft_memory_estimate& estimate) {
  const int64_t numbers[] = {estimate.context_tokens,
                             estimate.threads,
                             estimate.kv_format,
                             static_cast<int64_t>(estimate.file_bytes),
                             static_cast<int64_t>(estimate.packed_bytes),
                             static_cast<int64_t>(estimate.kv_bytes),
                             static_cast<int64_t>(estimate.activation_bytes),
                             static_cast<int64_t>(estimate.peak_bytes),
                             static_cast<int64_t>(estimate.steady_bytes),
                             static_cast<int64_t>(estimate.private_bytes),
                             static_cast<int64_t>(estimate.cached_peak_bytes),
                             static_cast<int64_t>(estimate.cached_steady_bytes),
                             static_cast<int64_t>(estimate.cached_private_bytes),
                             static_cast<int64_t>(estimate.storing_peak_bytes)};
  return NewLongs(env, numbers, std::size(numbers));
}

jlongArray EstimatePath(JNIEnv* env, jclass, jbyteArray path, jint threads, jint context_tokens,
                        jint prefill_chunk, jint kv_format) {
  const BytesOf path_bytes(env, path);
  if (!path_bytes.ok()) return nullptr;
  const auto options = SessionOptions(threads, context_tokens, prefill_chunk, kv_format);
  graft_memory_estimate estimate = {};
  estimate.struct_size = sizeof(estimate);
  graft_error error = {};
  const graft_status status = graft_model_estimate(path_bytes.data(), &options, &estimate, &error);
  if (!Check(env, status, error)) return nullptr;
  return Numbers(env, estimate);
}

jlongArray EstimateDescriptor(JNIEnv* env, jclass, jint descriptor, jlong offset, jlong length,
                              jint threads, jint context_tokens, jint prefill_chunk,
                              jint kv_format) {
  const auto options = SessionOptions(threads, context_tokens, prefill_chunk, kv_format);
  graft_memory_estimate estimate = {};
  estimate.struct_size = sizeof(estimate);
  graft_error error = {};
  const graft_status status =
      graft_model_estimate_fd(descriptor, static_cast<uint64_t>(offset),
                              static_cast<uint64_t>(length), &options, &estimate, &error);
  if (!Check(env, status, error)) return nullptr;
  return Numbers(env, estimate);
}

void TrimModel(JNIEnv* env, jclass, jlong model) {
  graft_error error = {};
  Check(env, graft_model_trim(FromHandle<graft_model>(model), &error), error);
}

void TrimSession(JNIEnv* env, jclass, jlong session) {
  graft_error error = {};
  Check(env, graft_session_trim(FromHandle<graft_session>(session), &error), error);
}

}  // namespace

std::span<const JNINativeMethod> MemoryMethods() {
  static const JNINativeMethod methods[] = {
      Method<EstimatePath>("estimatePath", "([BIIII)[J"),
      Method<EstimateDescriptor>("estimateDescriptor", "(IJJIIII)[J"),
      Method<TrimModel>("trimModel", "(J)V"),
      Method<TrimSession>("trimSession", "(J)V"),
  };
  return methods;
}

}  // namespace graft::android
