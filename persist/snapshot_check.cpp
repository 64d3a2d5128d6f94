#include <functional>

#include "engine/error.h"
#include "persist/snapshot_keys.h"
#include "persist/snapshot_store.h"

/// What SnapshotStore does for those who keep a snapshot, and how it reads one back.
namespace karma {

// ---- keeping

SnapshotPin::~SnapshotPin() {
    if (manifest_) {
        store_->unpin(*manifest_);
    }
}

std::optional<SnapshotPin> SnapshotStore::pin_newest_full() {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, manifest] : manifests_) {
        if (manifest->full) {
            pinned_.insert(id);
            return std::optional<SnapshotPin>(std::in_place, *this, manifest);
        }
    }
    return std::nullopt;
}

void SnapshotStore::unpin(const Manifest& manifest) noexcept {
    const std::lock_guard lock(mutex_);
    // After `forget_all` the id may be that of another one.
    const auto found = manifests_.find(manifest.id);
    if (found == manifests_.end() || found->second.get() != &manifest) {
        return;
    }
    if (const auto pin = pinned_.find(manifest.id); pin != pinned_.end()) {
        pinned_.erase(pin);
    }
    wants_prune_ = true;
}

bool SnapshotStore::holds(const ManifestRef& manifest) const { return find(manifest->id) == manifest; }

// ---- checking

namespace {

/// What is wrong with something stored that is read back; an error that ends a request stays one.
void note_damage(std::vector<std::string>& damage, const std::string& of,
                 const std::function<void()>& read_back) {
    try {
        read_back();
    } catch (const RequestError&) {
        throw;
    } catch (const std::exception& failure) {
        damage.push_back(of + ": " + failure.what());
    }
}

}  // namespace

std::vector<std::string> SnapshotStore::check_newest(const Deadline& deadline) {
    std::vector<std::string> damage;
    std::unordered_set<std::uint64_t> seen;
    for (const ManifestRef& manifest : manifests()) {
        const std::size_t before = damage.size();
        check_one(*manifest, seen, deadline, damage);
        note_verified(manifest, damage.size() == before);
        if (manifest->full) {
            break;
        }
    }
    return damage;
}

void SnapshotStore::note_verified(const ManifestRef& manifest, bool is_sound) {
    const std::lock_guard lock(mutex_);
    const auto found = manifests_.find(manifest->id);
    if (is_sound && found != manifests_.end() && found->second == manifest) {
        verified_.insert(manifest->id);
    } else {
        verified_.erase(manifest->id);
    }
}

/// `seen` are the pages that were read for others; those of them that are damaged are known as unreadable.
void SnapshotStore::check_one(const Manifest& manifest, std::unordered_set<std::uint64_t>& seen,
                              const Deadline& deadline, std::vector<std::string>& damage) const {
    note_damage(damage, describe(manifest), [&] {
        const std::string what = "snapshot manifest " + std::to_string(manifest.id);
        const std::optional<std::string> stored = tables_.read(Table::snapshots, manifest_key(manifest.id));
        if (!stored) {
            throw CorruptionError(what + " is missing");
        }
        static_cast<void>(unsealed(*stored, what));
    });
    for_each_entry(manifest, [&](const SeriesEntry& entry) {
        if (!manifest.has_page_lists) {
            note_damage(damage, describe(manifest, entry),
                        [&] { static_cast<void>(load(manifest, entry, deadline)); });
            return;
        }
        std::vector<StoredPage> list;
        note_damage(damage, describe(manifest, entry), [&] { list = pages(manifest, entry); });
        const std::unordered_set<std::uint64_t> unreadable = pages_.unreadable();
        for (const StoredPage& page : list) {
            deadline.check();
            if (!seen.insert(page.id).second && !unreadable.contains(page.id)) {
                continue;
            }
            note_damage(damage, describe(manifest, entry), [&] { static_cast<void>(pages_.read(page)); });
        }
    });
}

SnapshotStore::ManifestRef SnapshotStore::newest_full() const {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : manifests_) {
        if (entry.second->full) {
            return entry.second;
        }
    }
    return nullptr;
}

bool SnapshotStore::was_verified(const ManifestRef& manifest) const {
    const std::lock_guard lock(mutex_);
    return verified_.contains(manifest->id);
}

}  // namespace karma
