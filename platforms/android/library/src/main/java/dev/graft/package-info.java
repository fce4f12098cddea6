// SPDX-License-Identifier: Apache-2.0
/**
 * Runs .graft models: language models and plain tensor models, on the CPU.
 *
 * <p>Open a {@link dev.graft.Model}, make a {@link dev.graft.Session} of it, and call {@link
 * dev.graft.Session#generate generate}. All text is exchanged with native code as UTF-8 bytes; half
 * of a surrogate pair becomes a question mark. No parameter and no result is null unless it says
 * so.
 */
package dev.graft;
