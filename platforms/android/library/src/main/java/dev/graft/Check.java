// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.charset.StandardCharsets;

/** Arguments of the public classes: checked, and turned into what native code takes. */
final class Check {
  private Check() {}

  @NonNull
  static <T> T notNull(T value, String name) {
    if (value == null) throw new NullPointerException(name + " is null");
    return value;
  }

  static int notNegative(int value, String name) {
    if (value < 0) throw new IllegalArgumentException(name + " is " + value + ", less than 0");
    return value;
  }

  static long notNegative(long value, String name) {
    if (value < 0) throw new IllegalArgumentException(name + " is " + value + ", less than 0");
    return value;
  }

  /** UTF-8 for a C string, which ends at its first zero. */
  @NonNull
  static byte[] withoutZero(String value, String name) {
    if (notNull(value, name).indexOf('\0') >= 0) {
      throw new IllegalArgumentException(name + " has a zero character");
    }
    return value.getBytes(StandardCharsets.UTF_8);
  }
}
