#include "persist/snapshot_store.h"

#include <cstring>
#include <set>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/error.h"

namespace karma {
namespace {

constexpr std::uint32_t manifest_version = 1;
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

using Packer = msgpack::packer<msgpack::sbuffer>;

void pack_series(Packer& packer, const SnapshotStore::SeriesEntry& entry) {
    packer.pack_array(8);
    packer.pack(entry.name);
    packer.pack(entry.lsn);
    packer.pack(entry.totals.keys);
    packer.pack(entry.totals.buckets);
    packer.pack(static_cast<std::uint64_t>(entry.totals.total >> 64U));
    packer.pack(static_cast<std::uint64_t>(entry.totals.total));
    packer.pack(entry.pages);
    packer.pack(entry.bytes);
}

std::string encode(const SnapshotStore::Manifest& manifest) {
    msgpack::sbuffer buffer;
    Packer packer(buffer);
    packer.pack_array(6);
    packer.pack(manifest_version);
    packer.pack(manifest.full);
    packer.pack(manifest.lsn);
    packer.pack(manifest.created_ms);
    packer.pack_array(static_cast<std::uint32_t>(manifest.series.size()));
    for (const SnapshotStore::SeriesEntry& entry : manifest.series) {
        pack_series(packer, entry);
    }
    packer.pack_array(static_cast<std::uint32_t>(manifest.checkpoints.size()));
    for (const reply::Checkpoint& checkpoint : manifest.checkpoints) {
        packer.pack_array(4);
        packer.pack(checkpoint.source);
        packer.pack(checkpoint.offset);
        packer.pack(checkpoint.event_id);
        packer.pack(checkpoint.updated_at_unix);
    }
    return {buffer.data(), buffer.size()};
}

using EncodedSeries = std::tuple<std::string, Lsn, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                                 std::uint64_t, std::uint64_t>;
using EncodedCheckpoint =
    std::tuple<std::string, std::optional<std::string>, std::optional<std::string>, std::int64_t>;
using EncodedManifest = std::tuple<std::uint32_t, bool, Lsn, std::int64_t, std::vector<EncodedSeries>,
                                   std::vector<EncodedCheckpoint>>;

SnapshotStore::Manifest decode(std::uint64_t id, std::string_view bytes) {
    const std::string what = "snapshot manifest " + std::to_string(id);
    EncodedManifest encoded;
    try {
        msgpack::unpack(bytes.data(), bytes.size()).get().convert(encoded);
    } catch (const std::exception& failure) {
        throw CorruptionError(what + " is damaged: " + failure.what());
    }
    if (std::get<0>(encoded) != manifest_version) {
        throw CorruptionError(what + " is of version " + std::to_string(std::get<0>(encoded)) +
                              ", this program reads version " + std::to_string(manifest_version));
    }
    SnapshotStore::Manifest manifest{id, std::get<1>(encoded), std::get<2>(encoded), std::get<3>(encoded), {},
                                     {}};
    for (auto& [name, lsn, keys, buckets, high, low, pages, size] : std::get<4>(encoded)) {
        manifest.series.push_back(
            {std::move(name), lsn, {keys, buckets, (Uint128{high} << 64U) | low}, pages, size});
    }
    for (auto& [source, offset, event_id, updated] : std::get<5>(encoded)) {
        manifest.checkpoints.push_back({std::move(source), std::move(offset), std::move(event_id), updated});
    }
    return manifest;
}

}  // namespace

SnapshotStore::SnapshotStore(Storage& storage) : storage_(storage) {
    storage_.scan(Table::snapshots, "m", [this](std::string_view key, std::string_view value) {
        std::uint64_t id = 0;
        for (const char c : key.substr(1)) {
            id = (id << 8U) | static_cast<unsigned char>(c);
        }
        manifests_.emplace(id, decode(id, unsealed(value, "snapshot manifest " + std::to_string(id))));
        return true;
    });
}

void SnapshotStore::save_all(const StateView& view, std::int64_t now_ms, unsigned retained) {
    save({0, true, view.lsn, now_ms, {}, view.checkpoints}, view.series, retained);
}

void SnapshotStore::save_series(const SeriesView& view, std::int64_t now_ms, unsigned retained) {
    save({0, false, view.lsn(), now_ms, {}, {}}, {view}, retained);
}

void SnapshotStore::save(Manifest manifest, const std::vector<SeriesView>& views, unsigned retained) {
    const std::lock_guard saving(saving_);
    {
        const std::lock_guard lock(mutex_);
        manifest.id = manifests_.empty() ? 1 : manifests_.begin()->first + 1;
    }
    storage_.erase_prefix(Table::snapshots, pages_prefix(manifest.id));  // of one that a crash cut short
    std::vector<RecordChange> batch;
    std::size_t batch_bytes = 0;
    for (std::size_t number = 0; number < views.size(); ++number) {
        const SeriesView& view = views[number];
        // A full snapshot holds every event up to its LSN, also those that touched other series.
        SeriesEntry entry{view.name(), manifest.full ? manifest.lsn : view.lsn(), view.totals(),
                          view.pages().size(), 0};
        for (std::size_t page = 0; page < view.pages().size(); ++page) {
            const std::string_view image = view.pages()[page]->image();
            entry.bytes += image.size();
            batch_bytes += image.size();
            batch.push_back({Table::snapshots, page_key(manifest.id, number, page), sealed(image)});
            if (batch_bytes >= batch_bytes_max) {
                storage_.write(batch, false);
                batch.clear();
                batch_bytes = 0;
            }
        }
        manifest.series.push_back(std::move(entry));
    }
    batch.push_back({Table::snapshots, manifest_key(manifest.id), sealed(encode(manifest))});
    storage_.write(batch, true);
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

Series SnapshotStore::load(const Manifest& manifest, std::size_t number) const {
    const SeriesEntry& entry = manifest.series[number];
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

Lsn SnapshotStore::restore(Engine& engine) const {
    const std::lock_guard lock(mutex_);
    std::set<std::string, std::less<>> restored;
    for (const auto& entry : manifests_) {
        const Manifest& manifest = entry.second;
        for (std::size_t number = 0; number < manifest.series.size(); ++number) {
            if (restored.insert(manifest.series[number].name).second) {
                engine.restore_series(load(manifest, number));
            }
        }
        if (manifest.full) {
            engine.restore_checkpoints(manifest.checkpoints);
            engine.restore_last_lsn(manifest.lsn);
            return manifest.lsn;
        }
    }
    engine.restore_last_lsn(0);
    return 0;
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
