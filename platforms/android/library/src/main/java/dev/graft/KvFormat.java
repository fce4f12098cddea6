// SPDX-License-Identifier: Apache-2.0
package dev.graft;

/** In what numbers a session keeps keys and values. */
public enum KvFormat {
  /** float32 if every weight is, else float16. */
  AUTO(0),
  FLOAT32(1),
  FLOAT16(2),
  /** Half of float16's memory, with a scale for each position and head. */
  INT8(3);

  final int code;

  KvFormat(int code) {
    this.code = code;
  }

  static KvFormat of(long code) {
    for (KvFormat format : values()) {
      if (format.code == code) return format;
    }
    return AUTO;
  }
}
