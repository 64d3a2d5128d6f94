#include "net/karma1/entry_decoder.h"

#include <algorithm>
#include <variant>

#include "engine/resolve.h"

namespace karma::net {
namespace {

/// Whether a request leaves a day to the clock.
struct NeedsClock {
    bool operator()(const mutation::MultiAdd& m) const {
        return std::ranges::find(m.items, today, &mutation::SeriesItem::day) != m.items.end();
    }
    template <typename M>
    bool operator()(const M& m) const {
        if constexpr (requires { m.day; }) {
            return m.day == today;
        } else if constexpr (requires { m.range; }) {
            return m.range.is_relative();
        } else {
            return false;
        }
    }
};

/// The fact of an entry, which another node has decided already.
struct EntryFact {
    std::int64_t time_ms;
    Fingerprinter& fingerprinter;

    template <ResolvedByClock M>
    Fact operator()(const M& m) const {
        return resolve(m, time_ms);
    }
    Fact operator()(const mutation::AddChunk& m) const {
        return fact::AddChunk{m.stream_id, m.series, m.chunk_seq, m.items, fingerprinter.of(m, time_ms)};
    }
    Fact operator()(const mutation::PruneRecords& m) const {
        return fact::PruneRecords{m.before_unix, m.limit};
    }
    /// Karma 1.0 has none; it names no stream that goes.
    Fact operator()(const mutation::PruneStreams& m) const {
        return fact::PruneStreams{m.before_unix, m.limit, {}, 0};
    }
};

}  // namespace

Karma1Entry Karma1EntryDecoder::decode(Lsn lsn, std::int64_t time_ms, std::string_view entry) {
    decoder_.release();
    const Decoded decoded = decoder_.decode_general(entry, true);
    if (const auto* const wrong = std::get_if<Error>(&decoded)) {
        return {std::nullopt, wrong->message, false};
    }
    const Request& request = std::get<Request>(decoded);
    const auto* const keyed = std::get_if<KeyedMutation>(&request);
    const Mutation* const body = keyed == nullptr ? std::get_if<Mutation>(&request) : keyed->body;
    if (body == nullptr) {
        return {std::nullopt, "it is none that changes something", true};
    }
    const Event event{lsn, time_ms, std::visit(EntryFact{time_ms, fingerprinter_}, *body),
                      keyed == nullptr ? std::string_view() : keyed->key};
    return {event, {}, true, !std::visit(NeedsClock(), *body)};
}

}  // namespace karma::net
