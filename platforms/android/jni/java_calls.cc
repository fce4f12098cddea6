// SPDX-License-Identifier: Apache-2.0
#include "platforms/android/jni/java_calls.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>

namespace graft::android {
namespace {

/// Set once, when the library is loaded, before any native method can run.
struct JavaNames {
  jclass exception = nullptr;  // a global reference
  jmethodID new_exception = nullptr;
  jmethodID accept = nullptr;
  jmethodID logprobs = nullptr;
};
JavaNames names;

/// Whether Java can have an array of `size` elements; else says so.
bool FitsArray(JNIEnv* env, size_t size) {
  if (size <= static_cast<size_t>(std::numeric_limits<jsize>::max())) return true;
  char message[96];
  std::snprintf(message, sizeof(message), "%zu elements exceed a Java array", size);
  Throw(env, GRAFT_UNSUPPORTED, message);
  return false;
}

}  // namespace

bool FindJavaNames(JNIEnv* env) {
  jclass exception = env->FindClass("dev/graft/GraftException");
  if (exception == nullptr) return false;
  names.exception = static_cast<jclass>(env->NewGlobalRef(exception));
  env->DeleteLocalRef(exception);
  if (names.exception == nullptr) return false;
  names.new_exception = env->GetMethodID(names.exception, "<init>", "(I[B)V");
  if (names.new_exception == nullptr) return false;
  jclass sink = env->FindClass("dev/graft/TokenSink");
  if (sink == nullptr) return false;
  names.accept = env->GetMethodID(sink, "accept", "(I[B)Z");
  if (names.accept == nullptr) return false;
  names.logprobs = env->GetMethodID(sink, "logprobs", "(IF[I[F)V");
  env->DeleteLocalRef(sink);
  return names.logprobs != nullptr;
}

void Throw(JNIEnv* env, graft_status code, const char* message) {
  if (env->ExceptionCheck() == JNI_TRUE) return;
  jbyteArray text = NewBytes(env, message, std::strlen(message));
  if (text == nullptr) return;
  jobject thrown = env->NewObject(names.exception, names.new_exception, code, text);
  if (env->ExceptionCheck() == JNI_TRUE) return;
  env->Throw(static_cast<jthrowable>(thrown));
}

bool CallSink(JNIEnv* env, jobject sink, int32_t id, const char* text, size_t size) {
  if (env->ExceptionCheck() == JNI_TRUE) return false;
  jbyteArray bytes = nullptr;  // most often there is text, but not after half a character
  if (size > 0) {
    bytes = NewBytes(env, text, size);
    if (bytes == nullptr) return false;
  }
  const jboolean wants_more = env->CallBooleanMethod(sink, names.accept, id, bytes);
  const bool has_thrown = env->ExceptionCheck() == JNI_TRUE;
  env->DeleteLocalRef(bytes);  // a generation has more tokens than a frame has room for references
  return !has_thrown && wants_more == JNI_TRUE;
}

void CallLogprobs(JNIEnv* env, jobject sink, const graft_token_logprobs& logprobs) {
  if (env->ExceptionCheck() == JNI_TRUE) return;
  jintArray ids = NewInts(env, logprobs.ids, logprobs.count);
  if (ids == nullptr) return;
  jfloatArray values = NewFloats(env, logprobs.logprobs, logprobs.count);
  if (values == nullptr) return;
  env->CallVoidMethod(sink, names.logprobs, logprobs.id, logprobs.logprob, ids, values);
  env->DeleteLocalRef(values);
  env->DeleteLocalRef(ids);
}

void CopyRegion(JNIEnv* env, jbyteArray from, jsize size, char* to) {
  env->GetByteArrayRegion(from, 0, size, reinterpret_cast<jbyte*>(to));
}
void CopyRegion(JNIEnv* env, jintArray from, jsize size, int32_t* to) {
  env->GetIntArrayRegion(from, 0, size, to);
}
void CopyRegion(JNIEnv* env, jlongArray from, jsize size, int64_t* to) {
  static_assert(sizeof(jlong) == sizeof(int64_t));
  env->GetLongArrayRegion(from, 0, size, reinterpret_cast<jlong*>(to));
}
void CopyRegion(JNIEnv* env, jfloatArray from, jsize size, float* to) {
  env->GetFloatArrayRegion(from, 0, size, to);
}

jbyteArray NewBytes(JNIEnv* env, const char* from, size_t size) {
  if (!FitsArray(env, size)) return nullptr;
  jbyteArray to = env->NewByteArray(static_cast<jsize>(size));
  if (to == nullptr) return nullptr;
  env->SetByteArrayRegion(to, 0, static_cast<jsize>(size), reinterpret_cast<const jbyte*>(from));
  return to;
}
jintArray NewInts(JNIEnv* env, const int32_t* from, size_t size) {
  if (!FitsArray(env, size)) return nullptr;
  jintArray to = env->NewIntArray(static_cast<jsize>(size));
  if (to == nullptr) return nullptr;
  env->SetIntArrayRegion(to, 0, static_cast<jsize>(size), from);
  return to;
}
jlongArray NewLongs(JNIEnv* env, const int64_t* from, size_t size) {
  if (!FitsArray(env, size)) return nullptr;
  jlongArray to = env->NewLongArray(static_cast<jsize>(size));
  if (to == nullptr) return nullptr;
  env->SetLongArrayRegion(to, 0, static_cast<jsize>(size), reinterpret_cast<const jlong*>(from));
  return to;
}
jfloatArray NewFloats(JNIEnv* env, const float* from, size_t size) {
  if (!FitsArray(env, size)) return nullptr;
  jfloatArray to = env->NewFloatArray(static_cast<jsize>(size));
  if (to == nullptr) return nullptr;
  env->SetFloatArrayRegion(to, 0, static_cast<jsize>(size), from);
  return to;
}

StringsOf::StringsOf(JNIEnv* env, jobjectArray strings) {
  const jsize count = env->GetArrayLength(strings);
  copies_ = Allocate<std::unique_ptr<BytesOf>>(env, static_cast<size_t>(count));
  pointers_ = Allocate<const char*>(env, static_cast<size_t>(count));
  if (copies_ == nullptr || pointers_ == nullptr) return;
  for (jsize i = 0; i < count; ++i) {
    auto element = static_cast<jbyteArray>(env->GetObjectArrayElement(strings, i));
    if (env->ExceptionCheck() == JNI_TRUE) return;
    copies_[i].reset(new (std::nothrow) BytesOf(env, element));
    env->DeleteLocalRef(element);
    if (copies_[i] == nullptr) Throw(env, GRAFT_OUT_OF_MEMORY, "no memory for a string");
    if (copies_[i] == nullptr || !copies_[i]->ok()) return;
    pointers_[i] = copies_[i]->data();
  }
  count_ = static_cast<size_t>(count);
  ok_ = true;
}

}  // namespace graft::android
