#include "persist/snapshot_store.h"

#include <cstring>
#include <set>

#include "engine/checksum.h"
#include "engine/error.h"
#include "persist/manifest_codec.h"
#include "persist/record_store.h"

namespace karma {
namespace {

constexpr std::size_t batch_bytes_max = 1U << 20U;

void append_big_endian(std::string& out, std::uint64_t number, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) {
        out.push_back(static_cast<char>(number >> (8 * i)));
    }
}

std::string manifest_key(std::uint64_t id) {
    std::string key = "m";
    append_big_endian(key, id, 8);
    return key;
}

std::string pages_prefix(std::uint64_t id) {
    std::string key = "p";
    append_big_endian(key, id, 8);
    return key;
}

std::string page_key(std::uint64_t id, std::size_t series, std::size_t page) {
    std::string key = pages_prefix(id);
    append_big_endian(key, series, 4);
    append_big_endian(key, page, 4);
    return key;
}

/// A stored value: the CRC-32 of what follows, then that.
std::string sealed(std::string_view bytes) {
    const std::uint32_t sum = crc32_of(bytes);
    std::string value(sizeof sum, '\0');
    std::memcpy(value.data(), &sum, sizeof sum);
    value.append(bytes);
    return value;
}

std::string_view unsealed(std::string_view value, const std::string& what) {
    std::uint32_t sum = 0;
    if (value.size() < sizeof sum) {
        throw CorruptionError(what + " is too short");
    }
    std::memcpy(&sum, value.data(), sizeof sum);
    value.remove_prefix(sizeof sum);
    if (crc32_of(value) != sum) {
        throw CorruptionError(what + ": the checksum does not match");
    }
    return value;
}

}  // namespace

SnapshotStore::SnapshotStore(Storage& storage) : storage_(storage) {
    storage_.scan(Table::snapshots, "m", [this](std::string_view key, std::string_view value) {
        std::uint64_t id = 0;
        for (const char c : key.substr(1)) {
            id = (id << 8U) | static_cast<unsigned char>(c);
        }
        manifests_.emplace(id,
                           decode_manifest(id, unsealed(value, "snapshot manifest " + std::to_string(id))));
        return true;
    });
}

namespace {

SnapshotStore::SeriesEntry entry_of(const SeriesView& view, Lsn lsn) {
    return {view.name(), lsn, view.totals(), view.pages().size(), view.bytes()};
}

/// Writes pages under the keys of a snapshot, some at a time.
class PageWriter {
public:
    PageWriter(Storage& storage, std::uint64_t id) : storage_(storage), id_(id) {}

    void write(const SeriesView& view) {
        for (std::size_t page = 0; page < view.pages().size(); ++page) {
            const std::string_view image = view.pages()[page]->image();
            batch_bytes_ += image.size();
            batch_.push_back({Table::snapshots, page_key(id_, series_, page), sealed(image)});
            if (batch_bytes_ >= batch_bytes_max) {
                storage_.write(batch_, false);
                batch_.clear();
                batch_bytes_ = 0;
            }
        }
        ++series_;
    }

    /// What was not written yet.
    std::vector<RecordChange> take_rest() { return std::move(batch_); }

private:
    Storage& storage_;
    std::uint64_t id_;
    std::size_t series_ = 0;
    std::vector<RecordChange> batch_;
    std::size_t batch_bytes_ = 0;
};

}  // namespace

void SnapshotStore::save_all(const StateView& view, std::int64_t now_ms, unsigned retained,
                             std::vector<RecordChange> changes) {
    Manifest manifest;
    manifest.full = true;
    manifest.lsn = view.lsn;
    manifest.created_ms = now_ms;
    manifest.checkpoints = view.checkpoints;
    manifest.idempotency_records = view.idempotency_record_count;
    manifest.committed_streams = view.committed_stream_count;
    std::vector<SeriesView> views = view.series;
    for (const StreamView& stream : view.streams) {
        manifest.streams.push_back({stream.info, {}});
        if (stream.staged) {
            manifest.streams.back().staged = entry_of(*stream.staged, view.lsn);
            views.push_back(*stream.staged);
        }
    }
    // It holds every event up to its LSN, also those that touched other series.
    for (const SeriesView& series : view.series) {
        manifest.series.push_back(entry_of(series, view.lsn));
    }
    save(std::move(manifest), views, retained, std::move(changes));
}

void SnapshotStore::save_series(const SeriesView& view, Lsn lsn, std::int64_t now_ms, unsigned retained) {
    Manifest manifest;
    manifest.lsn = lsn;
    manifest.created_ms = now_ms;
    manifest.series.push_back(entry_of(view, lsn));
    save(std::move(manifest), {view}, retained, {});
}

