#include "replica/karma1/log.h"

#include <string>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "engine/timestamp.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

bool has_day(const Mutation& body) {
    return std::visit(
        [](const auto& m) {
            if constexpr (requires { m.day; }) {
                return m.day != today;
            } else {
                return true;
            }
        },
        body);
}

[[noreturn]] void refuse(Lsn lsn, const std::string& why) {
    throw ChannelError("the entry with LSN " + std::to_string(lsn) +
                       " of the master's log cannot be taken: " + why);
}

[[noreturn]] void throw_gap(Lsn lsn) {
    throw GapError("replication_gap: the master's log does not hold the event after LSN " +
                   std::to_string(lsn) +
                   " any more: a snapshot of everything (snapshot.create_all) on the master helps");
}

/// Only entries with an idempotency key say when they were made.
std::int64_t time_of(Lsn lsn, const JsonFields& entry, const Replicated& database) {
    const auto created = entry.number_if_any("idempotency_created_at_unix");
    if (!created) {
        return database.now_ms();
    }
    if (*created > static_cast<std::uint64_t>(unix_ms_max / 1000)) {
        refuse(lsn, "it was made at a time that cannot be");
    }
    return static_cast<std::int64_t>(*created) * 1000;
}

}  // namespace

Karma1Log::Page Karma1Log::read(Lsn lsn, std::uint64_t limit,
                                const std::function<void(const Event&)>& visit) {
    json::value response;
    try {
        response = master_.ask("replication.entries", {{"after_lsn", lsn}, {"limit", limit}});
    } catch (const RefusedError& refused) {
        if (refused.code() == "replication_gap") {
            throw_gap(lsn);
        }
        throw;
    }
    return take(response, lsn, visit);
}

Karma1Log::Page Karma1Log::take(const json::value& response, Lsn lsn,
                                const std::function<void(const Event&)>& visit) {
    const JsonFields fields(response);
    Page page;
    page.source_lsn = fields.number("source_lsn");
    const json::array& entries = fields.array("entries");
    if (page.source_lsn < lsn) {
        throw TailLostError("the master's log ends at LSN " + std::to_string(page.source_lsn) +
                            ", and this node, or a snapshot of the master's, is at LSN " +
                            std::to_string(lsn) + ": it is another log");
    }
    if (entries.empty() && page.source_lsn > lsn) {
        const json::value* const cut = fields.find("truncated_by_bytes");
        if (cut != nullptr && cut->is_bool() && cut->get_bool()) {
            refuse(lsn + 1, "it is longer than the master's --max-response-bytes");
        }
        throw_gap(lsn);
    }
    for (const json::value& one : entries) {
        const JsonFields entry(one);
        const Lsn expected = lsn + page.count + 1;
        const Lsn found = entry.number("lsn");
        if (found > expected && page.count == 0) {
            throw_gap(lsn);
        }
        if (found != expected) {
            refuse(found, "LSN " + std::to_string(expected) + " should come");
        }
        visit(decode(found, entry.value("entry")));
        ++page.count;
    }
    return page;
}

bool Karma1Log::reaches_back_to(Lsn lsn) {
    try {
        read(lsn, 1, [](const Event&) {});
        return true;
    } catch (const GapError&) {
        return false;
    }
}

Event Karma1Log::decode(Lsn lsn, const json::value& entry) {
    line_ = json::serialize(entry);
    const std::int64_t time_ms = time_of(lsn, JsonFields(entry), database_);
    net::Karma1Entry decoded = decoder_.decode(lsn, time_ms, line_);
    if (!decoded.event) {
        refuse(lsn, decoded.why_not);
    }
    if (!has_day(decoded.event->body)) {
        refuse(lsn, "it names no day");
    }
    return *decoded.event;
}

Event without_effect(const Event& event) {
    // Nothing is older than the beginning of time.
    return {event.lsn, event.time_ms, mutation::PruneRecords{0, 1}, {}};
}

}  // namespace karma::replica
