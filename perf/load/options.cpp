#include "perf/load/options.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>
#include <system_error>

#include <boost/program_options.hpp>

namespace karma::perf {

namespace po = boost::program_options;

namespace {

constexpr std::uint32_t max_keys = 1'000'000'000;
constexpr std::uint32_t max_zipf_keys = 100'000'000;

po::options_description groups() {
    const auto text = [] { return po::value<std::string>(); };
    po::options_description server("Server");
    server.add_options()                                                                             //
        ("host", text()->default_value("127.0.0.1"), "name or address")                              //
        ("port", text()->default_value("8080"), "TCP port")                                          //
        ("tls-ca", text(), "connect over TLS: PEM file of who has signed the server's certificate")  //
        ("protocol", text()->default_value("karma"),
         "karma; redis; line: requests as for karma, any line is a good reply")  //
        ("token", text(), "Karma's token in every request, Redis' password on every connection");
    po::options_description work("Work");
    work.add_options()                                                             //
        ("op", text(), "the operation; counter.increment or INCRBY unless given")  //
        ("mix", text(), "several by weight: 80:counter.sum,20:counter.increment")  //
        ("items", text()->default_value("1000"), "items or keys of one batch")     //
        ("idempotency", "a fresh idempotency_key in every write")                  //
        ("repeat-percent", text()->default_value("0"),
         "with --idempotency: so many percent of the writes repeat a recent one, key and all")  //
        ("series", text()->default_value("links"), "name of the series; several get numbers")   //
        ("series-count", text()->default_value("1"), "number of series")                        //
        ("keys", text()->default_value("100000"), "keys of a series, from 0")                   //
        ("distribution", text()->default_value("uniform"),
         "of the keys: uniform, zipf (skew 0.99) or zipf:SKEW")  //
        ("days", text()->default_value("1"),
         "spread the buckets over so many days up to today; 0 sends no bucket")                    //
        ("range-days", text()->default_value("0"), "sums cover so many days up to today; 0: all")  //
        ("preload", "first add 1 to every day of every key")                                       //
        ("preload-items", text()->default_value("100"), "items of one batch of the preload");
    po::options_description load("Load");
    load.add_options()                                                                             //
        ("connections", text()->default_value("50"), "connections, shared out among the threads")  //
        ("in-flight", text()->default_value("1"), "requests in flight on each connection")         //
        ("threads", text()->default_value("1"), "threads of the generator")                        //
        ("split-writes", "send in two pieces, with Nagle's algorithm on, as a careless client does");
    po::options_description run("Run");
    run.add_options()                                                                            //
        ("seconds", text(), "time to measure; 3, or with --requests at most 60, unless given")   //
        ("warmup-seconds", text(), "time before that; 0.5, or 0 with --requests, unless given")  //
        ("requests", text()->default_value("0"), "stop after so many; 0: no limit")              //
        ("timeout-seconds", text()->default_value("10"), "give up when a reply takes longer")    //
        ("seed", text()->default_value("1"), "of keys, buckets and mix")                         //
        ("json", "print one JSON object")                                                        //
        ("help", "print this");
    po::options_description all("karma_load: a closed-loop load generator");
    all.add(server).add(work).add(load).add(run);
    return all;
}

[[noreturn]] void reject(std::string_view option, std::string_view value, std::string_view wanted) {
    throw UsageError("--" + std::string(option) + ": '" + std::string(value) + "' is not " +
                     std::string(wanted));
}

// One parsed command line; each function gives an option's value, checked.
class Given {
public:
    explicit Given(const po::variables_map& map) : map_(map) {}

    bool has(const char* option) const { return map_.count(option) != 0; }
    std::string text(const char* option) const { return has(option) ? map_[option].as<std::string>() : ""; }

    std::string nonempty_text(const char* option) const {
        std::string value = text(option);
        if (value.empty()) throw UsageError("--" + std::string(option) + ": must not be empty");
        return value;
    }

    template <typename Number>
    Number number(const char* option, Number least, Number most) const {
        const std::string value = text(option);
        Number result{};
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
        if (error != std::errc() || end != value.data() + value.size() ||
            !(result >= least && result <= most)) {
            std::ostringstream wanted;
            wanted << "a number from " << +least << " to " << +most;
            reject(option, value, wanted.str());
        }
        return result;
    }

    double seconds(const char* option, double otherwise, double least) const {
        return has(option) ? number<double>(option, least, 86400.0) : otherwise;
    }

private:
    const po::variables_map& map_;
};

Protocol protocol_named(const std::string& name) {
    if (name == "karma") return Protocol::karma;
    if (name == "redis") return Protocol::redis;
    if (name == "line") return Protocol::line;
    reject("protocol", name, "one of karma, redis, line");
}

const Operation* operation_named(const char* option, Protocol protocol, std::string_view name) {
    const Operation* operation = find_operation(protocol, name);
    if (operation != nullptr) return operation;
    std::string known;
    for (const Operation& one : operations_of(protocol))
        known.append(known.empty() ? "" : ", ").append(one.name);
    reject(option, name, "one of " + known);
}

std::vector<MixPart> parse_mix(Protocol protocol, const std::string& text) {
    std::vector<MixPart> mix;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        std::uint32_t weight = 0;
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), weight);
        const bool colon = end != part.data() + part.size() && *end == ':';
        if (error != std::errc() || !colon || weight == 0 || weight > 1'000'000) {
            reject("mix", part, "WEIGHT:OPERATION with a weight from 1 to 1000000");
        }
        mix.push_back(
            {operation_named("mix", protocol,
                             std::string_view(part).substr(static_cast<std::size_t>(end - part.data()) + 1)),
             weight});
    }
    if (mix.empty() || mix.size() > 16) throw UsageError("--mix: needs from 1 to 16 operations");
    return mix;
}

