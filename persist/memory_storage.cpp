#include "persist/memory_storage.h"

#include <vector>

#include "persist/keys.h"

namespace karma {

MemoryStorage::MemoryStorage(const MemoryStorage& other) : Storage() {
    const std::lock_guard lock(other.mutex_);
    log_ = other.log_;
    next_lsn_ = other.next_lsn_;
    log_bytes_ = other.log_bytes_;
    tables_ = other.tables_;
}

void MemoryStorage::apply(std::span<const RecordChange> records) {
    for (const RecordChange& change : records) {
        Records& table = tables_.at(static_cast<std::size_t>(change.table));
        if (change.value) {
            table.insert_or_assign(change.key, *change.value);
        } else {
            table.erase(change.key);
        }
    }
}

void MemoryStorage::append(const EventGroup& group, std::span<const RecordChange> records, bool /*sync*/) {
    const std::lock_guard lock(mutex_);
    if (group.first_lsn != next_lsn_) {
        throw StorageError("append at LSN " + std::to_string(group.first_lsn) + ": the log goes on at " +
                           std::to_string(next_lsn_));
    }
    log_.emplace(group.first_lsn, StoredGroup{group.count, std::string(group.bytes)});
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
    std::map<Lsn, StoredGroup> groups;
    {
        const std::lock_guard lock(mutex_);
        auto first = log_.upper_bound(from);
        if (first != log_.begin()) {
            const auto before = std::prev(first);
            if (before->first + before->second.count > from) {
                first = before;
            }
        }
        groups.insert(first, log_.end());
    }
    for (const auto& [first_lsn, group] : groups) {
        if (!visit({first_lsn, group.count, group.bytes})) {
            return;
        }
    }
}

std::uint64_t MemoryStorage::log_bytes() const {
    const std::lock_guard lock(mutex_);
    return log_bytes_;
}

void MemoryStorage::clear(std::span<const RecordChange> records) {
    const std::lock_guard lock(mutex_);
    log_.clear();
    log_bytes_ = 0;
    next_lsn_ = 1;
    for (Records& table : tables_) {
        table.clear();
    }
    apply(records);
}

void MemoryStorage::write(std::span<const RecordChange> records, bool /*sync*/) {
    const std::lock_guard lock(mutex_);
    apply(records);
}

std::optional<std::string> MemoryStorage::read(Table table, std::string_view key) const {
    const std::lock_guard lock(mutex_);
    const Records& records = tables_.at(static_cast<std::size_t>(table));
    const auto found = records.find(key);
    return found == records.end() ? std::nullopt : std::optional(found->second);
}

void MemoryStorage::scan(Table table, std::string_view prefix,
                         const std::function<bool(std::string_view, std::string_view)>& visit) const {
    std::vector<std::pair<std::string, std::string>> found;
    {
        const std::lock_guard lock(mutex_);
        const Records& records = tables_.at(static_cast<std::size_t>(table));
        for (auto at = records.lower_bound(prefix); at != records.end() && at->first.starts_with(prefix);
             ++at) {
            found.emplace_back(*at);
        }
    }
    for (const auto& [key, value] : found) {
        if (!visit(key, value)) {
            return;
        }
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

/// Gathers the records and writes them as one.
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

std::uint64_t MemoryStorage::log_bytes_from(Lsn from) const {
    const std::lock_guard lock(mutex_);
    std::uint64_t bytes = 0;
    for (auto at = log_.rbegin(); at != log_.rend() && at->first + at->second.count > from; ++at) {
        bytes += at->second.bytes.size();
    }
    return bytes;
}

void MemoryStorage::erase_log_below(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    while (log_.size() > 1 && log_.begin()->first + log_.begin()->second.count <= lsn) {
        log_bytes_ -= log_.begin()->second.bytes.size();
        log_.erase(log_.begin());
    }
}

}  // namespace karma
