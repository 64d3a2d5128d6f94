#include "replica/karma1/snapshots.h"

#include <algorithm>

#include "net/base64.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

/// The name alone: Karma 1.0 shows the paths of its files in some places.
std::string base_name(std::string_view path) {
    return std::string(path.substr(path.find_last_of('/') + 1));  // npos + 1 is 0
}

}  // namespace

Lsn SnapshotList::last_lsn() const noexcept {
    Lsn last = records ? records->last_lsn : 0;
    for (const TreeSnapshot& tree : trees) {
        last = std::max(last, tree.last_lsn);
    }
    return last;
}

SnapshotList ask_snapshots(MasterClient& master) {
    const json::value response = master.ask("snapshot.info");
    const JsonFields info(response);
    SnapshotList list;
    list.has_log = info.flag("wal_enabled");
    for (const json::value& one : info.array("latest_by_tree")) {
        const JsonFields tree(one);
        list.trees.push_back({std::string(tree.text("tree")), base_name(tree.text("file")),
                              tree.number("timestamp"), tree.number("bytes"), tree.number("last_lsn")});
    }
    if (!info.is_null("idempotency_snapshot")) {
        const JsonFields records(info.value("idempotency_snapshot"));
        list.records = RecordsSnapshot{records.number("timestamp"), records.number("last_lsn")};
    }
    return list;
}

void fetch(MasterClient& master, const char* op, const json::object& fields, UnnamedFile& out) {
    std::uint64_t limit = 262'144;
    constexpr std::uint64_t limit_min = 1024;
    std::optional<std::uint64_t> total;
    for (bool done = false; !done;) {
        json::object asked = fields;
        asked["offset"] = out.size();
        asked["limit"] = limit;
        json::value response;
        try {
            response = master.ask(op, std::move(asked));
        } catch (const RefusedError& refused) {
            if (refused.code() == "response_too_large" && limit > limit_min) {
                limit /= 2;
                continue;
            }
            throw;
        }
        const JsonFields chunk(response);
        const std::optional<std::string> bytes = net::decode_base64(chunk.text("data_base64"));
        const std::uint64_t total_now = chunk.number("total_bytes");
        done = chunk.flag("done");
        if (!bytes || total.value_or(total_now) != total_now || (bytes->empty() && !done) ||
            bytes->size() > total_now - std::min(out.size(), total_now)) {
            throw ChannelError(std::string(op) +
                               ": the master's file changes while it is read, or is damaged");
        }
        total = total_now;
        out.append(*bytes);
    }
    if (out.size() != total) {
        throw ChannelError(std::string(op) + ": " + std::to_string(out.size()) + " bytes came, not " +
                           std::to_string(total.value_or(0)));
    }
}

std::vector<reply::Checkpoint> ask_checkpoints(MasterClient& master) {
    const json::value response = master.ask("recovery.status");
    std::vector<reply::Checkpoint> checkpoints;
    for (const json::value& one : JsonFields(response).array("checkpoints")) {
        const JsonFields fields(one);
        checkpoints.push_back({std::string(fields.text("source")), fields.text_if_any("offset"),
                               fields.text_if_any("event_id"),
                               static_cast<std::int64_t>(fields.number("updated_at_unix"))});
    }
    return checkpoints;
}

}  // namespace karma::replica
