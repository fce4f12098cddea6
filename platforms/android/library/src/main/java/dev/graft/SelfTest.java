// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;

/** What {@link Model#selfTest} found. Immutable. */
public final class SelfTest {
  /** As what the model answers. */
  public enum Verdict {
    /** The file holds no answers to compare with. */
    NONE,
    /** As the base, without an adapter. */
    BASE,
    /** As the base with its adapters. */
    ADAPTED,
    /** As neither, or texts become other tokens. */
    BROKEN
  }

  static final int NUMBERS = 9;

  private final Verdict verdict;
  private final double[] numbers; // in graft_self_test's order
  private final String note;

  SelfTest(double[] numbers, String note) {
    this.verdict = Verdict.values()[(int) numbers[0]];
    this.numbers = numbers;
    this.note = note;
  }

  @NonNull
  public Verdict getVerdict() {
    return verdict;
  }

  /** Whether nothing is wrong: the verdict is what the file says it is, or NONE. */
  public boolean passed() {
    return numbers[1] != 0;
  }

  /** Questions that the file holds. */
  public int getProbes() {
    return (int) numbers[2];
  }

  /** Of these, with an answer. */
  public int getAnswers() {
    return (int) numbers[3];
  }

  /** Root mean square of how logits differ from those of the file's weights. */
  public double getDeviation() {
    return numbers[4];
  }

  /** What that may be. */
  public double getTolerance() {
    return numbers[5];
  }

  /** Of the adapters' change that is there: 1 all; NaN: the file has no adapters. */
  public double getAdapterShare() {
    return numbers[8];
  }

  /** What is wrong; empty if nothing is. */
  @NonNull
  public String getNote() {
    return note;
  }
}
