#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "engine/event_codec.h"

/// An engine with a log in memory, for tests.
namespace karma::test {

inline constexpr std::int64_t now_ms = 1'795'208'099'000;  // 2026-11-20

/// Keeps the events as the log would.
class Recorder final : public EventSink {
public:
    void accept(const Event& event, const EventRecords& /*records*/) override {
        builder_.add(event);
        if (builder_.count() == 100) {
            close();
        }
    }
    void close() {
        if (!builder_.empty()) {
            groups_.emplace_back();
            builder_.finish(groups_.back());
        }
    }
    /// The bytes of the log.
    const std::vector<std::string>& groups() {
        close();
        return groups_;
    }
    void replay(Engine& engine) {
        close();
        for (const std::string& group : groups_) {
            read_event_group(group, [&](const Event& event) { engine.apply(event); });
        }
    }

    void replicate(Engine& follower) {
        close();
        for (const std::string& group : groups_) {
            read_event_group(group, [&](const Event& event) { follower.replicate(event); });
        }
    }

private:
    EventGroupBuilder builder_;
    std::vector<std::string> groups_;
};

inline Reply answer(Engine& engine, const Request& request, std::int64_t at_ms = now_ms) {
    Outcome outcome = engine.execute(request, at_ms);
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        return (*task)->run(NoDeadline());
    }
    return std::move(std::get<Reply>(outcome.result));
}

inline Reply answer(Engine& engine, const Mutation& mutation) { return answer(engine, Request(mutation)); }

template <typename T>
T expect(Reply reply) {
    REQUIRE(std::holds_alternative<T>(reply));
    return std::get<T>(std::move(reply));
}

inline std::uint64_t sum(Engine& engine, std::string_view series, std::uint64_t key) {
    return expect<reply::Number>(answer(engine, query::Sum{series, key, std::nullopt})).value;
}

inline void check_refused(Engine& engine, const Mutation& mutation, ErrorCode code) {
    const Lsn lsn = engine.last_lsn();
    const Digest digest = engine.view().digest(NoDeadline());
    CHECK(expect<Error>(answer(engine, mutation)).code == code);
    CHECK(engine.last_lsn() == lsn);
    CHECK(engine.view().digest(NoDeadline()) == digest);
}

}  // namespace karma::test
