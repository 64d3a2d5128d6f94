#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/network.h"

namespace karma::test {

// As much of a Karma 1.0 master as one needs that follows its log from the beginning: it answers polls, and
// knows nothing of streams. Each of its events adds 1 to a counter of its own.
class SimulatedKarma1 {
public:
    static constexpr const char* series = "karma1";

    // Takes connections under this name until it ends.
    SimulatedKarma1(std::string name, SimulatedNetwork& network);
    ~SimulatedKarma1();
    SimulatedKarma1(const SimulatedKarma1&) = delete;
    SimulatedKarma1& operator=(const SimulatedKarma1&) = delete;

    void write(std::uint64_t events);
    // As after a loss of power: the last events were never there.
    void lose_tail(std::uint64_t events);

    // The keys of its events; the one of LSN 1 first.
    const std::vector<std::uint64_t>& keys() const noexcept { return keys_; }

private:
    void serve(replica::PeerStream& stream);
    std::string answer(std::string_view line) const;
    std::string entries(std::uint64_t after, std::uint64_t limit) const;

    const std::string name_;
    SimulatedNetwork& network_;
    std::vector<std::uint64_t> keys_;
    std::uint64_t last_key_ = 0;
    bool is_ending_ = false;
    std::vector<std::unique_ptr<replica::Thread>> handlers_;
};

}  // namespace karma::test
