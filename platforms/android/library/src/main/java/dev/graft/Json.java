// SPDX-License-Identifier: Apache-2.0
package dev.graft;

/** Texts as JSON has them. */
final class Json {
  private Json() {}

  static void quote(String text, StringBuilder to) {
    to.append('"');
    for (int i = 0; i < text.length(); ++i) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') {
        to.append('\\').append(c);
      } else if (c < ' ') {
        to.append("\\u00").append(Character.forDigit(c >> 4, 16)).append(Character.forDigit(c & 15, 16));
      } else {
        to.append(c);
      }
    }
    to.append('"');
  }
}
