// What the model expects of events, of the log and of snapshots.

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>

#include "tests/model/event_page.h"
#include "tests/model/model.h"
#include "tests/model/tree_file.h"

namespace karma::test::model {

namespace {

// Whether an event concerns a series, and a key of it: as docs/history.md says.
bool concerns(const json::object& entry, const std::string& series, const std::optional<std::uint64_t>& key) {
    if (entry.at("op") == "system.compact") return true;
    if (entry.at("op") == "counter.multi_add")
        return std::ranges::any_of(entry.at("items").as_array(), [&](const json::value& item) {
            return member(item, "series").as_string() == series &&
                   (!key || as_number(member(item, "key")) == *key);
        });
    const json::value* const of = entry.if_contains("series");
    if (of == nullptr || of->as_string() != series) return false;
    if (!key) return true;
    if (const json::value* const one = entry.if_contains("key")) return as_number(*one) == *key;
    if (const json::value* const items = entry.if_contains("items"))
        return !items->is_array() ||  // the model does not know them
               std::ranges::any_of(items->as_array(), [&](const json::value& item) {
                   return as_number(item.as_array()[0]) == *key;
               });
    if (const json::value* const keys = entry.if_contains("keys"))
        return std::ranges::any_of(keys->as_array(),
                                   [&](const json::value& k) { return as_number(k) == *key; });
    return true;
}

}  // namespace

Expected Model::before_hole(std::uint64_t after, const EventPage& page, const char* name,
                            bool by_time) const {
    Expected expected = failure("replication_gap");
    expected.allowed.push_back({{}, anything(), {}});
    if (after < base_lsn_) {  // the model does not know these events any more: one may be a counter.multi_add
        expected.allowed.push_back({"replication_error", {}, {}});
        return expected;
    }
    const std::uint64_t first = first_lsn_;
    expected.check = [page, first, name, by_time](const json::value& response) -> std::optional<std::string> {
        const json::array& shown = member(response, name).as_array();
        if (auto wrong = page.check(shown)) return wrong;
        const json::value* const complete = response.as_object().if_contains("complete");
        // Where no time of an event is asked for, those that are gone are not missed.
        const bool is_none_asked_for = by_time && page.all.empty();
        if (complete != nullptr && complete->as_bool() && !is_none_asked_for)
            return "complete, although events are gone";
        if (!shown.empty() && as_number(member(shown.back(), "lsn")) >= first)
            return "passes over events that are gone";
        return std::nullopt;
    };
    return expected;
}

Expected Model::log_entries(const Command& command) {
    const std::uint64_t after = *command.cursor;
    const std::uint64_t last = state_.lsn;
    EventPage page{{}, command.limit, false};
    // What Karma 1.0 does not know is shown to it as an entry without effect.
    static const json::object no_effect{{"v", 2}, {"op", "idempotency.prune"}, {"before", 1}};
    bool is_first_unknown = false;
    for (const auto& [lsn, entry] : entries_after(after)) {
        const json::value* const op = entry->if_contains("op");  // that of a foreign event is not known
        if (op != nullptr && *op == "counter.multi_add") {  // Karma 1.0 cannot follow it: a page ends before
            is_first_unknown = page.all.empty();
            break;
        }
        page.all.emplace_back(lsn, op != nullptr && *op == "ingest.prune" ? no_effect : *entry);
    }
    const bool small = config_.max_response_bytes < 65'536;
    Expected expected = success(
        anything(), [page, after, last, small](const json::value& response) -> std::optional<std::string> {
            const json::array& shown = member(response, "entries").as_array();
            if (auto wrong = page.check(shown)) return wrong;
            if (auto wrong = difference(last, member(response, "source_lsn"), "source_lsn")) return wrong;
            if (auto wrong = difference(after, member(response, "after_lsn"), "after_lsn")) return wrong;
            if (auto wrong = difference(shown.size(), member(response, "count"), "count")) return wrong;
            const bool is_cut = member(response, "truncated_by_bytes").as_bool();
            if (!page.is_whole(shown.size()) && !is_cut)
                return "entries are missing: " + std::to_string(shown.size()) + " of " +
                       std::to_string(page.all.size());
            if (is_cut && !small && page.is_whole(shown.size())) return "truncated_by_bytes without need";
            const std::uint64_t next = shown.empty() ? after : as_number(member(shown.back(), "lsn"));
            return difference(next, member(response, "next_lsn"), "next_lsn");
        });
    if (!config_.has_log)
        return {{expected.allowed[0], {"replication_gap", {}, {}}, {"replication_error", {}, {}}}, {}, false};
    if (is_first_unknown) {
        Expected refused = failure("replication_error");
        if (after + 1 < first_lsn_) refused.allowed.push_back({"replication_gap", {}, {}});
        return refused;
    }
    if (after + 1 >= first_lsn_ || after >= last) return expected;
    return before_hole(after, page, "entries", false);
}

Expected Model::event_list(const Command& command) {
    if (!config_.has_log) return {{{{}, anything(), {}}, {"replication_gap", {}, {}}}, {}, false};
    const std::uint64_t last = state_.lsn;
    const std::uint64_t first = last >= first_lsn_ ? first_lsn_ : 0;
    const std::uint64_t after = command.cursor.value_or(first == 0 ? last : first - 1);
    EventPage page{{}, command.limit, false};
    const bool is_future = command.from_time && *command.from_time > unix_now() + 60;
    const bool is_past = command.to_time && *command.to_time < unix_now() - 86'400;
    for (const auto& [lsn, entry] : entries_after(after)) {
        if (is_future || is_past) break;
        if (entry->empty()) page.has_foreign = true;
        if (command.series.empty() || entry->empty() || concerns(*entry, command.series, command.event_key))
            page.all.emplace_back(lsn, *entry);
    }
    // A snapshot.load's items, and events of the daemon's own, are not known: then only the form is checked.
    bool is_known = !page.has_foreign;
    if (after + 1 < first_lsn_ && after < last)
        return before_hole(after, page, "events", is_future || is_past);
    if (command.event_key)
        for (const auto& [lsn, entry] : entries_after(after)) {
            const json::value* const items = entry->if_contains("items");
            if (items != nullptr && items->is_string()) is_known = false;
        }
    if (!is_known && !command.series.empty()) return success(anything());
    const bool small = config_.max_response_bytes < 65'536;
    const bool by_time = command.from_time.has_value() || command.to_time.has_value();
    return success(
        anything(),
        [page, after, last, small, by_time](const json::value& response) -> std::optional<std::string> {
            const json::array& shown = member(response, "events").as_array();
            if (auto wrong = page.check(shown)) return wrong;
            if (auto wrong = difference(last, member(response, "last_lsn"), "last_lsn")) return wrong;
            if (auto wrong = difference(shown.size(), member(response, "count"), "count")) return wrong;
            const bool complete = member(response, "complete").as_bool();
            const std::uint64_t next = as_number(member(response, "next_lsn"));
            if (complete && shown.size() != page.all.size())
                return "said to be complete with " + std::to_string(shown.size()) + " of " +
                       std::to_string(page.all.size());
            if (!complete && !small && !by_time && shown.size() < page.limit &&
                json::serialize(response).size() < 65'536)
                return "not complete, and below all limits";
            if (complete && !by_time) return difference(std::max(last, after), next, "next_lsn");
            if (!shown.empty() && next < as_number(member(shown.back(), "lsn"))) return "next_lsn goes back";
            return std::nullopt;
        });
}

std::optional<std::string> Model::learn(const json::array& shown) {
    for (const json::value& entry : shown) {
        const std::string series(member(entry, "tree").as_string());
        const std::string file(member(entry, "file").as_string());
        const std::uint64_t lsn = as_number(member(entry, "last_lsn"));
        const std::uint64_t number = as_number(member(entry, "timestamp"));
        // Of several at one LSN whose names are not known, the oldest: it goes first.
        std::shared_ptr<Snapshot> known;
        for (const std::shared_ptr<Snapshot>& snapshot : snapshots_) {
            if (snapshot->series != series) continue;
            if (snapshot->file == file) known = snapshot;
            if (!known && snapshot->file.empty() && snapshot->lsn == lsn) known = snapshot;
        }
        if (!known) {
            // One that the daemon made by itself: at its end, or for an export.
            if (lsn > state_.lsn) return "a snapshot of " + series + " of the future";
            if (lsn >= base_lsn_ && state_at(lsn).find(series) == nullptr) continue;  // dropped
            known = std::make_shared<Snapshot>(Snapshot{series, lsn, number, file, lsn >= base_lsn_, false});
            if (lsn < base_lsn_) known->is_sure = false;
            snapshots_.push_back(known);
        }
        if (known->file.empty()) {
            for (const std::shared_ptr<Snapshot>& other : snapshots_)
                if (other->file == file) return "two snapshots have the name " + file;
            known->file = file;
            known->number = number;
        }
        if (auto wrong = difference(known->lsn, lsn, "last_lsn of " + file)) return wrong;
    }
    return std::nullopt;
}

Expected Model::snapshot_info() {
    // The latest of each series, as it is now; the reply is looked at later.
    std::map<std::string, std::uint64_t> latest;
    for (const std::shared_ptr<Snapshot>& snapshot : snapshots_)
        if (snapshot->is_sure) latest[snapshot->series] = snapshot->lsn;
    const std::uint64_t lsn = state_.lsn;
    const bool has_log = config_.has_log;
    return success(
        anything(), [this, latest, lsn, has_log](const json::value& response) -> std::optional<std::string> {
            if (auto wrong = difference(lsn, member(response, "wal_current_lsn"), "wal_current_lsn"))
                return wrong;
            if (auto wrong = difference(has_log, member(response, "wal_enabled"), "wal_enabled"))
                return wrong;
            const json::array& shown = member(response, "latest_by_tree").as_array();
            std::map<std::string, std::uint64_t> found;
            for (const json::value& entry : shown)
                if (!found
                         .emplace(std::string(member(entry, "tree").as_string()),
                                  as_number(member(entry, "last_lsn")))
                         .second)
                    return "a series is there twice";
            for (const auto& [series, at] : latest) {
                const auto given = found.find(series);
                if (given == found.end()) return "no snapshot of " + series;
                if (given->second != at)
                    return "the latest snapshot of " + series + ": expected LSN " + std::to_string(at) +
                           ", got " + std::to_string(given->second);
            }
            return learn(shown);
        });
}

Expected Model::snapshot_list() {
    std::vector<std::string> sure;
    for (const std::shared_ptr<Snapshot>& snapshot : loadable()) sure.push_back(snapshot->file);
    return success(anything(), [this, sure](const json::value& response) -> std::optional<std::string> {
        std::vector<std::string> shown;
        for (const json::value& file : response.as_array()) shown.emplace_back(file.as_string());
        for (const std::string& file : shown)
            if (gone_.contains(file)) return file + " was not shown before, and comes back";
        for (const std::shared_ptr<Snapshot>& snapshot : snapshots_)
            if (!snapshot->file.empty() && std::ranges::find(shown, snapshot->file) == shown.end())
                gone_.insert(snapshot->file);
        for (const std::string& file : sure)
            if (std::ranges::find(shown, file) == shown.end()) return file + " is missing";
        for (std::size_t i = 1; i < shown.size(); ++i)
            if (std::stoull(shown[i - 1]) < std::stoull(shown[i])) return "not the newest first: " + shown[i];
        return std::nullopt;
    });
}

Expected Model::fetch(const Command& command) {
    Expected expected = success(anything());
    if (command.op == "idempotency.snapshot_fetch_chunk")
        return {{{{}, anything(), {}},
                 {"not_found", {}, {}},
                 {"validation_error", {}, {}},
                 {"response_too_large", {}, {}}},
                {},
                false};
    for (const std::shared_ptr<Snapshot>& snapshot : loadable()) {
        if (snapshot->file != command.file) continue;
        if (command.op == "snapshot.fetch") {
            const SharedSeries content = *state_at(snapshot->lsn).find(snapshot->series);
            const Snapshot about = *snapshot;
            expected.check = [content, about](const json::value& response) -> std::optional<std::string> {
                const std::string bytes = from_base64(member(response, "data_base64").as_string());
                if (read_tree_file(bytes) != *content) return "the file holds something else";
                return difference(json::object{{"tree", about.series},
                                               {"file", about.file},
                                               {"timestamp", anything()},
                                               {"last_lsn", about.lsn},
                                               {"bytes", bytes.size()},
                                               {"metadata_file", about.file + ".meta.json"}},
                                  member(response, "metadata"), "metadata");
            };
        }
        if (command.cursor && *command.cursor > 0) expected.allowed.push_back({"validation_error", {}, {}});
        if (config_.max_response_bytes < 1'000'000)
            expected.allowed.push_back({"response_too_large", {}, {}});
        return expected;
    }
    return failure("not_found");
}

}  // namespace karma::test::model
