#include "engine/idempotency.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/component_codec.h"
#include "engine/hash.h"
#include "engine/prefetch.h"

namespace karma {
namespace {

constexpr std::uint32_t first_capacity = 16;

/// The part of a hash that a slot keeps: never 0, which marks a free slot.
std::uint64_t tag_of(const KeyHash& key) noexcept { return (key.low & 0xFFFFFFFFU) | 1U; }

/// Where the search for a tag begins. Only the tag decides, so that a table can grow without its records.
std::uint32_t home_of(std::uint64_t tag, std::uint32_t capacity) noexcept {
    return static_cast<std::uint32_t>(tag >> 1U) & (capacity - 1);
}

std::uint64_t tag_in(std::uint64_t slot) noexcept { return slot >> 32U; }
std::uint32_t number_in(std::uint64_t slot) noexcept { return static_cast<std::uint32_t>(slot); }

std::uint64_t make_slot(std::uint64_t tag, std::uint64_t seq) noexcept {
    return (tag << 32U) | static_cast<std::uint32_t>(seq);
}

Digest digest_of(const IdempotencyIndex::Record& record) noexcept {
    const std::uint64_t counts = std::uint64_t{record.first_count} << 32U | record.second_count;
    const std::uint64_t low =
        mix64(mix64(mix64(record.lsn) + record.fingerprint[0]) + (record.fingerprint[1] ^ mix64(counts)));
    return {low, mix64(low ^ record.lsn)};
}

}  // namespace

KeyHash hash_idempotency_key(std::string_view key, std::uint64_t seed) noexcept {
    return {hash_text(key, mix64(seed + 1)), hash_text(key, mix64(seed + 2))};
}

bool IdempotencyIndex::Record::matches(const Fingerprint& other) const noexcept {
    return std::memcmp(fingerprint.data(), other.bytes.data(), sizeof fingerprint) == 0;
}

void IdempotencyIndex::Record::set_fingerprint(const Fingerprint& other) noexcept {
    std::memcpy(fingerprint.data(), other.bytes.data(), sizeof fingerprint);
}

IdempotencyIndex::IdempotencyIndex(const IdempotencyRetention& retention) : retention_(retention) {}

IdempotencyIndex::~IdempotencyIndex() = default;

void IdempotencyIndex::View::write(ContentsWriter& out) const {
    out.next().pack(record_count);
    out.next().pack(first_record_lsn);
}

IdempotencyIndex::View IdempotencyIndex::View::read(ContentsReader& in) {
    View view;
    if (const msgpack::object* const value = in.next()) {
        view.record_count = value->as<std::uint64_t>();
    }
    if (const msgpack::object* const value = in.next()) {
        view.first_record_lsn = value->as<Lsn>();
    }
    return view;
}

ComponentViewRef IdempotencyIndex::view() const {
    auto view = std::make_shared<View>();
    view->record_count = size();
    view->first_record_lsn = first_live_lsn_;
    return view;
}

void IdempotencyIndex::restore(const ComponentView& view, const TakeSeries& /*take_series*/) {
    restore_first_live_lsn(static_cast<const View&>(view).first_record_lsn);
}

bool IdempotencyIndex::is_live(Slot slot) const noexcept {
    // Numbers are kept modulo 2^32, and fewer than that are alive.
    return static_cast<std::uint32_t>(number_in(slot) - static_cast<std::uint32_t>(live_seq_)) < size();
}

const IdempotencyIndex::Record& IdempotencyIndex::record(Slot slot) const noexcept {
    return records_[static_cast<std::uint32_t>(number_in(slot) - static_cast<std::uint32_t>(begin_seq_))];
}

const IdempotencyIndex::Record* IdempotencyIndex::find(const KeyHash& key,
                                                       std::int64_t now_unix) const noexcept {
    const Shard& table = shard(key);
    if (table.capacity == 0) {
        return nullptr;
    }
    const std::uint64_t tag = tag_of(key);
    for (std::uint32_t at = home_of(tag, table.capacity); table.slots[at] != 0;
         at = (at + 1) & (table.capacity - 1)) {
        const Slot slot = table.slots[at];
        if (tag_in(slot) != tag || !is_live(slot)) {
            continue;
        }
        const Record& found = record(slot);
        if (found.key == key) {
            const bool expired =
                retention_.age_max_s != 0 && found.created_unix + retention_.age_max_s <= now_unix;
            return expired ? nullptr : &found;
        }
    }
    return nullptr;
}

void IdempotencyIndex::prefetch(const KeyHash& key) const noexcept {
    const Shard& table = shard(key);
    if (table.capacity != 0) {
        prefetch_memory(&table.slots[home_of(tag_of(key), table.capacity)]);
    }
}

void IdempotencyIndex::make_room(Shard& table) {
    if (table.capacity != 0 && table.used + 1 <= table.capacity / 4 * 3) {
        return;
    }
    std::uint32_t live = 0;
    for (std::uint32_t at = 0; at < table.capacity; ++at) {
        live += table.slots[at] != 0 && is_live(table.slots[at]) ? 1U : 0U;
    }
    // Slots of forgotten records go here and nowhere else: to find each by itself would cost more than to
    // pass over it. A table of which half is alive doubles.
    const std::uint32_t capacity =
        live + 1 > table.capacity / 2 ? std::max(table.capacity * 2, first_capacity) : table.capacity;
    Shard grown{std::make_unique<Slot[]>(capacity), capacity, live};
    for (std::uint32_t from = 0; from < table.capacity; ++from) {
        const Slot slot = table.slots[from];
        if (slot == 0 || !is_live(slot)) {
            continue;
        }
        std::uint32_t to = home_of(tag_in(slot), capacity);
        while (grown.slots[to] != 0) {
            to = (to + 1) & (capacity - 1);
        }
        grown.slots[to] = slot;
    }
    table = std::move(grown);
}

void IdempotencyIndex::add(Record added) {
    if (!records_.empty()) {
        added.created_unix = std::max(added.created_unix, records_.back().created_unix);
    }
    const std::uint64_t seq = end_seq();
    Shard& table = shard(added.key);
    make_room(table);
    const std::uint64_t tag = tag_of(added.key);
    std::uint32_t at = home_of(tag, table.capacity);
    while (table.slots[at] != 0) {
        const Slot slot = table.slots[at];
        if (tag_in(slot) == tag && is_live(slot) && record(slot).key == added.key) {
            break;  // the older record of this key is not found any more
        }
        at = (at + 1) & (table.capacity - 1);
    }
    table.used += table.slots[at] == 0 ? 1U : 0U;
    table.slots[at] = make_slot(tag, seq);
    if (seq % sum_spacing == 0) {
        sums_.push_back(sum_);
    }
    sum_ += digest_of(added);
    records_.push_back(added);
    if (size() > retention_.records_max) {
        forget_to(end_seq() - retention_.records_max);
    }
    // More than one is added, so that a heap of forgotten ones gets smaller.
    constexpr std::size_t swept_per_add = 4;
    sweep(swept_per_add);
}

void IdempotencyIndex::forget_to(std::uint64_t seq) noexcept {
    if (seq == live_seq_) {
        return;
    }
    first_live_lsn_ = std::max(first_live_lsn_, records_[seq - 1 - begin_seq_].lsn + 1);
    forgotten_ += seq - live_seq_;
    live_seq_ = seq;
}

std::uint64_t IdempotencyIndex::first_since(std::int64_t unix) const noexcept {
    const auto first = records_.begin() + static_cast<std::ptrdiff_t>(live_seq_ - begin_seq_);
    const auto found = std::partition_point(
        first, records_.end(), [&](const Record& each) { return std::int64_t{each.created_unix} < unix; });
    return live_seq_ + static_cast<std::uint64_t>(found - first);
}

RecordsDigest IdempotencyIndex::digest(std::int64_t now_unix) const noexcept {
    const std::uint64_t first =
        retention_.age_max_s == 0 ? live_seq_ : first_since(now_unix - retention_.age_max_s + 1);
    const std::uint64_t next_sum = (first + sum_spacing - 1) / sum_spacing;
    const std::uint64_t end = std::min(next_sum * sum_spacing, end_seq());
    RecordsDigest digest{end_seq() - first, {}};
    for (std::uint64_t seq = first; seq < end; ++seq) {
        digest.sum += digest_of(records_[seq - begin_seq_]);
    }
    if (end < end_seq()) {
        const std::uint64_t first_sum = (begin_seq_ + sum_spacing - 1) / sum_spacing;
        const Digest& before = sums_[next_sum - first_sum];
        digest.sum += {sum_.low - before.low, sum_.high - before.high};
    }
    return digest;
}

std::uint64_t IdempotencyIndex::prune(std::int64_t before_unix, std::optional<std::uint64_t> limit) {
    const auto count = std::min(first_since(before_unix) - live_seq_,
                                limit.value_or(std::numeric_limits<std::uint64_t>::max()));
    forget_to(live_seq_ + count);
    return count;
}

Lsn IdempotencyIndex::end_of_oldest(std::int64_t before_unix, std::uint64_t limit,
                                    std::int64_t now_unix) const {
    const std::uint64_t begin = retention_.age_max_s == 0 ? live_seq_ : first_since(expired_before(now_unix));
    const std::uint64_t end = begin + std::min(std::max(first_since(before_unix), begin) - begin, limit);
    return end == live_seq_ ? std::max<Lsn>(first_live_lsn_, 1) : records_[end - 1 - begin_seq_].lsn + 1;
}

std::uint64_t IdempotencyIndex::prune_below(Lsn lsn) {
    const auto first = records_.begin() + static_cast<std::ptrdiff_t>(live_seq_ - begin_seq_);
    const auto end =
        std::partition_point(first, records_.end(), [&](const Record& each) { return each.lsn < lsn; });
    const auto count = static_cast<std::uint64_t>(end - first);
    forget_to(live_seq_ + count);
    return count;
}

void IdempotencyIndex::set_retention(const IdempotencyRetention& retention) {
    retention_ = retention;
    if (size() > retention_.records_max) {
        forget_to(end_seq() - retention_.records_max);
    }
}

void IdempotencyIndex::expire(std::int64_t now_unix) {
    if (retention_.age_max_s != 0) {
        prune(expired_before(now_unix), std::nullopt);
    }
}

bool IdempotencyIndex::sweep(std::size_t max) {
    for (; max > 0 && begin_seq_ < live_seq_; --max) {
        if (begin_seq_ % sum_spacing == 0) {
            sums_.pop_front();
        }
        records_.pop_front();
        ++begin_seq_;
    }
    return begin_seq_ < live_seq_;
}

std::size_t IdempotencyIndex::bytes() const noexcept {
    // The deque holds blocks of some 500 bytes and a pointer to each.
    std::size_t bytes = records_.size() * sizeof(Record) + records_.size() / 9 * (sizeof(void*) + 16);
    for (const Shard& table : shards_) {
        bytes += table.capacity * sizeof(Slot);
    }
    return bytes;
}

}  // namespace karma
