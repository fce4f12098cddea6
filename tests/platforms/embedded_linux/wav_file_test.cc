// SPDX-License-Identifier: Apache-2.0
// WAV files of each kind become the same samples, other rates the same sound, damaged ones a message.
#include "platforms/embedded_linux/sound/wav_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace graft_run {
namespace {

std::string Number(uint64_t number, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>(number >> (8 * i));
  return text;
}

std::string Wav(uint32_t format, uint32_t channels, uint32_t rate, uint32_t bits,
                const std::string& data, const std::string& before = "") {
  const uint32_t frame = channels * bits / 8;
  const std::string layout = Number(format, 2) + Number(channels, 2) + Number(rate, 4) +
                             Number(rate * frame, 4) + Number(frame, 2) + Number(bits, 2);
  return "RIFF" + Number(0, 4) + "WAVE" + before + "fmt " + Number(16, 4) + layout + "data" +
         Number(data.size(), 4) + data;
}

std::string Problem(const std::string& bytes) {
  Sound sound;
  return ReadWav(bytes, &sound);
}

}  // namespace

TEST_SUITE("platforms/wav_file") {
  TEST_CASE("each kind of samples is read, and channels become their mean") {
    const float half = 0.5f;
    std::string real(4, '\0');
    std::memcpy(real.data(), &half, 4);
    const double quarter = -0.25;
    std::string twice(8, '\0');
    std::memcpy(twice.data(), &quarter, 8);
    struct Case {
      uint32_t format, bits;
      std::string data;
      float expected;
    };
    const Case cases[] = {{1, 8, Number(192, 1), 0.5f},
                          {1, 16, Number(0xC000, 2), -0.5f},
                          {1, 24, Number(0x400000, 3), 0.5f},
                          {1, 32, Number(0x20000000, 4), 0.25f},
                          {3, 32, real, 0.5f},
                          {3, 64, twice, -0.25f}};
    for (const Case& c : cases) {
      CAPTURE(c.bits);
      Sound sound;
      CHECK(ReadWav(Wav(c.format, 1, 8000, c.bits, c.data,
                        "LIST" + Number(3, 4) + "abc" + Number(0, 1)),
                    &sound) == "");
      CHECK(sound.sample_rate == 8000);
      CHECK(sound.samples == std::vector<float>{c.expected});
    }
    Sound stereo;
    CHECK(
        ReadWav(Wav(1, 2, 44100, 16,
                    Number(0x4000, 2) + Number(0xC000, 2) + Number(0x4000, 2) + Number(0x4000, 2)),
                &stereo) == "");
    CHECK(stereo.samples == std::vector<float>{0.0f, 0.5f});
  }

  TEST_CASE("what is no sound is refused by what is wrong") {
    const std::string good = Wav(1, 1, 8000, 16, Number(5, 2));
    CHECK(Problem(good) == "");
    CHECK(Problem("") == "is no WAV file");
    CHECK(Problem(Wav(1, 1, 8000, 16, "")) == "holds no sound");
    CHECK(Problem(Wav(2, 1, 8000, 4, "ab")).find("of format 2") != std::string::npos);
    CHECK(Problem(Wav(1, 0, 8000, 16, "ab")).find("no sound") != std::string::npos);
    CHECK(Problem(Wav(1, 1, 0, 16, "ab")).find("no sound") != std::string::npos);
    CHECK(Problem(Wav(1, 1, 1000, 8, std::string(22'000'000, 'a'))) == "holds more than 6 hours");
    for (size_t size = 0; size < good.size(); ++size) {
      CAPTURE(size);
      CHECK((Problem(good.substr(0, size)) != "" || size + 1 >= good.size()));
    }
    // A length that a stream did not know goes up to the end.
    std::string stream = good;
    stream.replace(stream.size() - 6, 4, Number(0xFFFFFFFF, 4));
    CHECK(Problem(stream) == "");
  }

  TEST_CASE("another rate is the same sound, without what it cannot hold") {
    for (const uint32_t rate : {8000u, 22050u, 44100u, 48000u, 16000u}) {
      CAPTURE(rate);
      Sound sound{rate, {}};
      for (uint32_t i = 0; i < rate / 4; ++i)
        sound.samples.push_back(std::sin(2.0f * std::numbers::pi_v<float> * 440.0f *
                                         static_cast<float>(i) / static_cast<float>(rate)));
      Resample(16000, &sound);
      REQUIRE(sound.samples.size() >= 3999);
      double most = 0.0;
      for (size_t i = 200; i < 3800; ++i) {
        const double expected =
            std::sin(2.0 * std::numbers::pi * 440.0 * static_cast<double>(i) / 16000.0);
        most = std::max(most, std::fabs(sound.samples[i] - expected));
      }
      CHECK(most < 2e-3);
    }
    Sound high{48000, {}};
    for (uint32_t i = 0; i < 4800; ++i)
      high.samples.push_back(
          std::sin(2.0f * std::numbers::pi_v<float> * 15000.0f * static_cast<float>(i) / 48000.0f));
    Resample(16000, &high);
    for (size_t i = 100; i < 1500; ++i) CHECK(std::fabs(high.samples[i]) < 1e-2f);
  }
}

}  // namespace graft_run
