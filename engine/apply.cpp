#include "engine/apply.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace karma {
void Applier::count_keys() {
    if (Series* const series = std::exchange(touched_, nullptr)) {
        engine_.keys_of_series_ += series->totals().keys - keys_before_;
    }
}

Series* Applier::touch(std::string_view name) { return touch(engine_.series_.find(name)); }

Series* Applier::touch(Series* series) {
    if (series == nullptr || series->last_lsn() >= event_.lsn) {
        return nullptr;
    }
    engine_.keep_for_view(*series);
    return mark(*series);
}

Series* Applier::mark(Series& series) {
    series.set_last_lsn(event_.lsn);
    touched_ = &series;
    keys_before_ = series.totals().keys;
    return &series;
}

Series* Applier::touch_or_create(std::string_view name) {
    Series* series = engine_.series_.find(name);
    if (series == nullptr) {
        engine_.series_.exchange(std::make_unique<Series>(std::string(name), engine_.hash_seed()));
        engine_.catalog_lsn_ = event_.lsn;
        return mark(*engine_.series_.find(name));  // no view has it
    }
    return touch(series);
}

Reply Applier::operator()(const fact::CreateSeries& m) {
    touch_or_create(m.series);
    return reply::Ok{};
}

Reply Applier::operator()(const fact::DropSeries& m) {
    if (touch(m.series) != nullptr) {
        engine_.keys_of_series_ -= std::exchange(touched_, nullptr)->totals().keys;
        engine_.defer_free(engine_.series_.remove(m.series));
        engine_.catalog_lsn_ = event_.lsn;
    }
    return reply::Ok{};
}

Reply Applier::operator()(const fact::Increment& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->add(m.key, m.day, m.value);
    }
    return reply::Number{m.value};
}

Reply Applier::operator()(const fact::Decrement& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->subtract(m.key, m.day, m.value);
    }
    return reply::Number{m.value};
}

Reply Applier::operator()(const fact::BatchAdd& m) {
    Uint128 total = 0;
    if (Series* const series = touch_or_create(m.series)) {
        for (const mutation::Item& item : m.items) {
            total += item.value;
        }
        series->add_all(m.items);
    }
    return reply::Added{m.items.size(), total};
}

Reply Applier::operator()(const fact::BatchSet& m) {
    if (m.items.empty()) {
        touch(m.series);  // nothing to set creates no series
        return reply::Applied{0};
    }
    if (Series* const series = touch_or_create(m.series)) {
        series->set_all(m.items);
    }
    return reply::Applied{m.items.size()};
}

/// Series by series, each of which is touched once.
Reply Applier::operator()(const fact::MultiAdd& m) {
    std::vector<std::uint32_t> order(m.items.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
        const int compared = m.items[a].series.compare(m.items[b].series);
        return compared != 0 ? compared < 0 : a < b;
    });
    std::optional<std::string_view> before;
    Series* series = nullptr;
    for (const std::uint32_t i : order) {
        const mutation::SeriesItem item = m.items[i];
        if (before != item.series) {
            count_keys();
            series = touch_or_create(item.series);
        }
        if (series != nullptr) {
            series->add(item.key, item.day, item.value);
        }
        before = item.series;
    }
    return reply::Applied{m.items.size()};
}

Reply Applier::operator()(const fact::ResetCounter& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->erase(m.key, DayRange{});
    }
    return reply::Ok{};
}

Reply Applier::operator()(const fact::ResetSeries& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->erase(DayRange{});
    }
    return reply::Ok{};
}

Reply Applier::operator()(const fact::BatchReset& m) {
    reply::BatchResetDone done;
    if (Series* const series = touch(m.series)) {
        for (const std::uint64_t key : m.keys) {
            ++(series->erase(key, DayRange{}) ? done.reset : done.missing);
        }
    }
    return done;
}

Reply Applier::operator()(const fact::DeleteCounterRange& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->erase(m.key, m.range);
    }
    return reply::Deleted{};
}

Reply Applier::operator()(const fact::DeleteSeriesRange& m) {
    if (Series* const series = touch_or_create(m.series)) {
        series->erase(m.range);
    }
    return reply::Deleted{};
}

Reply Applier::operator()(const fact::BatchDeleteRange& m) {
    reply::BatchDeleted done;
    if (Series* const series = touch(m.series)) {
        for (const std::uint64_t key : m.keys) {
            if (series->total(key) == 0) {
                ++done.missing;
            } else if (series->erase(key, m.range)) {
                ++done.deleted;
            }
        }
    }
    return done;
}