void SnapshotStore::save(Manifest manifest, const std::vector<SeriesView>& views, unsigned retained,
                         std::vector<RecordChange> changes) {
    const std::lock_guard saving(saving_);
    manifest.id = 1;
    manifest.file_unix = manifest.created_ms / 1000;
    {
        const std::lock_guard lock(mutex_);
        if (!manifests_.empty()) {
            manifest.id = manifests_.begin()->first + 1;
            manifest.file_unix = std::max(manifest.file_unix, manifests_.begin()->second.file_unix + 1);
        }
    }
    storage_.erase_prefix(Table::snapshots, pages_prefix(manifest.id));  // of one that a crash cut short
    PageWriter pages(storage_, manifest.id);
    for (const SeriesView& view : views) {
        pages.write(view);
    }
    for (RecordChange& change : pages.take_rest()) {
        changes.push_back(std::move(change));
    }
    changes.push_back({Table::snapshots, manifest_key(manifest.id), sealed(encode_manifest(manifest))});
    storage_.write(changes, true);
    {
        const std::lock_guard lock(mutex_);
        manifests_.emplace(manifest.id, std::move(manifest));
    }
    prune(retained);
}

void SnapshotStore::prune(unsigned retained) {
    std::vector<std::uint64_t> dropped;
    {
        const std::lock_guard lock(mutex_);
        // Snapshots seen of each series, from the newest on. A series that is neither in the newest full
        // snapshot nor in a later one has been dropped: nothing of it is kept.
        std::map<std::string, unsigned, std::less<>> seen;
        bool has_full = false;
        for (const auto& [id, manifest] : manifests_) {
            const bool is_recent = !has_full;
            bool needed = manifest.full && !has_full;  // what a restart begins with
            has_full = has_full || manifest.full;
            for (const SeriesEntry& entry : manifest.series) {
                const auto known = is_recent ? seen.try_emplace(entry.name).first : seen.find(entry.name);
                if (known != seen.end() && ++known->second <= std::max(retained, 1U)) {
                    needed = true;
                }
            }
            if (!needed) {
                dropped.push_back(id);
            }
        }
    }
    for (const std::uint64_t id : dropped) {
        const RecordChange change{Table::snapshots, manifest_key(id), std::nullopt};
        storage_.write(std::span(&change, 1), false);
        storage_.erase_prefix(Table::snapshots, pages_prefix(id));
        const std::lock_guard lock(mutex_);
        manifests_.erase(id);
    }
}

Series SnapshotStore::load(const Manifest& manifest, const SeriesEntry& entry, std::size_t number) const {
    std::string prefix = pages_prefix(manifest.id);
    append_big_endian(prefix, number, 4);
    std::vector<PageRef> pages;
    storage_.scan(Table::snapshots, prefix, [&](std::string_view, std::string_view value) {
        const std::string what = "snapshot " + std::to_string(manifest.id) + ", series \"" + entry.name +
                                 "\", page " + std::to_string(pages.size());
        try {
            pages.push_back(Page::from_image(unsealed(value, what)));
        } catch (const CorruptionError& failure) {
            throw CorruptionError(what + ": " + failure.what());
        }
        return true;
    });
    if (pages.size() != entry.pages) {
        throw CorruptionError("snapshot " + std::to_string(manifest.id) + ", series \"" + entry.name +
                              "\": " + std::to_string(pages.size()) + " pages instead of " +
                              std::to_string(entry.pages));
    }
    return Series::from_pages(entry.name, std::move(pages), entry.totals, entry.lsn);
}

void SnapshotStore::restore_base(const Manifest& manifest, Engine& engine) const {
    std::size_t number = manifest.series.size();
    for (const StreamEntry& stream : manifest.streams) {
        std::unique_ptr<Series> staged;
        if (stream.staged) {
            staged = std::make_unique<Series>(load(manifest, *stream.staged, number));
            ++number;
        }
        engine.restore_stream(stream.info, std::move(staged));
    }
    engine.restore_checkpoints(manifest.checkpoints);
}

Lsn SnapshotStore::restore(Engine& engine, const HistoryPoint& until) const {
    std::set<std::string, std::less<>> restored;
    Lsn base_lsn = 0;
    for (const Manifest& manifest : manifests()) {
        if (!until.includes(manifest.lsn, manifest.created_ms)) {
            continue;
        }
        for (std::size_t number = 0; number < manifest.series.size(); ++number) {
            const SeriesEntry& entry = manifest.series[number];
            if (restored.insert(entry.name).second) {
                engine.restore_series(load(manifest, entry, number));
            }
        }
        if (manifest.full) {
            restore_base(manifest, engine);
            base_lsn = manifest.lsn;
            break;
        }
    }
    // Streams that were committed later are open at this LSN: their commit is in the log.
    read_committed_streams(storage_, base_lsn,
                           [&](StreamInfo stream) { engine.restore_stream(std::move(stream), nullptr); });
    engine.restore_last_lsn(base_lsn);
    return base_lsn;
}

std::vector<SnapshotStore::Manifest> SnapshotStore::manifests() const {
    const std::lock_guard lock(mutex_);
    std::vector<Manifest> all;
    for (const auto& entry : manifests_) {
        all.push_back(entry.second);
    }
    return all;
}

Lsn SnapshotStore::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return manifests_.empty() ? 0 : manifests_.begin()->second.lsn;
}

}  // namespace karma
