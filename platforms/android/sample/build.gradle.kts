// SPDX-License-Identifier: Apache-2.0
// An app with one screen: a prompt, a button, and the text as it comes. Put a model into src/main/assets/model.graft.
plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "dev.graft.sample"
    compileSdk = 35
    defaultConfig {
        applicationId = "dev.graft.sample"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
    }
    androidResources { noCompress += "graft" } // so that it can be mapped where it lies
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    kotlinOptions { jvmTarget = "1.8" }
}

dependencies {
    implementation(project(":graft"))
    implementation("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.8.1")
}
