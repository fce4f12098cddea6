// SPDX-License-Identifier: Apache-2.0
// The native methods of dev.graft.Native, in the order of that class. Java's side keeps the
// lifetimes: a handle passed here is alive, and no other thread is inside its session.
#pragma once

#include <span>

#include <jni.h>

namespace graft::android {

template <typename Function>
JNINativeMethod Method(const char* name, const char* signature, Function* function) {
  // The JDK's header has no const here; nobody writes through it.
  return {const_cast<char*>(name), const_cast<char*>(signature), reinterpret_cast<void*>(function)};
}

std::span<const JNINativeMethod> ModelMethods();
std::span<const JNINativeMethod> ChatMethods();
std::span<const JNINativeMethod> SessionMethods();
std::span<const JNINativeMethod> ImageMethods();
std::span<const JNINativeMethod> MemoryMethods();
std::span<const JNINativeMethod> TensorMethods();
std::span<const JNINativeMethod> MachineMethods();

}  // namespace graft::android
