#include "engine/querier.h"

#include <algorithm>

namespace karma {
namespace {

/// A scan of one series, run where it holds up nobody.
template <typename Scan>
class ScanTask final : public Task {
public:
    ScanTask(SeriesView view, Scan scan) : view_(std::move(view)), scan_(std::move(scan)) {}

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return view_.bytes(); }
    Reply run(const Deadline& deadline) override { return scan_(view_, deadline); }

private:
    SeriesView view_;
    Scan scan_;
};

template <typename Scan>
Outcome scan_later(const Series& series, Scan scan) {
    return {std::unique_ptr<Task>(std::make_unique<ScanTask<Scan>>(series.view(), std::move(scan))),
            series.last_lsn()};
}

std::uint64_t sum_of(const Series& series, std::uint64_t key, const std::optional<DayRange>& range) noexcept {
    return range ? series.sum(key, *range) : series.total(key);
}

}  // namespace

reply::CounterTotals counter_totals(const Series* series, std::uint64_t key, Day day,
                                    std::uint64_t value) noexcept {
    if (series == nullptr) {
        return {value, 0, 0};
    }
    return {value, series->sum(key, {day, day}), series->total(key)};
}

Error series_not_found(std::string_view series) {
    return {ErrorCode::not_found, "Tree \"" + std::string(series) + "\" not found"};
}

Outcome Querier::not_found(std::string_view series) const {
    return {Reply(series_not_found(series)), engine_.catalog_lsn_};
}

Outcome Querier::operator()(const query::ListSeries& q) const {
    constexpr std::size_t around = 3;  // quotes and comma
    reply::SeriesNames names;
    names.page = {q.page.limit, std::string(q.page.cursor), false};
    if (!q.page.is_asked() && q.bytes_max != 0 &&
        engine_.series_.name_bytes() + engine_.series_.size() * around > q.bytes_max) {
        names.is_cut_short = true;
        return {Reply(std::move(names)), engine_.catalog_lsn_};
    }
    std::size_t bytes = 0;
    engine_.series_.for_each_after(q.page.cursor, [&](const Series& series) {
        names.page.has_more = q.page.limit && names.names.size() == *q.page.limit;
        names.is_cut_short = q.bytes_max != 0 && bytes > q.bytes_max;
        if (names.page.has_more || names.is_cut_short) {
            return false;
        }
        bytes += series.name().size() + around;
        names.names.push_back(series.name());
        return true;
    });
    if (q.page.is_asked() && names.is_cut_short) {
        names.page.has_more = true;
        names.is_cut_short = false;
    }
    return {Reply(std::move(names)), engine_.catalog_lsn_};
}

Outcome Querier::operator()(const query::SeriesInfo& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return {Reply(reply::Info{series->name(), series->totals(), series->page_count()}), series->last_lsn()};
}

Outcome Querier::operator()(const query::SeriesKeys& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return scan_later(
        *series,
        [limit = q.limit, cursor = q.cursor](const SeriesView& view, const Deadline& deadline) -> Reply {
            return reply::Keys{view.name(), limit, cursor, scan_keys(view, limit, cursor, deadline)};
        });
}

Outcome Querier::operator()(const query::SeriesTop& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return scan_later(
        *series,
        [limit = q.limit, range = days(q.range)](const SeriesView& view, const Deadline& deadline) -> Reply {
            return reply::Top{view.name(), limit, scan_top(view, limit, range, deadline)};
        });
}

Outcome Querier::operator()(const query::SeriesSummary& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    if (!q.range) {
        const SeriesTotals& totals = series->totals();
        const Summary summary{totals.total, totals.keys, totals.buckets};
        return {Reply(reply::SummaryOf{series->name(), std::nullopt, summary}), series->last_lsn()};
    }
    return scan_later(*series,
                      [range = days(q.range)](const SeriesView& view, const Deadline& deadline) -> Reply {
                          return reply::SummaryOf{view.name(), range, scan_summary(view, range, deadline)};
                      });
}

Outcome Querier::operator()(const query::SeriesPoints& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return scan_later(*series,
                      [range = days(q.range)](const SeriesView& view, const Deadline& deadline) -> Reply {
                          return reply::AllPoints{view, range, scan_all_keys(view, deadline)};
                      });
}

Outcome Querier::operator()(const query::BucketTotals& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return scan_later(*series,
                      [range = days(q.range)](const SeriesView& view, const Deadline& deadline) -> Reply {
                          return reply::BucketTotals{scan_totals(view, range, deadline)};
                      });
}

Outcome Querier::operator()(const query::Sum& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    return {Reply(reply::Number{sum_of(*series, q.key, days(q.range))}), series->last_lsn()};
}

Outcome Querier::operator()(const query::Points& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    reply::PointList list;
    if (const std::byte* const record = series->find(q.key)) {
        Counter(record).for_each(days(q.range), [&](Point point) { list.points.push_back(point); });
    }
    return {Reply(std::move(list)), series->last_lsn()};
}

Outcome Querier::operator()(const query::BatchSum& q) const {
    const Series* const series = engine_.find_series(q.series);
    if (series == nullptr) {
        return not_found(q.series);
    }
    const std::optional<DayRange> range = days(q.range);
    reply::Sums sums;
    sums.items.reserve(q.keys.size());
    series->visit_ahead(
        q.keys.size(), [&](std::size_t i) { return q.keys[i]; },
        [&](std::size_t i) {
            sums.items.push_back({q.keys[i], sum_of(*series, q.keys[i], range)});
        });
    return {Reply(std::move(sums)), series->last_lsn()};
}

Outcome Querier::operator()(const query::MultiSum& q) const {
    const std::optional<DayRange> range = days(q.range);
    reply::NamedSums sums;
    sums.items.reserve(q.items.size());
    Lsn wait_lsn = 0;
    for (const query::SeriesKey& item : q.items) {
        const Series* const series = engine_.find_series(item.series);
        if (series == nullptr) {
            return not_found(item.series);
        }
        wait_lsn = std::max(wait_lsn, series->last_lsn());
        sums.items.push_back({series->name(), item.key, sum_of(*series, item.key, range)});
    }
    return {Reply(std::move(sums)), wait_lsn};
}

Outcome Querier::operator()(const query::Checkpoints& q) const {
    reply::Checkpoints found;
    if (!q.source) {
        found.checkpoints = engine_.checkpoints().all();
    } else if (const reply::Checkpoint* const one = engine_.checkpoints().find(*q.source)) {
        found.checkpoints.push_back(*one);
    }
    return {Reply(std::move(found)), engine_.checkpoints().lsn()};
}

}  // namespace karma