std::vector<MixPart> chosen_mix(const Given& given, Protocol protocol) {
    if (given.has("mix")) {
        if (given.has("op")) throw UsageError("--mix and --op exclude each other");
        return parse_mix(protocol, given.text("mix"));
    }
    const char* otherwise = protocol == Protocol::redis ? "INCRBY" : "counter.increment";
    return {{operation_named("op", protocol, given.has("op") ? given.text("op") : otherwise), 1}};
}

std::optional<double> parse_distribution(const std::string& text) {
    if (text == "uniform") return std::nullopt;
    if (text == "zipf") return 0.99;
    if (text.starts_with("zipf:")) {
        double skew = 0;
        const char* last = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data() + 5, last, skew);
        if (error == std::errc() && end == last && skew >= 0 && skew <= 10) return skew;
    }
    reject("distribution", text, "uniform, zipf or zipf:SKEW with a skew from 0 to 10");
}

// What only makes sense together.
void check_combinations(const LoadOptions& options) {
    if (options.zipf_skew && options.keys > max_zipf_keys) {
        throw UsageError("--keys: a zipf distribution has at most " + std::to_string(max_zipf_keys));
    }
    if (options.protocol == Protocol::redis && options.idempotency) {
        throw UsageError("--idempotency: Redis has no idempotency keys");
    }
    if (options.repeat_percent != 0 && !options.idempotency) {
        throw UsageError(
            "--repeat-percent: only requests with a key can be repeated, which takes --idempotency");
    }
    if (options.connections < options.threads) {
        throw UsageError("--threads: more threads than connections");
    }
    if (options.requests != 0 && options.requests < options.threads) {
        throw UsageError("--threads: more threads than requests");
    }
    if (options.timeout_seconds <= 0) throw UsageError("--timeout-seconds: must be above 0");
}

LoadOptions checked(const Given& given) {
    LoadOptions options;
    options.host = given.nonempty_text("host");
    options.port = given.number<std::uint16_t>("port", 1, std::numeric_limits<std::uint16_t>::max());
    options.tls_authorities = given.text("tls-ca");
    options.protocol = protocol_named(given.text("protocol"));
    options.token = given.text("token");
    options.mix = chosen_mix(given, options.protocol);
    options.items = given.number<std::uint32_t>("items", 1, 1'000'000);
    options.idempotency = given.has("idempotency");
    options.repeat_percent = given.number<std::uint32_t>("repeat-percent", 0, 100);
    options.series = given.nonempty_text("series");
    options.series_count = given.number<std::uint32_t>("series-count", 1, 1'000'000);
    options.keys = given.number<std::uint32_t>("keys", 1, max_keys);
    options.zipf_skew = parse_distribution(given.text("distribution"));
    options.days = given.number<std::uint32_t>("days", 0, 100'000);
    options.range_days = given.number<std::uint32_t>("range-days", 0, 100'000);
    options.preload = given.has("preload");
    options.preload_items = given.number<std::uint32_t>("preload-items", 1, 1'000'000);
    options.connections = given.number<std::uint32_t>("connections", 1, 1'000'000);
    options.in_flight = given.number<std::uint32_t>("in-flight", 1, 1'000'000);
    options.threads = given.number<std::uint32_t>("threads", 1, 256);
    options.split_writes = given.has("split-writes");
    options.requests = given.number<std::uint64_t>("requests", 0, std::numeric_limits<std::uint64_t>::max());
    options.seconds = given.seconds("seconds", options.requests == 0 ? 3 : 60, 0.001);
    options.warmup_seconds = given.seconds("warmup-seconds", options.requests == 0 ? 0.5 : 0, 0);
    options.timeout_seconds = given.seconds("timeout-seconds", 10, 0.001);
    options.seed = given.number<std::uint64_t>("seed", 0, std::numeric_limits<std::uint64_t>::max());
    options.json = given.has("json");
    check_combinations(options);
    return options;
}

}  // namespace

LoadOptions parse_options(int argc, const char* const* argv) {
    po::variables_map map;
    try {
        const po::options_description all = groups();
        po::store(po::command_line_parser(argc, argv)
                      .options(all)
                      .positional(po::positional_options_description())
                      .style(po::command_line_style::default_style & ~po::command_line_style::allow_guessing)
                      .run(),
                  map);
        po::notify(map);
    } catch (const po::error& error) {
        throw UsageError(error.what());
    }
    if (map.count("help") != 0) {
        LoadOptions options;
        options.asks_for_help = true;
        return options;
    }
    return checked(Given(map));
}

std::string describe_options() {
    std::ostringstream text;
    text << groups() << "\nOperations\n";
    for (const Protocol protocol : {Protocol::karma, Protocol::redis}) {
        text << (protocol == Protocol::karma ? "  karma, line:" : "  redis:");
        for (const Operation& operation : operations_of(protocol)) text << ' ' << operation.name;
        text << '\n';
    }
    text << "\nExit status: 0 all replies were good, 1 the run could not be completed, 2 wrong usage,\n"
            "3 some replies were errors.\n";
    return text.str();
}

std::string mix_text(const std::vector<MixPart>& mix) {
    if (mix.size() == 1) return std::string(mix.front().operation->name);
    std::string text;
    for (const MixPart& part : mix) {
        if (!text.empty()) text += ',';
        text += std::to_string(part.weight) + ':';
        text += part.operation->name;
    }
    return text;
}

}  // namespace karma::perf
