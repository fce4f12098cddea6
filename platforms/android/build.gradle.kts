// SPDX-License-Identifier: Apache-2.0
// Versions of the plugins; the modules apply them.
plugins {
    id("com.android.library") version "8.7.3" apply false
    id("com.android.application") version "8.7.3" apply false
    id("org.jetbrains.kotlin.android") version "2.1.0" apply false
}
