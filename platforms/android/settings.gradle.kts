// SPDX-License-Identifier: Apache-2.0
// The AAR (:graft) and an app that shows it (:sample).
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}
dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "graft-android"
include(":graft", ":sample")
project(":graft").projectDir = file("library")