Reply Applier::operator()(const fact::DeleteBefore& m) {
    if (Series* const series = touch(m.series)) {
        if (m.before > 0) {
            series->erase(DayRange{0, m.before - 1});
        }
        series->drop_empty_keys();
    }
    return reply::Ok{};
}

Reply Applier::operator()(const fact::CompactSeries& m) {
    if (Series* const series = touch(m.series)) {
        series->drop_empty_keys();
    }
    return reply::Ok{};
}

Reply Applier::operator()(const fact::CompactAll&) {
    for (const auto& [name, series] : engine_.series_) {
        if (series->last_lsn() < event_.lsn) {
            engine_.keep_for_view(*series);
            series->set_last_lsn(event_.lsn);
            engine_.keys_of_series_ -= series->totals().keys;
            series->drop_empty_keys();
            engine_.keys_of_series_ += series->totals().keys;
        }
    }
    return reply::Ok{};
}

IngestStreams::Stream& Applier::open_stream(std::string_view id) {
    IngestStreams::Stream* const stream = engine_.open_streams().find(id);
    if (stream == nullptr || stream->info.is_committed()) {
        throw CorruptionError("event log: the event with LSN " + std::to_string(event_.lsn) +
                              " is of ingest stream \"" + std::string(id) + "\", which is not open");
    }
    return *stream;
}

Reply Applier::operator()(const fact::AddChunk& m) {
    IngestStreams::Stream& stream = open_stream(m.stream_id);
    switch (stream.info.mode) {
        case IngestMode::add: (*this)(fact::BatchAdd{m.series, m.items}); break;
        case IngestMode::set: (*this)(fact::BatchSet{m.series, m.items}); break;
        case IngestMode::replace_series:
            if (stream.staged == nullptr) {
                stream.staged = std::make_unique<Series>(std::string(m.series), engine_.hash_seed());
            }
            stream.staged->set_all(m.items);
            break;
    }
    engine_.open_streams().add_chunk(stream, m, event_.lsn);
    Uint128 total = 0;
    for (const mutation::Item& item : m.items) {
        total += item.value;
    }
    return reply::ChunkApplied{stream.info.id, m.chunk_seq, m.items.size(), total};
}

void Applier::install_staged(IngestStreams::Stream& stream) {
    if (stream.staged == nullptr) {
        return;
    }
    const Series* const before = engine_.find_series(stream.staged->name());
    if (before == nullptr || before->last_lsn() < event_.lsn) {
        if (before != nullptr) {
            engine_.keep_for_view(*before);
        }
        stream.staged->set_last_lsn(event_.lsn);
        engine_.keys_of_series_ += stream.staged->totals().keys;
        engine_.keys_of_series_ -= before == nullptr ? 0 : before->totals().keys;
        engine_.defer_free(engine_.series_.exchange(std::move(stream.staged)));
        engine_.catalog_lsn_ = event_.lsn;
    } else {
        engine_.defer_free(std::move(stream.staged));  // a snapshot of the series is newer
    }
}

Reply Applier::operator()(const fact::CommitStream& m) {
    install_staged(open_stream(m.stream_id));
    const StreamInfo& info = engine_.open_streams().commit(m.stream_id, event_.time_ms / 1000, event_.lsn);
    return reply::StreamEnded{info.id, true, info.last_chunk_seq()};
}

Reply Applier::operator()(const fact::AbortStream& m) {
    IngestStreams::Stream& stream = open_stream(m.stream_id);
    const reply::StreamEnded ended{stream.info.id, false, stream.info.last_chunk_seq()};
    engine_.defer_free(std::move(stream.staged));
    engine_.open_streams().abort(m.stream_id, event_.lsn);
    return ended;
}

Reply Applier::operator()(const fact::LoadSeries& m) {
    IngestStreams::Stream& stream = open_stream(m.stream_id);
    reply::SeriesLoaded loaded{stream.info.series.value_or("")};
    install_staged(stream);
    engine_.open_streams().abort(m.stream_id, event_.lsn);
    return loaded;
}

Reply Applier::operator()(const fact::PruneRecords& m) {
    engine_.keys().expire(engine_.records_unix(event_.time_ms));
    return reply::Pruned{m.below_lsn == 0 ? engine_.keys().prune(m.before_unix, m.limit)
                                          : engine_.keys().prune_below(m.below_lsn)};
}

}  // namespace karma
