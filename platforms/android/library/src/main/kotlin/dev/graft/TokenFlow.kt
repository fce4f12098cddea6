// SPDX-License-Identifier: Apache-2.0
// Generation as a Flow, for coroutines.
@file:JvmName("TokenFlow")

package dev.graft

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** A token, and the text that became certain by it: whole characters, "" while one is incomplete. The id is -1 for the rest of the text. */
public data class Token(val id: Int, val text: String)

/**
 * Generates when collected, as [Session.generate] does. The generation runs on [dispatcher] and waits for a slow collector. Whoever stops collecting
 * stops it; collection has ended only when the session is free again. Errors come out as [GraftException].
 */
@JvmOverloads
public fun Session.tokens(
    prompt: String,
    options: GenerateOptions = GenerateOptions.DEFAULT,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Flow<Token> = tokens(dispatcher) { listener -> generate(prompt, options, listener) }

/** The same for a prompt of token ids. */
@JvmOverloads
public fun Session.tokens(
    prompt: IntArray,
    options: GenerateOptions = GenerateOptions.DEFAULT,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Flow<Token> = tokens(dispatcher) { listener -> generate(prompt, options, listener) }

/** The same as the answer to a conversation, as [Session.chat] gives it. */
@JvmOverloads
public fun Session.chatTokens(
    messages: List<ChatMessage>,
    options: GenerateOptions = GenerateOptions.DEFAULT,
    chatOptions: ChatOptions = ChatOptions.DEFAULT,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Flow<Token> = tokens(dispatcher) { listener -> chat(messages, chatOptions, options, listener) }

private fun Session.tokens(dispatcher: CoroutineDispatcher, generate: (TokenListener) -> GenerateResult): Flow<Token> {
    val session = this
    return callbackFlow {
        val collection = coroutineContext.job
        val listener = TokenListener { id, text ->
            try {
                // As a child of the collection: cancelling that alone does not wake up who waits in trySendBlocking.
                runBlocking(collection) { channel.send(Token(id, text)) }
                true
            } catch (e: CancellationException) {
                false
            }
        }
        launch(dispatcher) {
            try {
                generate(listener)
                channel.close()
            } catch (e: Throwable) {
                // To the collector. One that stopped may meet it before its own cancellation, and is not to fail by it.
                channel.close(if (collection.isCancelled) CancellationException("the collector stopped", e) else e)
            }
        }
        awaitClose { session.cancel(listener) }
    }.buffer(Channel.RENDEZVOUS)
}
