#include "tests/model/model.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>

namespace karma::test::model {

Expected success(json::value response, Expected::Check check) {
    return {{{{}, std::move(response), {}}}, std::move(check), false};
}

Expected failure(std::string code) { return {{{std::move(code), {}, {}}}, {}, false}; }

Expected Model::answer(std::string_view line) {
    if (line.size() > config_.max_request_bytes) {
        Expected expected = failure("request_too_large");
        expected.closes = true;
        return expected;
    }
    json::value request;
    try {
        request = parse_json(line);
    } catch (const std::runtime_error&) {
        return failure("invalid_json");
    }
    try {
        Expected expected = execute(read_command(request));
        limit_size(expected);
        return expected;
    } catch (const Refusal& refusal) {
        return failure(refusal.code);
    }
}

void Model::limit_size(Expected& expected) const {
    if (config_.max_response_bytes == 0) return;
    constexpr std::size_t frame = 63;  // {"protocol_version":2,"success":true,"response":,"error_code":null}
    constexpr std::size_t unsure = 400;
    for (std::size_t i = 0; i < expected.allowed.size(); ++i) {
        const Expected::Reply reply = expected.allowed[i];
        if (!reply.error_code.empty()) continue;
        const std::string text = json::serialize(reply.response);
        // What the model does not know, or may write in another way.
        const bool is_sure = text.find('\\') == std::string::npos && !expected.check &&
                             text.find("beyond") == std::string::npos;
        const std::size_t size = text.size() + frame + (reply.idempotent ? (*reply.idempotent ? 18 : 19) : 0);
        if (is_sure && size <= config_.max_response_bytes) continue;
        if (!is_sure && size + unsure <= config_.max_response_bytes && !expected.check) continue;
        if (is_sure && size > config_.max_response_bytes)
            expected.allowed[i] = {"response_too_large", {}, {}};
        else if (config_.max_response_bytes < 65'536 || size + unsure > config_.max_response_bytes)
            expected.allowed.push_back({"response_too_large", {}, {}});
        break;
    }
}

Expected Model::execute(Command command) {
    if (command.op == "snapshot.load") return load(std::move(command));
    if (command.op == "snapshot.create" || command.op == "snapshot.create_all") return save(command);
    if (command.op == "reconciliation.report") return success("OK");
    return command.is_write ? write(command) : query(command);
}

Expected Model::write(const Command& command) {
    const Outcome outcome = state_.execute(command);
    if (!outcome.refused.empty()) return failure(outcome.refused);
    if (outcome.is_event) {
        json::object entry = entry_of(command);
        if (command.idempotency_key) entry["idempotency_created_at_unix"] = recent_time();
        if (command.op.ends_with(".prune") && entry["before"].is_null()) entry["before"] = instant();
        record(command, {std::move(entry)});
        if (command.op == "tree.drop") forget_series(command.series);
    }
    Expected expected = success(outcome.response);
    if (command.op == "recovery.checkpoint")
        expected.allowed[0].response.as_object()["updated_at_unix"] = recent_time();
    expected.allowed[0].idempotent = outcome.idempotent;
    return expected;
}

void Model::record(const Command& command, std::vector<json::object> entries) {
    Change change{state_.lsn, command, std::move(entries), false};
    change.command.request = {};
    if (command.idempotency_key || command.op == "ingest.begin") change.command.request = command.request;
    changes_.push_back(std::move(change));
    constexpr std::size_t spacing = 64;
    if (changes_.size() % spacing == 0) points_.emplace_back(changes_.size(), state_);
}

State Model::state_at(std::uint64_t lsn) const {
    if (lsn == state_.lsn) return state_;
    State past = base_;
    std::size_t next = 0;
    for (std::size_t left = points_.size(); left > 0; --left) {
        if (points_[left - 1].second.lsn > lsn) continue;
        std::tie(next, past) = points_[left - 1];
        break;
    }
    for (; next < changes_.size() && changes_[next].last_lsn <= lsn; ++next) {
        if (!changes_[next].is_foreign) past.execute(changes_[next].command);
        past.lsn = changes_[next].last_lsn;
    }
    past.lsn = lsn;
    return past;
}

void Model::go_back(const Mark& mark) {
    state_ = mark.state;
    snapshots_ = mark.snapshots;
    changes_.erase(changes_.begin() + static_cast<std::ptrdiff_t>(mark.changes), changes_.end());
    while (!points_.empty() && points_.back().first > mark.changes) points_.pop_back();
}

void Model::forget_series(const std::string& name) {
    for (std::shared_ptr<Snapshot>& snapshot : snapshots_)
        if (snapshot->series == name) {
            snapshot = std::make_shared<Snapshot>(*snapshot);  // marks keep the other one
            snapshot->is_sure = false;
        }
}

std::vector<std::shared_ptr<Snapshot>> Model::loadable() const {
    std::vector<std::shared_ptr<Snapshot>> found;
    std::map<std::string, std::size_t> seen;
    for (std::size_t left = snapshots_.size(); left > 0; --left) {
        const Snapshot& snapshot = *snapshots_[left - 1];
        if (snapshot.is_sure && ++seen[snapshot.series] <= config_.snapshots_per_series &&
            !snapshot.file.empty())
            found.push_back(snapshots_[left - 1]);
    }
    return found;
}

Expected Model::save(const Command& command) {
    const bool is_all = command.op == "snapshot.create_all";
    if (!is_all && state_.find(command.series) == nullptr) return failure("not_found");
    // Without a log a snapshot of one series is made of all: else a crash would leave series of different
    // times.
    const bool is_full = is_all || !config_.has_log;
    for (const auto& entry : state_.series)
        if (is_full || entry.first == command.series)
            snapshots_.push_back(
                std::make_shared<Snapshot>(Snapshot{entry.first, state_.lsn, 0, {}, true, is_full}));
    return success(json::value(is_all ? "OK" : "Tree \"" + command.series + "\" saved"));
}

Expected Model::load(Command command) {
    for (const std::shared_ptr<Snapshot>& snapshot : loadable()) {
        if (snapshot->file != command.file) continue;
        command.series = snapshot->series;
        command.content = *state_at(snapshot->lsn).find(command.series);
        break;
    }
    if (!command.content) return failure("not_found");
    std::size_t items = 0;
    for (const auto& entry : **command.content) items += std::max<std::size_t>(1, entry.second.size());
    constexpr std::size_t chunk_items = 4096;
    const std::uint64_t chunks = std::max<std::uint64_t>(1, (items + chunk_items - 1) / chunk_items);
    const json::value id = text_from("snapshot.load/");
    std::vector<json::object> entries{
        {{"v", 2}, {"op", "ingest.begin"}, {"stream_id", id}, {"mode", "replace_series"}}};
    for (std::uint64_t chunk = 1; chunk <= chunks; ++chunk)
        entries.push_back({{"v", 2},
                           {"op", "ingest.chunk"},
                           {"stream_id", id},
                           {"series", command.series},
                           {"chunk_seq", chunk},
                           {"items", anything()}});
    entries.push_back({{"v", 2}, {"op", "ingest.commit"}, {"stream_id", id}});
    const Outcome outcome = state_.execute(command);
    state_.lsn += entries.size() - 1;
    record(command, std::move(entries));
    return success(outcome.response);
}

Expected Model::query(const Command& command) {
    const std::string& op = command.op;
    if (op.starts_with("system.") || op == "replication.status" || op == "snapshot.verify")
        return system(command);
    if (op == "tree.list") {
        std::set<std::string> names;
        for (const auto& entry : state_.series) names.insert(entry.first);
        return success(anything(), [names](const json::value& response) -> std::optional<std::string> {
            std::set<std::string> shown;
            for (const json::value& name : response.as_array()) shown.emplace(name.as_string());
            if (shown == names && response.as_array().size() == names.size()) return std::nullopt;
            return "expected " + json::serialize(json::array(names.begin(), names.end()));
        });
    }
    if (op == "recovery.status") return success(checkpoints(command.source));
    if (op == "snapshot.info") return snapshot_info();
    if (op == "snapshot.list") return snapshot_list();
    if (op.starts_with("snapshot.fetch") || op == "idempotency.snapshot_fetch_chunk") return fetch(command);
    if (op == "replication.entries") return log_entries(command);
    if (op == "event.list") return event_list(command);
    if (command.as_of) return past(command);
    json::value response = read(state_, command);
    if (op == "tree.info") response.as_object()["branches"] = anything();
    return success(std::move(response));
}

Expected Model::past(const Command& command) {
    const AsOf& point = *command.as_of;
    std::uint64_t lsn = point.lsn;
    if (point.is_time) {
        if (point.time > unix_now() + 60) return failure("validation_error");
        lsn = 0;  // the generator names times before this program
    }
    if (lsn > state_.lsn) return failure("validation_error");
    Expected expected;
    try {
        expected = success(read(state_at(std::max(lsn, base_lsn_)), command));
    } catch (const Refusal& refusal) {
        expected = failure(refusal.code);
    }
    if (point.is_time && base_lsn_ > 0)
        return {{expected.allowed[0], {"replication_gap", {}, {}}, {"not_found", {}, {}}}, {}, false};
    if (lsn == state_.lsn) return expected;
    if (lsn < base_lsn_) {
        expected = failure("replication_gap");
        if (lsn == 0) expected.allowed.push_back({"not_found", {}, {}});  // what nothing was is known
        return expected;
    }
    if (!config_.has_log || lsn + 1 < first_lsn_) expected.allowed.push_back({"replication_gap", {}, {}});
    return expected;
}

json::value Model::checkpoints(const std::optional<std::string>& source) const {
    json::array shown;
    for (const auto& [name, checkpoint] : *state_.checkpoints) {
        if (source && name != *source) continue;
        shown.push_back(
            {{"source", name},
             {"offset", checkpoint.offset ? json::value(*checkpoint.offset) : json::value(nullptr)},
             {"event_id", checkpoint.event_id ? json::value(*checkpoint.event_id) : json::value(nullptr)},
             {"updated_at_unix", recent_time()}});
    }
    const std::size_t count = shown.size();
    return {{"checkpoint_count", count}, {"checkpoints", std::move(shown)}};
}

Expected Model::system(const Command& command) {
    if (command.op == "system.ping") return success("pong");
    if (command.op == "system.metrics")
        return success(text_from(""), [](const json::value&) { return std::optional<std::string>(); });
    if (command.op == "system.health")
        return success({{"status", "ok"},
                        {"uptime_seconds", anything()},
                        {"role", "master"},
                        {"wal_enabled", config_.has_log}});
    const std::uint64_t lsn = state_.lsn;
    const bool is_verify = command.op == "snapshot.verify";
    const bool is_replication = command.op == "replication.status";
    return success(anything(), [=](const json::value& response) -> std::optional<std::string> {
        if (!response.is_object()) return "no object";
        if (is_verify) return difference("ok", member(response, "status"), "status");
        if (is_replication) return difference(lsn, member(response, "wal_current_lsn"), "wal_current_lsn");
        return std::nullopt;
    });
}

std::vector<std::pair<std::uint64_t, const json::object*>> Model::entries_after(std::uint64_t lsn) const {
    std::vector<std::pair<std::uint64_t, const json::object*>> found;
    auto change = std::ranges::upper_bound(changes_, lsn, {}, &Change::last_lsn);
    for (; change != changes_.end(); ++change) {
        std::uint64_t at = change->last_lsn - change->entries.size();
        for (const json::object& entry : change->entries)
            if (++at > lsn) found.emplace_back(at, &entry);
    }
    return found;
}

void Model::restarted(const Config& config, bool with_snapshot) {
    // A snapshot of the end; the next snapshot.info shows it where there is one.
    static_cast<void>(with_snapshot);
    // Events of the time without a log are gone; so are those before, for who reads on from there.
    if (!config_.has_log && state_.lsn > stored_.lsn) first_lsn_ = state_.lsn + 1;
    stored_ = state_;
    if (!config_.is_stored) *this = Model(config);
    config_ = config;
    state_.records_max = config.idempotency_max_records;
}

std::optional<std::string> Model::killed(const Config& config, std::uint64_t lsn) {
    if (!config_.is_stored) {
        *this = Model(config);
    } else if (!config_.has_log) {
        // What the latest snapshot of everything holds, or what the start found.
        std::uint64_t kept = stored_.lsn;
        for (const std::shared_ptr<Snapshot>& snapshot : snapshots_)
            if (snapshot->is_full) kept = std::max(kept, snapshot->lsn);
        state_ = state_at(kept);
        std::erase_if(changes_, [&](const Change& change) { return change.last_lsn > kept; });
        while (!points_.empty() && points_.back().first > changes_.size()) points_.pop_back();
        // Where nothing of that time was kept, the log goes on where it ended.
        if (kept > stored_.lsn) first_lsn_ = kept + 1;
    }
    config_ = config;
    stored_ = state_;
    if (state_.lsn == lsn) return std::nullopt;
    return "after a kill: expected LSN " + std::to_string(state_.lsn) + ", got " + std::to_string(lsn);
}

void Model::imported() {
    for (auto stream = state_.streams.change().begin(); stream != state_.streams->end();)
        stream = stream->second.is_committed ? std::next(stream) : state_.streams.change().erase(stream);
    base_ = state_;
    base_lsn_ = state_.lsn;
    stored_ = state_;
    changes_.clear();
    points_.clear();
    snapshots_.clear();
    gone_.clear();  // the new directory may give a name of the old one again
    first_lsn_ = state_.lsn + 1;
}

void Model::add_foreign_events(std::uint64_t last_lsn) {
    Change change{last_lsn, {}, {}, true};
    for (; state_.lsn < last_lsn; ++state_.lsn) change.entries.emplace_back();
    changes_.push_back(std::move(change));
}

}  // namespace karma::test::model
