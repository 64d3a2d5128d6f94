#include "tests/simulation/disk.h"

#include <deque>
#include <string>
#include <utility>

#include "net/machine.h"

namespace karma::test {

// The files of a storage: some that it always has, its latest logs, and tables, the oldest of which it closes
// when there are many.
class StorageFiles {
public:
    explicit StorageFiles(std::shared_ptr<OpenFiles> files) : files_(std::move(files)) {
        constexpr std::size_t always = 10;
        for (std::size_t i = 0; i < always; ++i) {
            always_.emplace_back(files_);
        }
    }

    // False where no file is left.
    bool begin_log() {
        constexpr std::size_t logs_max = 4;
        return begin(logs_, logs_max);
    }
    bool begin_table() { return begin(tables_, net::storage_files(files_->limit())); }

private:
    bool begin(std::deque<OpenFile>& kind, std::size_t max) {
        OpenFile next(files_);
        if (!next.is_open()) {
            return false;
        }
        kind.push_back(std::move(next));
        if (kind.size() > max) {
            kind.pop_front();
        }
        return true;
    }

    std::shared_ptr<OpenFiles> files_;
    std::deque<OpenFile> always_;
    std::deque<OpenFile> logs_;
    std::deque<OpenFile> tables_;
};

class SimulatedStorage final : public Storage {
public:
    SimulatedStorage(SimulatedDisk& disk, std::uint64_t opened, std::shared_ptr<OpenFiles> files)
        : disk_(disk), opened_(opened), files_(std::move(files)) {}

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override {
        change(sync, [group, bytes = std::string(group.bytes),
                      copied = std::vector<RecordChange>(records.begin(), records.end())](MemoryStorage& to) {
            to.append({group.first_lsn, group.count, bytes}, copied, true);
        });
    }
    Lsn next_lsn() const override { return live().next_lsn(); }
    void skip_to(Lsn lsn) override {
        change(false, [lsn](MemoryStorage& to) { to.skip_to(lsn); });
    }
    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override {
        read_live().read_log(from, visit);
    }
    std::uint64_t log_bytes() const override { return live().log_bytes(); }
    std::uint64_t log_bytes_from(Lsn from) const override { return live().log_bytes_from(from); }
    void erase_log_below(Lsn lsn) override {
        change(false, [lsn](MemoryStorage& to) { to.erase_log_below(lsn); });
    }
    void clear(std::span<const RecordChange> records) override {
        change(true, [copied = std::vector<RecordChange>(records.begin(), records.end())](MemoryStorage& to) {
            to.clear(copied);
        });
    }
    void write(std::span<const RecordChange> records, bool sync) override {
        change(sync, [copied = std::vector<RecordChange>(records.begin(), records.end())](MemoryStorage& to) {
            to.write(copied, true);
        });
    }
    std::optional<std::string> read(Table table, std::string_view key) const override {
        return read_live().read(table, key);
    }
    void scan(Table table, std::string_view prefix,
              const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        read_live().scan(table, prefix, visit);
    }
    void scan_from(Table table, std::string_view begin,
                   const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        read_live().scan_from(table, begin, visit);
    }
    void erase_prefix(Table table, std::string_view prefix) override {
        change(false,
               [table, copied = std::string(prefix)](MemoryStorage& to) { to.erase_prefix(table, copied); });
    }
    void erase_range(Table table, std::string_view begin, std::string_view end) override {
        change(false, [table, first = std::string(begin), last = std::string(end)](MemoryStorage& to) {
            to.erase_range(table, first, last);
        });
    }
    std::optional<std::string> last_key(Table table, std::string_view prefix) const override {
        return read_live().last_key(table, prefix);
    }
    std::unique_ptr<BulkWriter> bulk_writer(Table table) override {
        check();
        if (!files_.begin_table()) {
            fail_without_file();
        }
        return std::make_unique<Bulk>(*this, table);
    }
    void reclaim(Table /*table*/) override { check(); }
    void reclaim_range(Table /*table*/, std::string_view /*begin*/, std::string_view /*end*/) override {
        check();
    }

