#include "tests/simulation/months.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "engine/error.h"
#include "tests/persist/removed_ranges.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

constexpr std::int64_t hour_s = 3600;
constexpr std::int64_t day_s = 24 * hour_s;

void count_files(const std::filesystem::path& path, Footprint& footprint) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
        if (!entry.path().filename().string().starts_with("LOG")) {  // RocksDB's own messages
            ++footprint.files;
            footprint.file_bytes += entry.file_size();
        }
    }
}

}  // namespace

std::string Footprint::text() const {
    const auto part = [](const char* name, std::uint64_t number) {
        return std::string(name) + " " + std::to_string(number) + ", ";
    };
    return part("files", files) + part("file bytes", file_bytes) + part("removed ranges", removed_ranges) +
           part("removed records", removed_records) + part("log bytes", log_bytes) +
           part("index bytes", index_bytes) + part("rows read", rows_read) +
           part("groups read", groups_read) + "ranges removed since " + std::to_string(ranges_removed);
}

// Counts what is read, and what is removed.
class SimulatedMonths::CountingStorage final : public ForwardingStorage {
public:
    explicit CountingStorage(Storage& under) : ForwardingStorage(under) {}

    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override {
        ForwardingStorage::read_log(from, [&](const EventGroup& group) {
            ++groups_read;
            return visit(group);
        });
    }
    void scan(Table table, std::string_view prefix,
              const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        ForwardingStorage::scan(table, prefix, [&](std::string_view key, std::string_view value) {
            ++rows_read;
            return visit(key, value);
        });
    }
    void scan_from(Table table, std::string_view begin,
                   const std::function<bool(std::string_view, std::string_view)>& visit) const override {
        ForwardingStorage::scan_from(table, begin, [&](std::string_view key, std::string_view value) {
            ++rows_read;
            return visit(key, value);
        });
    }
    void erase_range(Table table, std::string_view begin, std::string_view end) override {
        ++ranges_removed;
        ForwardingStorage::erase_range(table, begin, end);
    }

    mutable std::uint64_t groups_read = 0;
    mutable std::uint64_t rows_read = 0;
    std::uint64_t ranges_removed = 0;
};

SimulatedMonths::SimulatedMonths(const std::filesystem::path& directory, std::int64_t step_s)
    : path_(directory / "karma.db"), step_s_(step_s) {
    open();
}

SimulatedMonths::~SimulatedMonths() = default;

void SimulatedMonths::open() {
    stored_ = std::make_unique<RocksdbStorage>(RocksdbStorage::Options{path_, 64U << 20U, nullptr});
    storage_ = std::make_unique<CountingStorage>(*stored_);
    DatabaseOptions options;
    options.clock_ms = [this] { return now_ms_; };
    options.wal_fsync = false;
    options.snapshot_interval_s = hour_s;
    options.threads = false;
    options.on_failure = [](const std::string& what, const std::string& why) {
        throw std::runtime_error(what + ": " + why);
    };
    database_ = Database::open(options, *storage_);
}

Footprint SimulatedMonths::measure() {
    Footprint footprint;
    footprint.index_bytes = database_->idempotency_bytes();
    footprint.log_bytes = storage_->log_bytes();
    footprint.ranges_removed = storage_->ranges_removed;
    database_.reset();
    storage_.reset();
    stored_.reset();
    count_files(path_, footprint);
    const Removed removed = count_removed(path_);
    footprint.removed_ranges = removed.ranges;
    footprint.removed_records = removed.records;
    open();
    footprint.groups_read = storage_->groups_read;
    footprint.rows_read = storage_->rows_read;
    return footprint;
}

void SimulatedMonths::run_days(std::uint64_t days) {
    const std::int64_t end_ms = now_ms_ + static_cast<std::int64_t>(days) * day_s * 1000;
    while (now_ms_ < end_ms) {
        now_ms_ += step_s_ * 1000;
        step();
    }
}

void SimulatedMonths::call(const Request& request) {
    const Reply reply = database_->call(request);
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        throw std::runtime_error(refused->message);
    }
}

// Keys, counters and days do not grow in number: what does is what maintenance has to keep small.
void SimulatedMonths::step() {
    ++steps_;
    write_keyed();
    const std::uint64_t in_day = steps_ % static_cast<std::uint64_t>(day_s / step_s_);
    if (steps_ % static_cast<std::uint64_t>(std::max<std::int64_t>(hour_s / step_s_, 1)) == 0) {
        call(Mutation(mutation::SaveCheckpoint{"source", std::to_string(steps_), std::nullopt}));
        run_stream(false);
    }
    if (in_day == 0) {
        run_stream(true);
        call(Mutation(mutation::DropSeries{"of the day"}));
    } else if (in_day == 1) {
        call(Mutation(mutation::Increment{"of the day", 1, some_day, 1}));
    }
    database_->maintain();
}

void SimulatedMonths::write_keyed() {
    const std::string key = "request " + std::to_string(steps_);
    const Mutation body = mutation::Increment{"links", steps_ % 500, some_day, 1};
    call(Request(KeyedMutation{&body, key, {}}));
}

void SimulatedMonths::run_stream(bool commits) {
    const std::string id = "stream " + std::to_string(steps_) + (commits ? " of the day" : "");
    const std::vector<mutation::Item> items = {{1, some_day, 1}, {2, some_day, 1}};
    call(Mutation(mutation::BeginStream{id, IngestMode::replace_series, {}}));
    call(Mutation(mutation::AddChunk{id, "streamed", 1, items, nullptr}));
    if (commits) {
        call(Mutation(mutation::CommitStream{id}));
    } else {
        call(Mutation(mutation::AbortStream{id}));
    }
}

}  // namespace karma::test
