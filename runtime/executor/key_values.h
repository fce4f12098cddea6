// SPDX-License-Identifier: Apache-2.0
// KeyValues: where attention stores keys and values, in a cache or for one call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/kv_store.h"

namespace graft::schema::fb {
struct Attention;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Where the keys and values of an op lie.
struct KeyValues {
  KvView view;
  bool cached = false;
  bool by_texts = false;  // each text's begin at a slot of their own
  size_t block = 0;       // rows that attend to themselves alone, and begin at a slot; 0: all

  void Read(const StepSource& source, const schema::fb::Attention& attention);

  // If there is no cache. stored: the plan's value. Text ends are input 2 of either step.
  void Place(const StepPlaces& places, int32_t stored) {
    by_texts = places.input<int32_t>(2) != nullptr;
    view.capacity = KeyValuesCapacity(places.plan, stored, places.binding);
    view.Place(places.data(stored));
  }

  // Where a row of the call is stored.
  size_t SlotOf(const CallState& call, size_t row) const {
    if (block != 0) return row / block * BlockSlots(block) + row % block;
    return by_texts ? call.text_slots.SlotOf(row) : first_position(call) + row;
  }

  size_t first_position(const CallState& call) const {
    return cached && !view.of_source ? call.first_position : 0;
  }
  // Positions of the cache that `rows` rows of a call attend to.
  size_t positions(const CallState& call, size_t rows) const {
    return view.of_source ? call.source_rows : first_position(call) + rows;
  }
};

}  // namespace graft::runtime