    bool refuses_writes() const noexcept override { return has_failed_; }

private:
    // Goes past the log: on disk whether what was written before is or not.
    class Bulk final : public BulkWriter {
    public:
        Bulk(SimulatedStorage& storage, Table table) : storage_(storage), table_(table) {}
        void add(std::string_view key, std::string_view value) override {
            records_.push_back({table_, std::string(key), std::string(value)});
        }
        void commit() override {
            storage_.may_fail();
            storage_.may_crash();
            storage_.disk_.durable_->write(records_, true);
            storage_.disk_.live_->write(records_, true);
        }

    private:
        SimulatedStorage& storage_;
        Table table_;
        std::vector<RecordChange> records_;
    };

    void check() const {
        if (disk_.opened_ != opened_) {
            throw StorageError("this node has crashed");
        }
    }

    // Its statistics are asked for at all times.
    const MemoryStorage& live() const { return disk_.opened_ == opened_ ? *disk_.live_ : none_; }

    const MemoryStorage& read_live() const {
        check();
        if (disk_.failing_reads != 0 && disk_.scheduler_.one_in(disk_.failing_reads)) {
            throw StorageError("cannot be read just now");
        }
        return *disk_.live_;
    }

    void may_fail() {
        check();
        if (has_failed_ || (disk_.failing_writes != 0 && disk_.scheduler_.one_in(disk_.failing_writes))) {
            has_failed_ = true;
            throw StorageError("cannot be written any more");
        }
    }

    // Where the next write needs another log, or the storage another table for what is in memory.
    void begin_files() {
        constexpr std::uint64_t writes_of_log = 8;
        if (!disk_.scheduler_.one_in(writes_of_log)) {
            return;
        }
        if (!files_.begin_log() || !files_.begin_table()) {
            has_failed_ = true;
            fail_without_file();
        }
    }

    [[noreturn]] void fail_without_file() {
        ++disk_.missing_files;
        throw StorageError("too many open files");
    }

    void may_crash() {
        if (disk_.crash_in != 0 && --disk_.crash_in == 0) {
            disk_.on_crash();
            check();
        }
    }

    void change(bool sync, const SimulatedDisk::Change& change) {
        const bool had_failed = has_failed_;
        try {
            may_fail();
        } catch (const StorageError&) {
            // It may be on the disk nevertheless, or not: a restart shows it.
            if (disk_.opened_ == opened_ && !had_failed && disk_.scheduler_.one_in(2)) {
                disk_.not_synced_.push_back(change);
            }
            throw;
        }
        begin_files();
        const bool crashes_before = disk_.scheduler_.one_in(2);
        if (crashes_before) {
            may_crash();
        }
        change(*disk_.live_);
        disk_.not_synced_.push_back(change);
        if (!crashes_before) {
            may_crash();
        }
        if (sync && !disk_.ignores_sync) {
            for (const SimulatedDisk::Change& each : disk_.not_synced_) {
                each(*disk_.durable_);
            }
            disk_.not_synced_.clear();
        }
    }

    SimulatedDisk& disk_;
    std::uint64_t opened_;
    StorageFiles files_;
    bool has_failed_ = false;
    MemoryStorage none_;
};

std::unique_ptr<Storage> SimulatedDisk::open(const std::shared_ptr<OpenFiles>& files) {
    live_ = std::make_unique<MemoryStorage>(*durable_);
    return std::make_unique<SimulatedStorage>(*this, ++opened_, files);
}

void SimulatedDisk::put(const MemoryStorage& contents) {
    ++opened_;
    not_synced_.clear();
    durable_ = std::make_unique<MemoryStorage>(contents);
}

void SimulatedDisk::crash(bool loses_power) {
    ++opened_;
    const std::size_t kept = loses_power ? scheduler_.between(0, not_synced_.size()) : not_synced_.size();
    for (std::size_t i = 0; i < kept; ++i) {
        not_synced_[i](*durable_);
    }
    not_synced_.clear();
}

}  // namespace karma::test
