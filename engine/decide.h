#pragma once

#include <cstdint>
#include <optional>

#include "engine/engine.h"
#include "engine/fact.h"
#include "engine/idempotency.h"
#include "engine/mutation.h"
#include "engine/reply.h"

/// The only place where a command becomes a fact. See docs/architecture.md, "Commands and facts".
namespace karma {

/// Decides about a command in the state of an engine, at the time `now_ms` (Unix milliseconds), and changes
/// nothing. Either puts the fact into `fact` of which an event is to be recorded; or gives the answer to the
/// command, of which there is no event, and `fact` is of no meaning.
///
/// `prepared` is what was prepared of the command for that time; null for a command that needs no preparation
/// (`Preparer::concerns`). The fact borrows from the command and from `memory`, which the next decision
/// overwrites.
std::optional<Outcome> decide(const Engine& engine, const Mutation& command, const PreparedMutation* prepared,
                              std::int64_t now_ms, FactMemory& memory, Fact& fact);

/// What a keyed command is answered with that was executed before: the response of then. Totals are not part
/// of it.
Reply reply_again(const Mutation& command, const IdempotencyIndex::Record& first);

}  // namespace karma
