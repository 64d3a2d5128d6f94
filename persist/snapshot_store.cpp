#include "persist/snapshot_store.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "engine/error.h"
#include "persist/keys.h"
#include "persist/manifest_codec.h"
#include "persist/meta_numbers.h"
#include "persist/record_store.h"
#include "persist/snapshot_keys.h"

namespace karma {
namespace {

constexpr const char* last_lsn_key = "last_snapshot_lsn";

/// Of the pages of a snapshot before version 3 of the format.
std::string own_pages_prefix(std::uint64_t id) { return "p" + big_endian(id); }

void add_once(std::vector<std::string>& texts, const std::vector<std::string>& more) {
    for (const std::string& text : more) {
        if (std::ranges::find(texts, text) == texts.end()) {
            texts.push_back(text);
        }
    }
}

}  // namespace

SnapshotStore::SnapshotStore(RecordTables& tables) : tables_(tables), pages_(tables) {
    tables_.scan(Table::snapshots, manifest_prefix, [this](std::string_view key, std::string_view value) {
        const std::uint64_t id = from_big_endian(key.substr(1));
        const std::string what = "snapshot manifest " + std::to_string(id);
        try {
            manifests_.emplace(id,
                               std::make_shared<const Manifest>(decode_manifest(id, unsealed(value, what))));
        } catch (const CorruptionError& failure) {
            damaged_.emplace(id, failure.what());
        }
        return true;
    });
}

void SnapshotStore::erase_leftovers() {
    if (!damaged_.empty()) {
        return;  // what belongs to a snapshot is not known
    }
    const std::lock_guard lock(mutex_);
    // Pages before version 3 have other keys, and their manifests say nothing of these.
    const std::uint64_t page_id = manifests_.empty() ? 1 : manifests_.begin()->second->next_page_id;
    const std::uint64_t snapshot_id = manifests_.empty() ? 1 : manifests_.begin()->first + 1;
    pages_.erase_from(page_id, snapshot_id);
}

// ---- saving

void SnapshotStore::save_all(const Saving& /*saving*/, const StateView& view, std::int64_t now_ms,
                             std::vector<RecordChange> changes, const Deadline& deadline) {
    std::vector<SeriesView> views;
    Manifest manifest = manifest_of(view, now_ms, views);
    save(std::move(manifest), views, std::move(changes), deadline);
}

void SnapshotStore::save_series(const Saving& /*saving*/, const SeriesView& view, Lsn lsn,
                                std::int64_t now_ms, const Deadline& deadline) {
    Manifest manifest = manifest_of(view, lsn, now_ms);
    save(std::move(manifest), {view}, {}, deadline);
}

void SnapshotStore::set_database_id(const DatabaseId& id) {
    const std::lock_guard lock(mutex_);
    database_id_ = id;
}

/// Of each of these series the newest snapshot, where there is one. What is older than a snapshot of
/// everything is of series that were dropped.
SnapshotStore::NewestOfSeries SnapshotStore::newest_of(const std::vector<SeriesView>& views) const {
    NewestOfSeries newest;
    newest.reserve(views.size());
    for (const SeriesView& view : views) {
        newest.try_emplace(view.name());
    }
    for (const ManifestRef& manifest : manifests()) {
        for (const SeriesEntry& entry : manifest->series) {
            const auto place = newest.find(entry.name);
            if (place != newest.end() && place->second.entry == nullptr) {
                place->second = {manifest, &entry};
            }
        }
        if (manifest->full) {
            break;
        }
    }
    return newest;
}

/// The pages of the newest snapshot of a series: most of the next one's.
std::vector<StoredPage> SnapshotStore::known_pages(const Newest& newest) const {
    try {
        return newest.entry == nullptr ? std::vector<StoredPage>() : pages(*newest.manifest, *newest.entry);
    } catch (const CorruptionError&) {
        return {};  // statistics are made anew
    }
}

void SnapshotStore::save(Manifest manifest, const std::vector<SeriesView>& views,
                         std::vector<RecordChange> changes, const Deadline& deadline) {
    manifest.id = 1;
    manifest.file_unix = manifest.created_ms / 1000;
    {
        const std::lock_guard lock(mutex_);
        manifest.database_id = database_id_;
        if (!manifests_.empty()) {
            manifest.id = manifests_.begin()->first + 1;
            manifest.file_unix = std::max(manifest.file_unix, manifests_.begin()->second->file_unix + 1);
        }
        if (!damaged_.empty()) {
            manifest.id = std::max(manifest.id, damaged_.rbegin()->first + 1);
        }
    }
    PageWriter writer(pages_, manifest.id);
    std::vector<TreeStatistics> statistics;
    const NewestOfSeries newest = newest_of(views);
    for (const SeriesView& view : views) {
        deadline.check();
        statistics.push_back(writer.write(view, known_pages(newest.at(view.name())), deadline));
    }
    std::size_t number = 0;
    const auto complete = [&](SeriesEntry& entry) {
        entry.number = number++;
        entry.tree_bytes = tree_file_bytes(statistics[entry.number]);
    };
    std::ranges::for_each(manifest.series, complete);
    std::ranges::for_each(manifest.staged, complete);
    manifest.next_page_id = pages_.next_id();
    for (RecordChange& change : writer.finish()) {
        changes.push_back(std::move(change));
    }
    changes.push_back({Table::snapshots, manifest_key(manifest.id), sealed(encode_manifest(manifest))});
    changes.push_back(meta_numbers_change(last_lsn_key, {std::max(manifest.lsn, known_lsn())}));
    tables_.write(changes, true);
    writer.mark_stored();
    const std::uint64_t id = manifest.id;
    const std::lock_guard lock(mutex_);
    manifests_.emplace(id, std::make_shared<const Manifest>(std::move(manifest)));
    note_change();
    wants_prune_ = true;
}

void SnapshotStore::forget_all(const Excluding& /*excluding*/) {
    const std::lock_guard lock(mutex_);
    verified_.clear();
    pinned_.clear();
    manifests_.clear();
    damaged_.clear();
    hidden_.clear();
    note_change();
    garbage_bytes_ = 0;
    pages_.forget_all();
}

// ---- dropping

void SnapshotStore::set_retention(const SnapshotRetention& retention) {
    const std::lock_guard lock(mutex_);
    wants_prune_ = wants_prune_ || !(retention_ == retention);
    retention_ = retention;
}

SnapshotStore::Keep::Keep(const SnapshotStore& store) : store_(store), state_(store.keep_state()) {
    const std::lock_guard lock(store_.mutex_);
    place_ = store_.readers_.insert(store_.hidden_times_);
}

SnapshotStore::Keep::~Keep() {
    const std::lock_guard lock(store_.mutex_);
    store_.readers_.erase(place_);
}

void SnapshotStore::prune(const Deadline& deadline) {
    bool is_worth_it = false;
    {
        const std::lock_guard saving(saving_);
        const auto state = keep_state();
        if (const std::vector<std::uint64_t> ids = hide_droppable(); !ids.empty()) {
            is_worth_it = drop(ids, deadline);
        }
    }
    if (is_worth_it) {
        pages_.reclaim();
    }
}

/// Hides what need not be kept, and gives what nobody can be reading any more.
std::vector<std::uint64_t> SnapshotStore::hide_droppable() {
    const std::vector<std::uint64_t> ids = droppable();
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : ids) {
        hidden_.emplace(id, hidden_times_);
    }
    if (!ids.empty()) {
        ++hidden_times_;
        note_change();
    }
    std::vector<std::uint64_t> free;
    for (const auto& [id, time] : hidden_) {
        if (readers_.empty() || *readers_.begin() > time) {
            free.push_back(id);
        }
    }
    return free;
}

