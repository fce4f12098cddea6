// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** What a session is made of. Immutable. */
public final class SessionInfo {
  private final long[] numbers; // as native code orders them

  SessionInfo(long[] numbers) {
    this.numbers = numbers;
  }

  public int getThreads() {
    return (int) numbers[0];
  }

  /** Positions it has room for. */
  public int getContextTokens() {
    return (int) numbers[1];
  }

  /** Packed weights that computing one token reads. */
  public long getWeightBytes() {
    return numbers[2];
  }

  /** Keys and values of one position. */
  public long getCacheBytesPerToken() {
    return numbers[3];
  }

  /** What {@link KvFormat#AUTO} became. */
  @NonNull
  public KvFormat getKvFormat() {
    return KvFormat.of(numbers[4]);
  }
}
