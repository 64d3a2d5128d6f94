#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/history_point.h"
#include "engine/record_tables.h"
#include "persist/page_store.h"
#include "persist/snapshot_retention.h"

namespace karma {

class SnapshotStore;

/// Pins a snapshot: it is not dropped as long as this object lives, unless a master's state replaces
/// everything that is stored. The store outlives it.
class SnapshotPin {
public:
    SnapshotPin(SnapshotStore& store, std::shared_ptr<const SnapshotManifest> manifest) noexcept
        : store_(&store), manifest_(std::move(manifest)) {}
    SnapshotPin(SnapshotPin&& other) noexcept = default;
    SnapshotPin(const SnapshotPin&) = delete;
    SnapshotPin& operator=(const SnapshotPin&) = delete;
    SnapshotPin& operator=(SnapshotPin&&) = delete;
    ~SnapshotPin();

    const SnapshotManifest& manifest() const noexcept { return *manifest_; }
    const std::shared_ptr<const SnapshotManifest>& ref() const noexcept { return manifest_; }

private:
    SnapshotStore* store_;
    std::shared_ptr<const SnapshotManifest> manifest_;  // null once it was moved away
};

/// Snapshots in storage: the pages of series as they were at an LSN, and a manifest that completes them.
/// Snapshots share unchanged pages. The format is docs/snapshot-format.md. Thread-safe.
class SnapshotStore {
public:
    using SeriesEntry = SnapshotSeries;
    using Manifest = SnapshotManifest;
    using ManifestRef = std::shared_ptr<const Manifest>;

    /// Reads the manifests; `tables` outlives the store.
    explicit SnapshotStore(RecordTables& tables);

    /// Held while a snapshot is made, from before the view is taken until it is stored, so that snapshots are
    /// stored in the order of their LSNs.
    using Saving = std::unique_lock<std::mutex>;
    Saving begin_saving() { return Saving(saving_); }

    /// Stores all series, or one, then drops snapshots that need not be kept. Everything up to the view's LSN
    /// must be durable in the log, unless there is no log. `changes` are written in one batch with the
    /// manifest. Throws RequestError at the deadline; then nothing is stored.
    void save_all(const Saving& saving, const StateView& view, std::int64_t now_ms,
                  std::vector<RecordChange> changes = {}, const Deadline& deadline = NoDeadline());
    /// `lsn`: the last event of the database when the view was taken.
    void save_series(const Saving& saving, const SeriesView& view, Lsn lsn, std::int64_t now_ms,
                     const Deadline& deadline = NoDeadline());

    /// Sets the database id for later snapshots.
    void set_database_id(const DatabaseId& id);
    /// Sets which snapshots are kept; before it is called, none is dropped.
    void set_retention(const SnapshotRetention& retention);
    /// Drops snapshots that need not be kept: nobody finds them any more. A snapshot that may be being read
    /// is removed from storage by a later call, after its readers have ended; later readers do not delay
    /// that. Waits for a snapshot that is being stored. Throws RequestError at the deadline.
    void prune(const Deadline& deadline = NoDeadline());
    /// Removes the pages of a snapshot that a crash has interrupted. Called before the first save.
    void erase_leftovers();

    /// Held while another state replaces everything that is stored: nobody reads meanwhile.
    using Excluding = std::unique_lock<std::shared_mutex>;
    Excluding exclude_readers() { return Excluding(replacing_); }
    /// Forgets all snapshots: storage was cleared.
    void forget_all(const Excluding& excluding);

    /// Pins the newest snapshot of everything; nothing before the first.
    std::optional<SnapshotPin> pin_newest_full();
    /// Whether the store (still) has this snapshot.
    bool holds(const ManifestRef& manifest) const;

    /// Reads back manifest, lists and pages of the newest snapshot of everything and of later ones, with
    /// which a start begins. The next snapshot stores unreadable pages again, from memory. Returns the
    /// damage. Throws RequestError at the deadline.
    std::vector<std::string> check_newest(const Deadline& deadline);
    /// Whether there were pages that could not be read: a new snapshot may be better than the newest one.
    bool has_unreadable_pages() const { return !pages_.unreadable().empty(); }
    /// The newest snapshot of everything; null before the first.
    ManifestRef newest_full() const;
    /// Whether `check_newest` has found a snapshot sound, since it was stored and since the start.
    bool was_verified(const ManifestRef& manifest) const;

    /// While it is held, no other state replaces what is stored, but snapshots may be dropped: for readers of
    /// the log.
    std::shared_lock<std::shared_mutex> keep_state() const { return std::shared_lock(replacing_); }

    /// The same, and the snapshots that exist when it is taken are not removed.
    class Keep {
    public:
        explicit Keep(const SnapshotStore& store);
        Keep(const Keep&) = delete;
        Keep& operator=(const Keep&) = delete;
        ~Keep();

    private:
        const SnapshotStore& store_;
        std::shared_lock<std::shared_mutex> state_;
        std::multiset<std::uint64_t>::iterator place_;
    };
    Keep keep_all() const { return Keep(*this); }

