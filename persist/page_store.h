#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "engine/record_tables.h"
#include "engine/scan.h"
#include "engine/series.h"
#include "persist/karma1/tree_format.h"

namespace karma {

/// A page in storage.
struct StoredPage {
    std::uint64_t id = 0;
    std::uint32_t bytes = 0;  // of its image
    TreeStatistics tree;      // what it adds to a .tree file

    bool operator==(const StoredPage&) const = default;
};

/// The value of a record of snapshots: the CRC-32 of what follows, then that.
std::string sealed(std::string_view bytes);
/// Takes the checksum off. Throws CorruptionError that says `what` is damaged.
std::string_view unsealed(std::string_view value, const std::string& what);

/// The pages of snapshots, each stored once under a number of its own, and for every series of a snapshot the
/// list of its pages. The format is docs/snapshot-format.md. One thread writes; any may read.
class PageStore {
public:
    explicit PageStore(RecordTables& tables);

    /// Ids from here on are free.
    std::uint64_t next_id() const noexcept { return next_id_; }
    /// Removes pages from an id on, and lists of snapshots from one on: what a crash left of a snapshot that
    /// never was.
    void erase_from(std::uint64_t page_id, std::uint64_t snapshot_id);

    /// Storage was cleared.
    void forget_all();

    /// The pages of a series of a snapshot. Throws CorruptionError.
    std::vector<StoredPage> list(std::uint64_t snapshot_id, std::size_t series) const;
    /// Throws CorruptionError, or StorageError; the page is stored anew by the next snapshot then.
    PageRef read(const StoredPage& page) const;
    /// The ids of pages that could not be read: a page in memory may still say that it is stored under one.
    std::unordered_set<std::uint64_t> unreadable() const;

    /// What removes the lists of a snapshot, or a page.
    void add_erased_lists(std::uint64_t snapshot_id, std::vector<RecordChange>& changes) const;
    static RecordChange erased_page(std::uint64_t id);
    /// The ids of all pages that are stored.
    std::vector<std::uint64_t> all_ids() const;
    void reclaim() { tables_.reclaim(Table::snapshots); }

private:
    friend class PageWriter;

    PageRef read_stored(const StoredPage& page) const;

    RecordTables& tables_;
    std::uint64_t next_id_ = 1;
    mutable std::mutex mutex_;
    mutable std::unordered_set<std::uint64_t> unreadable_;  // under the mutex
};

/// Writes the pages and lists of one snapshot: pages that are stored already, and were not found unreadable,
/// only enter the lists.
class PageWriter {
public:
    PageWriter(PageStore& store, std::uint64_t snapshot_id)
        : store_(store), unreadable_(store.unreadable()), snapshot_id_(snapshot_id) {}

    /// Writes a series, in the order of their numbers from 0. `known` describes pages that are stored, as far
    /// as it is at hand. Returns the sum over its pages. Throws RequestError when the deadline comes
    /// first: then nothing of the snapshot is to be finished.
    TreeStatistics write(const SeriesView& view, const std::vector<StoredPage>& known,
                         const Deadline& deadline);

    /// Puts what is large into storage and returns the rest, to be written with the snapshot's manifest.
    std::vector<RecordChange> finish();

    /// Once the manifest is written: notes in the pages where they are.
    void mark_stored() const;

    std::uint64_t pages_written() const noexcept { return fresh_.size(); }

private:
    struct FreshPage {
        const Page* page = nullptr;  // held by the view
        std::uint64_t id = 0;
    };

    void add_page(const Page& page, std::uint64_t id);
    void start_bulk();

    PageStore& store_;
    std::unordered_set<std::uint64_t> unreadable_;
    std::uint64_t snapshot_id_;
    std::size_t series_ = 0;
    std::vector<FreshPage> fresh_;
    std::vector<RecordChange> records_;  // pages, while they are few
    std::vector<RecordChange> lists_;
    std::size_t bytes_ = 0;
    std::unique_ptr<BulkWriter> bulk_;
};

}  // namespace karma
