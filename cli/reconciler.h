#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client_options.h"
#include "cli/daemon_reply.h"
#include "engine/day.h"
#include "engine/number.h"
#include "net/client_connection.h"

namespace karma::cli {

/// The value of a bucket according to a source.
struct ExpectedPoint {
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 0;
};

/// Sorts points by key and day; those of the same key and day become one, with their sum. Throws
/// std::overflow_error, naming key and day, where a sum passes 2^64-1.
void merge_points(std::vector<ExpectedPoint>& points);

/// A point for which the daemon has another value.
struct Difference {
    ExpectedPoint expected;
    std::uint64_t actual = 0;

    Int128 delta() const noexcept { return Int128{actual} - Int128{expected.value}; }
};

/// The result of a comparison.
struct Reconciliation {
    std::uint64_t checked = 0;
    std::uint64_t mismatches = 0;
    Uint128 absolute_drift = 0;
    std::uint64_t max_abs_delta = 0;
};

/// Compares points with the series of a running daemon: one counter.series request for each key, over the
/// days that the points of the key span, many of them in flight.
class Reconciler {
public:
    /// Connects. Throws net::ConnectionError.
    Reconciler(const ClientOptions& options, std::string series);

    /// Calls `differs` for each point that differs, by key and, mostly, by day. `points` are merged. Throws
    /// net::ConnectionError and RefusedError.
    Reconciliation compare(const std::vector<ExpectedPoint>& points,
                           const std::function<void(const Difference&)>& differs);

    /// Reports a comparison with reconciliation.report. Throws net::ConnectionError and RefusedError.
    void report(const Reconciliation& result);

private:
    /// Points of one key, neighbours in the list.
    struct Question {
        std::size_t begin = 0;
        std::size_t end = 0;
    };

    std::string begin_request(std::string_view op) const;
    void ask(const Question& question, const std::vector<ExpectedPoint>& points);
    void judge(const Question& question, const std::vector<ExpectedPoint>& points, std::string_view reply,
               const std::function<void(const Difference&)>& differs);

    ClientOptions options_;
    std::string series_;
    net::ClientConnection connection_;
    std::deque<Question> in_flight_;
    Reconciliation result_;
};

}  // namespace karma::cli
