#include "persist/manifest_codec.h"

#include <algorithm>
#include <tuple>

#include <msgpack.hpp>

#include "engine/error.h"
#include "engine/msgpack_bytes.h"
#include "engine/record_codec.h"

namespace karma {
namespace {

// Version 1 ended after the checkpoints, version 2 before the page id, version 3 before the epochs, version 4
// after them.
constexpr std::uint32_t manifest_version = 5;

/// The elements of a manifest of each version.
constexpr std::size_t elements_of[] = {0, 6, 10, 11, 12, 13};

using Packer = msgpack::packer<msgpack::sbuffer>;

void pack_series(Packer& packer, const SnapshotSeries& entry) {
    packer.pack_array(9);
    packer.pack(entry.name);
    packer.pack(entry.lsn);
    packer.pack(entry.totals.keys);
    packer.pack(entry.totals.buckets);
    packer.pack(static_cast<std::uint64_t>(entry.totals.total >> 64U));
    packer.pack(static_cast<std::uint64_t>(entry.totals.total));
    packer.pack(entry.pages);
    packer.pack(entry.bytes);
    packer.pack(entry.tree_bytes);
}

void pack_stream(Packer& packer, const SnapshotStream& entry) {
    packer.pack_array(2);
    const std::string info = encode_stream(entry.info);
    packer.pack_bin(static_cast<std::uint32_t>(info.size()));
    packer.pack_bin_body(info.data(), static_cast<std::uint32_t>(info.size()));
    if (entry.staged) {
        pack_series(packer, *entry.staged);
    } else {
        packer.pack_nil();
    }
}

void pack_checkpoint(Packer& packer, const reply::Checkpoint& checkpoint) {
    packer.pack_array(4);
    packer.pack(checkpoint.source);
    packer.pack(checkpoint.offset);
    packer.pack(checkpoint.event_id);
    packer.pack(checkpoint.updated_at_unix);
}

void pack_epoch(Packer& packer, const Epoch& epoch) {
    packer.pack_array(3);
    packer.pack(epoch.number);
    packer.pack(epoch.id);
    packer.pack(epoch.first_lsn);
}

template <typename Entries, typename Pack>
void pack_all(Packer& packer, const Entries& entries, Pack&& pack) {
    packer.pack_array(static_cast<std::uint32_t>(entries.size()));
    for (const auto& entry : entries) {
        pack(packer, entry);
    }
}

using EncodedSeries = std::tuple<std::string, Lsn, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                                 std::uint64_t, std::uint64_t, std::uint64_t>;
using EncodedCheckpoint =
    std::tuple<std::string, std::optional<std::string>, std::optional<std::string>, std::int64_t>;
using EncodedStream = std::tuple<std::string, std::optional<EncodedSeries>>;
using EncodedEpoch = std::tuple<std::uint64_t, std::uint64_t, Lsn>;
using EncodedManifest =
    std::tuple<std::uint32_t, bool, Lsn, std::int64_t, std::vector<EncodedSeries>,
               std::vector<EncodedCheckpoint>, std::int64_t, std::vector<EncodedStream>, std::uint64_t,
               std::uint64_t, std::uint64_t, std::vector<EncodedEpoch>, Lsn>;
static_assert(std::tuple_size_v<EncodedManifest> == elements_of[manifest_version]);

SnapshotSeries to_series(EncodedSeries& encoded) {
    auto& [name, lsn, keys, buckets, high, low, pages, bytes, tree_bytes] = encoded;
    return {std::move(name), lsn, {keys, buckets, (Uint128{high} << 64U) | low}, pages, bytes, tree_bytes, 0};
}

SnapshotStream to_stream(EncodedStream& encoded) {
    SnapshotStream entry{decode_stream(std::get<0>(encoded)), {}};
    if (std::get<1>(encoded)) {
        entry.staged = to_series(*std::get<1>(encoded));
    }
    return entry;
}

SnapshotManifest to_manifest(std::uint64_t id, EncodedManifest& encoded) {
    auto& [version, full, lsn, created_ms, series, checkpoints, file_unix, streams, records, committed,
           next_page_id, epochs, first_record_lsn] = encoded;
    SnapshotManifest manifest;
    manifest.id = id;
    manifest.full = full;
    manifest.lsn = lsn;
    manifest.created_ms = created_ms;
    manifest.file_unix = version == 1 ? created_ms / 1000 : file_unix;
    for (EncodedSeries& entry : series) {
        manifest.series.push_back(to_series(entry));
    }
    for (auto& [source, offset, event_id, updated] : checkpoints) {
        manifest.checkpoints.push_back({std::move(source), std::move(offset), std::move(event_id), updated});
    }
    for (EncodedStream& entry : streams) {
        manifest.streams.push_back(to_stream(entry));
    }
    manifest.idempotency_records = records;
    manifest.committed_streams = committed;
    manifest.has_page_lists = version >= 3;
    manifest.next_page_id = std::max<std::uint64_t>(next_page_id, 1);
    for (const auto& [epoch, epoch_id, first_lsn] : epochs) {
        manifest.epochs.push_back({epoch, epoch_id, first_lsn});
    }
    manifest.first_record_lsn = first_record_lsn;
    std::size_t number = 0;
    for (SnapshotSeries& entry : manifest.series) {
        entry.number = number++;
    }
    for (SnapshotStream& stream : manifest.streams) {
        if (stream.staged) {
            stream.staged->number = number++;
        }
    }
    return manifest;
}

}  // namespace

std::string encode_manifest(const SnapshotManifest& manifest) {
    msgpack::sbuffer buffer;
    Packer packer(buffer);
    packer.pack_array(std::tuple_size_v<EncodedManifest>);
    packer.pack(manifest_version);
    packer.pack(manifest.full);
    packer.pack(manifest.lsn);
    packer.pack(manifest.created_ms);
    pack_all(packer, manifest.series, pack_series);
    pack_all(packer, manifest.checkpoints, pack_checkpoint);
    packer.pack(manifest.file_unix);
    pack_all(packer, manifest.streams, pack_stream);
    packer.pack(manifest.idempotency_records);
    packer.pack(manifest.committed_streams);
    packer.pack(manifest.next_page_id);
    pack_all(packer, manifest.epochs, pack_epoch);
    packer.pack(manifest.first_record_lsn);
    return {buffer.data(), buffer.size()};
}

SnapshotManifest decode_manifest(std::uint64_t id, std::string_view bytes) {
    const std::string what = "snapshot manifest " + std::to_string(id);
    EncodedManifest encoded;
    try {
        const msgpack::object_handle handle = unpack_stored(bytes);
        const msgpack::object& object = handle.get();
        if (object.type != msgpack::type::ARRAY || object.via.array.size == 0) {
            throw CorruptionError("not of a form that this program knows");
        }
        const auto version = object.via.array.ptr[0].as<std::uint32_t>();
        if (version == 0 || version > manifest_version) {
            throw CorruptionError("of version " + std::to_string(version) +
                                  ", this program reads versions up to " + std::to_string(manifest_version));
        }
        if (object.via.array.size != elements_of[version]) {
            throw CorruptionError("of " + std::to_string(object.via.array.size) + " elements instead of " +
                                  std::to_string(elements_of[version]));
        }
        object.convert(encoded);  // what an earlier version has not keeps its default
        return to_manifest(id, encoded);
    } catch (const std::exception& failure) {
        throw CorruptionError(what + " is damaged: " + failure.what());
    }
}

}  // namespace karma
