// SPDX-License-Identifier: Apache-2.0
// Conversations for dev.graft.Native: messages as the text that a model was trained to see.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

/// roles[i] and contents[i] are a message, names[i] and values[i] a variable of the template.
jbyteArray RenderChat(JNIEnv* env, jclass, jlong model, jobjectArray roles, jobjectArray contents,
                      jboolean without_generation_prompt, jbyteArray template_text,
                      jobjectArray names, jobjectArray values, jbyteArray messages_json,
                      jbyteArray tools, jbyteArray documents, jbyteArray further,
                      jintArray pictures) {
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
  const BytesOf messages_bytes(env, messages_json);
  if (!messages_bytes.ok()) return nullptr;
  const BytesOf tools_bytes(env, tools);
  if (!tools_bytes.ok()) return nullptr;
  const BytesOf documents_bytes(env, documents);
  if (!documents_bytes.ok()) return nullptr;
  const BytesOf further_bytes(env, further);
  if (!further_bytes.ok()) return nullptr;
  const IntsOf picture_counts(env, pictures);
  if (!picture_counts.ok()) return nullptr;
  const auto counts = Allocate<size_t>(env, role_strings.count());
  if (counts == nullptr) return nullptr;
  for (size_t i = 0; i < picture_counts.size() && i < role_strings.count(); ++i)
    counts[i] = static_cast<size_t>(picture_counts.data()[i]);
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
  options.messages_json = messages_bytes.data();
  options.tools = tools_bytes.data();
  options.documents = documents_bytes.data();
  options.variables_json = further_bytes.data();
  if (picture_counts.data() != nullptr) options.message_pictures = counts.get();
  size_t size = 0;
  const auto text = FillWhole<char>(
      env, 4096, &size, [&](char* room, size_t capacity, size_t* filled, graft_error* error) {
        return graft_model_render_chat(FromHandle<graft_model>(model), messages.get(),
                                       role_strings.count(), &options, room, capacity, filled,
                                       error);
      });
  return text == nullptr ? nullptr : NewBytes(env, text.get(), size);
}

jlong CreateReply(JNIEnv* env, jclass, jlong model, jbyteArray format, jbyteArray tools,
                  jbyteArray prompt, jbyteArray template_text) {
  const BytesOf format_bytes(env, format);
  if (!format_bytes.ok()) return 0;
  const BytesOf tools_bytes(env, tools);
  if (!tools_bytes.ok()) return 0;
  const BytesOf prompt_bytes(env, prompt);
  if (!prompt_bytes.ok()) return 0;
  const BytesOf template_bytes(env, template_text);
  if (!template_bytes.ok()) return 0;
  graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
  options.format = format_bytes.data();
  options.tools = tools_bytes.data();
  options.prompt = prompt_bytes.data();
  options.template_text = template_bytes.data();
  graft_reply* reply = nullptr;
  graft_error error = {};
  const graft_status status =
      graft_reply_create(FromHandle<graft_model>(model), &options, &reply, &error);
  return Check(env, status, error) ? ToHandle(reply) : 0;
}

/// A part, copied: Java is told when the call is over.
struct Part {
  int32_t kind;
  std::string texts[3];  // text, name, id
};

void KeepPart(void* user, const graft_reply_part* part) {
  Part& kept = static_cast<std::vector<Part>*>(user)->emplace_back();
  kept.kind = part->kind;
  kept.texts[0].assign(part->text, part->size);
  if (part->name != nullptr) kept.texts[1] = part->name;
  if (part->id != nullptr) kept.texts[2] = part->id;
}

/// Four elements for each part: as many bytes as its kind says, its text, name and id.
jobjectArray ReadReply(JNIEnv* env, jclass, jlong reply, jbyteArray text, jboolean is_last) {
  const BytesOf bytes(env, text);
  if (!bytes.ok()) return nullptr;
  std::vector<Part> parts;
  graft_error error = {};
  auto* const handle = FromHandle<graft_reply>(reply);
  const graft_status status =
      is_last == JNI_TRUE
          ? graft_reply_finish(handle, KeepPart, &parts, &error)
          : graft_reply_append(handle, bytes.data(), bytes.size(), KeepPart, &parts, &error);
  if (!Check(env, status, error)) return nullptr;
  const jclass byte_array = env->FindClass("[B");
  if (byte_array == nullptr) return nullptr;
  jobjectArray all = env->NewObjectArray(static_cast<jsize>(4 * parts.size()), byte_array, nullptr);
  if (all == nullptr) return nullptr;
  for (size_t i = 0; i < 4 * parts.size(); ++i) {
    const Part& part = parts[i / 4];
    const std::string kind(static_cast<size_t>(part.kind), '\0');
    const std::string& element = i % 4 == 0 ? kind : part.texts[i % 4 - 1];
    jbyteArray copy = NewBytes(env, element.data(), element.size());
    if (copy == nullptr) return nullptr;
    env->SetObjectArrayElement(all, static_cast<jsize>(i), copy);
    env->DeleteLocalRef(copy);
  }
  return all;
}

jbyteArray ReplyMessage(JNIEnv* env, jclass, jlong reply) {
  size_t size = 0;
  const auto json = FillWhole<char>(
      env, 4096, &size, [&](char* room, size_t capacity, size_t* filled, graft_error* error) {
        return graft_reply_message(FromHandle<graft_reply>(reply), room, capacity, filled, error);
      });
  return json == nullptr ? nullptr : NewBytes(env, json.get(), size);
}

void DestroyReply(JNIEnv*, jclass, jlong reply) {
  graft_reply_destroy(FromHandle<graft_reply>(reply));
}

/// sides: the width and the height of each picture.
jbyteArray PlacePictures(JNIEnv* env, jclass, jlong model, jbyteArray text, jintArray sides) {
  const BytesOf bytes(env, text);
  const IntsOf numbers(env, sides);
  if (!bytes.ok() || !numbers.ok()) return nullptr;
  const size_t count = numbers.size() / 2;
  const auto images = Allocate<graft_image>(env, count);
  if (images == nullptr) return nullptr;
  for (size_t i = 0; i < count; ++i) {
    images[i].width = static_cast<uint32_t>(numbers.data()[2 * i]);
    images[i].height = static_cast<uint32_t>(numbers.data()[2 * i + 1]);
  }
  size_t size = 0;
  const auto placed = FillWhole<char>(
      env, 4096, &size, [&](char* room, size_t capacity, size_t* filled, graft_error* error) {
        return graft_model_place_pictures(FromHandle<graft_model>(model), bytes.data(),
                                          bytes.size(), images.get(), count, room, capacity, filled,
                                          error);
      });
  return placed == nullptr ? nullptr : NewBytes(env, placed.get(), size);
}

}  // namespace

std::span<const JNINativeMethod> ChatMethods() {
  static const JNINativeMethod methods[] = {
      Method<RenderChat>("renderChat", "(J[[B[[BZ[B[[B[[B[B[B[B[B[I)[B"),
      Method<CreateReply>("createReply", "(J[B[B[B[B)J"),
      Method<ReadReply>("readReply", "(J[BZ)[[B"),
      Method<ReplyMessage>("replyMessage", "(J)[B"),
      Method<DestroyReply>("destroyReply", "(J)V"),
      Method<PlacePictures>("placePictures", "(J[B[I)[B"),
  };
  return methods;
}

}  // namespace graft::android
