// SPDX-License-Identifier: Apache-2.0
package dev.graft;

/** Why a generation ended. */
public enum StopReason {
  /** The model ended its text. */
  END_TOKEN,
  /** One of the stop strings appeared. */
  STOP_STRING,
  MAX_TOKENS,
  /** The context is full. */
  CONTEXT_FULL,
  /** The listener asked for it. */
  LISTENER,
  /** The text is what it must be, and nothing may follow. */
  COMPLETE,
  /** A reason that this Java class does not know. */
  UNKNOWN;

  /** By {@code GRAFT_STOP_...} of graft.h, which counts from 0 in this order. */
  static StopReason of(long code) {
    return code >= 0 && code < UNKNOWN.ordinal() ? values()[(int) code] : UNKNOWN;
  }
}
