// SPDX-License-Identifier: Apache-2.0
// What every native method needs of Java: arrays copied in and out, and errors as exceptions.
//
// The rules kept throughout: after a call that may throw, an exception that is pending ends the
// method at once; arrays are copied, so that no garbage collection waits for a model; text crosses
// as UTF-8 in byte[], since JNI's own strings are in another encoding ("modified" UTF-8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <jni.h>

#include <graft/graft.h>

namespace graft::android {

/// Finds the classes and methods that native code calls. False: an exception is pending.
bool FindJavaNames(JNIEnv* env);

/// Throws dev.graft.GraftException with this code and sentence. An exception that is pending
/// already stays.
void Throw(JNIEnv* env, graft_status code, const char* message);

/// True if all went well; else what went wrong is pending as an exception.
inline bool Check(JNIEnv* env, graft_status status, const graft_error& error) {
  if (status == GRAFT_OK) return true;
  Throw(env, status, error.message);
  return false;
}

/// sink.accept(id, text) of dev.graft.TokenSink; false to stop, also when an exception is pending.
bool CallSink(JNIEnv* env, jobject sink, int32_t id, const char* text, size_t size);

/// sink.logprobs(...) of dev.graft.TokenSink. An exception may be pending afterwards.
void CallLogprobs(JNIEnv* env, jobject sink, const graft_token_logprobs& logprobs);

void CopyRegion(JNIEnv* env, jbyteArray from, jsize size, char* to);
void CopyRegion(JNIEnv* env, jintArray from, jsize size, int32_t* to);
void CopyRegion(JNIEnv* env, jlongArray from, jsize size, int64_t* to);
void CopyRegion(JNIEnv* env, jfloatArray from, jsize size, float* to);

/// New Java arrays. nullptr: an exception is pending, OutOfMemoryError or UNSUPPORTED for more
/// elements than an array can have.
jbyteArray NewBytes(JNIEnv* env, const char* from, size_t size);
jintArray NewInts(JNIEnv* env, const int32_t* from, size_t size);
jlongArray NewLongs(JNIEnv* env, const int64_t* from, size_t size);
jfloatArray NewFloats(JNIEnv* env, const float* from, size_t size);

/// `count` elements, or nullptr with GraftException(OUT_OF_MEMORY) pending.
template <typename Element>
std::unique_ptr<Element[]> Allocate(JNIEnv* env, size_t count) {
  std::unique_ptr<Element[]> memory(new (std::nothrow) Element[count]());
  if (memory == nullptr) Throw(env, GRAFT_OUT_OF_MEMORY, "no memory for a copy of a Java array");
  return memory;
}

/// What a function of graft.h with a capacity gives: `call(data, capacity, count, error)` is made
/// with room for `guess` elements, and once more if they are too few. nullptr: an exception is
/// pending.
template <typename Element, typename Call>
std::unique_ptr<Element[]> FillWhole(JNIEnv* env, size_t guess, size_t* count, Call call) {
  for (size_t capacity = guess;; capacity = *count) {
    std::unique_ptr<Element[]> memory = Allocate<Element>(env, capacity);
    if (memory == nullptr) return nullptr;
    *count = 0;
    graft_error error = {};
    const graft_status status = call(memory.get(), capacity, count, &error);
    if (status == GRAFT_OUT_OF_RANGE && *count > capacity) continue;
    if (!Check(env, status, error)) return nullptr;
    return memory;
  }
}

/// A copy of a Java array, with one zero after it: bytes are C strings too.
template <typename Element, typename Array>
class CopyOf {
 public:
  /// `array` may be null: then so is data().
  CopyOf(JNIEnv* env, Array array) : is_null_(array == nullptr) {
    if (is_null_) return;
    const jsize size = env->GetArrayLength(array);
    memory_ = Allocate<Element>(env, static_cast<size_t>(size) + 1);
    if (memory_ == nullptr) return;
    CopyRegion(env, array, size, memory_.get());
    size_ = static_cast<size_t>(size);
  }
  /// False: an exception is pending.
  bool ok() const { return is_null_ || memory_ != nullptr; }
  const Element* data() const { return memory_.get(); }
  size_t size() const { return size_; }

 private:
  bool is_null_;
  std::unique_ptr<Element[]> memory_;
  size_t size_ = 0;
};
using BytesOf = CopyOf<char, jbyteArray>;
using IntsOf = CopyOf<int32_t, jintArray>;
using LongsOf = CopyOf<int64_t, jlongArray>;
using FloatsOf = CopyOf<float, jfloatArray>;

/// Java's byte[][] of UTF-8 as C strings. All copied before any is used.
class StringsOf {
 public:
  StringsOf(JNIEnv* env, jobjectArray strings);
  /// False: an exception is pending.
  bool ok() const { return ok_; }
  const char* const* data() const { return pointers_.get(); }
  size_t count() const { return count_; }

 private:
  std::unique_ptr<std::unique_ptr<BytesOf>[]> copies_;
  std::unique_ptr<const char*[]> pointers_;
  size_t count_ = 0;
  bool ok_ = false;
};

/// Handles are pointers in Java's long.
template <typename T>
T* FromHandle(jlong handle) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(handle));
}
inline jlong ToHandle(const void* pointer) {
  return static_cast<jlong>(reinterpret_cast<uintptr_t>(pointer));
}

}  // namespace graft::android
