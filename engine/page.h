#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "engine/counter.h"
#include "engine/hash.h"
#include "engine/intrusive_ptr.h"
#include "engine/number.h"
#include "engine/prefetch.h"

namespace karma {

/// What a series holds in all: kept up to date by every change of a page.
struct SeriesTotals {
    std::uint64_t keys = 0;     // keys without a value included, until compaction
    std::uint64_t buckets = 0;  // (key, day) pairs with a value
    Uint128 total = 0;

    bool operator==(const SeriesTotals&) const = default;
};

class Page;
using PageRef = IntrusivePtr<Page>;

/// The counters of those keys of a series whose hash begins with the same bits: one block of memory with a
/// hash table of record positions in front and the records behind.
///
/// Pages are shared between the live series and views of it. A page is only changed through the static
/// functions that take a PageRef&; they copy a page that is shared and replace one that is too small, so a
/// view never sees a change. One writer at a time; readers of pinned pages may be on any thread.
class Page final : public RefCounted {
public:
    /// Above this a page with several keys splits.
    static constexpr std::size_t split_bytes = 16 * 1024;

    /// From this size on a page with several keys splits at any price: record positions have 24 bits.
    static constexpr std::size_t split_always_bytes = 16 * 1024 * 1024;

    /// An empty page for the keys whose `hash_key(key, seed)` begins with the first `depth` bits of `prefix`.
    static PageRef create(std::uint64_t seed, unsigned depth, std::uint64_t prefix);

    /// A page from the bytes that `image` gave. Throws CorruptionError when they are no sound page.
    static PageRef from_image(std::string_view image);
    static void destroy(const Page* page) noexcept;

    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

    /// The bytes that make this page anywhere; alive as long as the page is unchanged.
    std::string_view image() const noexcept;

    unsigned depth() const noexcept { return header_.depth; }
    std::uint64_t prefix() const noexcept { return header_.prefix; }
    std::uint64_t seed() const noexcept { return header_.seed; }
    std::size_t keys() const noexcept { return header_.keys; }

    /// Bytes of memory that the page takes.
    std::size_t bytes() const noexcept;

    /// The stored image that has the bytes of this page, 0 for none. Who stores pages sets it when one is
    /// written, on any thread that holds the page; the next change of the page sets it back.
    std::uint64_t stored_id() const noexcept { return stored_id_.load(std::memory_order_relaxed); }
    void set_stored_id(std::uint64_t id) const noexcept { stored_id_.store(id, std::memory_order_relaxed); }

    bool wants_split() const noexcept { return bytes() > split_bytes && header_.keys > 1; }

    /// The record of a key, or null.
    const std::byte* find(std::uint64_t key, std::uint64_t hash) const noexcept;

    /// Asks for the memory that `find` and `change` will read first, or second, so that it is there in time.
    void prefetch_slot(std::uint64_t hash) const noexcept { prefetch_memory(slots() + first_slot(hash)); }
    void prefetch_record(std::uint64_t hash) const noexcept {
        // The first one with the same tag: one in 256 others has it too.
        std::uint32_t index = first_slot(hash);
        while (slots()[index] != 0 && (slots()[index] & 0xFFU) != tag_of(hash)) {
            index = index + 1 == header_.slots ? 0 : index + 1;
        }
        if (const std::uint32_t slot = slots()[index]; slot != 0) {
            prefetch_memory(heap() + position(slot));
        }
    }

