#include "engine/check.h"
#include "engine/engine.h"

namespace karma {

bool Preparer::concerns(const Request& request) noexcept {
    if (const auto* const mutation = std::get_if<Mutation>(&request)) {
        return std::holds_alternative<mutation::AddChunk>(*mutation);
    }
    return std::holds_alternative<KeyedMutation>(request);
}

void Preparer::prepare(const Request& request, std::uint64_t hash_seed, std::int64_t now_ms,
                       PreparedMutation& prepared) {
    const auto* const keyed = std::get_if<KeyedMutation>(&request);
    prepared.body = keyed == nullptr ? std::get<Mutation>(request) : *keyed->body;
    resolve_day(prepared.body, now_ms);
    prepared.fingerprint = fingerprinter_.of(prepared.body);
    if (keyed != nullptr) {
        prepared.key = hash_idempotency_key(keyed->key, hash_seed);
        prepared.fingerprint_denied =
            !keyed->fingerprint.empty() && keyed->fingerprint != prepared.fingerprint.hex();
    } else {
        std::get<mutation::AddChunk>(prepared.body).fingerprint = &prepared.fingerprint;
    }
}

void Preparer::prepare(const Event& event, std::uint64_t hash_seed, PreparedMutation& prepared) {
    prepared.body = event.body;
    prepared.key = hash_idempotency_key(event.idempotency_key, hash_seed);
    prepared.fingerprint = fingerprinter_.of(event.body);
}

}  // namespace karma
