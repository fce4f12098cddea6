// SPDX-License-Identifier: Apache-2.0
// Conversations for dev.graft.Native: messages as the text that a model was trained to see.
#include <cstdint>
#include <memory>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

/// roles[i] and contents[i] are a message, names[i] and values[i] a variable of the template.
jbyteArray RenderChat(JNIEnv* env, jclass, jlong model, jobjectArray roles, jobjectArray contents,
                      jboolean without_generation_prompt, jbyteArray template_text,
                      jobjectArray names, jobjectArray values) {
  const StringsOf role_strings(env, roles);
  if (!role_strings.ok()) return nullptr;
  const StringsOf content_strings(env, contents);
  if (!content_strings.ok()) return nullptr;
  const BytesOf template_bytes(env, template_text);
  if (!template_bytes.ok()) return nullptr;
  const StringsOf name_strings(env, names);
  if (!name_strings.ok()) return nullptr;
  const StringsOf value_strings(env, values);
  if (!value_strings.ok()) return nullptr;
  const auto messages = Allocate<graft_chat_message>(env, role_strings.count());
  const auto variables = Allocate<graft_chat_variable>(env, name_strings.count());
  if (messages == nullptr || variables == nullptr) return nullptr;
  for (size_t i = 0; i < role_strings.count(); ++i) {
    messages[i] = {role_strings.data()[i], content_strings.data()[i]};
  }
  for (size_t i = 0; i < name_strings.count(); ++i) {
    variables[i] = {name_strings.data()[i], value_strings.data()[i]};
  }
  graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
  options.without_generation_prompt = without_generation_prompt == JNI_TRUE ? 1 : 0;
  options.template_text = template_bytes.data();
  options.variables = variables.get();
  options.variable_count = name_strings.count();
  size_t size = 0;
  const auto text = FillWhole<char>(
      env, 4096, &size, [&](char* room, size_t capacity, size_t* filled, graft_error* error) {
        return graft_model_render_chat(FromHandle<graft_model>(model), messages.get(),
                                       role_strings.count(), &options, room, capacity, filled,
                                       error);
      });
  return text == nullptr ? nullptr : NewBytes(env, text.get(), size);
}

}  // namespace

std::span<const JNINativeMethod> ChatMethods() {
  static const JNINativeMethod methods[] = {
      Method<RenderChat>("renderChat", "(J[[B[[BZ[B[[B[[B)[B"),
  };
  return methods;
}

}  // namespace graft::android
