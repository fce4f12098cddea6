// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/**
 * How likely a token was to the model itself: before biases, penalties, filters and constraints.
 * Immutable.
 */
public final class TokenLogprobs {
  private final int id;
  private final float logprob;
  private final int[] ids;
  private final float[] logprobs;

  TokenLogprobs(int id, float logprob, int[] ids, float[] logprobs) {
    this.id = id;
    this.logprob = logprob;
    this.ids = ids;
    this.logprobs = logprobs;
  }

  public int getId() {
    return id;
  }

  /** A natural logarithm; NaN: not computed, for the token had to follow. */
  public float getLogprob() {
    return logprob;
  }

  /** The likeliest tokens, the likeliest first. A copy. */
  @NonNull
  public int[] getLikeliestIds() {
    return ids.clone();
  }

  /** Their logarithms. A copy. */
  @NonNull
  public float[] getLikeliestLogprobs() {
    return logprobs.clone();
  }
}
