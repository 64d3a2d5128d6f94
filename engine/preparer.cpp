#include "engine/engine.h"

namespace karma {

bool Preparer::concerns(const Request& request) noexcept {
    if (const auto* const mutation = std::get_if<Mutation>(&request)) {
        return std::holds_alternative<mutation::AddChunk>(*mutation);
    }
    return std::holds_alternative<KeyedMutation>(request);
}

PreparedMutation Preparer::prepare(const Request& request, std::uint64_t hash_seed, std::int64_t now_ms) {
    PreparedMutation prepared;
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        prepared.fingerprint = fingerprinter_.of(*keyed->body, now_ms);
        prepared.key = hash_idempotency_key(keyed->key, hash_seed);
        prepared.fingerprint_denied =
            !keyed->fingerprint.empty() && keyed->fingerprint != prepared.fingerprint.hex();
    } else {
        prepared.fingerprint = fingerprinter_.of(std::get<Mutation>(request), now_ms);
    }
    return prepared;
}

PreparedMutation Preparer::prepare(const Event& event, std::uint64_t hash_seed) {
    return {hash_idempotency_key(event.idempotency_key, hash_seed), fingerprinter_.of(event.body)};
}

}  // namespace karma
