// SPDX-License-Identifier: Apache-2.0
// Models and their tokenizers for dev.graft.Native.
#include <cstdint>
#include <cstring>
#include <iterator>

#include "platforms/android/jni/java_calls.h"
#include "platforms/android/jni/natives.h"

namespace graft::android {
namespace {

/// Options as Java hands them over. It must outlive the call that they are for.
class GivenOptions {
 public:
  GivenOptions(JNIEnv* env, jint threads, jboolean verify_contents, jbyteArray cache_folder,
               jlong cache_limit_bytes, jlong memory_limit_bytes, jbyteArray pack_path,
               jint pack_descriptor, jlong pack_offset, jlong pack_length,
               jbyteArray pack_signature, jbyteArray trusted_keys, jbyteArray signature)
      : folder_(env, cache_folder),
        pack_path_(env, pack_path),
        pack_signature_(env, pack_signature),
        trusted_keys_(env, trusted_keys),
        signature_(env, signature) {
    options_.threads = static_cast<uint32_t>(threads);
    options_.verify_contents = verify_contents == JNI_TRUE ? 1 : 0;
    options_.cache_folder = folder_.data();
    options_.cache_limit_bytes = static_cast<uint64_t>(cache_limit_bytes);
    options_.memory_limit_bytes = static_cast<uint64_t>(memory_limit_bytes);
    constexpr size_t kKeyBytes = 32;
    options_.trusted_keys = reinterpret_cast<const uint8_t*>(trusted_keys_.data());
    options_.trusted_key_count = trusted_keys_.size() / kKeyBytes;
    if (signature != nullptr) options_.signature = signature_.data();
    options_.signature_size = signature_.size();
    if (pack_path == nullptr && pack_descriptor < 0) return;
    if (pack_signature != nullptr) pack_.signature = pack_signature_.data();
    pack_.signature_size = pack_signature_.size();
    if (pack_path != nullptr) pack_.path = pack_path_.data();
    pack_.fd = pack_descriptor;
    pack_.offset = static_cast<uint64_t>(pack_offset);
    pack_.size = static_cast<uint64_t>(pack_length);
    options_.pack = &pack_;
  }
  GivenOptions(const GivenOptions&) = delete;
  GivenOptions& operator=(const GivenOptions&) = delete;

  bool ok() const {
    return folder_.ok() && pack_path_.ok() && pack_signature_.ok() && trusted_keys_.ok() &&
           signature_.ok();
  }
  const graft_model_options* get() const { return &options_; }

 private:
  BytesOf folder_;
  BytesOf pack_path_;
  BytesOf pack_signature_;
  BytesOf trusted_keys_;
  BytesOf signature_;
  graft_pack pack_ = GRAFT_PACK_INIT;
  graft_model_options options_ = GRAFT_MODEL_OPTIONS_INIT;
};

jstring Version(JNIEnv* env, jclass) { return env->NewStringUTF(graft_version()); }  // ASCII

jlong OpenPath(JNIEnv* env, jclass, jbyteArray path, jint threads, jboolean verify_contents,
               jbyteArray cache_folder, jlong cache_limit_bytes, jlong memory_limit_bytes,
               jbyteArray pack_path, jint pack_descriptor, jlong pack_offset, jlong pack_length,
               jbyteArray pack_signature, jbyteArray trusted_keys, jbyteArray signature) {
  const BytesOf path_bytes(env, path);
  if (!path_bytes.ok()) return 0;
  const GivenOptions options(env, threads, verify_contents, cache_folder, cache_limit_bytes,
                             memory_limit_bytes, pack_path, pack_descriptor, pack_offset,
                             pack_length, pack_signature, trusted_keys, signature);
  if (!options.ok()) return 0;
  graft_model* model = nullptr;
  graft_error error = {};
  if (!Check(env, graft_model_open(path_bytes.data(), options.get(), &model, &error), error)) {
    return 0;
  }
  return ToHandle(model);
}

jlong OpenDescriptor(JNIEnv* env, jclass, jint descriptor, jlong offset, jlong length, jint threads,
                     jboolean verify_contents, jbyteArray cache_folder, jlong cache_limit_bytes,
                     jlong memory_limit_bytes, jbyteArray pack_path, jint pack_descriptor,
                     jlong pack_offset, jlong pack_length, jbyteArray pack_signature,
                     jbyteArray trusted_keys, jbyteArray signature) {
  const GivenOptions options(env, threads, verify_contents, cache_folder, cache_limit_bytes,
                             memory_limit_bytes, pack_path, pack_descriptor, pack_offset,
                             pack_length, pack_signature, trusted_keys, signature);
  if (!options.ok()) return 0;
  graft_model* model = nullptr;
  graft_error error = {};
  const graft_status status =
      graft_model_open_fd(descriptor, static_cast<uint64_t>(offset), static_cast<uint64_t>(length),
                          options.get(), &model, &error);
  if (!Check(env, status, error)) return 0;
  return ToHandle(model);
}

void SwapModel(JNIEnv* env, jclass, jlong model, jbyteArray pack_path, jint pack_descriptor,
               jlong pack_offset, jlong pack_length, jbyteArray pack_signature) {
  const GivenOptions options(env, 0, JNI_FALSE, nullptr, 0, 0, pack_path, pack_descriptor,
                             pack_offset, pack_length, pack_signature, nullptr, nullptr);
  if (!options.ok()) return;
  graft_error error = {};
  const graft_status status =
      graft_model_swap(FromHandle<graft_model>(model), options.get()->pack, &error);
  Check(env, status, error);
}

/// The note; the numbers in the order of dev.graft.SelfTest.
jbyteArray RunSelfTest(JNIEnv* env, jclass, jlong model, jdoubleArray numbers) {
  graft_self_test found = {};
  found.struct_size = sizeof(found);
  graft_error error = {};
  const graft_status status = graft_model_self_test(FromHandle<graft_model>(model), &found, &error);
  if (!Check(env, status, error)) return nullptr;
  const double filled[] = {static_cast<double>(found.verdict),
                           static_cast<double>(found.passed),
                           static_cast<double>(found.probes),
                           static_cast<double>(found.answers),
                           found.deviation,
                           found.tolerance,
                           found.adapted_deviation,
                           found.base_deviation,
                           found.adapter_share};
  env->SetDoubleArrayRegion(numbers, 0, static_cast<jsize>(std::size(filled)), filled);
  return NewBytes(env, found.note, std::strlen(found.note));
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
      Method<OpenPath>("openPath", "([BIZ[BJJ[BIJJ[B[B[B)J"),
      Method<OpenDescriptor>("openDescriptor", "(IJJIZ[BJJ[BIJJ[B[B[B)J"),
      Method<SwapModel>("swapModel", "(J[BIJJ[B)V"),
      Method<RunSelfTest>("selfTest", "(J[D)[B"),
      Method<DestroyModel>("destroyModel", "(J)V"),
      Method<ModelNumbers>("modelNumbers", "(J)[J"),
      Method<ModelText>("modelText", "(JI)[B"),
      Method<Tokenize>("tokenize", "(J[BZ)[I"),
      Method<Detokenize>("detokenize", "(J[IZ)[B"),
  };
  return methods;
}

}  // namespace graft::android
