#include "persist/snapshot_files.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <system_error>

#include "engine/error.h"
#include "persist/file_name.h"
#include "persist/series_lives.h"

namespace karma {

std::string SnapshotFile::name() const {
    return std::to_string(manifest->file_unix) + "_" + file_name_of(series->name) + ".tree";
}

reply::SnapshotOf SnapshotFile::describe() const {
    const std::uint64_t bytes = manifest->has_page_lists ? series->tree_bytes : series->bytes;
    return {series->name, name(), manifest->file_unix, bytes, series->lsn};
}

const SnapshotCatalog::Places& SnapshotCatalog::places() const {
    std::call_once(gathered_, [this] {
        SeriesLives lives;
        Places found;
        for (std::uint32_t at = 0; at < manifests_.size(); ++at) {
            const SnapshotStore::Manifest& manifest = *manifests_[at];
            lives.show(manifest, [&](const SnapshotSeries& entry, unsigned number) {
                const Place place{at, static_cast<std::uint32_t>(&entry - manifest.series.data())};
                if (number <= per_series_) {
                    found.files.push_back(place);
                }
                if (number == 1) {
                    found.latest.push_back(place);
                }
            });
        }
        places_ = std::move(found);
        is_gathered_.store(true, std::memory_order_release);
    });
    return places_;
}

std::size_t SnapshotCatalog::cost_bytes() const noexcept {
    std::size_t series = 0;
    for (const SnapshotStore::ManifestRef& manifest : manifests_) {
        series += manifest->series.size();
    }
    return series * sizeof(SnapshotSeries);
}

SnapshotFile SnapshotCatalog::file_at(Place place) const {
    const SnapshotStore::ManifestRef& manifest = manifests_[place.manifest];
    return {manifest, &manifest->series[place.series]};
}

/// Where a file of this name is, or would be; nothing where it cannot be the name of one.
std::optional<SnapshotCatalog::Place> SnapshotCatalog::place_of(std::string_view name, bool& is_there) const {
    is_there = false;
    std::int64_t unix_seconds = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), unix_seconds);
    constexpr std::string_view extension = ".tree";
    if (failure != std::errc{} || !name.ends_with(extension) || *end != '_') {
        return std::nullopt;
    }
    const auto manifest =
        std::ranges::lower_bound(manifests_, unix_seconds, std::greater<>(),
                                 [](const SnapshotStore::ManifestRef& one) { return one->file_unix; });
    const auto at = static_cast<std::uint32_t>(manifest - manifests_.begin());
    if (manifest == manifests_.end() || (*manifest)->file_unix != unix_seconds) {
        return Place{at, 0};
    }
    name.remove_prefix(static_cast<std::size_t>(end - name.data()) + 1);
    name.remove_suffix(std::min(name.size(), extension.size()));
    const std::vector<SnapshotSeries>& series = (*manifest)->series;
    auto entry = series.end();
    if (const std::optional<std::string> decoded = series_of_file_name(name)) {
        entry = std::ranges::lower_bound(series, *decoded, {}, &SnapshotSeries::name);
    }
    if (entry == series.end() || file_name_of(entry->name) != name) {
        const auto found = std::ranges::find_if(
            series, [&](const SnapshotSeries& one) { return file_name_of(one.name) == name; });
        entry = found == series.end() ? entry : found;
    }
    is_there = entry != series.end() && file_name_of(entry->name) == name;
    return Place{at, static_cast<std::uint32_t>(entry - series.begin())};
}

std::optional<SnapshotFile> SnapshotCatalog::find(std::string_view name) const {
    bool is_there = false;
    const std::optional<Place> place = place_of(name, is_there);
    if (!place || !is_there || !std::ranges::binary_search(places().files, *place)) {
        return std::nullopt;
    }
    return file_at(*place);
}

std::vector<SnapshotFile> SnapshotCatalog::page_of(const std::vector<Place>& all, const query::Page& page,
                                                   bool& has_more) const {
    auto at = all.begin();
    if (!page.cursor.empty()) {
        bool is_there = false;
        const std::optional<Place> cursor = place_of(page.cursor, is_there);
        if (!cursor) {
            throw RequestError(ErrorCode::validation_error,
                               "Field cursor must be the name of a file that a page before has shown");
        }
        at = is_there ? std::ranges::upper_bound(all, *cursor) : std::ranges::lower_bound(all, *cursor);
    }
    const auto left = static_cast<std::size_t>(all.end() - at);
    const std::size_t count = std::min(left, page.limit.value_or(left));
    has_more = count < left;
    std::vector<SnapshotFile> files;
    files.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        files.push_back(file_at(*at++));
    }
    return files;
}

std::vector<SnapshotFile> SnapshotCatalog::files(const query::Page& page, bool& has_more) const {
    return page_of(places().files, page, has_more);
}

std::vector<SnapshotFile> SnapshotCatalog::latest(const query::Page& page, bool& has_more) const {
    return page_of(places().latest, page, has_more);
}

std::shared_ptr<const SnapshotCatalog> CurrentCatalog::get() {
    const std::lock_guard lock(mutex_);
    // Before the manifests: what changes meanwhile is looked for again the next time.
    const std::uint64_t version = snapshots_.version();
    if (catalog_ == nullptr || version_ != version) {
        catalog_ = std::make_shared<const SnapshotCatalog>(snapshots_.manifests(), per_series_);
        version_ = version;
    }
    return catalog_;
}

reply::IdempotencySnapshot idempotency_snapshot(const SnapshotStore::Manifest& full) {
    return {full.file_unix, full.lsn, full.of<IdempotencyIndex>().record_count,
            full.of<IngestStreams>().committed_count, std::nullopt};
}

std::optional<reply::IdempotencySnapshot> idempotency_snapshot(Manifests manifests) {
    const auto full = std::ranges::find_if(
        manifests, [](const SnapshotStore::ManifestRef& manifest) { return manifest->full; });
    return full == manifests.end() ? std::nullopt : std::optional(idempotency_snapshot(**full));
}

}  // namespace karma
