#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "perf/load/operation.h"

namespace karma::perf {

// What is wrong with the command line, naming the option.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct MixPart {
    const Operation* operation;
    std::uint32_t weight;
};

// See describe_options() for what each means.
struct LoadOptions {
    std::string host = "127.0.0.1";
    std::string tls_authorities;  // PEM file; empty: in the clear
    std::uint16_t port = 8080;
    Protocol protocol = Protocol::karma;
    std::string token;

    std::vector<MixPart> mix;
    std::uint32_t items = 1000;
    bool idempotency = false;
    std::uint32_t repeat_percent = 0;  // of the writes with a key

    std::string series = "links";
    std::uint32_t series_count = 1;
    std::uint32_t keys = 100'000;
    std::optional<double> zipf_skew;  // unset: uniform
    std::uint32_t days = 1;
    std::uint32_t range_days = 0;
    bool preload = false;
    std::uint32_t preload_items = 100;

    std::uint32_t connections = 50;
    std::uint32_t in_flight = 1;
    std::uint32_t threads = 1;
    bool split_writes = false;

    double seconds = 3;
    double warmup_seconds = 0.5;
    std::uint64_t requests = 0;  // 0: no limit
    double timeout_seconds = 10;
    std::uint64_t seed = 1;
    bool json = false;

    bool asks_for_help = false;
};

// Throws UsageError.
LoadOptions parse_options(int argc, const char* const* argv);

// The text of --help.
std::string describe_options();

// The names of the mix with their weights ("80:counter.sum,20:counter.increment"), or the one name.
std::string mix_text(const std::vector<MixPart>& mix);

}  // namespace karma::perf
