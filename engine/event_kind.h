#pragma once

#include <cstdint>

/// What the writer and the reader of event groups share: docs/event-format.md.
namespace karma {

/// The version of the format. Version 1 had neither idempotency keys nor the kinds above 16; what it has is
/// written the same way.
inline constexpr std::uint32_t group_version = 2;

/// The number that names the kind of an event in the log: never reused, never changed.
enum class EventKind : std::uint8_t {
    create_series = 1,
    drop_series = 2,
    increment = 3,
    decrement = 4,
    batch_add = 5,
    batch_set = 6,
    reset_counter = 7,
    reset_series = 8,
    batch_reset = 9,
    delete_counter_range = 10,
    delete_series_range = 11,
    batch_delete_range = 12,
    delete_before = 13,
    compact_series = 14,
    compact_all = 15,
    save_checkpoint = 16,
    begin_stream = 17,
    add_chunk = 18,
    commit_stream = 19,
    abort_stream = 20,
    prune_records = 21,
    load_series = 22,
    start_epoch = 23,
    prune_streams = 24,
    multi_add = 25,
};

}  // namespace karma
