#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "engine/counter.h"
#include "engine/series.h"

namespace karma {

/// Reads the bytes of a `.tree` file of Karma 1.0 (docs/karma-1-formats.md) and calls `visit` for each key
/// with its buckets, ascending by day. Accepts fields in any order, ignores unknown ones, drops buckets of
/// value 0, and accepts keys and days that are written as texts. Builds no document: it takes 8 bytes of
/// memory for each key.
///
/// Throws CorruptionError, with the key or the byte, when the bytes are no such file or contradict
/// themselves; it may have visited some keys by then.
void read_tree(std::string_view bytes,
               const std::function<void(std::uint64_t key, std::span<const Point> points)>& visit);

/// The series that such a file holds, as of an LSN. Throws as `read_tree` does.
Series read_tree_series(std::string name, std::uint64_t hash_seed, Lsn lsn, std::string_view bytes);

}  // namespace karma
