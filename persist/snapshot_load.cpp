#include "persist/snapshot_load.h"

#include <cstring>
#include <exception>
#include <utility>

namespace karma {
namespace {

/// Items of one event: so few that nobody waits long while it is applied.
constexpr std::size_t chunk_items = 4096;

}  // namespace

SeriesLoader::SeriesLoader(std::string series, std::string id, Execute execute)
    : series_(std::move(series)), id_(std::move(id)), execute_(std::move(execute)) {
    items_.reserve(chunk_items);
    execute_(mutation::BeginStream{id_, IngestMode::replace_series, std::nullopt}, {});
    is_open_ = true;
}

SeriesLoader::~SeriesLoader() {
    if (!is_open_) {
        return;
    }
    try {
        execute_(mutation::AbortStream{id_}, {});
    } catch (const std::exception&) {
        // The log has failed; the next start does it.
    }
}

void SeriesLoader::add(std::uint64_t key, std::span<const Point> points) {
    if (points.empty()) {
        items_.push_back({key, 1, 0});  // a bucket that is set to 0 makes the key and nothing else
    }
    for (const Point& point : points) {
        items_.push_back({key, point.day, point.value});
        if (items_.size() >= chunk_items) {
            flush();
        }
    }
    if (items_.size() >= chunk_items) {
        flush();
    }
}

void SeriesLoader::flush() {
    ++chunk_seq_;
    // A chunk of this stream is never repeated: its number is enough to tell it.
    Fingerprint fingerprint;
    std::memcpy(fingerprint.bytes.data(), &chunk_seq_, sizeof chunk_seq_);
    execute_(mutation::AddChunk{id_, series_, chunk_seq_, items_}, fingerprint);
    items_.clear();
}

Lsn SeriesLoader::finish() {
    if (!items_.empty() || chunk_seq_ == 0) {
        flush();
    }
    const Lsn lsn = execute_(mutation::LoadSeries{id_}, {});
    is_open_ = false;
    return lsn;
}

}  // namespace karma
