#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/model/match.h"
#include "tests/model/state.h"

namespace karma::test::model {

// What the daemon was started with, as far as replies depend on it.
struct Config {
    bool has_log = true;
    bool is_stored = true;  // not --storage=memory
    std::uint64_t max_request_bytes = 1'048'576;
    std::uint64_t max_response_bytes = 1'048'576;
    std::uint64_t idempotency_max_records = 1'000'000;
    std::size_t snapshots_per_series = 5;
};

// What may come back for a request.
struct Expected {
    struct Reply {
        std::string error_code;  // empty: a success
        json::value response;    // of a success
        std::optional<bool> idempotent;
    };
    // Looks at the response of a success, beyond `allowed`; says what is wrong.
    using Check = std::function<std::optional<std::string>(const json::value& response)>;

    std::vector<Reply> allowed;  // any of these
    Check check;
    bool closes = false;  // the daemon closes the connection then
};

// A snapshot of a series that clients may see.
struct Snapshot {
    std::string series;
    std::uint64_t lsn = 0;
    std::uint64_t number = 0;  // Unix seconds in the file's name; it grows
    std::string file;          // empty until snapshot.info has shown it
    bool is_sure = true;       // false once its series was dropped: it may go any time
    bool is_full = false;      // of all series
};

struct EventPage;

// What a daemon must answer, one request after the other. Independent of the daemon's code.
class Model {
public:
    explicit Model(const Config& config) : config_(config) {
        state_.records_max = config.idempotency_max_records;
    }

    // The next request of the daemon: a line without its newline.
    Expected answer(std::string_view line);

    const State& state() const { return state_; }
    const Config& config() const { return config_; }
    const std::vector<std::shared_ptr<Snapshot>>& snapshots() const { return snapshots_; }
    // Snapshots that snapshot.load takes for sure.
    std::vector<std::shared_ptr<Snapshot>> loadable() const;
    // The state after the event of that LSN.
    State state_at(std::uint64_t lsn) const;
    // The first LSN whose event is kept for sure.
    std::uint64_t first_lsn() const { return first_lsn_; }

    // A moment to come back to.
    struct Mark {
        State state;
        std::size_t changes;
        std::vector<std::shared_ptr<Snapshot>> snapshots;
    };
    Mark mark() const { return {state_, changes_.size(), snapshots_}; }
    void go_back(const Mark& mark);

    // --- what happens to the daemon ---

    // It was ended in good order (with_snapshot: by SIGINT, or without a log) and started again.
    void restarted(const Config& config, bool with_snapshot);
    // It was killed and started again: without a log it has lost what no snapshot held. `lsn` is where it
    // stands. Nothing, or what is wrong with that.
    std::optional<std::string> killed(const Config& config, std::uint64_t lsn);
    // It runs in a new directory with an import of an export of this state.
    void imported();
    // The latest snapshots as snapshot.info shows them, with those that the daemon made by itself.
    std::optional<std::string> learn(const json::array& shown);
    // Events that the daemon made itself (the end of a snapshot.load that was cut short).
    void add_foreign_events(std::uint64_t last_lsn);

private:
    struct Change {
        std::uint64_t last_lsn;  // of its events
        Command command;
        std::vector<json::object> entries;
        bool is_foreign = false;
    };

    Expected execute(Command command);
    Expected write(const Command& command);
    Expected query(const Command& command);
    Expected past(const Command& command);
    Expected save(const Command& command);
    Expected load(Command command);
    Expected fetch(const Command& command);
    Expected snapshot_info();
    Expected snapshot_list();
    Expected log_entries(const Command& command);
    Expected event_list(const Command& command);
    Expected before_hole(std::uint64_t after, const EventPage& page, const char* name, bool by_time) const;
    Expected system(const Command& command);
    json::value checkpoints(const std::optional<std::string>& source) const;
    void record(const Command& command, std::vector<json::object> entries);
    void forget_series(const std::string& name);
    void limit_size(Expected& expected) const;
    std::vector<std::pair<std::uint64_t, const json::object*>> entries_after(std::uint64_t lsn) const;

    Config config_;
    State state_;
    std::vector<Change> changes_;
    std::uint64_t base_lsn_ = 0;  // where `changes_` begin
    State base_;
    mutable std::vector<std::pair<std::size_t, State>> points_;  // states after so many changes
    std::vector<std::shared_ptr<Snapshot>> snapshots_;           // oldest first
    std::uint64_t first_lsn_ = 1;
    std::set<std::string> gone_;  // names of snapshots that snapshot.list does not show any more
    State stored_;                // without a log: what a crash leaves before there is a snapshot
};

Expected success(json::value response, Expected::Check check = {});
Expected failure(std::string code);

}  // namespace karma::test::model
