#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/engine.h"
#include "engine/reply.h"
#include "engine/request.h"

namespace karma {

struct DatabaseParts;

/// Executes requests: with the lock of the state what takes a short time, as tasks the rest. Thread-safe.
class Requests {
public:
    /// `parts` outlives this.
    explicit Requests(DatabaseParts& parts) : parts_(parts) {}

    /// See Executor::execute.
    void execute(std::span<const Request> requests, std::span<Outcome> outcomes);
    /// Executes one request to its end: runs its task and waits until what the reply shows is durable. A
    /// refused request gives an Error, never an exception.
    Reply call(const Request& request);

private:
    Outcome execute_one(const Request& request, const PreparedMutation* prepared, std::int64_t now_ms);
    std::optional<Error> refuse_write(const Request& request) const;
    void note_replicas(const Request& request, Outcome& outcome) const;
    Outcome not_executed();

    DatabaseParts& parts_;
};

}  // namespace karma
