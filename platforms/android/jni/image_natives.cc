// SPDX-License-Identifier: Apache-2.0
// Embeddings and scores of images for dev.graft.Native.
#include <cstdint>
#include <cstring>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

/// Java's 0xAARRGGBB as bytes of red, green, blue and alpha, in place.
void MakeRgba(uint32_t* pixels, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t argb = pixels[i];
    pixels[i] = (argb & 0xFF00FF00u) | (argb >> 16 & 0xFFu) | (argb & 0xFFu) << 16;
  }
}

/// Pixels are an int[] (argb) or a direct ByteBuffer (rgba) from `offset` on; Java's side has
/// checked that they are as many as they must be.
jfloatArray ComputeImage(JNIEnv* env, jclass, jlong session, jboolean is_embedding, jintArray argb,
                         jobject rgba, jint offset, jint width, jint height, jint row_stride) {
  graft_image image = {};
  image.width = static_cast<uint32_t>(width);
  image.height = static_cast<uint32_t>(height);
  image.row_stride_bytes = static_cast<size_t>(row_stride);
  image.format = GRAFT_IMAGE_RGBA8;
  std::unique_ptr<uint32_t[]> copy;
  if (argb != nullptr) {
    const jsize count = env->GetArrayLength(argb);
    copy = Allocate<uint32_t>(env, static_cast<size_t>(count));
    if (copy == nullptr) return nullptr;
    CopyRegion(env, argb, count, reinterpret_cast<int32_t*>(copy.get()));
    MakeRgba(copy.get(), static_cast<size_t>(count));
    image.pixels = reinterpret_cast<const uint8_t*>(copy.get());
  } else {
    image.pixels = static_cast<const uint8_t*>(env->GetDirectBufferAddress(rgba)) + offset;
  }
  const float* numbers = nullptr;
  size_t count = 0;
  graft_error error = {};
  const auto compute =
      is_embedding == JNI_TRUE ? graft_session_embed_images : graft_session_classify_images;
  const graft_status status =
      compute(FromHandle<graft_session>(session), &image, 1, &numbers, &count, &error);
  if (!Check(env, status, error)) return nullptr;
  return NewFloats(env, numbers, count);
}

/// The same of several pictures, numbers[4 i ...] offset, width, height and row stride of each; they
/// become the text's.
void SetPictures(JNIEnv* env, jclass, jlong session, jobjectArray argb, jobjectArray rgba,
                 jintArray numbers) {
  const IntsOf sizes(env, numbers);
  if (!sizes.ok()) return;
  const size_t count = sizes.size() / 4;
  const auto images = Allocate<graft_image>(env, count);
  const auto copies = Allocate<std::unique_ptr<uint32_t[]>>(env, count);
  if (images == nullptr || copies == nullptr) return;
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<jsize>(i);
    const int32_t* number = sizes.data() + 4 * i;
    images[i] = {nullptr, static_cast<uint32_t>(number[1]), static_cast<uint32_t>(number[2]),
                 static_cast<size_t>(number[3]), GRAFT_IMAGE_RGBA8};
    const auto array = static_cast<jintArray>(env->GetObjectArrayElement(argb, index));
    if (array != nullptr) {
      const jsize pixels = env->GetArrayLength(array);
      copies[i] = Allocate<uint32_t>(env, static_cast<size_t>(pixels));
      if (copies[i] == nullptr) return;
      CopyRegion(env, array, pixels, reinterpret_cast<int32_t*>(copies[i].get()));
      MakeRgba(copies[i].get(), static_cast<size_t>(pixels));
      images[i].pixels = reinterpret_cast<const uint8_t*>(copies[i].get());
      env->DeleteLocalRef(array);
      continue;
    }
    const jobject buffer = env->GetObjectArrayElement(rgba, index);
    images[i].pixels = static_cast<const uint8_t*>(env->GetDirectBufferAddress(buffer)) + number[0];
    env->DeleteLocalRef(buffer);
  }
  graft_error error = {};
  const graft_status status =
      graft_session_set_pictures(FromHandle<graft_session>(session), images.get(), count, &error);
  static_cast<void>(Check(env, status, error));
}

/// The name of score `index`; null if there is no such label.
jbyteArray Label(JNIEnv* env, jclass, jlong model, jint index) {
  const char* label = nullptr;
  const graft_status status = graft_model_get_label(FromHandle<graft_model>(model),
                                                    static_cast<size_t>(index), &label, nullptr);
  return status == GRAFT_OK ? NewBytes(env, label, std::strlen(label)) : nullptr;
}

}  // namespace

std::span<const JNINativeMethod> ImageMethods() {
  static const JNINativeMethod methods[] = {
      Method<Label>("label", "(JI)[B"),
      Method<SetPictures>("setPictures", "(J[[I[Ljava/nio/ByteBuffer;[I)V"),
      Method<ComputeImage>("computeImage", "(JZ[ILjava/nio/ByteBuffer;IIII)[F"),
  };
  return methods;
}

}  // namespace graft::android
