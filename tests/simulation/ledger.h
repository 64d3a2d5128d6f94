#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace karma::test {

// What clients know of the counters: what has to be in each of them, and what may be.
class CounterLedger {
public:
    struct Counter {
        std::uint64_t acknowledged = 0;  // has to be there
        std::uint64_t sent = 0;          // may be there, at most once
        std::uint64_t read = 0;          // was read from the master: has to be there, where it stays master
    };

    void send(std::uint64_t key, std::uint64_t value) { counters_[key].sent += value; }
    void acknowledge(std::uint64_t key, std::uint64_t value) { counters_[key].acknowledged += value; }
    void note_read(std::uint64_t key, std::uint64_t value) { counters_[key].read = value; }
    Counter of(std::uint64_t key) const {
        const auto found = counters_.find(key);
        return found == counters_.end() ? Counter() : found->second;
    }
    const std::map<std::uint64_t, Counter>& counters() const noexcept { return counters_; }

private:
    std::map<std::uint64_t, Counter> counters_;
};

}  // namespace karma::test
