// SPDX-License-Identifier: Apache-2.0
// The native methods of dev.graft.Native, in the order of that class. Java's side keeps the
// lifetimes: a handle passed here is alive, and no other thread is inside its session.
#pragma once

#include <new>
#include <span>

#include <jni.h>

#include "platforms/android/jni/java_calls.h"

namespace graft::android {

/// What Java calls for `function`: nothing is thrown into the virtual machine; an allocation that
/// failed becomes a GraftException.
template <auto function>
struct Guarded;
template <typename Result, typename... Arguments, Result (*function)(JNIEnv*, jclass, Arguments...)>
struct Guarded<function> {
  static Result JNICALL Call(JNIEnv* env, jclass natives, Arguments... arguments) {
    try {
      return function(env, natives, arguments...);
    } catch (const std::bad_alloc&) {
      Throw(env, GRAFT_OUT_OF_MEMORY, "out of memory: an allocation failed");
      return Result();
    }
  }
};

template <auto function>
JNINativeMethod Method(const char* name, const char* signature) {
  // The JDK's header has no const here; nobody writes through it.
  return {const_cast<char*>(name), const_cast<char*>(signature),
          reinterpret_cast<void*>(&Guarded<function>::Call)};
}

std::span<const JNINativeMethod> ModelMethods();
std::span<const JNINativeMethod> ChatMethods();
std::span<const JNINativeMethod> SessionMethods();
std::span<const JNINativeMethod> ImageMethods();
std::span<const JNINativeMethod> MemoryMethods();
std::span<const JNINativeMethod> TensorMethods();
std::span<const JNINativeMethod> MachineMethods();

}  // namespace graft::android
