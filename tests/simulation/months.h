#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "persist/database.h"
#include "persist/rocksdb_storage.h"
#include "tests/persist/faulty_storage.h"

namespace karma::test {

// What a database takes, and what a start has to do. No times: these depend on the machine.
struct Footprint {
    std::uint64_t files = 0;
    std::uint64_t file_bytes = 0;
    std::uint64_t removed_ranges = 0;  // range tombstones that lie in the tables
    std::uint64_t removed_records = 0;
    std::uint64_t log_bytes = 0;
    std::uint64_t index_bytes = 0;     // of the idempotency index in memory
    std::uint64_t rows_read = 0;       // by a start, of all tables
    std::uint64_t groups_read = 0;     // of the log, by a start
    std::uint64_t ranges_removed = 0;  // since the measurement before

    std::string text() const;
};

// A daemon's life under steady, light traffic, in simulated time: a database on a real disk, whose background
// maintenance is called as the daemon calls it, only less often.
class SimulatedMonths {
public:
    // One step of traffic and maintenance in so many seconds.
    SimulatedMonths(const std::filesystem::path& directory, std::int64_t step_s);
    ~SimulatedMonths();
    SimulatedMonths(const SimulatedMonths&) = delete;
    SimulatedMonths& operator=(const SimulatedMonths&) = delete;

    void run_days(std::uint64_t days);
    // Ends the database, looks at what it has left, and starts it again.
    Footprint measure();

private:
    class CountingStorage;

    void open();
    void step();
    void call(const Request& request);
    void write_keyed();
    void run_stream(bool commits);

    std::filesystem::path path_;
    std::int64_t step_s_;
    std::int64_t now_ms_ = 1'777'000'000'000;
    std::uint64_t steps_ = 0;
    std::uint64_t ranges_removed_ = 0;
    std::unique_ptr<RocksdbStorage> stored_;
    std::unique_ptr<CountingStorage> storage_;
    std::unique_ptr<Database> database_;
};

}  // namespace karma::test
