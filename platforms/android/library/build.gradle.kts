// SPDX-License-Identifier: Apache-2.0
// graft-release.aar: the classes of dev.graft, libgraft_jni.so for each ABI, and rules for shrinkers.
plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
    `maven-publish`
}

group = "dev.graft"
version = "0.1.0"

android {
    namespace = "dev.graft"
    compileSdk = 35
    ndkVersion = "27.2.12479018" // any from r26 on

    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
        ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64") }
        externalNativeBuild {
            cmake {
                targets += "graft_jni"
                // As platforms/android/presets.json; dependencies are fetched at their pinned commits.
                arguments += listOf(
                    "-DCMAKE_BUILD_TYPE=Release", // also for debug builds of apps: unoptimized, a model would crawl
                    "-DANDROID_STL=c++_static",
                    "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON",
                    "-DGRAFT_BUILD_CONVERTER=OFF",
                    "-DGRAFT_BUILD_TESTS=OFF",
                    "-DGRAFT_FETCH_DEPENDENCIES=ON",
                )
            }
        }
    }
    externalNativeBuild {
        cmake {
            path = file("../../../CMakeLists.txt")
            version = "3.31.6"
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    kotlinOptions { jvmTarget = "1.8" }
    // C and C++ of an app: find_package(graft CONFIG), graft::graft_jni, #include <graft/graft.h>.
    buildFeatures { prefabPublishing = true }
    prefab { create("graft_jni") { headers = "../../../runtime/include" } }
    publishing { singleVariant("release") { withSourcesJar() } }
}

dependencies {
    compileOnly("androidx.annotation:annotation:1.9.1")
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.8.1") // Flow is in the signatures of TokenFlow.kt
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "graft"
            pom {
                name = "graft"
                description = "Runs models with merged LoRA adapters on Android, from one .graft file, through XNNPACK"
                licenses {
                    license {
                        name = "Apache-2.0"
                        url = "https://www.apache.org/licenses/LICENSE-2.0.txt"
                        distribution = "repo"
                    }
                }
            }
            afterEvaluate { from(components["release"]) }
        }
    }
}