std::vector<std::uint64_t> SnapshotStore::droppable() {
    const std::lock_guard lock(mutex_);
    if (!retention_ || !std::exchange(wants_prune_, false)) {
        return {};
    }
    std::vector<ManifestRef> all;
    for (const auto& entry : manifests_) {
        if (!hidden_.contains(entry.first)) {
            all.push_back(entry.second);
        }
    }
    std::vector<std::uint64_t> ids = droppable_snapshots(all, *retention_);
    // A damaged one is of no use once there is a newer one of everything.
    const auto full = std::ranges::find_if(all, [](const ManifestRef& manifest) { return manifest->full; });
    for (const auto& [id, why] : damaged_) {
        if (full != all.end() && id < (*full)->id) {
            ids.push_back(id);
        }
    }
    std::erase_if(ids, [this](std::uint64_t id) { return pinned_.contains(id); });
    return ids;
}

/// Calls `visit` for each page of a snapshot. False when a list cannot be read.
bool SnapshotStore::list_pages(const Manifest& manifest, const Deadline& deadline,
                               const std::function<void(const StoredPage&)>& visit) const {
    bool is_whole = true;
    for_each_entry(manifest, [&](const SeriesEntry& entry) {
        deadline.check();
        try {
            std::ranges::for_each(pages(manifest, entry), visit);
        } catch (const CorruptionError&) {
            is_whole = false;
        }
    });
    return is_whole;
}

