#include "tests/program/daemon_arguments.h"

#include "tests/support/settings.h"

namespace karma::test {

std::vector<std::string> random_arguments(std::mt19937_64& random) {
    std::vector<std::string> arguments{"--query-timeout-ms=60000", "--max-response-bytes=16777216"};
    arguments.emplace_back(random_between(random, 0, 1) == 0 ? "--wal-fsync=true" : "--wal-fsync=false");
    const std::uint64_t batch_size = std::uint64_t{1} << random_between(random, 0, 10);
    arguments.push_back("--wal-batch-size=" + std::to_string(batch_size));
    if (random_between(random, 0, 2) == 0) {
        arguments.push_back("--wal-batch-wait-us=" + std::to_string(random_between(random, 1, 2000)));
    }
    arguments.push_back("--threads=" + std::to_string(random_between(random, 1, 4)));
    return arguments;
}

}  // namespace karma::test
