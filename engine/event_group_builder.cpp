#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/event_codec.h"
#include "engine/event_kind.h"
#include "engine/msgpack_bytes.h"
#include "engine/replicated.h"

namespace karma {
namespace {

/// Writes the fact of one event: an array of its kind, the milliseconds since the group's first event, what
/// the kind needs, and the idempotency key where it has one. Series are numbers into the group's list, days
/// are relative to the group's base day.
class Encoder {
public:
    /// `series`: the numbers of the series of the event, which outlive this.
    Encoder(std::string& out, std::int64_t delta_ms, Day base_day, std::span<const std::uint32_t> series,
            bool has_key)
        : appender_{out},
          packer_(appender_),
          delta_ms_(delta_ms),
          base_day_(base_day),
          series_(series),
          has_key_(has_key) {}

    void key(std::string_view key) { packer_.pack(key); }

    void operator()(const fact::CreateSeries&) { begin(EventKind::create_series, 1); }
    void operator()(const fact::DropSeries&) { begin(EventKind::drop_series, 1); }
    void operator()(const fact::Increment& m) {
        begin(EventKind::increment, 4);
        point(m.key, m.day, m.value);
    }
    void operator()(const fact::Decrement& m) {
        begin(EventKind::decrement, 4);
        point(m.key, m.day, m.value);
    }
    void operator()(const fact::BatchAdd& m) {
        begin(EventKind::batch_add, 2);
        items(m.items);
    }
    void operator()(const fact::BatchSet& m) {
        begin(EventKind::batch_set, 2);
        items(m.items);
    }
    void operator()(const fact::MultiAdd& m) {
        head(EventKind::multi_add, 1);
        packer_.pack_array(static_cast<std::uint32_t>(m.items.size() * 4));
        for (std::size_t i = 0; i < m.items.size(); ++i) {
            packer_.pack(series_[i]);
            const mutation::SeriesItem item = m.items[i];
            point(item.key, item.day, item.value);
        }
    }
    void operator()(const fact::ResetCounter& m) {
        begin(EventKind::reset_counter, 2);
        packer_.pack(m.key);
    }
    void operator()(const fact::ResetSeries&) { begin(EventKind::reset_series, 1); }
    void operator()(const fact::BatchReset& m) {
        begin(EventKind::batch_reset, 2);
        keys(m.keys);
    }
    void operator()(const fact::DeleteCounterRange& m) {
        begin(EventKind::delete_counter_range, 4);
        packer_.pack(m.key);
        range(m.range);
    }
    void operator()(const fact::DeleteSeriesRange& m) {
        begin(EventKind::delete_series_range, 3);
        range(m.range);
    }
    void operator()(const fact::BatchDeleteRange& m) {
        begin(EventKind::batch_delete_range, 4);
        keys(m.keys);
        range(m.range);
    }
    void operator()(const fact::DeleteBefore& m) {
        begin(EventKind::delete_before, 2);
        day(m.before);
    }
    void operator()(const fact::CompactSeries&) { begin(EventKind::compact_series, 1); }
    void operator()(const fact::CompactAll&) { head(EventKind::compact_all, 0); }
    void operator()(const fact::SaveCheckpoint& m) {
        head(EventKind::save_checkpoint, 3);
        packer_.pack(m.source);
        packer_.pack(m.offset);
        packer_.pack(m.event_id);
    }
    void operator()(const fact::BeginStream& m) {
        head(EventKind::begin_stream, 3);
        packer_.pack(m.stream_id);
        packer_.pack(static_cast<std::uint8_t>(m.mode));
        packer_.pack(m.granularity);
    }
    void operator()(const fact::AddChunk& m) {
        begin(EventKind::add_chunk, 5);
        packer_.pack(m.stream_id);
        packer_.pack(m.chunk_seq);
        packer_.pack_bin(static_cast<std::uint32_t>(m.fingerprint.bytes.size()));
        packer_.pack_bin_body(reinterpret_cast<const char*>(m.fingerprint.bytes.data()),
                              static_cast<std::uint32_t>(m.fingerprint.bytes.size()));
        items(m.items);
    }
    void operator()(const fact::CommitStream& m) {
        head(EventKind::commit_stream, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const fact::AbortStream& m) {
        head(EventKind::abort_stream, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const fact::LoadSeries& m) {
        head(EventKind::load_series, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const fact::PruneRecords& m) {
        head(EventKind::prune_records,
             m.below_lsn == 0 ? 2 : 3);  // as it was written, so that its checksum stays
        packer_.pack(m.before_unix);
        packer_.pack(m.limit);
        if (m.below_lsn != 0) {
            packer_.pack(m.below_lsn);
        }
    }
    void operator()(const fact::StartEpoch& m) {
        head(EventKind::start_epoch, m.node == 0 ? 2 : 3);  // as it was written, so that its checksum stays
        packer_.pack(m.number);
        packer_.pack(m.id);
        if (m.node != 0) {
            packer_.pack(m.node);
        }
    }
    void operator()(const fact::PruneStreams& m) {
        head(EventKind::prune_streams, 4);
        packer_.pack(m.before_unix);
        packer_.pack(m.limit);
        packer_.pack(m.last_unix);
        packer_.pack(m.last_id);
    }

private:
    void head(EventKind kind, std::uint32_t fields) {
        packer_.pack_array(fields + 2 + (has_key_ ? 1 : 0));
        packer_.pack(static_cast<std::uint8_t>(kind));
        packer_.pack(delta_ms_);
    }
    void begin(EventKind kind, std::uint32_t fields) {
        head(kind, fields);
        packer_.pack(series_.front());
    }
    void day(Day day) { packer_.pack(static_cast<std::int32_t>(day) - static_cast<std::int32_t>(base_day_)); }
    void point(std::uint64_t key, Day at, std::uint64_t value) {
        packer_.pack(key);
        day(at);
        packer_.pack(value);
    }
    void range(DayRange range) {
        day(range.from);
        day(range.to);
    }
    void items(std::span<const mutation::Item> items) {
        packer_.pack_array(static_cast<std::uint32_t>(items.size() * 3));
        for (const mutation::Item& item : items) {
            point(item.key, item.day, item.value);
        }
    }
    void keys(std::span<const std::uint64_t> keys) {
        packer_.pack_array(static_cast<std::uint32_t>(keys.size()));
        for (const std::uint64_t key : keys) {
            packer_.pack(key);
        }
    }

    Appender appender_;
    msgpack::packer<Appender> packer_;
    std::int64_t delta_ms_;
    Day base_day_;
    std::span<const std::uint32_t> series_;
    bool has_key_;
};

/// The day that most days of an event are near to.
Day reference_day(const Fact& body) noexcept {
    return std::visit(
        [](const auto& m) -> Day {
            if constexpr (requires { m.day; }) {
                return m.day;
            } else if constexpr (requires { m.items; }) {
                return m.items.empty() ? 0 : m.items[0].day;
            } else if constexpr (requires { m.range; }) {
                return m.range.from;
            } else {
                return 0;
            }
        },
        body);
}

/// So many names are looked through one by one.
constexpr std::uint32_t few_names = 8;

}  // namespace

std::optional<std::uint32_t> EventGroupBuilder::find_number(std::string_view name) const noexcept {
    for (std::uint32_t i = 0; i < std::min(name_count_, few_names); ++i) {
        if (names_[i] == name) {
            return i;
        }
    }
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::uint32_t EventGroupBuilder::series_number(std::string_view name) {
    if (last_number_ < name_count_ && names_[last_number_] == name) {
        return last_number_;
    }
    if (const std::optional<std::uint32_t> known = find_number(name)) {
        last_number_ = *known;
        return last_number_;
    }
    last_number_ = name_count_++;
    if (last_number_ < names_.size()) {
        names_[last_number_] = name;
    } else {
        names_.emplace_back(name);
    }
    if (last_number_ >= few_names) {
        numbers_.emplace(name, last_number_);
    }
    return last_number_;
}

void EventGroupBuilder::add(const Event& event) {
    if (count_ == 0) {
        first_lsn_ = event.lsn;
        base_time_ms_ = event.time_ms;
        base_day_ = reference_day(event.body);
    }
    event_series_.clear();
    if (const auto* const multi = std::get_if<fact::MultiAdd>(&event.body)) {
        for (const mutation::SeriesItem& item : multi->items) {
            event_series_.push_back(series_number(item.series));
        }
    } else if (const std::string_view series = series_of(event.body); !series.empty()) {
        event_series_.push_back(series_number(series));
    }
    const bool has_key = !event.idempotency_key.empty();
    Encoder encoder(events_, event.time_ms - base_time_ms_, base_day_, event_series_, has_key);
    std::visit(encoder, event.body);
    if (has_key) {
        encoder.key(event.idempotency_key);
    }
    ++count_;
}

void EventGroupBuilder::finish(std::string& out) {
    head_.clear();
    {
        Appender appender{head_};
        msgpack::packer<Appender> packer(appender);
        packer.pack_array(5);
        packer.pack(first_lsn_);
        packer.pack(base_time_ms_);
        packer.pack(base_day_);
        packer.pack_array(name_count_);
        for (std::uint32_t i = 0; i < name_count_; ++i) {
            packer.pack(names_[i]);
        }
        packer.pack_array(count_);
    }
    const std::uint32_t sum = crc32_of(events_, crc32_of(head_));
    out.clear();
    Appender appender{out};
    msgpack::packer<Appender> packer(appender);
    packer.pack_array(3);
    packer.pack(group_version);
    packer.pack(sum);
    packer.pack_bin(static_cast<std::uint32_t>(head_.size() + events_.size()));
    out += head_;
    out += events_;
    events_.clear();
    if (name_count_ > 1000) {
        names_.clear();  // not kept for ever
        event_series_ = {};
    }
    name_count_ = 0;
    numbers_.clear();
    count_ = 0;
    last_number_ = 0;
}

std::uint32_t checksum_of(const Event& event) {
    EventGroupBuilder alone;
    alone.add(event);
    std::string bytes;
    alone.finish(bytes);
    return crc32_of(bytes);
}

}  // namespace karma
