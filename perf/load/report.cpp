#include <cmath>

#include "perf/load/load.h"
#include "perf/measure/text.h"

namespace karma::perf {

namespace {

OperationCount sum_of(const std::vector<OperationCount>& counts) {
    OperationCount sum;
    for (const OperationCount& count : counts) {
        sum.requests += count.requests;
        sum.items += count.items;
        sum.errors += count.errors;
        sum.repeats += count.repeats;
        sum.latency_ns.merge(count.latency_ns);
    }
    return sum;
}

double divided(double amount, double by) { return by > 0 ? amount / by : 0; }

double per_second(std::uint64_t amount, const LoadResult& result) {
    return divided(static_cast<double>(amount), result.seconds);
}

std::string count_text(const OperationCount& count, const LoadResult& result) {
    const auto rate = [&](std::uint64_t amount) {
        return with_separators(static_cast<std::uint64_t>(std::llround(per_second(amount, result))));
    };
    std::string text = with_separators(count.requests) + " requests, " + rate(count.requests) + " requests/s";
    if (count.items != count.requests) text += ", " + rate(count.items) + " items/s";
    if (count.repeats > 0) text += ", " + with_separators(count.repeats) + " repeats";
    if (count.errors > 0) text += ", " + with_separators(count.errors) + " errors";
    return text + "\n  latency in us: " + percentiles_text(count.latency_ns) + "\n";
}

boost::json::object count_json(const OperationCount& count, const LoadResult& result) {
    return {{"requests", count.requests},
            {"items", count.items},
            {"errors", count.errors},
            {"repeats", count.repeats},
            {"requests_per_second", per_second(count.requests, result)},
            {"items_per_second", per_second(count.items, result)},
            {"latency_us", percentiles_json(count.latency_ns)}};
}

// What the generator itself spent.
struct OwnCost {
    double percent_of_core;
    double user_ns_per_request;
    double system_ns_per_request;
};

OwnCost own_cost(const LoadResult& result, std::uint64_t requests) {
    const auto user = static_cast<double>(result.outcome.user_ns);
    const auto system = static_cast<double>(result.outcome.system_ns);
    const auto count = static_cast<double>(requests);
    return {divided(user + system, result.seconds * 1e9) * 100, divided(user, count), divided(system, count)};
}

}  // namespace

std::string report_text(const LoadOptions& options, const LoadResult& result) {
    const Outcome& outcome = result.outcome;
    const OperationCount sum = sum_of(outcome.measured);
    std::string text = mix_text(options.mix) + " on " + options.host + ":" + std::to_string(options.port) +
                       ", " + std::to_string(options.connections) + " connections, " +
                       std::to_string(options.in_flight) + " in flight on each\n";
    if (result.preloaded > 0) {
        text += "  preloaded " + with_separators(result.preloaded) + " counters in " +
                fixed(result.preload_seconds, 2) + " s\n";
    }
    text += "  " + fixed(result.seconds, 2) + " s: " + count_text(sum, result);
    for (std::size_t i = 0; options.mix.size() > 1 && i < options.mix.size(); ++i) {
        text += std::string(options.mix[i].operation->name) + ": " + count_text(outcome.measured[i], result);
    }
    const OwnCost cost = own_cost(result, sum.requests);
    text += "  generator: " + fixed(cost.percent_of_core, 0) + " % of one core, " +
            fixed(cost.user_ns_per_request, 0) + " ns user and " + fixed(cost.system_ns_per_request, 0) +
            " ns system time per request\n";
    text += "  errors: " + with_separators(outcome.all_errors);
    if (outcome.all_errors > 0) text += ", the first one: " + outcome.first_error;
    return text + "\n";
}

boost::json::object report_json(const LoadOptions& options, const LoadResult& result) {
    const Outcome& outcome = result.outcome;
    const OperationCount sum = sum_of(outcome.measured);
    boost::json::object json = count_json(sum, result);
    json["operation"] = mix_text(options.mix);
    json["connections"] = options.connections;
    json["in_flight"] = options.in_flight;
    json["threads"] = options.threads;
    json["seed"] = options.seed;
    json["seconds"] = result.seconds;
    if (options.mix.size() > 1) {
        boost::json::object& each = json["operations"].emplace_object();
        for (std::size_t i = 0; i < options.mix.size(); ++i) {
            each[options.mix[i].operation->name] = count_json(outcome.measured[i], result);
        }
    }
    if (result.preloaded > 0) {
        json["preload"] = {{"items", result.preloaded}, {"seconds", result.preload_seconds}};
    }
    const OwnCost cost = own_cost(result, sum.requests);
    json["generator"] = {{"percent_of_core", cost.percent_of_core},
                         {"user_ns_per_request", cost.user_ns_per_request},
                         {"system_ns_per_request", cost.system_ns_per_request}};
    json["all_errors"] = outcome.all_errors;
    if (outcome.all_errors > 0) json["first_error"] = outcome.first_error;
    if (!outcome.failure.empty()) json["failure"] = outcome.failure;
    return json;
}

}  // namespace karma::perf
