// SPDX-License-Identifier: Apache-2.0
package dev.graft;

import androidx.annotation.NonNull;
import java.nio.charset.StandardCharsets;

/** The CPU as graft sees it: for logs, and to choose where a session runs. */
public final class CpuInfo {
  private final int cpus;
  private final int defaultThreads;
  private final String features;
  private final String bigCpus;
  private final String kernels;

  private CpuInfo(long[] numbers, String features, String bigCpus, String kernels) {
    cpus = (int) numbers[0];
    defaultThreads = (int) numbers[1];
    this.features = features;
    this.bigCpus = bigCpus;
    this.kernels = kernels;
  }

  /**
   * What is true now: Android turns cores off, and keeps apps in the background away from the big
   * ones. It takes some milliseconds.
   */
  @NonNull
  public static CpuInfo read() {
    return new CpuInfo(Native.cpuNumbers(), text(0), text(1), text(2));
  }

  /** Cores that are on and that this app may use. */
  public int getCpus() {
    return cpus;
  }

  /** Threads of a model that asks for no number: one for each big core. */
  public int getDefaultThreads() {
    return defaultThreads;
  }

  /** What kernels are chosen by, such as "neon fp16 dotprod i8mm". */
  @NonNull
  public String getFeatures() {
    return features;
  }

  /** The big cores, as {@link SessionOptions.Builder#cpus} takes them, such as "4-7". */
  @NonNull
  public String getBigCpus() {
    return bigCpus;
  }

  /** The kernels chosen for each format of weights, by the sizes of their tiles. */
  @NonNull
  public String getKernels() {
    return kernels;
  }

  @NonNull
  @Override
  public String toString() {
    return cpus + " CPUs, big " + bigCpus + "; " + features + "; " + kernels;
  }

  private static String text(int which) {
    return new String(Native.cpuText(which), StandardCharsets.UTF_8);
  }
}
