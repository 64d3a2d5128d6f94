#include "net/karma1/entry_decoder.h"

#include <utility>
#include <variant>

namespace karma::net {

Karma1Entry Karma1EntryDecoder::decode(Lsn lsn, std::int64_t time_ms, std::string_view entry) {
    decoder_.release();
    const Decoded decoded = decoder_.decode_general(entry, true);
    if (const auto* const wrong = std::get_if<Error>(&decoded)) {
        return {std::nullopt, wrong->message, false};
    }
    const Request& request = std::get<Request>(decoded);
    Event event;
    event.lsn = lsn;
    event.time_ms = time_ms;
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        event.body = *keyed->body;
        event.idempotency_key = keyed->key;
    } else if (const auto* const body = std::get_if<Mutation>(&request)) {
        event.body = *body;
    } else {
        return {std::nullopt, "it is none that changes something", true};
    }
    if (auto* const chunk = std::get_if<mutation::AddChunk>(&event.body)) {
        fingerprint_ = fingerprinter_.of(event.body);
        chunk->fingerprint = &fingerprint_;
    }
    return {std::move(event), {}, true};
}

}  // namespace karma::net
