// SPDX-License-Identifier: Apache-2.0
// graft-run transcribe: what is said in a sound, shown as it comes.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/sound/wav_file.h"

namespace graft_run {
namespace {

struct Settings {
  std::string file, sound_file, language;
  bool translate = false, timestamps = false, json = false;
  ThreadOptions threads;
  CacheOptions cache;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  Options options;
  settings->cache.AddTo(&options);
  settings->threads.AddTo(&options);
  options.String("language", 'l', &settings->language, nullptr);
  options.Flag("translate", &settings->translate);
  options.Flag("timestamps", &settings->timestamps);
  options.Flag("json", &settings->json);
  std::vector<std::string> files;
  if (std::string problem = options.Parse(argc, argv, &files); !problem.empty()) return problem;
  if (files.size() != 2) return "give a model and a WAV file";
  settings->file = files[0];
  settings->sound_file = files[1];
  return {};
}

struct Transcript {
  const Settings* settings;
  std::string text;
  std::vector<JsonObject> phrases;
};

std::string Clock(double seconds) {
  const auto hundredths = static_cast<uint64_t>(std::llround(seconds * 100.0));
  return Format("%02u:%02u:%02u.%02u", static_cast<unsigned>(hundredths / 360000),
                static_cast<unsigned>(hundredths / 6000 % 60),
                static_cast<unsigned>(hundredths / 100 % 60),
                static_cast<unsigned>(hundredths % 100));
}

int32_t OnText(void* user, double begin_s, double end_s, const char* text, size_t size) {
  auto* transcript = static_cast<Transcript*>(user);
  const Settings& settings = *transcript->settings;
  transcript->text.append(text, size);
  if (settings.json) {
    if (settings.timestamps) {
      transcript->phrases.push_back(JsonObject()
                                        .Number("begin_s", begin_s)
                                        .Number("end_s", end_s)
                                        .String("text", std::string(text, size)));
    }
    return 0;
  }
  if (settings.timestamps)
    std::fputs(("[" + Clock(begin_s) + " - " + Clock(end_s) + "]").c_str(), stdout);
  std::fwrite(text, 1, size, stdout);
  if (settings.timestamps) std::fputc('\n', stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;  // nobody reads any more
}

void ShowResult(const Settings& settings, const Transcript& transcript, double seconds,
                const graft_transcribe_result& result) {
  const auto in_seconds = [](uint64_t ns) { return static_cast<double>(ns) * 1e-9; };
  if (settings.json) {
    JsonObject json;
    json.String("text", transcript.text).String("language", result.language);
    if (settings.timestamps) json.Objects("phrases", transcript.phrases);
    json.Number("sound_s", seconds)
        .Integer("windows", result.windows)
        .Integer("generated_tokens", result.generated_tokens)
        .Number("features_s", in_seconds(result.features_ns))
        .Number("encoder_s", in_seconds(result.encoder_ns))
        .Number("decoder_s", in_seconds(result.decoder_ns))
        .Print();
    return;
  }
  if (!settings.timestamps) std::fputc('\n', stdout);
  std::fflush(stdout);
  std::fprintf(stderr, "%.1f s of sound%s%s: features %.2f s, encoder %.2f s, decoder %.2f s\n",
               seconds, *result.language == '\0' ? "" : " in ", result.language,
               in_seconds(result.features_ns), in_seconds(result.encoder_ns),
               in_seconds(result.decoder_ns));
}

int Run(const Settings& settings, const Sound& sound, graft_session* session) {
  graft_transcribe_options options = GRAFT_TRANSCRIBE_OPTIONS_INIT;
  options.language = settings.language.c_str();
  options.translate = settings.translate;
  options.timestamps = settings.timestamps;
  Transcript transcript{&settings, {}, {}};
  graft_transcribe_result result{};
  result.struct_size = sizeof(result);
  graft_error error{};
  const InterruptGuard guard(session);
  if (graft_session_transcribe(session, sound.samples.data(), sound.samples.size(), &options,
                               OnText, &transcript, &result, &error) != GRAFT_OK) {
    return FailCall(settings.file, error);
  }
  const double seconds =
      static_cast<double>(sound.samples.size()) / static_cast<double>(sound.sample_rate);
  ShowResult(settings, transcript, seconds, result);
  return std::ferror(stdout) == 0 ? kExitOk : Fail("standard output", "cannot be written");
}

}  // namespace

int RunTranscribe(int argc, char** argv) {
  Settings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty())
    return FailUsage("transcribe: " + problem);
  const ModelHandle model = OpenModel(settings.file, settings.threads, settings.cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  if (info.sample_rate == 0) return Fail(settings.file, "the model takes no sound");
  std::string bytes;
  if (!ReadTextFile(settings.sound_file, &bytes)) return kExitFailure;
  Sound sound;
  if (std::string problem = ReadWav(bytes, &sound); !problem.empty())
    return Fail(settings.sound_file, problem);
  bytes = std::string();
  Resample(info.sample_rate, &sound);
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, info.context_tokens);
  if (session == nullptr) return kExitFailure;
  return Run(settings, sound, session.get());
}

}  // namespace graft_run
