// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/**
 * What a model, and one session with a full context, will take of memory. Immutable.
 *
 * <p>Resident bytes are those that graft adds to the process, its code included, to within some
 * percent. Bytes of files that are mapped can be dropped by the system and read again; private ones
 * cannot: they are what counts against the app.
 */
public final class MemoryEstimate {
  private final long[] numbers; // as native code orders them

  MemoryEstimate(long[] numbers) {
    this.numbers = numbers;
  }

  /** Positions of the session, where the options left it open. */
  public int getContextTokens() {
    return (int) numbers[0];
  }

  public int getThreads() {
    return (int) numbers[1];
  }

  /** What {@link KvFormat#AUTO} becomes. */
  @NonNull
  public KvFormat getKvFormat() {
    return KvFormat.of(numbers[2]);
  }

  public long getFileBytes() {
    return numbers[3];
  }

  /** Of all packed weights. */
  public long getPackedBytes() {
    return numbers[4];
  }

  /** Keys and values of the whole context. */
  public long getKvBytes() {
    return numbers[5];
  }

  /** What is computed on its way through the model. */
  public long getActivationBytes() {
    return numbers[6];
  }

  /** Resident at the highest moment from opening on, without a cache folder. */
  public long getPeakBytes() {
    return numbers[7];
  }

  /** Resident once the context is full, without a cache folder. */
  public long getSteadyBytes() {
    return numbers[8];
  }

  /** Of {@link #getSteadyBytes}, those that are private. */
  public long getPrivateBytes() {
    return numbers[9];
  }

  /** As {@link #getPeakBytes}, with packed weights that the cache folder has. */
  public long getCachedPeakBytes() {
    return numbers[10];
  }

  /** As {@link #getSteadyBytes}, with packed weights that the cache folder has. */
  public long getCachedSteadyBytes() {
    return numbers[11];
  }

  /** As {@link #getPrivateBytes}, with packed weights that the cache folder has. */
  public long getCachedPrivateBytes() {
    return numbers[12];
  }

  /** As {@link #getPeakBytes}, with a cache folder that does not have them yet. */
  public long getStoringPeakBytes() {
    return numbers[13];
  }
}
