#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/client.h"
#include "tests/support/json.h"

// The real data of tests/data, a model of what a load of it must give, and the comparison with a daemon's
// answers.
namespace karma::test {

struct Touch {
    std::uint64_t key;
    std::uint32_t bucket;  // YYYYMMDD
    std::uint64_t value;
};

// The rows of tests/data/file-touches.csv.gz; row i is line i + 2 of the file. Throws std::runtime_error when
// the file is damaged.
std::vector<Touch> load_touches();

// tests/data/file-touches.expected.json
json::value expected_statistics();

// The value of every (key, bucket) of some rows.
class PointModel {
public:
    using Point = std::pair<std::uint64_t, std::uint32_t>;

    void add(std::span<const Touch> rows);
    std::uint64_t total() const { return total_; }

    // Reads the whole series from the daemon (tree.series and tree.info) and compares every point. Returns
    // what differs first; empty when nothing does.
    std::string difference(Client& client, const std::string& series) const;

private:
    std::map<Point, std::uint64_t> points_;
    std::uint64_t total_ = 0;
};

// Every figure of the expectation, asked from the daemon. Returns what differs, one text each.
std::vector<std::string> figure_differences(Client& client, const std::string& series,
                                            const json::value& expected);

}  // namespace karma::test
