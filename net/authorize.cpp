#include "net/authorize.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <variant>

namespace karma::net {
namespace {

/// Whatever a new request is: where it does not name its series, it is not within any.
struct IsWithin {
    const SeriesGlobs& series;

    bool operator()(const Mutation& mutation) const { return std::visit(*this, mutation); }
    bool operator()(const KeyedMutation& keyed) const { return std::visit(*this, *keyed.body); }
    bool operator()(const query::Ping& /*ping*/) const { return true; }
    bool operator()(const query::Health& /*health*/) const { return true; }
    /// What is fetched then is named by the export alone.
    bool operator()(const query::BeginExport& /*begin*/) const { return false; }
    bool operator()(const query::MultiSum& sum) const {
        return std::ranges::all_of(sum.items,
                                   [&](const query::SeriesKey& item) { return series.match(item.series); });
    }
    bool operator()(const mutation::MultiAdd& add) const {
        return std::ranges::all_of(
            add.items, [&](const mutation::SeriesItem& item) { return series.match(item.series); });
    }
    /// Its stream may be another's.
    bool operator()(const mutation::AddChunk& /*chunk*/) const { return false; }
    template <typename Body>
    bool operator()(const Body& body) const {
        if constexpr (requires { body.series.has_value(); }) {
            return body.series && series.match(*body.series);
        } else if constexpr (requires { body.series; }) {
            return series.match(body.series);
        } else {
            return false;
        }
    }
};

}  // namespace

bool is_within(const SeriesGlobs& series, const Request& request) {
    return std::visit(IsWithin{series}, request);
}

Error series_denial(const Op& op) {
    return {ErrorCode::forbidden,
            "Token for certain series cannot execute " + std::string(op.name) + " on others"};
}

Error denial_error(Denial denial, const Op& op) {
    switch (denial) {
        case Denial::read_only:
            return {ErrorCode::forbidden, "Read-only token cannot execute " + std::string(op.name)};
        case Denial::not_admin:
            return {ErrorCode::forbidden,
                    "Token without admin access cannot execute " + std::string(op.name)};
        case Denial::role: return {ErrorCode::forbidden, "Slave role cannot execute " + std::string(op.name)};
        case Denial::none:
        case Denial::no_access: break;
    }
    return {ErrorCode::unauthorized, "Unauthorized"};
}

}  // namespace karma::net
