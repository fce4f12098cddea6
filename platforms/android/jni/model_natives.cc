// SPDX-License-Identifier: Apache-2.0
// Models and their tokenizers for dev.graft.Native.
#include <cstdint>
#include <cstring>
#include <iterator>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

graft_model_options ModelOptions(jint threads, jboolean verify_contents,
                                 const BytesOf& cache_folder, jlong cache_limit_bytes,
                                 jlong memory_limit_bytes) {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = static_cast<uint32_t>(threads);
  options.verify_contents = verify_contents == JNI_TRUE ? 1 : 0;
  options.cache_folder = cache_folder.data();
  options.cache_limit_bytes = static_cast<uint64_t>(cache_limit_bytes);
  options.memory_limit_bytes = static_cast<uint64_t>(memory_limit_bytes);
  return options;
}

jstring Version(JNIEnv* env, jclass) { return env->NewStringUTF(graft_version()); }  // ASCII

jlong OpenPath(JNIEnv* env, jclass, jbyteArray path, jint threads, jboolean verify_contents,
               jbyteArray cache_folder, jlong cache_limit_bytes, jlong memory_limit_bytes) {
  const BytesOf path_bytes(env, path);
  if (!path_bytes.ok()) return 0;
  const BytesOf folder(env, cache_folder);
  if (!folder.ok()) return 0;
  const auto options =
      ModelOptions(threads, verify_contents, folder, cache_limit_bytes, memory_limit_bytes);
  graft_model* model = nullptr;
  graft_error error = {};
  if (!Check(env, graft_model_open(path_bytes.data(), &options, &model, &error), error)) return 0;
  return ToHandle(model);
}

jlong OpenDescriptor(JNIEnv* env, jclass, jint descriptor, jlong offset, jlong length, jint threads,
                     jboolean verify_contents, jbyteArray cache_folder, jlong cache_limit_bytes,
                     jlong memory_limit_bytes) {
  const BytesOf folder(env, cache_folder);
  if (!folder.ok()) return 0;
  const auto options =
      ModelOptions(threads, verify_contents, folder, cache_limit_bytes, memory_limit_bytes);
  graft_model* model = nullptr;
  graft_error error = {};
  const graft_status status =
      graft_model_open_fd(descriptor, static_cast<uint64_t>(offset), static_cast<uint64_t>(length),
                          &options, &model, &error);
  if (!Check(env, status, error)) return 0;
  return ToHandle(model);
}

void DestroyModel(JNIEnv*, jclass, jlong model) {
  graft_model_destroy(FromHandle<graft_model>(model));
}

/// The numbers, in the order of dev.graft.ModelInfo's constructor.
jlongArray ModelNumbers(JNIEnv* env, jclass, jlong model) {
  graft_model_info info = {};
  info.struct_size = sizeof(info);
  graft_error error = {};
  const graft_status status = graft_model_get_info(FromHandle<graft_model>(model), &info, &error);
  if (!Check(env, status, error)) return nullptr;
  const int64_t numbers[] = {info.task,
                             info.context_tokens,
                             info.vocabulary,
                             info.has_tokenizer,
                             static_cast<int64_t>(info.file_bytes),
                             static_cast<int64_t>(info.identity_high),
                             static_cast<int64_t>(info.identity_low),
                             info.cache_state,
                             static_cast<int64_t>(info.packed_bytes),
                             info.has_chat_template,
                             info.takes_images};
  return NewLongs(env, numbers, std::size(numbers));
}

/// The architecture (0) or the note about the cache (1).
jbyteArray ModelText(JNIEnv* env, jclass, jlong model, jint which) {
  graft_model_info info = {};
  info.struct_size = sizeof(info);
  graft_error error = {};
  const graft_status status = graft_model_get_info(FromHandle<graft_model>(model), &info, &error);
  if (!Check(env, status, error)) return nullptr;
  const char* text = which == 0 ? info.architecture : info.cache_note;
  return NewBytes(env, text, std::strlen(text));
}

jintArray Tokenize(JNIEnv* env, jclass, jlong model, jbyteArray text, jboolean add_special) {
  const BytesOf bytes(env, text);
  if (!bytes.ok()) return nullptr;
  size_t count = 0;
  // Normalizing may make a text longer than this guess.
  const auto ids = FillWhole<int32_t>(
      env, bytes.size() + 16, &count,
      [&](int32_t* room, size_t capacity, size_t* filled, graft_error* error) {
        return graft_model_tokenize(FromHandle<graft_model>(model), bytes.data(), bytes.size(),
                                    add_special == JNI_TRUE ? 1 : 0, room, capacity, filled, error);
      });
  return ids == nullptr ? nullptr : NewInts(env, ids.get(), count);
}

jbyteArray Detokenize(JNIEnv* env, jclass, jlong model, jintArray ids, jboolean skip_special) {
  const IntsOf numbers(env, ids);
  if (!numbers.ok()) return nullptr;
  size_t size = 0;
  const auto text =
      FillWhole<char>(env, numbers.size() * 8 + 64, &size,
                      [&](char* room, size_t capacity, size_t* filled, graft_error* error) {
                        return graft_model_detokenize(
                            FromHandle<graft_model>(model), numbers.data(), numbers.size(),
                            skip_special == JNI_TRUE ? 1 : 0, room, capacity, filled, error);
                      });
  return text == nullptr ? nullptr : NewBytes(env, text.get(), size);
}

}  // namespace

std::span<const JNINativeMethod> ModelMethods() {
  static const JNINativeMethod methods[] = {
      Method<Version>("version", "()Ljava/lang/String;"),
      Method<OpenPath>("openPath", "([BIZ[BJJ)J"),
      Method<OpenDescriptor>("openDescriptor", "(IJJIZ[BJJ)J"),
      Method<DestroyModel>("destroyModel", "(J)V"),
      Method<ModelNumbers>("modelNumbers", "(J)[J"),
      Method<ModelText>("modelText", "(JI)[B"),
      Method<Tokenize>("tokenize", "(J[BZ)[I"),
      Method<Detokenize>("detokenize", "(J[IZ)[B"),
  };
  return methods;
}

}  // namespace graft::android
