// SPDX-License-Identifier: Apache-2.0
package androidx.annotation;

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;

/** Stands in for AndroidX's annotation of this name, which no JDK has: the compiler alone sees it. */
@Retention(RetentionPolicy.CLASS)
public @interface NonNull {}
