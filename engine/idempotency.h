#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/component.h"
#include "engine/fingerprint.h"
#include "engine/number.h"
#include "engine/scan.h"

namespace karma {

/// 128 bits that stand for an idempotency key in memory. They depend on a seed that no client knows, so that
/// no client can make keys that collide.
struct KeyHash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    bool operator==(const KeyHash&) const = default;
};

KeyHash hash_idempotency_key(std::string_view key, std::uint64_t seed) noexcept;

/// How long idempotency records are remembered.
struct IdempotencyRetention {
    std::uint64_t records_max = 1'000'000;  // 1 to 2^31; beyond it the oldest go
    std::int64_t age_max_s = 604'800;       // 0: no limit by age
};

/// The digest of some idempotency records, for a comparison with another node.
struct RecordsDigest {
    std::uint64_t count = 0;
    /// The sum over their LSNs, fingerprints and responses. Without the hash of the key, whose seed differs
    /// between nodes, and without the time, which is the event's.
    Digest sum;

    bool operator==(const RecordsDigest&) const = default;
};

/// The idempotency records in memory, some 75 bytes each: a queue by age and a hash table into it. Looking
/// up, adding and forgetting take constant time; none of them goes through all records. Not thread-safe.
class IdempotencyIndex final : public Component {
public:
    static constexpr std::string_view name = "idempotency";
    static constexpr bool is_needed_by_series = false;

    /// The records themselves lie in storage. How long they live is an option of each node: they are no part
    /// of the digest.
    class View final : public ComponentView {
    public:
        std::uint64_t record_count = 0;
        Lsn first_record_lsn = 0;  // records of lower LSNs are forgotten; 0: none is, or not known

        void write(ContentsWriter& out) const override;
        static View read(ContentsReader& in);
    };

    struct Record {
        KeyHash key;
        std::array<std::uint64_t, 2> fingerprint{};  // its first half
        Lsn lsn = 0;                                 // of the event that had the key
        std::uint32_t created_unix = 0;
        // What the response has that the request has not: see `reply_again`.
        std::uint32_t first_count = 0;
        std::uint32_t second_count = 0;

        bool matches(const Fingerprint& other) const noexcept;
        void set_fingerprint(const Fingerprint& other) noexcept;
    };

    explicit IdempotencyIndex(const IdempotencyRetention& retention = {});
    IdempotencyIndex(const IdempotencyIndex&) = delete;
    IdempotencyIndex(IdempotencyIndex&&) = delete;
    IdempotencyIndex& operator=(const IdempotencyIndex&) = delete;
    IdempotencyIndex& operator=(IdempotencyIndex&&) = delete;
    ~IdempotencyIndex() override;

    /// The record of a key at the time `now_unix`, or null. Valid until the next change.
    const Record* find(const KeyHash& key, std::int64_t now_unix) const noexcept;

    /// Fetches the memory that `find` will read.
    void prefetch(const KeyHash& key) const noexcept;

    /// Adds a record, the newest, or the newest of its key. Its LSN is above that of all others; its time
    /// becomes that of the record before where it is lower, so that age follows LSN.
    void add(Record added);

    /// Forgets the records created before an instant, the oldest first; returns how many.
    std::uint64_t prune(std::int64_t before_unix, std::optional<std::uint64_t> limit);
    /// The LSN behind the records that this would forget at the time `now_unix`, when those that are too old
    /// are forgotten already; at least 1.
    Lsn end_of_oldest(std::int64_t before_unix, std::uint64_t limit, std::int64_t now_unix) const;
    /// Forgets the records of lower LSNs; returns how many.
    std::uint64_t prune_below(Lsn lsn);

    /// Sets the limits, and forgets the records beyond them.
    void set_retention(const IdempotencyRetention& retention);
    const IdempotencyRetention& retention() const noexcept { return retention_; }

    /// Forgets those that are too old.
    void expire(std::int64_t now_unix);

    /// Frees the memory of forgotten records, `max` of them at most. False when nothing is left to do.
    bool sweep(std::size_t max);

    std::uint64_t size() const noexcept { return end_seq() - live_seq_; }
    /// The number of records forgotten since the start, for any reason.
    std::uint64_t forgotten() const noexcept { return forgotten_; }
    /// The records of lower LSNs are forgotten. Never falls; 0 while none was forgotten.
    Lsn first_live_lsn() const noexcept { return first_live_lsn_; }
    /// Says that the records of lower LSNs were forgotten before this index was filled.
    void restore_first_live_lsn(Lsn lsn) noexcept { first_live_lsn_ = std::max(first_live_lsn_, lsn); }
    ComponentViewRef view() const override;
    void restore(const ComponentView& view, const TakeSeries& take_series) override;

    std::size_t bytes() const noexcept;
    /// The digest of the records that are not too old at a time. Older ones may be forgotten or not, which
    /// differs between nodes. Takes constant time, besides a binary search.
    RecordsDigest digest(std::int64_t now_unix) const noexcept;

private:
    /// A slot of a shard: 0 where free, or 32 bits of the key's hash (never 0) and 32 of the record's number.
    using Slot = std::uint64_t;

    struct Shard {
        std::unique_ptr<Slot[]> slots;
        std::uint32_t capacity = 0;  // a power of two
        std::uint32_t used = 0;      // slots that are not free; some may be of forgotten records
    };

    // Tables of a part of the keys each: one grows in some ten microseconds, where one table for all would
    // stop everything for a while.
    static constexpr std::size_t shard_count = 256;

    // Records between two of `sums_`.
    static constexpr std::size_t sum_spacing = 256;

    std::uint64_t end_seq() const noexcept { return begin_seq_ + records_.size(); }
    bool is_live(Slot slot) const noexcept;
    const Record& record(Slot slot) const noexcept;
    Shard& shard(const KeyHash& key) noexcept { return shards_[key.high >> 56U]; }
    const Shard& shard(const KeyHash& key) const noexcept { return shards_[key.high >> 56U]; }
    void forget_to(std::uint64_t seq) noexcept;
    /// Records created before this instant are too old at the time `now_unix`.
    std::int64_t expired_before(std::int64_t now_unix) const noexcept {
        return now_unix - retention_.age_max_s + 1;  // the oldest that stays is less than age_max_s old
    }
    /// The number of the first live record that was created at this time or later.
    std::uint64_t first_since(std::int64_t unix) const noexcept;
    void make_room(Shard& table);

    IdempotencyRetention retention_;
    std::deque<Record> records_;   // forgotten ones in front, then the live ones; LSN and time ascend
    std::uint64_t begin_seq_ = 0;  // number of the first record of the queue
    std::uint64_t live_seq_ = 0;   // number of the first one that is not forgotten
    Digest sum_;                   // of all records that were ever added
    // What `sum_` was before each record of the queue whose number is a multiple of `sum_spacing`: what
    // follows such a record is a difference, and forgetting has nothing to subtract.
    std::deque<Digest> sums_;
    std::uint64_t forgotten_ = 0;
    Lsn first_live_lsn_ = 0;
    std::array<Shard, shard_count> shards_;
};

}  // namespace karma
