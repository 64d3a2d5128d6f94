#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/reply.h"
#include "persist/snapshot_store.h"

/// Snapshots as clients know them: a file for each series that a snapshot holds, `<unix
/// seconds>_<series>.tree`.
namespace karma {

using Manifests = std::span<const SnapshotStore::ManifestRef>;  // newest first

/// A file: a series in a snapshot.
struct SnapshotFile {
    SnapshotStore::ManifestRef manifest;
    const SnapshotStore::SeriesEntry* series = nullptr;  // in the manifest

    std::string name() const;
    reply::SnapshotOf describe() const;
};

/// The files that clients see, newest first: the `per_series` latest of each series. Snapshots that are kept
/// longer, for `as_of`, have no file. A catalog is of some snapshots, whatever is stored or dropped later.
/// Thread-safe.
///
/// The index of the files is made when it is first needed, in a time proportional to the number of series in
/// the snapshots.
class SnapshotCatalog {
public:
    /// `manifests`: the newest first.
    SnapshotCatalog(std::vector<SnapshotStore::ManifestRef> manifests, unsigned per_series)
        : manifests_(std::move(manifests)), per_series_(per_series) {}

    const std::vector<SnapshotStore::ManifestRef>& manifests() const noexcept { return manifests_; }

    /// About how many bytes a list of all files has to read.
    std::size_t cost_bytes() const noexcept;
    /// Whether `count` is known without looking at all series.
    bool is_gathered() const noexcept { return is_gathered_.load(std::memory_order_acquire); }

    /// The number of files.
    std::uint64_t count() const { return places().files.size(); }
    /// The file with this name.
    std::optional<SnapshotFile> find(std::string_view name) const;

    /// The files after the one that the page's cursor names, up to the limit of the page.
    std::vector<SnapshotFile> files(const query::Page& page, bool& has_more) const;
    /// The same of the latest file of each series.
    std::vector<SnapshotFile> latest(const query::Page& page, bool& has_more) const;

private:
    /// A series in a snapshot, by their positions.
    struct Place {
        std::uint32_t manifest = 0;
        std::uint32_t series = 0;
        // Its results are compared with 0, which the linter takes for a pointer.
        // NOLINTNEXTLINE(modernize-use-nullptr)
        auto operator<=>(const Place&) const = default;
    };
    struct Places {
        std::vector<Place> files;
        std::vector<Place> latest;
    };

    const Places& places() const;
    std::optional<Place> place_of(std::string_view name, bool& is_there) const;
    std::vector<SnapshotFile> page_of(const std::vector<Place>& all, const query::Page& page,
                                      bool& has_more) const;
    SnapshotFile file_at(Place place) const;

    std::vector<SnapshotStore::ManifestRef> manifests_;
    unsigned per_series_;
    mutable std::once_flag gathered_;
    mutable std::atomic<bool> is_gathered_{false};
    mutable Places places_;
};

/// The catalog of a store, made once for each change of the store. Thread-safe.
class CurrentCatalog {
public:
    /// `snapshots` outlives this.
    CurrentCatalog(const SnapshotStore& snapshots, unsigned per_series)
        : snapshots_(snapshots), per_series_(per_series) {}

    /// Takes a short time, however much is stored.
    std::shared_ptr<const SnapshotCatalog> get();

private:
    const SnapshotStore& snapshots_;
    unsigned per_series_;
    std::mutex mutex_;
    std::uint64_t version_ =
        0;  // of the store when the catalog was made; under the mutex, as is the next one
    std::shared_ptr<const SnapshotCatalog> catalog_;
};

/// The idempotency file of a snapshot of everything.
reply::IdempotencySnapshot idempotency_snapshot(const SnapshotStore::Manifest& full);
/// The same of the latest one; nothing before the first.
std::optional<reply::IdempotencySnapshot> idempotency_snapshot(Manifests manifests);

}  // namespace karma
