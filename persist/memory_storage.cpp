#include "persist/memory_storage.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "persist/keys.h"

namespace karma {

MemoryStorage::MemoryStorage(const MemoryStorage& other) : Storage() {
    const std::lock_guard lock(other.mutex_);
    chunks_ = other.chunks_;
    if (!chunks_.empty()) {
        chunks_.back() = std::make_shared<Chunk>(*chunks_.back());  // each goes on with its own
    }
    erased_ = other.erased_;
    next_lsn_ = other.next_lsn_;
    log_bytes_ = other.log_bytes_;
    tables_ = other.tables_;
}

// ---- the log

MemoryStorage::Place MemoryStorage::place_of(Lsn lsn) const noexcept {
    const auto behind = std::ranges::upper_bound(
        chunks_, lsn, {}, [](const std::shared_ptr<Chunk>& chunk) { return chunk->groups[0].first_lsn; });
    if (behind == chunks_.begin()) {
        return {0, erased_};
    }
    const auto number = static_cast<std::size_t>(behind - chunks_.begin()) - 1;
    const Chunk& chunk = *chunks_[number];
    const std::span<const StoredGroup> groups(chunk.groups.data(), chunk.used);
    const auto found = std::ranges::partition_point(
        groups, [&](const StoredGroup& group) { return group.first_lsn + group.count <= lsn; });
    const auto group = static_cast<std::size_t>(found - groups.begin());
    if (group == groups.size()) {
        return {number + 1, 0};
    }
    return {number, number == 0 ? std::max(group, erased_) : group};
}

void MemoryStorage::append(const EventGroup& group, std::span<const RecordChange> records, bool /*sync*/) {
    constexpr std::uint64_t chunk_bytes_max = 1U << 20U;
    const std::lock_guard lock(mutex_);
    if (group.first_lsn != next_lsn_) {
        throw StorageError("append at LSN " + std::to_string(group.first_lsn) + ": the log goes on at " +
                           std::to_string(next_lsn_));
    }
    if (chunks_.empty() || chunks_.back()->used == Chunk::groups_max ||
        chunks_.back()->bytes >= chunk_bytes_max) {
        chunks_.push_back(std::make_shared<Chunk>());
    }
    Chunk& last = *chunks_.back();
    last.groups.at(last.used) = {group.first_lsn, group.count, std::string(group.bytes)};
    ++last.used;
    last.bytes += group.bytes.size();
    log_bytes_ += group.bytes.size();
    next_lsn_ += group.count;
    apply(records);
}

Lsn MemoryStorage::next_lsn() const {
    const std::lock_guard lock(mutex_);
    return next_lsn_;
}

void MemoryStorage::skip_to(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    next_lsn_ = std::max(next_lsn_, lsn);
}

void MemoryStorage::read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const {
    // One pointer for some hundred groups, and how many of the last chunk were there: a consistent state.
    std::vector<std::pair<std::shared_ptr<const Chunk>, std::size_t>> chunks;
    std::size_t next = 0;
    {
        const std::lock_guard lock(mutex_);
        const Place first = place_of(from);
        next = first.group;
        for (std::size_t i = first.chunk; i < chunks_.size(); ++i) {
            chunks.emplace_back(chunks_[i], chunks_[i]->used);
        }
    }
    for (const auto& [chunk, used] : chunks) {
        for (; next < used; ++next) {
            const StoredGroup& group = chunk->groups[next];
            if (!visit({group.first_lsn, group.count, group.bytes})) {
                return;
            }
        }
        next = 0;
    }
}

std::uint64_t MemoryStorage::log_bytes() const {
    const std::lock_guard lock(mutex_);
    return log_bytes_;
}

std::uint64_t MemoryStorage::log_bytes_from(Lsn from) const {
    const std::lock_guard lock(mutex_);
    const Place first = place_of(from);
    std::uint64_t bytes = 0;
    if (first.chunk < chunks_.size()) {
        const Chunk& chunk = *chunks_[first.chunk];
        for (std::size_t i = first.group; i < chunk.used; ++i) {
            bytes += chunk.groups[i].bytes.size();
        }
    }
    for (std::size_t i = first.chunk + 1; i < chunks_.size(); ++i) {
        bytes += chunks_[i]->bytes;
    }
    return bytes;
}

void MemoryStorage::erase_log_below(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    while (!chunks_.empty()) {
        const Chunk& first = *chunks_.front();
        const StoredGroup& group = first.groups.at(erased_);
        const bool is_last = chunks_.size() == 1 && erased_ + 1 == first.used;
        if (is_last || group.first_lsn + group.count > lsn) {
            return;
        }
        log_bytes_ -= group.bytes.size();
        if (++erased_ == first.used) {
            chunks_.pop_front();
            erased_ = 0;
        }
    }
}

void MemoryStorage::clear(std::span<const RecordChange> records) {
    const std::lock_guard lock(mutex_);
    chunks_.clear();
    erased_ = 0;
    log_bytes_ = 0;
    next_lsn_ = 1;
    for (Records& table : tables_) {
        table.clear();
    }
    apply(records);
}

// ---- records

void MemoryStorage::apply(std::span<const RecordChange> records) {
    for (const RecordChange& change : records) {
        Records& table = tables_.at(static_cast<std::size_t>(change.table));
        if (change.value) {
            table.insert_or_assign(change.key, std::make_shared<const std::string>(*change.value));
        } else {
            table.erase(change.key);
        }
    }
}

void MemoryStorage::write(std::span<const RecordChange> records, bool /*sync*/) {
    const std::lock_guard lock(mutex_);
    apply(records);
}

std::optional<std::string> MemoryStorage::read(Table table, std::string_view key) const {
    const std::lock_guard lock(mutex_);
    const Records& records = tables_.at(static_cast<std::size_t>(table));
    const auto found = records.find(key);
    return found == records.end() ? std::nullopt : std::optional(*found->second);
}

void MemoryStorage::scan(Table table, std::string_view prefix,
                         const std::function<bool(std::string_view, std::string_view)>& visit) const {
    scan_from(table, prefix, [&](std::string_view key, std::string_view value) {
        return key.starts_with(prefix) && visit(key, value);
    });
}

void MemoryStorage::scan_from(Table table, std::string_view begin,
                              const std::function<bool(std::string_view, std::string_view)>& visit) const {
    constexpr std::size_t at_once = 64;
    std::vector<std::pair<std::string, Value>> found;
    std::string next(begin);
    while (true) {
        found.clear();
        {
            const std::lock_guard lock(mutex_);
            const Records& records = tables_.at(static_cast<std::size_t>(table));
            for (auto at = records.lower_bound(next); at != records.end() && found.size() < at_once; ++at) {
                found.emplace_back(*at);
            }
        }
        for (const auto& [key, value] : found) {
            if (!visit(key, *value)) {
                return;
            }
        }
        if (found.size() < at_once) {
            return;
        }
        next = found.back().first;
        next.push_back('\0');  // the key after it
    }
}

void MemoryStorage::erase_prefix(Table table, std::string_view prefix) {
    const std::lock_guard lock(mutex_);
    Records& records = tables_.at(static_cast<std::size_t>(table));
    auto at = records.lower_bound(prefix);
    while (at != records.end() && at->first.starts_with(prefix)) {
        at = records.erase(at);
    }
}

void MemoryStorage::erase_range(Table table, std::string_view begin, std::string_view end) {
    const std::lock_guard lock(mutex_);
    Records& records = tables_.at(static_cast<std::size_t>(table));
    if (begin < end) {
        records.erase(records.lower_bound(begin), records.lower_bound(end));
    }
}

std::optional<std::string> MemoryStorage::last_key(Table table, std::string_view prefix) const {
    const std::lock_guard lock(mutex_);
    std::optional<std::string> last;
    const Records& records = tables_.at(static_cast<std::size_t>(table));
    const std::string end = prefix_end(prefix);
    auto at = end.empty() ? records.end() : records.lower_bound(end);
    if (at != records.begin() && (--at)->first.starts_with(prefix)) {
        last = at->first;
    }
    return last;
}

namespace {

/// Collects the records and writes them together.
class GatheringWriter final : public BulkWriter {
public:
    GatheringWriter(MemoryStorage& storage, Table table) : storage_(storage), table_(table) {}

    void add(std::string_view key, std::string_view value) override {
        records_.push_back({table_, std::string(key), std::string(value)});
    }
    void commit() override { storage_.write(records_, true); }

private:
    MemoryStorage& storage_;
    Table table_;
    std::vector<RecordChange> records_;
};

}  // namespace

std::unique_ptr<BulkWriter> MemoryStorage::bulk_writer(Table table) {
    return std::make_unique<GatheringWriter>(*this, table);
}

}  // namespace karma