/// True when there is much space to be given back.
bool SnapshotStore::drop(const std::vector<std::uint64_t>& ids, const Deadline& deadline) {
    std::vector<RecordChange> changes;
    std::unordered_map<std::uint64_t, std::uint32_t> pages;  // that may go, and their bytes
    bool is_known = true;                                    // which pages those that go had
    for (const std::uint64_t id : ids) {
        changes.push_back({Table::snapshots, manifest_key(id), std::nullopt});
        pages_.add_erased_lists(id, changes);
        const ManifestRef manifest = find(id);
        if (manifest == nullptr) {
            is_known = false;
        } else if (!manifest->has_page_lists) {
            tables_.erase_prefix(Table::snapshots, own_pages_prefix(id));
        } else {
            is_known = list_pages(*manifest, deadline,
                                  [&](const StoredPage& page) { pages.emplace(page.id, page.bytes); }) &&
                       is_known;
        }
    }
    if (!is_known) {
        for (const std::uint64_t id : pages_.all_ids()) {
            pages.emplace(id, 0);
        }
    }
    bool may_erase = true;
    std::uint64_t live_bytes = 0;
    for (const ManifestRef& manifest : stored_manifests()) {
        if (std::ranges::find(ids, manifest->id) == ids.end()) {
            may_erase = list_pages(*manifest, deadline,
                                   [&](const StoredPage& page) {
                                       pages.erase(page.id);
                                       live_bytes += page.bytes;
                                   }) &&
                        may_erase;
        }
    }
    if (may_erase) {
        for (const auto& [id, bytes] : pages) {
            changes.push_back(PageStore::erased_page(id));
            garbage_bytes_ += bytes;
        }
    }
    tables_.write(changes, false);
    {
        const std::lock_guard lock(mutex_);
        for (const std::uint64_t id : ids) {
            manifests_.erase(id);
            note_change();
            verified_.erase(id);
            damaged_.erase(id);
            hidden_.erase(id);
        }
    }
    constexpr std::uint64_t worth_it = 8U << 20U;
    if (garbage_bytes_ < std::max(worth_it, live_bytes / 4)) {
        return false;
    }
    garbage_bytes_ = 0;
    return true;
}

// ---- reading

std::vector<StoredPage> SnapshotStore::pages(const Manifest& manifest, const SeriesEntry& entry) const {
    std::vector<StoredPage> pages = pages_.list(manifest.id, entry.number);
    if (manifest.has_page_lists && pages.size() != entry.pages) {
        throw CorruptionError(describe(manifest, entry) + ": a list of " + std::to_string(pages.size()) +
                              " pages instead of " + std::to_string(entry.pages));
    }
    return pages;
}

namespace {

/// The pages of a series of a snapshot before version 3.
std::vector<PageRef> read_own_pages(const RecordTables& tables, const SnapshotManifest& manifest,
                                    const SnapshotSeries& entry) {
    std::string prefix = own_pages_prefix(manifest.id);
    append_big_endian(prefix, entry.number, 4);
    std::vector<PageRef> pages;
    tables.scan(Table::snapshots, prefix, [&](std::string_view, std::string_view value) {
        pages.push_back(Page::from_image(unsealed(value, "page " + std::to_string(pages.size()))));
        return true;
    });
    if (pages.size() != entry.pages) {
        throw CorruptionError(std::to_string(pages.size()) + " pages instead of " +
                              std::to_string(entry.pages));
    }
    return pages;
}

}  // namespace

Series SnapshotStore::load(const Manifest& manifest, const SeriesEntry& entry,
                           const Deadline& deadline) const {
    try {
        std::vector<PageRef> read;
        if (manifest.has_page_lists) {
            const std::vector<StoredPage> list = pages(manifest, entry);
            read.reserve(list.size());
            for (const StoredPage& page : list) {
                deadline.check();
                read.push_back(pages_.read(page));
            }
        } else {
            read = read_own_pages(tables_, manifest, entry);
        }
        return Series::from_pages(entry.name, std::move(read), entry.totals, entry.lsn);
    } catch (const CorruptionError& failure) {
        throw CorruptionError(describe(manifest, entry) + ": " + failure.what());
    }
}

std::vector<std::unique_ptr<Series>> SnapshotStore::load_staged(const Manifest& manifest,
                                                                const std::optional<std::string_view>& only,
                                                                const Deadline& deadline) const {
    std::vector<std::unique_ptr<Series>> staged;
    for (const SeriesEntry& entry : manifest.staged) {
        const bool is_wanted = !only || entry.name == *only;
        staged.push_back(is_wanted ? std::make_unique<Series>(load(manifest, entry, deadline)) : nullptr);
    }
    return staged;
}

