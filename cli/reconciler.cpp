#include "cli/reconciler.h"

#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include "cli/text.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t in_flight_max = 64;

std::string json_text(std::string_view text) { return json::serialize(json::string(text)); }

std::string day_text(Day day) { return std::to_string(day_to_yyyymmdd(day)); }

/// The buckets of a counter.series response.
std::map<Day, std::uint64_t> buckets_in(const json::object& reply, std::string_view text) {
    std::map<Day, std::uint64_t> buckets;
    const json::object* const response = reply.at("response").if_object();
    if (response == nullptr) {
        no_reply_of_karma(text);
    }
    for (const auto& bucket : *response) {
        const std::optional<Day> day = day_from_text(bucket.key());
        boost::system::error_code failure;
        const auto value = bucket.value().to_number<std::uint64_t>(failure);
        if (!day || failure) {
            no_reply_of_karma(text);
        }
        buckets.emplace(*day, value);
    }
    return buckets;
}

}  // namespace

void merge_points(std::vector<ExpectedPoint>& points) {
    std::ranges::sort(points, [](const ExpectedPoint& a, const ExpectedPoint& b) {
        return a.key != b.key ? a.key < b.key : a.day < b.day;
    });
    std::size_t kept = 0;
    for (const ExpectedPoint& point : points) {
        if (kept != 0 && points[kept - 1].key == point.key && points[kept - 1].day == point.day) {
            if (points[kept - 1].value > std::numeric_limits<std::uint64_t>::max() - point.value) {
                throw std::overflow_error("the values of key " + std::to_string(point.key) + ", bucket " +
                                          day_text(point.day) + " add up to more than 2^64-1");
            }
            points[kept - 1].value += point.value;
        } else {
            points[kept] = point;
            ++kept;
        }
    }
    points.resize(kept);
}

Reconciler::Reconciler(const ClientOptions& options, std::string series)
    : options_(options), series_(std::move(series)), connection_(connect(options)) {}

std::string Reconciler::begin_request(std::string_view op) const {
    std::string request = R"({"v":2,"op":")" + std::string(op) + "\"";
    if (!options_.token.empty()) {
        request += ",\"token\":" + json_text(options_.token);
    }
    return request;
}

void Reconciler::ask(const Question& question, const std::vector<ExpectedPoint>& points) {
    connection_.queue_line(begin_request("counter.series") + ",\"series\":" + json_text(series_) +
                           ",\"key\":" + std::to_string(points[question.begin].key) + R"(,"range":{"from":)" +
                           day_text(points[question.begin].day) +
                           ",\"to\":" + day_text(points[question.end - 1].day) + "}}");
    in_flight_.push_back(question);
}

Reconciliation Reconciler::compare(const std::vector<ExpectedPoint>& points,
                                   const std::function<void(const Difference&)>& differs) {
    result_ = {};
    std::size_t next = 0;
    while (next < points.size() || !in_flight_.empty()) {
        while (next < points.size() && in_flight_.size() < in_flight_max) {
            Question question{next, next + 1};
            while (question.end < points.size() && points[question.end].key == points[next].key) {
                ++question.end;
            }
            ask(question, points);
            next = question.end;
        }
        connection_.flush();
        // As many as have come, so that the next ones leave together.
        do {
            const std::string reply(connection_.read_line());
            const Question question = in_flight_.front();
            in_flight_.pop_front();
            judge(question, points, reply, differs);
            connection_.flush();
        } while (in_flight_.size() > in_flight_max / 2);
    }
    return result_;
}

void Reconciler::judge(const Question& question, const std::vector<ExpectedPoint>& points,
                       std::string_view reply, const std::function<void(const Difference&)>& differs) {
    const json::object answer = parse_reply(reply);
    if (!answer.at("success").as_bool()) {
        const bool can_split = question.end - question.begin > 1;
        if (text_member(answer, "error_code") == "response_too_large" && can_split) {
            const std::size_t middle = question.begin + (question.end - question.begin) / 2;
            ask({question.begin, middle}, points);
            ask({middle, question.end}, points);
            return;
        }
        throw_refused(answer);
    }
    const std::map<Day, std::uint64_t> buckets = buckets_in(answer, reply);
    for (std::size_t at = question.begin; at < question.end; ++at) {
        const auto found = buckets.find(points[at].day);
        const Difference difference{points[at], found == buckets.end() ? 0 : found->second};
        ++result_.checked;
        if (const Int128 delta = difference.delta(); delta != 0) {
            const auto absolute = static_cast<std::uint64_t>(delta < 0 ? -delta : delta);
            ++result_.mismatches;
            result_.absolute_drift += absolute;
            result_.max_abs_delta = std::max(result_.max_abs_delta, absolute);
            differs(difference);
        }
    }
}

void Reconciler::report(const Reconciliation& result) {
    constexpr Uint128 most = std::numeric_limits<std::uint64_t>::max();
    connection_.queue_line(begin_request("reconciliation.report") +
                           ",\"checked_points\":" + std::to_string(result.checked) +
                           ",\"mismatch_count\":" + std::to_string(result.mismatches) +
                           ",\"absolute_drift\":" + to_decimal(std::min(result.absolute_drift, most)) +
                           ",\"max_abs_delta\":" + std::to_string(result.max_abs_delta) + "}");
    connection_.flush();
    const json::object answer = parse_reply(connection_.read_line());
    if (!answer.at("success").as_bool()) {
        throw_refused(answer);
    }
}

}  // namespace karma::cli
