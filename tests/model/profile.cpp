#include "tests/model/profile.h"

namespace karma::test::model {

namespace {

std::vector<Profile> make_profiles() {
    std::vector<Profile> profiles(8);
    profiles[0].name = "default";
    profiles[0].arguments = {"--wal-fsync=false"};
    profiles[0].requests = 40'000;

    profiles[1].name = "fsync";
    profiles[1].requests = 12'000;

    profiles[2].name = "no-log";
    profiles[2].config.has_log = false;
    profiles[2].has_bursts = false;

    profiles[3].name = "memory";
    profiles[3].arguments = {"--storage=memory"};
    profiles[3].config.is_stored = false;
    profiles[3].moves = false;

    profiles[4].name = "small-limits";
    profiles[4].arguments = {"--wal-fsync=false", "--wal-batch-size=3"};
    profiles[4].config.max_request_bytes = 600;
    profiles[4].config.max_response_bytes = 2500;
    profiles[4].config.idempotency_max_records = 7;
    profiles[4].config.snapshots_per_series = 2;
    profiles[4].has_bursts = false;
    profiles[4].moves = false;  // an export needs longer replies

    profiles[5].name = "large-series";
    profiles[5].arguments = {"--wal-fsync=false", "--threads=2"};
    profiles[5].taste.has_large_series = true;
    profiles[5].config.max_response_bytes = 16'777'216;
    profiles[5].requests = 12'000;
    profiles[5].packet = 6;

    profiles[6].name = "restarts";
    profiles[6].arguments = {"--wal-fsync=false"};
    profiles[6].between_events = 40;
    profiles[6].requests = 20'000;

    profiles[7].name = "options";
    profiles[7].arguments = {"--wal-fsync=false"};
    profiles[7].between_events = 100;
    profiles[7].changes_options = true;
    profiles[7].has_bursts = false;
    profiles[7].requests = 8000;
    return profiles;
}

}  // namespace

const std::vector<Profile>& all_profiles() {
    static const std::vector<Profile> profiles = make_profiles();
    return profiles;
}

std::vector<std::string> arguments_of(const Profile& profile, const Config& config) {
    std::vector<std::string> arguments = profile.arguments;
    arguments.emplace_back("--snapshot-interval-seconds=0");
    arguments.push_back("--max-request-bytes=" + std::to_string(config.max_request_bytes));
    arguments.push_back("--max-response-bytes=" + std::to_string(config.max_response_bytes));
    arguments.push_back("--idempotency-max-records=" + std::to_string(config.idempotency_max_records));
    arguments.push_back("--dump-retention-per-tree=" + std::to_string(config.snapshots_per_series));
    if (!config.has_log) arguments.emplace_back("--wal=false");
    return arguments;
}

}  // namespace karma::test::model
