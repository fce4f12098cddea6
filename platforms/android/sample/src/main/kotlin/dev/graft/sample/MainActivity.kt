// SPDX-License-Identifier: Apache-2.0
// Streams a model's answer into a text view. One button starts and stops; the other goes from the
// base to each pack that lies in assets/packs, and back to the base.
package dev.graft.sample

import android.app.Activity
import android.os.Bundle
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import dev.graft.GraftException
import dev.graft.Model
import dev.graft.ModelAssets
import dev.graft.Session
import dev.graft.generateOptions
import dev.graft.modelOptions
import dev.graft.tokens
import java.io.File
import java.io.IOException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch

class MainActivity : Activity() {
    private val screen = MainScope()
    // Outlives the screen until what it opened is closed.
    private val background = CoroutineScope(SupervisorJob() + Dispatchers.IO)
    private lateinit var session: Deferred<Session>
    private var answer: Job? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val prompt = EditText(this).apply { setText("The man opened the door and") }
        val button = Button(this).apply { text = "Generate" }
        val adapter = Button(this).apply { text = "Base" }
        val output = TextView(this).apply { setTextIsSelectable(true) }
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                fitsSystemWindows = true // from API 35 on, apps reach under the system's bars
                addView(prompt)
                addView(adapter)
                addView(button)
                addView(ScrollView(context).apply { addView(output) })
            },
        )
        session = background.async { openSession() }
        val packs = listOf<String?>(null) + assets.list("packs").orEmpty().sorted()
        var chosen = 0
        adapter.setOnClickListener {
            screen.launch {
                adapter.isEnabled = false
                try {
                    answer?.cancelAndJoin() // a session that computes would make the swap refuse
                    val next = (chosen + 1) % packs.size
                    background.async { swap(session.await().model, packs[next]) }.await()
                    chosen = next
                    adapter.text = packs[chosen]?.removeSuffix(".graftpack") ?: "Base"
                } catch (e: GraftException) {
                    output.append("\n[${e.status}: ${e.message}]") // the model is what it was
                } catch (e: IOException) {
                    output.append("\n[${e.message}]")
                } finally {
                    adapter.isEnabled = true
                }
            }
        }
        button.setOnClickListener {
            val running = answer
            if (running != null && running.isActive) {
                running.cancel() // stops the generation
            } else {
                answer = screen.launch {
                    button.text = "Stop"
                    output.text = prompt.text
                    try {
                        val options = generateOptions { maxTokens(300).temperature(0.8f).topK(40).wholePrompt(true) }
                        session.await().tokens(prompt.text.toString(), options).collect { output.append(it.text) }
                    } catch (e: GraftException) {
                        output.append("\n[${e.status}: ${e.message}]")
                    } catch (e: IOException) {
                        output.append("\n[${e.message}; put a model into assets/model.graft]")
                    } finally {
                        button.text = "Generate"
                    }
                }
            }
        }
    }

    override fun onDestroy() {
        super.onDestroy()
        screen.cancel()
        background.launch {
            try {
                val opened = session.await()
                opened.close() // cancels what still runs, and waits for it: not on the main thread
                opened.model.close()
            } catch (e: GraftException) {
                // It was never opened.
            } catch (e: IOException) {
                // There was no model.
            }
        }
    }

    private fun openSession(): Session {
        val options = modelOptions { cacheFolder(File(cacheDir, "graft")) }
        return ModelAssets.open(assets, "model.graft", options).newSession()
    }

    /** Packs are small: an asset that is compressed is copied once. */
    private fun swap(model: Model, pack: String?) {
        if (pack == null) return model.swap(null)
        val file = File(cacheDir, pack)
        if (!file.exists()) {
            val copy = File(cacheDir, "$pack.part")
            assets.open("packs/$pack").use { from -> copy.outputStream().use { from.copyTo(it) } }
            if (!copy.renameTo(file)) throw IOException("$file cannot be written")
        }
        model.swap(file)
        model.selfTest().let { check(it.passed()) { "$pack: ${it.note}" } } // did the adapter apply?
    }
}
