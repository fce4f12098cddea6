// SPDX-License-Identifier: Apache-2.0
// Options in braces: generateOptions { maxTokens(64); temperature(0.8f) }.
@file:JvmName("Options")

package dev.graft

public inline fun modelOptions(set: ModelOptions.Builder.() -> Unit): ModelOptions = ModelOptions.builder().apply(set).build()

public inline fun sessionOptions(set: SessionOptions.Builder.() -> Unit): SessionOptions = SessionOptions.builder().apply(set).build()

public inline fun generateOptions(set: GenerateOptions.Builder.() -> Unit): GenerateOptions = GenerateOptions.builder().apply(set).build()

public inline fun chatOptions(set: ChatOptions.Builder.() -> Unit): ChatOptions = ChatOptions.builder().apply(set).build()
