// SPDX-License-Identifier: Apache-2.0
// Forward passes on named tensors for dev.graft.Native.
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

/// Objects of one output in the array that Java gets: name, type, shape, elements.
constexpr jsize kOutputParts = 4;

/// One input: copies of its parts, and the C struct that points into them.
class Input {
 public:
  /// False: an exception is pending.
  bool Read(JNIEnv* env, jbyteArray name, jlongArray shape, jobject data, jint type) {
    name_.reset(new (std::nothrow) BytesOf(env, name));
    if (name_ == nullptr) return NoMemory(env);
    if (!name_->ok()) return false;
    const LongsOf lengths(env, shape);
    if (!lengths.ok()) return false;
    if (lengths.size() > GRAFT_MAX_RANK) {
      Throw(env, GRAFT_INVALID_ARGUMENT, "a tensor's rank exceeds 8");
      return false;
    }
    tensor_.name = name_->data();
    tensor_.type = type;
    tensor_.rank = static_cast<uint32_t>(lengths.size());
    for (size_t i = 0; i < lengths.size(); ++i) tensor_.shape[i] = lengths.data()[i];
    if (type == GRAFT_TYPE_F32) {
      floats_.reset(new (std::nothrow) FloatsOf(env, static_cast<jfloatArray>(data)));
      if (floats_ == nullptr) return NoMemory(env);
      tensor_.data = floats_->data();
      return floats_->ok();
    }
    ints_.reset(new (std::nothrow) IntsOf(env, static_cast<jintArray>(data)));
    if (ints_ == nullptr) return NoMemory(env);
    tensor_.data = ints_->data();
    return ints_->ok();
  }
  const graft_tensor& tensor() const { return tensor_; }

 private:
  static bool NoMemory(JNIEnv* env) {
    Throw(env, GRAFT_OUT_OF_MEMORY, "no memory for a tensor's record");
    return false;
  }

  graft_tensor tensor_ = {};
  std::unique_ptr<BytesOf> name_;
  std::unique_ptr<FloatsOf> floats_;
  std::unique_ptr<IntsOf> ints_;
};

/// inputs[i] and tensors[i] from the i-th elements of the arrays. False: an exception is pending.
bool ReadInput(JNIEnv* env, jsize i, jobjectArray names, jobjectArray shapes, jobjectArray data,
               jint type, Input* input) {
  jobject name = env->GetObjectArrayElement(names, i);
  if (env->ExceptionCheck() == JNI_TRUE) return false;
  jobject shape = env->GetObjectArrayElement(shapes, i);
  if (env->ExceptionCheck() == JNI_TRUE) return false;
  jobject elements = env->GetObjectArrayElement(data, i);
  if (env->ExceptionCheck() == JNI_TRUE) return false;
  const bool is_read = input->Read(env, static_cast<jbyteArray>(name),
                                   static_cast<jlongArray>(shape), elements, type);
  env->DeleteLocalRef(elements);
  env->DeleteLocalRef(shape);
  env->DeleteLocalRef(name);
  return is_read;
}

/// Puts a new object into an array and lets go of the reference. False: an exception is pending.
bool Put(JNIEnv* env, jobjectArray array, jsize index, jobject value) {
  if (value == nullptr) return false;
  env->SetObjectArrayElement(array, index, value);
  env->DeleteLocalRef(value);
  return env->ExceptionCheck() != JNI_TRUE;
}

bool PutOutput(JNIEnv* env, jobjectArray results, jsize index, const graft_tensor& tensor) {
  uint64_t elements = 1;
  for (uint32_t i = 0; i < tensor.rank; ++i) elements *= static_cast<uint64_t>(tensor.shape[i]);
  if (elements > std::numeric_limits<size_t>::max()) elements = std::numeric_limits<size_t>::max();
  const auto count = static_cast<size_t>(elements);
  if (!Put(env, results, index, NewBytes(env, tensor.name, std::strlen(tensor.name)))) return false;
  if (!Put(env, results, index + 1, NewInts(env, &tensor.type, 1))) return false;
  if (!Put(env, results, index + 2, NewLongs(env, tensor.shape, tensor.rank))) return false;
  jobject copy =
      tensor.type == GRAFT_TYPE_F32
          ? static_cast<jobject>(NewFloats(env, static_cast<const float*>(tensor.data), count))
          : NewInts(env, static_cast<const int32_t*>(tensor.data), count);
  return Put(env, results, index + 3, copy);
}

jobjectArray Forward(JNIEnv* env, jclass, jlong session, jobjectArray names, jintArray types,
                     jobjectArray shapes, jobjectArray data) {
  const IntsOf type_codes(env, types);
  if (!type_codes.ok()) return nullptr;
  const size_t count = type_codes.size();
  const auto inputs = Allocate<Input>(env, count);
  const auto tensors = Allocate<graft_tensor>(env, count);
  if (inputs == nullptr || tensors == nullptr) return nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (!ReadInput(env, static_cast<jsize>(i), names, shapes, data, type_codes.data()[i],
                   &inputs[i])) {
      return nullptr;
    }
    tensors[i] = inputs[i].tensor();
  }
  const graft_tensor* outputs = nullptr;
  size_t output_count = 0;
  graft_error error = {};
  const graft_status status = graft_session_forward(
      FromHandle<graft_session>(session), tensors.get(), count, &outputs, &output_count, &error);
  if (!Check(env, status, error)) return nullptr;
  jclass object = env->FindClass("java/lang/Object");
  if (object == nullptr) return nullptr;
  jobjectArray results =
      env->NewObjectArray(static_cast<jsize>(output_count) * kOutputParts, object, nullptr);
  env->DeleteLocalRef(object);
  if (results == nullptr) return nullptr;
  for (size_t i = 0; i < output_count; ++i) {
    if (!PutOutput(env, results, static_cast<jsize>(i) * kOutputParts, outputs[i])) return nullptr;
  }
  return results;
}

}  // namespace

std::span<const JNINativeMethod> TensorMethods() {
  static const JNINativeMethod methods[] = {
      Method<Forward>("forward", "(J[[B[I[[J[Ljava/lang/Object;)[Ljava/lang/Object;"),
  };
  return methods;
}

}  // namespace graft::android
