// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/plot.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

constexpr double kLeft = 70, kTop = 20, kWidth = 560, kHeight = 260, kLineHeight = 20;
// Told apart also by those who see few colours: Okabe and Ito's.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000"};

/// The next of 1, 2, 5, 10, ... times a power of ten.
double RoundUp(double value) {
  if (!(value > 0)) return 1e-3;
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (value <= step * power) return step * power;
  }
  return 10 * power;
}

std::string Text(double x, double y, const char* anchor, std::string_view text) {
  return Format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor)
      .append(EscapeMarkup(text))
      .append("</text>\n");
}

std::string Line(double x1, double y1, double x2, double y2, const char* colour) {
  return Format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1,
                x2, y2, colour);
}

/// Where the index-th of `count` ranges stands.
double PlaceOf(size_t index, size_t count) {
  return kLeft + kWidth * (static_cast<double>(index) + 0.5) / static_cast<double>(count);
}

std::string AxesOf(const std::vector<RangeFigures>& ranges, double top) {
  std::string svg;
  for (int i = 0; i <= 4; ++i) {
    const double y = kTop + kHeight * (1 - i / 4.0);
    svg += Line(kLeft, y, kLeft + kWidth, y, i == 0 ? "#333" : "#ddd");
    svg += Text(kLeft - 8, y + 4, "end", Format("%g", top * i / 4));
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    svg += Text(PlaceOf(i, ranges.size()), kTop + kHeight + 18, "middle",
                Format("%" PRIu64 "-%" PRIu64, ranges[i].begin, ranges[i].end - 1));
  }
  svg += Text(kLeft + kWidth / 2, kTop + kHeight + 40, "middle", "position of the token");
  svg += Format("<text transform=\"translate(16,%.0f) rotate(-90)\" text-anchor=\"middle\">",
                kTop + kHeight / 2) +
         "mean KL, nats</text>\n";
  return svg;
}

}  // namespace

std::string EscapeMarkup(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        // Other control characters may not stand in XML at all.
        escaped += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return escaped;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

std::string PlotOf(const Comparison& comparison) {
  double top = 0;
  for (const FileFigures& file : comparison.files) {
    for (const RangeFigures& range : file.text.ranges) top = std::max(top, range.mean_kl);
  }
  top = RoundUp(top);
  const double bottom = kTop + kHeight + 60;
  const double height = bottom + kLineHeight * static_cast<double>(comparison.files.size()) + 10;
  std::string svg = Format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 650 %.0f\" width=\"650\" "
      "height=\"%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"650\" height=\"%.0f\" fill=\"#fff\"/>\n",
      height, height, height);
  if (!comparison.files.empty()) svg += AxesOf(comparison.files[0].text.ranges, top);
  for (size_t i = 0; i < comparison.files.size(); ++i) {
    const std::vector<RangeFigures>& ranges = comparison.files[i].text.ranges;
    const char* colour = kColours[i % std::size(kColours)];
    std::string points;
    for (size_t k = 0; k < ranges.size(); ++k) {
      const double y = kTop + kHeight * (1 - ranges[k].mean_kl / top);
      points += Format("%.1f,%.1f ", PlaceOf(k, ranges.size()), y);
      svg += Format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                    PlaceOf(k, ranges.size()), y, colour);
    }
    svg += Format("<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n",
                  points.c_str(), colour);
    const double y = bottom + kLineHeight * static_cast<double>(i);
    svg += Format("<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", kLeft,
                  y - 10, colour);
    svg += Text(kLeft + 20, y, "start",
                std::string(BaseName(comparison.files[i].file)) +
                    Format(": %.5f", comparison.files[i].text.mean_kl));
  }
  return svg + "</svg>\n";
}

}  // namespace graft_run
