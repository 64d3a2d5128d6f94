#pragma once

#include "engine/engine.h"

namespace karma {

/// Answers the queries that concern an engine's state: points at once, whole series by a task on a view.
class Querier {
public:
    /// `now_ms`: when it is asked, for periods that depend on it.
    Querier(const Engine& engine, std::int64_t now_ms) : engine_(engine), now_ms_(now_ms) {}

    Outcome operator()(const query::ListSeries& q) const;
    Outcome operator()(const query::SeriesInfo& q) const;
    Outcome operator()(const query::SeriesKeys& q) const;
    Outcome operator()(const query::SeriesTop& q) const;
    Outcome operator()(const query::SeriesSummary& q) const;
    Outcome operator()(const query::SeriesPoints& q) const;
    Outcome operator()(const query::BucketTotals& q) const;
    Outcome operator()(const query::Sum& q) const;
    Outcome operator()(const query::Points& q) const;
    Outcome operator()(const query::BatchSum& q) const;
    Outcome operator()(const query::MultiSum& q) const;
    Outcome operator()(const query::Checkpoints& q) const;

private:
    Outcome not_found(std::string_view series) const;
    DayRange days(const Period& period) const noexcept { return period.at(now_ms_); }
    std::optional<DayRange> days(const std::optional<Period>& period) const noexcept {
        return period ? std::optional(days(*period)) : std::nullopt;
    }

    const Engine& engine_;
    std::int64_t now_ms_;
};

/// What there is of a counter, beside what a request has added or taken. `series` may be null: then nothing.
reply::CounterTotals counter_totals(const Series* series, std::uint64_t key, Day day,
                                    std::uint64_t value) noexcept;

/// The refusal of a request for a missing series.
Error series_not_found(std::string_view series);

}  // namespace karma
