// SPDX-License-Identifier: Apache-2.0
// The Kotlin side on a JVM: FlowTest MODELS.
package dev.graft.test

import dev.graft.ChatMessage
import dev.graft.GraftException
import dev.graft.Model
import dev.graft.Session
import dev.graft.Token
import dev.graft.chatOptions
import dev.graft.chatTokens
import dev.graft.generateOptions
import dev.graft.modelOptions
import dev.graft.sessionOptions
import dev.graft.tokens
import java.io.File
import kotlin.system.exitProcess
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

private const val ENDLESS = 200_000
private const val PROMPT = "Once upon a time"
private val endless = generateOptions { maxTokens(ENDLESS).ignoreEnd(true) }
private val short = generateOptions { maxTokens(40).ignoreEnd(true) }

private fun withSession(models: String, body: suspend (Session) -> Unit) {
    Model.open(File(models, "tales-base-f32.graft"), modelOptions { threads(2) }).use { model ->
        model.newSession(sessionOptions { contextTokens(ENDLESS) }).use { session -> runBlocking { body(session) } }
    }
}

private suspend fun failure(body: suspend () -> Unit): GraftException.Status {
    try {
        body()
    } catch (e: GraftException) {
        return e.status
    }
    throw AssertionError("it did not fail")
}

private val cases: Map<String, suspend (Session) -> Unit> = mapOf(
    "a flow gives what a listener gets" to { session ->
        val expected = session.generate(PROMPT, short)
        session.reset()
        val tokens: List<Token> = session.tokens(PROMPT, short).toList()
        check(tokens.joinToString("") { it.text } == expected.text)
        check(tokens.map { it.id }.filter { it >= 0 }.toIntArray().contentEquals(expected.ids))
    },
    "a flow is cold and can be collected again" to { session ->
        val flow = session.tokens(session.model.tokenize(PROMPT, true), short)
        check(session.position == 0)
        val first = flow.toList()
        session.reset()
        check(flow.toList() == first)
    },
    "whoever takes a few tokens stops the generation" to { session ->
        check(session.tokens(PROMPT, endless).take(5).toList().size == 5)
        check(session.position in 5..20) { "it went on to ${session.position}" }
        session.reset()
        check(session.generate(PROMPT, short).generatedTokens == 40)
    },
    "cancelling the collector stops the generation, and waits for it" to { session ->
        repeat(100) { // that the collector meets the error of the session first is rare
            val started = CompletableDeferred<Unit>()
            coroutineScopeOf {
                val job = launch(Dispatchers.Default) { session.tokens(PROMPT, endless).collect { started.complete(Unit) } }
                started.await()
                job.cancelAndJoin()
            }
            session.reset() // would wait for its turn if the generation still ran
        }
    },
    "a long prompt is cancelled with its collector" to { session ->
        val prompt = IntArray(ENDLESS - 1) { 100 }
        coroutineScopeOf {
            val job = launch(Dispatchers.Default, CoroutineStart.UNDISPATCHED) { session.tokens(prompt, endless).collect {} }
            delay(200) // most often it has begun by then; if not, cancelling is easier still
            job.cancelAndJoin()
        }
        session.reset()
    },
    "a slow collector holds the generation back" to { session ->
        var seen = 0
        session.tokens(PROMPT, endless).take(3).collect {
            delay(30)
            seen++
        }
        check(seen == 3)
        check(session.position < 20) { "it ran ahead to ${session.position}" }
    },
    "cancelling the session is an error of the flow" to { session ->
        check(failure { session.tokens(PROMPT, endless).collect { session.cancel() } } == GraftException.Status.CANCELLED)
    },
    "native errors come out of the flow" to { session ->
        check(failure { session.tokens(intArrayOf(1 shl 20)).collect {} } == GraftException.Status.OUT_OF_RANGE)
        check(failure { session.tokens("a", generateOptions { topP(7f) }).collect {} } == GraftException.Status.INVALID_ARGUMENT)
    },
    "an exception of the collector comes out, and stops the generation" to { session ->
        val thrown = try {
            session.tokens(PROMPT, endless).collect { error("enough") }
            null
        } catch (e: IllegalStateException) {
            e
        }
        check(thrown?.message == "enough") { "$thrown" }
        check(session.position < 20)
    },
    "an answer to a conversation is a flow too" to { session ->
        val chat = chatOptions { template("{% for m in messages %}{{ m['content'] }}{% endfor %}") }
        val messages = listOf(ChatMessage.user(PROMPT))
        val expected = session.chat(messages, chat, short, null).ids
        check(session.chatTokens(messages, short, chat).toList().map { it.id }.filter { it >= 0 }.toIntArray().contentEquals(expected))
    },
    "two flows of one session take turns" to { session ->
        coroutineScopeOf {
            val both = List(2) { async(Dispatchers.Default) { session.tokens(intArrayOf(5), short).toList().count { it.id >= 0 } } }
            check(both.map { it.await() } == listOf(40, 40))
        }
    },
)

private suspend fun coroutineScopeOf(body: suspend kotlinx.coroutines.CoroutineScope.() -> Unit) = kotlinx.coroutines.coroutineScope { body() }

fun main(arguments: Array<String>) {
    var failed = 0
    for ((sentence, case) in cases) {
        try {
            withSession(arguments[0], case)
        } catch (e: Throwable) {
            failed++
            println("FAILED: $sentence")
            e.printStackTrace(System.out)
        }
    }
    println("${cases.size - failed} passed, $failed failed")
    exitProcess(if (failed == 0) 0 else 1)
}
