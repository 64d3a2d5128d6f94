#pragma once

#include <atomic>
#include <limits>

#include "engine/storage.h"

namespace karma::test {

/// A storage in front of another one, to be changed in parts.
class ForwardingStorage : public Storage {
public:
    explicit ForwardingStorage(Storage& under) : under_(under) {}

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override {
        under_.append(group, records, sync);
    }
    Lsn next_lsn() const override { return under_.next_lsn(); }
    void skip_to(Lsn lsn) override { under_.skip_to(lsn); }
    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override {
        under_.read_log(from, visit);
    }
    std::uint64_t log_bytes() const override { return under_.log_bytes(); }
    void clear(std::span<const RecordChange> records) override { under_.clear(records); }
    void store_durable_position() override { under_.store_durable_position(); }
    void write(std::span<const RecordChange> records, bool sync) override { under_.write(records, sync); }
    std::optional<std::string> read(Table table, std::string_view key) const override {
        return under_.read(table, key);
    }
    void scan(Table table, std::string_view prefix,
              const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        under_.scan(table, prefix, visit);
    }
    void scan_from(Table table, std::string_view begin,
                   const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        under_.scan_from(table, begin, visit);
    }
    void erase_prefix(Table table, std::string_view prefix) override { under_.erase_prefix(table, prefix); }
    void erase_range(Table table, std::string_view begin, std::string_view end) override {
        under_.erase_range(table, begin, end);
    }
    std::optional<std::string> last_key(Table table, std::string_view prefix) const override {
        return under_.last_key(table, prefix);
    }
    std::unique_ptr<BulkWriter> bulk_writer(Table table) override { return under_.bulk_writer(table); }
    void reclaim(Table table) override { under_.reclaim(table); }
    void reclaim_range(Table table, std::string_view begin, std::string_view end) override {
        under_.reclaim_range(table, begin, end);
    }
    void tidy() override { under_.tidy(); }
    void end_maintenance() override { under_.end_maintenance(); }
    void recover() override { under_.recover(); }
    std::uint64_t log_bytes_from(Lsn from) const override { return under_.log_bytes_from(from); }
    void erase_log_below(Lsn lsn) override { under_.erase_log_below(lsn); }

private:
    Storage& under_;
};

/// Fails when it is told to, as a full or broken disk does.
class FaultyStorage final : public ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    /// The next `appends` appends and `writes` writes succeed, those after them fail.
    void fail_after(std::uint64_t appends, std::uint64_t writes) {
        appends_left_ = appends;
        writes_left_ = writes;
    }

    /// Nothing fails any more.
    void heal() { fail_after(always, always); }

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override {
        use(appends_left_);
        ForwardingStorage::append(group, records, sync);
    }
    void write(std::span<const RecordChange> records, bool sync) override {
        use(writes_left_);
        ForwardingStorage::write(records, sync);
    }
    void erase_prefix(Table table, std::string_view prefix) override {
        use(writes_left_);
        ForwardingStorage::erase_prefix(table, prefix);
    }
    void erase_range(Table table, std::string_view begin, std::string_view end) override {
        use(writes_left_);
        ForwardingStorage::erase_range(table, begin, end);
    }
    std::unique_ptr<BulkWriter> bulk_writer(Table table) override {
        use(writes_left_);
        return ForwardingStorage::bulk_writer(table);
    }
    void erase_log_below(Lsn lsn) override {
        use(writes_left_);
        ForwardingStorage::erase_log_below(lsn);
    }

private:
    static constexpr std::uint64_t always = std::numeric_limits<std::uint64_t>::max();

    static void use(std::atomic<std::uint64_t>& left) {
        if (left == 0) {
            throw StorageError("no space left on device (made up by the test)");
        }
        if (left != always) {
            --left;
        }
    }

    std::atomic<std::uint64_t> appends_left_{always};
    std::atomic<std::uint64_t> writes_left_{always};
};

}  // namespace karma::test