    /// The result of `restore`.
    struct Base {
        Lsn lsn = 0;                       // after which the log has to be applied
        std::vector<std::string> damaged;  // snapshots that could not be used, and why
    };

    /// Puts the latest sound snapshots into an empty engine, and the streams that were committed by then.
    /// Uses no snapshot of a later state than `until`, or of an LSN above `newest`. In the place of damaged
    /// snapshots it uses older ones; the last resort is the empty state. Throws RequestError at the deadline.
    Base restore(Engine& engine, const HistoryPoint& until, Lsn newest, const Deadline& deadline) const;

    /// The same for one series, with the state beside it that applying the log needs. The series may be
    /// missing from the snapshot.
    Base restore_series(Engine& engine, std::string_view series, const HistoryPoint& until,
                        const Deadline& deadline) const;

    /// A series that a snapshot holds. Throws CorruptionError that names what is damaged, and RequestError
    /// when the deadline comes first.
    Series load(const Manifest& manifest, const SeriesEntry& entry,
                const Deadline& deadline = NoDeadline()) const;
    /// Its pages, to be read with `read_page`.
    std::vector<StoredPage> pages(const Manifest& manifest, const SeriesEntry& entry) const;
    PageRef read_page(const StoredPage& page) const { return pages_.read(page); }

    /// Newest first.
    std::vector<ManifestRef> manifests() const;
    /// A number that changes with each change of `manifests`.
    std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
    /// The damage of manifests that are kept and cannot be read.
    std::vector<std::string> damaged_manifests() const { return damaged_above(0); }
    /// The LSN of the newest snapshot, 0 without one.
    Lsn last_lsn() const;
    /// The LSN of the newest snapshot of everything, 0 without one.
    Lsn last_full_lsn() const;
    /// The LSN of the oldest snapshot of everything that is kept: events after it are needed.
    std::optional<Lsn> oldest_full_lsn() const;
    /// The LSN of the newest snapshot that was ever stored, whether or not it can still be read. Throws
    /// CorruptionError.
    Lsn known_lsn() const;

private:
    friend class SnapshotPin;

    void unpin(const Manifest& manifest) noexcept;
    void check_one(const Manifest& manifest, std::unordered_set<std::uint64_t>& seen,
                   const Deadline& deadline, std::vector<std::string>& damage) const;
    void note_verified(const ManifestRef& manifest, bool is_sound);
    void save(Manifest manifest, const std::vector<SeriesView>& views, std::vector<RecordChange> changes,
              const Deadline& deadline);
    /// The newest snapshot of each series.
    struct Newest {
        ManifestRef manifest;
        const SeriesEntry* entry = nullptr;
    };
    using NewestOfSeries = std::unordered_map<std::string_view, Newest>;
    NewestOfSeries newest_of(const std::vector<SeriesView>& views) const;
    std::vector<StoredPage> known_pages(const Newest& newest) const;
    void note_change() noexcept { version_.fetch_add(1, std::memory_order_acq_rel); }
    std::vector<std::uint64_t> droppable();
    std::vector<std::uint64_t> hide_droppable();
    bool drop(const std::vector<std::uint64_t>& ids, const Deadline& deadline);
    std::vector<ManifestRef> stored_manifests() const;
    bool list_pages(const Manifest& manifest, const Deadline& deadline,
                    const std::function<void(const StoredPage&)>& visit) const;
    void restore_from(const Manifest* base, const std::vector<ManifestRef>& newer, Engine& engine,
                      std::vector<std::string>& damaged, const Deadline& deadline) const;
    /// The series of the components: null for those of another name than `only`, if that is given.
    std::vector<std::unique_ptr<Series>> load_staged(const Manifest& manifest,
                                                     const std::optional<std::string_view>& only,
                                                     const Deadline& deadline) const;
    ManifestRef find(std::uint64_t id) const;
    /// Of manifests with an id above this one.
    std::vector<std::string> damaged_above(std::uint64_t id) const;

    RecordTables& tables_;
    PageStore pages_;
    std::mutex saving_;  // one snapshot at a time
    mutable std::shared_mutex replacing_;
    std::uint64_t garbage_bytes_ = 0;  // of dropped pages whose space was not given back; under saving_
    mutable std::mutex mutex_;         // of all that follows
    std::map<std::uint64_t, ManifestRef, std::greater<>> manifests_;  // by id, newest first
    std::map<std::uint64_t, std::string> damaged_;  // manifests that cannot be read, and why
    std::optional<SnapshotRetention> retention_;
    bool wants_prune_ = false;
    std::multiset<std::uint64_t> pinned_;  // ids that are not dropped
    std::set<std::uint64_t> verified_;     // ids of what `check_newest` found sound
    // Who reads is noted with the number of times that something was hidden before; what is hidden goes from
    // storage when all readers of then have ended.
    std::uint64_t hidden_times_ = 0;
    mutable std::multiset<std::uint64_t> readers_;
    std::map<std::uint64_t, std::uint64_t> hidden_;  // ids, with the number of that time
    DatabaseId database_id_;
    std::atomic<std::uint64_t> version_{1};
};

}  // namespace karma