/// Puts back a snapshot of everything, and series of later ones; the empty state without a manifest.
void SnapshotStore::restore_from(const Manifest* base, const std::vector<ManifestRef>& newer, Engine& engine,
                                 std::vector<std::string>& damaged, const Deadline& deadline) const {
    std::set<std::string, std::less<>> restored;
    std::vector<Series> series;
    std::vector<std::unique_ptr<Series>> staged;
    for (const ManifestRef& manifest : newer) {
        for (const SeriesEntry& entry : manifest->series) {
            if (restored.contains(entry.name)) {
                continue;
            }
            try {
                series.push_back(load(*manifest, entry, deadline));
                restored.insert(entry.name);
            } catch (const CorruptionError& failure) {
                add_once(damaged, {failure.what()});  // an older one will do, and more of the log
            }
        }
    }
    if (base != nullptr) {
        for (const SeriesEntry& entry : base->series) {
            if (restored.insert(entry.name).second) {
                series.push_back(load(*base, entry, deadline));
            }
        }
        staged = load_staged(*base, std::nullopt, deadline);
    }
    // Nothing can fail any more.
    if (base != nullptr) {
        engine.restore_components(base->components, taken_from(staged));
    }
    for (Series& one : series) {
        engine.restore_series(std::move(one));
    }
    const Lsn lsn = base == nullptr ? 0 : base->lsn;
    // Streams that were committed later are open at this LSN: their commit is in the log.
    read_committed_streams(tables_, lsn,
                           [&](StreamInfo stream) { engine.restore_stream(std::move(stream), nullptr); });
    engine.restore_last_lsn(lsn);
}

SnapshotStore::Base SnapshotStore::restore(Engine& engine, const HistoryPoint& until, Lsn newest,
                                           const Deadline& deadline) const {
    Base base;
    std::vector<ManifestRef> newer;
    for (const ManifestRef& manifest : manifests()) {
        if (!until.includes(manifest->lsn, manifest->created_ms) || manifest->lsn > newest) {
            continue;
        }
        if (!manifest->full) {
            newer.push_back(manifest);
            continue;
        }
        try {
            restore_from(manifest.get(), newer, engine, base.damaged, deadline);
            base.lsn = manifest->lsn;
            add_once(base.damaged, damaged_above(manifest->id));
            return base;
        } catch (const CorruptionError& failure) {
            add_once(base.damaged, {failure.what()});
        }
    }
    restore_from(nullptr, newer, engine, base.damaged, deadline);
    add_once(base.damaged, damaged_above(0));
    return base;
}

SnapshotStore::Base SnapshotStore::restore_series(Engine& engine, std::string_view series,
                                                  const HistoryPoint& until, const Deadline& deadline) const {
    Base base;
    for (const ManifestRef& manifest : manifests()) {
        if (!manifest->full || !until.includes(manifest->lsn, manifest->created_ms)) {
            continue;
        }
        try {
            const auto entry = std::ranges::find(manifest->series, series, &SeriesEntry::name);
            std::optional<Series> found;
            if (entry != manifest->series.end()) {
                found = load(*manifest, *entry, deadline);
            }
            std::vector<std::unique_ptr<Series>> staged = load_staged(*manifest, series, deadline);
            engine.restore_components_of_series(manifest->components, taken_from(staged));
            if (found) {
                engine.restore_series(std::move(*found));
            }
            engine.restore_last_lsn(manifest->lsn);
            base.lsn = manifest->lsn;
            return base;
        } catch (const CorruptionError& failure) {
            base.damaged.emplace_back(failure.what());
        }
    }
    return base;
}

SnapshotStore::ManifestRef SnapshotStore::find(std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = manifests_.find(id);
    return found == manifests_.end() ? nullptr : found->second;
}

std::vector<std::string> SnapshotStore::damaged_above(std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (auto at = damaged_.upper_bound(id); at != damaged_.end(); ++at) {
        all.push_back(at->second);
    }
    return all;
}

std::vector<SnapshotStore::ManifestRef> SnapshotStore::manifests() const {
    std::vector<ManifestRef> all = stored_manifests();
    const std::lock_guard lock(mutex_);
    std::erase_if(all, [this](const ManifestRef& manifest) { return hidden_.contains(manifest->id); });
    return all;
}

/// Those that are hidden too.
std::vector<SnapshotStore::ManifestRef> SnapshotStore::stored_manifests() const {
    const std::lock_guard lock(mutex_);
    std::vector<ManifestRef> all;
    all.reserve(manifests_.size());
    for (const auto& entry : manifests_) {
        all.push_back(entry.second);
    }
    return all;
}

Lsn SnapshotStore::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return manifests_.empty() ? 0 : manifests_.begin()->second->lsn;
}

Lsn SnapshotStore::last_full_lsn() const {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : manifests_) {
        if (entry.second->full) {
            return entry.second->lsn;
        }
    }
    return 0;
}

std::optional<Lsn> SnapshotStore::oldest_full_lsn() const {
    const std::lock_guard lock(mutex_);
    std::optional<Lsn> lsn;
    for (const auto& entry : manifests_) {
        if (entry.second->full) {
            lsn = entry.second->lsn;
        }
    }
    return lsn;
}

Lsn SnapshotStore::known_lsn() const {
    const Lsn lsn = read_meta_number(tables_, last_lsn_key).value_or(0);
    return std::max(lsn, last_lsn());
}

}  // namespace karma
