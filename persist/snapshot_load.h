#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/counter.h"
#include "engine/fingerprint.h"
#include "engine/mutation.h"
#include "engine/number.h"

namespace karma {

/// Replaces the contents of a series by events alone, an ingest stream of mode replace_series: no query sees
/// a part of it, and a log can be replayed without the file. Not thread-safe.
class SeriesLoader {
public:
    /// Executes a mutation and returns its LSN; throws RequestError when it is refused. The fingerprint is
    /// that of a chunk.
    using Execute = std::function<Lsn(const Mutation&, const Fingerprint&)>;

    /// `id` is unused and begins with load_stream_prefix.
    SeriesLoader(std::string series, std::string id, Execute execute);
    SeriesLoader(const SeriesLoader&) = delete;
    SeriesLoader& operator=(const SeriesLoader&) = delete;

    /// Aborts a load that was not finished, if that is still possible.
    ~SeriesLoader();

    /// Adds a key with its buckets, which may be none. Each key once.
    void add(std::uint64_t key, std::span<const Point> points);

    /// Makes the added keys the contents of the series. Returns the LSN of the last event.
    Lsn finish();

private:
    void flush();

    std::string series_;
    std::string id_;
    Execute execute_;
    std::vector<mutation::Item> items_;
    std::uint64_t chunk_seq_ = 0;
    bool is_open_ = false;
};

}  // namespace karma
