// SPDX-License-Identifier: Apache-2.0
// What happens when Java loads the library: native methods are registered by table, so that
// JNI_OnLoad is the only name it exports and a method that is missing fails here, not at its first
// call.
#include <jni.h>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

extern "C" JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* vm, void*) {
  JNIEnv* env = nullptr;
  if (vm->GetEnv(reinterpret_cast<void**>(&env), JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  if (!graft::android::FindJavaNames(env)) return JNI_ERR;
  jclass natives = env->FindClass("dev/graft/Native");
  if (natives == nullptr) return JNI_ERR;
  for (const auto methods : {graft::android::ModelMethods(), graft::android::ChatMethods(),
                             graft::android::SessionMethods(), graft::android::MemoryMethods(),
                             graft::android::ImageMethods(), graft::android::TensorMethods(),
                             graft::android::MachineMethods()}) {
    if (env->RegisterNatives(natives, methods.data(), static_cast<jint>(methods.size())) != 0) {
      return JNI_ERR;
    }
  }
  env->DeleteLocalRef(natives);
  return JNI_VERSION_1_6;
}
