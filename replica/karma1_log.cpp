#include "replica/karma1_log.h"

#include <algorithm>
#include <string>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "engine/resolve.h"
#include "engine/timestamp.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

[[noreturn]] void refuse(Lsn lsn, const std::string& why) {
    throw ChannelError("the entry with LSN " + std::to_string(lsn) +
                       " of the master's log cannot be taken: " + why);
}

/// The fact of an entry, which another node has decided already.
class EntryFact {
public:
    /// `time_ms`: of the entry.
    EntryFact(Lsn lsn, std::int64_t time_ms, Fingerprinter& fingerprinter)
        : lsn_(lsn), time_ms_(time_ms), fingerprinter_(fingerprinter) {}

    template <ResolvedByClock M>
    Fact operator()(const M& m) const {
        if constexpr (requires { m.day; }) {
            must_be_known(m.day != today);
        } else if constexpr (requires { m.range; }) {
            must_be_known(!m.range.is_relative());
        }
        return resolve(m, time_ms_);
    }
    Fact operator()(const mutation::MultiAdd& m) const {
        must_be_known(std::ranges::find(m.items, today, &mutation::SeriesItem::day) == m.items.end());
        return resolve(m, time_ms_);
    }
    Fact operator()(const mutation::AddChunk& m) const {
        return fact::AddChunk{m.stream_id, m.series, m.chunk_seq, m.items, fingerprinter_.of(m, time_ms_)};
    }
    Fact operator()(const mutation::PruneRecords& m) const {
        return fact::PruneRecords{m.before_unix, m.limit};
    }
    Fact operator()(const mutation::PruneStreams& /*m*/) const {
        refuse(lsn_, "it does not say which ingest streams were forgotten");
    }

private:
    void must_be_known(bool has_day) const {
        if (!has_day) {
            refuse(lsn_, "it names no day");
        }
    }

    Lsn lsn_;
    std::int64_t time_ms_;
    Fingerprinter& fingerprinter_;
};

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
        decoder_.release();
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
    const net::Decoded decoded = decoder_.decode_general(line_, true);
    if (const auto* const wrong = std::get_if<Error>(&decoded)) {
        refuse(lsn, wrong->message);
    }
    const Request& request = std::get<Request>(decoded);
    Event event;
    event.lsn = lsn;
    event.time_ms = time_of(lsn, JsonFields(entry), database_);
    const EntryFact fact_of(lsn, event.time_ms, fingerprinter_);
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        event.body = std::visit(fact_of, *keyed->body);
        event.idempotency_key = keyed->key;
    } else if (const auto* const body = std::get_if<Mutation>(&request)) {
        event.body = std::visit(fact_of, *body);
    } else {
        refuse(lsn, "it is none that changes counters");
    }
    return event;
}

Event without_effect(const Event& event) {
    // Nothing is older than the beginning of time.
    return {event.lsn, event.time_ms, fact::PruneRecords{0, 1}, {}};
}

}  // namespace karma::replica
