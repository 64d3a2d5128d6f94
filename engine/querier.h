#pragma once

#include "engine/engine.h"

namespace karma {

/// Answers the queries that concern an engine's state: points at once, whole series by a task on a view.
class Querier {
public:
    explicit Querier(const Engine& engine) : engine_(engine) {}

    Outcome operator()(const query::ListSeries& q) const;
    Outcome operator()(const query::SeriesInfo& q) const;
    Outcome operator()(const query::SeriesKeys& q) const;
    Outcome operator()(const query::SeriesTop& q) const;
    Outcome operator()(const query::SeriesSummary& q) const;
    Outcome operator()(const query::SeriesPoints& q) const;
    Outcome operator()(const query::Sum& q) const;
    Outcome operator()(const query::Points& q) const;
    Outcome operator()(const query::BatchSum& q) const;
    Outcome operator()(const query::MultiSum& q) const;
    Outcome operator()(const query::Checkpoints& q) const;

private:
    Outcome not_found(std::string_view series) const;

    const Engine& engine_;
};

/// The refusal of a request for a missing series.
Error series_not_found(std::string_view series);

}  // namespace karma