    /// Calls `visit(Counter)` for each key, in no order.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (std::uint32_t i = 0; i < header_.slots; ++i) {
            if (const std::uint32_t slot = slots()[i]; slot != 0) {
                visit(Counter(heap() + position(slot)));
            }
        }
    }

    enum class Change : std::uint8_t {
        add,       // neither the bucket nor the key's total may pass 2^64-1
        subtract,  // stops at 0
        set,
    };

    /// Changes the bucket of a key by `value`; a bucket that comes to 0 is gone. Creates the key.
    static void change(PageRef& page, std::uint64_t key, std::uint64_t hash, Day day, Change change,
                       std::uint64_t value, SeriesTotals& totals);

    /// Creates the key when it is not there.
    static void touch(PageRef& page, std::uint64_t key, std::uint64_t hash, SeriesTotals& totals);

    /// Removes the buckets of all keys in the range. True when something changed.
    static bool erase(PageRef& page, DayRange range, SeriesTotals& totals);

    /// Removes the buckets of one key in the range; the key stays. True when something changed.
    static bool erase_key(PageRef& page, std::uint64_t key, std::uint64_t hash, DayRange range,
                          SeriesTotals& totals);

    /// Drops keys without buckets.
    static void drop_empty_keys(PageRef& page, SeriesTotals& totals);

    /// The two pages of one bit more depth that hold the keys of `page` between them.
    static std::pair<PageRef, PageRef> split(const Page& page);

private:
    struct Header {
        std::uint64_t seed = 0;
        std::uint64_t prefix = 0;
        std::uint32_t slots = 0;     // entries of the hash table
        std::uint32_t keys = 0;      // of them in use
        std::uint32_t capacity = 0;  // bytes for records
        std::uint32_t used = 0;      // of them taken, in front
        std::uint32_t garbage = 0;   // of the taken bytes, those that no slot points to any more
        std::uint32_t depth = 0;
    };

    explicit Page(const Header& header) noexcept : header_(header) {}
    ~Page() = default;

    static Page* allocate(const Header& header);
    /// A page of the given depth and prefix with room for `keys` records of `live` bytes in all, and some
    /// more.
    static PageRef create_for(std::uint64_t seed, unsigned depth, std::uint64_t prefix, std::size_t keys,
                              std::size_t live);
    static void make_writable(PageRef& page);
    /// Makes the page writable with room for one more record of `extra` bytes and, when asked, one more key.
    static void make_room(PageRef& page, std::size_t extra, bool for_new_key);
    static void insert_key(PageRef& page, std::uint64_t key, std::uint64_t hash,
                           std::span<const Point> points, SeriesTotals& totals);
    static void rewrite_key(PageRef& page, std::uint64_t key, std::uint64_t hash, Point change);
    bool erase_record(std::byte* record, DayRange range, SeriesTotals& totals);
    void check_image(std::string_view image) const;

    static std::uint32_t tag_of(std::uint64_t hash) noexcept {
        return static_cast<std::uint32_t>(hash >> 32U) & 0xFFU;
    }
    static std::size_t position(std::uint32_t slot) noexcept {
        return (static_cast<std::size_t>(slot >> 8U) - 1) * 4;
    }

    const std::uint32_t* slots() const noexcept { return reinterpret_cast<const std::uint32_t*>(this + 1); }
    std::uint32_t* slots() noexcept { return reinterpret_cast<std::uint32_t*>(this + 1); }
    const std::byte* heap() const noexcept {
        return reinterpret_cast<const std::byte*>(slots() + header_.slots);
    }
    std::byte* heap() noexcept { return reinterpret_cast<std::byte*>(slots() + header_.slots); }

    /// Where the search for a hash begins.
    std::uint32_t first_slot(std::uint64_t hash) const noexcept {
        return static_cast<std::uint32_t>(((hash & 0xFFFFFFFFU) * header_.slots) >> 32U);
    }
    /// Index of the slot of a key, or `header_.slots` where the page has no such key.
    std::uint32_t find_slot(std::uint64_t key, std::uint64_t hash) const noexcept;
    /// Points a free slot to a record that `take` gave.
    void insert_slot(std::uint64_t hash, const std::byte* record) noexcept;
    std::uint32_t make_slot(std::uint64_t hash, const std::byte* record) const noexcept;
    /// Takes `size` bytes of the records' room, which must be there.
    std::byte* take(std::size_t size) noexcept;
    /// Copies a record of another page into this one, which has room for it.
    void adopt(Counter counter, const std::byte* record) noexcept;

    mutable std::atomic<std::uint64_t> stored_id_{0};
    Header header_;  // the last member: slots and records follow it, in memory as in an image
};

}  // namespace karma
