// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** What a generation gave, and how long it took. Immutable. */
public final class GenerateResult {
  private final String text;
  private final int[] ids;
  private final TokenLogprobs[] logprobs;
  private final long[] numbers; // as native code orders them

  GenerateResult(String text, int[] ids, TokenLogprobs[] logprobs, long[] numbers) {
    this.logprobs = logprobs;
    this.text = text;
    this.ids = ids;
    this.numbers = numbers;
  }

  /** All text generated, without the prompt; "" if the model has no tokenizer. */
  @NonNull
  public String getText() {
    return text;
  }

  /** The tokens generated, without the model's end token. A copy. */
  @NonNull
  public int[] getIds() {
    return ids.clone();
  }

  /** How likely each token was; empty unless {@link GenerateOptions.Builder#logprobs} asked. */
  @NonNull
  public TokenLogprobs[] getLogprobs() {
    return logprobs.clone();
  }

  public int getPromptTokens() {
    return (int) numbers[0];
  }

  public int getGeneratedTokens() {
    return (int) numbers[1];
  }

  /** Of the prompt, those that the session held already. */
  public int getReusedTokens() {
    return (int) numbers[2];
  }

  /** Time for the prompt's tokens that were not reused, in nanoseconds. */
  public long getPrefillNanos() {
    return numbers[3];
  }

  /** Time for the generated tokens, in nanoseconds. */
  public long getDecodeNanos() {
    return numbers[4];
  }

  /** Tokens that were guessed. */
  public int getDraftedTokens() {
    return (int) numbers[6];
  }

  /** Of them, those that were right. */
  public int getAcceptedTokens() {
    return (int) numbers[7];
  }

  @NonNull
  public StopReason getStopReason() {
    return StopReason.of(numbers[5]);
  }

  @Override
  public String toString() {
    return text;
  }
}
