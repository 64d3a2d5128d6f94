#pragma once

#include <cstdint>

#include "engine/day.h"
#include "engine/fact.h"
#include "engine/mutation.h"
#include "engine/mutation_kinds.h"

/// The facts that commands stand for at a time, as far as the command and the clock say it all: days are put
/// in the place of "today" and "the last 30 days". Whether the fact can follow from a state is another
/// question (check.h). Commands whose facts depend on the state are not among these (decide.h).
namespace karma {

/// The day of an item or a counter at a time (Unix milliseconds).
inline Day resolve(Day day, std::int64_t now_ms) noexcept {
    return day == today ? day_from_unix_ms(now_ms) : day;
}

/// A command that says all that its fact does.
template <FactKind M>
const M& resolve(const M& m, std::int64_t /*now_ms*/) noexcept {
    return m;
}

inline fact::Increment resolve(const mutation::Increment& m, std::int64_t now_ms) noexcept {
    return {m.series, m.key, resolve(m.day, now_ms), m.value};
}

inline fact::Decrement resolve(const mutation::Decrement& m, std::int64_t now_ms) noexcept {
    return {m.series, m.key, resolve(m.day, now_ms), m.value};
}

inline fact::MultiAdd resolve(const mutation::MultiAdd& m, std::int64_t now_ms) noexcept {
    return {{m.items, day_from_unix_ms(now_ms)}};
}

inline fact::DeleteCounterRange resolve(const mutation::DeleteCounterRange& m, std::int64_t now_ms) noexcept {
    return {m.series, m.key, m.range.at(now_ms)};
}

inline fact::DeleteSeriesRange resolve(const mutation::DeleteSeriesRange& m, std::int64_t now_ms) noexcept {
    return {m.series, m.range.at(now_ms)};
}

inline fact::BatchDeleteRange resolve(const mutation::BatchDeleteRange& m, std::int64_t now_ms) noexcept {
    return {m.series, m.keys, m.range.at(now_ms)};
}

/// A command whose fact follows from it and the time alone.
template <typename M>
concept ResolvedByClock = requires(const M& m, std::int64_t now_ms) {
    resolve(m, now_ms);
};

}  // namespace karma
