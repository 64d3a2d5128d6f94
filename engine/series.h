#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mutation.h"
#include "engine/page.h"

namespace karma {

/// The pages of a series: extendible hashing. The first `depth` bits of a key's hash give an entry of
/// `index`, which names its page. Copied on write as a page is.
struct Directory final : RefCounted {
    unsigned depth = 0;
    std::vector<std::uint32_t> index{0};
    std::vector<PageRef> pages;

    Directory() = default;
    Directory(const Directory& other) : depth(other.depth), index(other.index), pages(other.pages) {}
    Directory& operator=(const Directory&) = delete;
    static void destroy(const Directory* directory) noexcept { delete directory; }

    const Page& page_at(std::uint64_t hash) const noexcept { return *pages[page_of(hash)]; }

    std::uint32_t page_of(std::uint64_t hash) const noexcept {
        return index[depth == 0 ? 0 : hash >> (64U - depth)];
    }

    /// The record of a key, or null.
    const std::byte* find(std::uint64_t key) const noexcept {
        const std::uint64_t hash = hash_key(key, pages.front()->seed());
        return pages[page_of(hash)]->find(key, hash);
    }
};

/// A series as it was at one LSN. Holding a view costs only memory, and any thread may read it without a
/// lock.
class SeriesView {
public:
    SeriesView() = default;
    SeriesView(std::string name, IntrusivePtr<const Directory> directory, SeriesTotals totals, Lsn lsn)
        : name_(std::move(name)), directory_(std::move(directory)), totals_(totals), lsn_(lsn) {}

    const std::string& name() const noexcept { return name_; }
    const SeriesTotals& totals() const noexcept { return totals_; }

    /// The last event that touched the series.
    Lsn lsn() const noexcept { return lsn_; }

    std::span<const PageRef> pages() const noexcept { return directory_->pages; }

    /// The record of a key, or null.
    const std::byte* find(std::uint64_t key) const noexcept { return directory_->find(key); }

    /// Calls `visit(Point)` for each bucket of a key in the range, by day ascending.
    template <typename Visit>
    void for_each_point(std::uint64_t key, const DayRange& range, Visit&& visit) const {
        Counter(find(key)).for_each(range, visit);
    }

    /// The bytes of its pages, which a scan has to read.
    std::size_t bytes() const noexcept;

private:
    std::string name_;
    IntrusivePtr<const Directory> directory_;
    SeriesTotals totals_;
    Lsn lsn_ = 0;
};

/// The counters of one series. One writer at a time and no reader beside it; readers on other threads take a
/// view.
class Series {
public:
    Series(std::string name, std::uint64_t hash_seed);

    const std::string& name() const noexcept { return name_; }
    const SeriesTotals& totals() const noexcept { return totals_; }
    std::size_t page_count() const noexcept { return directory_->pages.size(); }
    std::size_t bytes() const noexcept;

    /// The last event that touched this series.
    Lsn last_lsn() const noexcept { return last_lsn_; }
    void set_last_lsn(Lsn lsn) noexcept { last_lsn_ = lsn; }

    /// Calls `visit(i)` for each i below `count`, in order, with the memory of the key `key_at(i)` fetched
    /// ahead. `visit` may change the series.
    template <typename KeyAt, typename Visit>
    void visit_ahead(std::size_t count, KeyAt&& key_at, Visit&& visit) const;

    /// The place of a key, for prefetching the memory that a search for the key reads: each step needs the
    /// memory of the step before. Valid until the next change.
    class Place {
    public:
        void prefetch_page() const noexcept { prefetch_memory(page_); }
        void prefetch_slot() const noexcept { page_->prefetch_slot(hash_); }
        void prefetch_record() const noexcept { page_->prefetch_record(hash_); }

    private:
        friend class Series;

        const Page* page_ = nullptr;
        std::uint64_t hash_ = 0;
    };
    Place place_of(std::uint64_t key) const noexcept {
        Place place;
        place.hash_ = hash(key);
        place.page_ = &directory_->page_at(place.hash_);
        return place;
    }

    /// The record of a key, or null. Valid until the next change.
    const std::byte* find(std::uint64_t key) const noexcept { return directory_->find(key); }

    std::uint64_t value(std::uint64_t key, Day day) const noexcept;
    std::uint64_t total(std::uint64_t key) const noexcept;
    std::uint64_t sum(std::uint64_t key, DayRange range) const noexcept;

    /// Adds to a bucket and creates the key. The caller has made sure that neither the bucket nor the key's
    /// total passes 2^64-1.
    void add(std::uint64_t key, Day day, std::uint64_t value);
    /// Subtracts from a bucket, which stops at 0; creates the key.
    void subtract(std::uint64_t key, Day day, std::uint64_t value);
    /// Sets a bucket, 0 removing it; creates the key. The key's total must not pass 2^64-1 once all items of
    /// an event are set; on the way there it may.
    void set(std::uint64_t key, Day day, std::uint64_t value);

    /// Adds all items, as `add` does one.
    void add_all(std::span<const mutation::Item> items);
    /// Sets all items in order, as `set` does one: of several for the same bucket the last one counts.
    void set_all(std::span<const mutation::Item> items);

    /// Removes buckets of one key; the key stays. True when there were any.
    bool erase(std::uint64_t key, DayRange range);
    /// Removes buckets of all keys; the keys stay.
    void erase(DayRange range);
    void drop_empty_keys();
    /// Drops everything: keys too.
    void clear();

    SeriesView view() const;

    /// The series that a snapshot holds: its pages, in any order. Throws CorruptionError when they do not
    /// cover the hashes exactly once or do not hold what `totals` says.
    static Series from_pages(std::string name, std::vector<PageRef> pages, SeriesTotals totals, Lsn last_lsn);

private:
    std::uint64_t hash(std::uint64_t key) const noexcept { return hash_key(key, hash_seed_); }
    Directory& writable_directory();
    void change(std::uint64_t key, Day day, Page::Change change, std::uint64_t value);
    void split_page(std::uint32_t page_number);

    std::string name_;
    std::uint64_t hash_seed_;
    IntrusivePtr<Directory> directory_;
    SeriesTotals totals_;
    Lsn last_lsn_ = 0;
};

template <typename KeyAt, typename Visit>
void Series::visit_ahead(std::size_t count, KeyAt&& key_at, Visit&& visit) const {
    // A key's page, its slot and its record are three places in memory, far from the last ones: they are
    // asked for some keys ahead, so that the waits overlap.
    constexpr std::size_t page_ahead = 24;
    constexpr std::size_t slot_ahead = 16;
    constexpr std::size_t record_ahead = 8;
    for (std::size_t i = 0; i < count; ++i) {
        if (i + page_ahead < count) {
            place_of(key_at(i + page_ahead)).prefetch_page();
        }
        if (i + slot_ahead < count) {
            place_of(key_at(i + slot_ahead)).prefetch_slot();
        }
        if (i + record_ahead < count) {
            place_of(key_at(i + record_ahead)).prefetch_record();
        }
        visit(i);
    }
}

}  // namespace karma
