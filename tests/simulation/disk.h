#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "persist/memory_storage.h"
#include "tests/simulation/open_files.h"
#include "tests/simulation/scheduler.h"

namespace karma::test {

// What a node has stored, and the faults of where it is stored. A crash takes back what was not synced: the
// last of what was written, as a log loses its end; each write is there as a whole or not at all.
class SimulatedDisk {
public:
    explicit SimulatedDisk(Scheduler& scheduler) : scheduler_(scheduler) {}

    // The storage of a node that starts, which takes files of its process as it goes on: for logs, and for
    // tables. The one before must have crashed or been ended.
    std::unique_ptr<Storage> open(const std::shared_ptr<OpenFiles>& files);

    // Everything that the open storage does fails from here on. `loses_power`: what was not synced may be
    // lost; else only the process ends.
    void crash(bool loses_power);

    // What is on it, as a copy of the files would have it.
    std::unique_ptr<MemoryStorage> copy() const { return std::make_unique<MemoryStorage>(*durable_); }
    // Holds nothing but this from here on. Nothing runs on it.
    void put(const MemoryStorage& contents);

    // One in so many writes, or reads, fails; 0: none. After a failed write the storage refuses all others.
    std::uint64_t failing_writes = 0;
    std::uint64_t failing_reads = 0;
    // So many writes from now, before or after the last of them, `on_crash` is called, which crashes the
    // node: between two writes of something that takes several. 0: never.
    std::uint64_t crash_in = 0;
    std::function<void()> on_crash;
    // How often no file was left in which to go on.
    std::uint64_t missing_files = 0;
    // Taking the promise back that a synced write is on disk: to see tests fail.
    bool ignores_sync = false;

private:
    friend class SimulatedStorage;
    using Change = std::function<void(MemoryStorage& storage)>;

    Scheduler& scheduler_;
    std::unique_ptr<MemoryStorage> durable_ = std::make_unique<MemoryStorage>();
    std::unique_ptr<MemoryStorage> live_;  // as the running node sees it
    std::vector<Change> not_synced_;
    std::uint64_t opened_ = 0;  // times; what was opened before the last one is dead
};

}  // namespace karma::test
