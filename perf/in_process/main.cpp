// What a program that embeds the database gets, and so what the daemon adds: the same layer (Executor),
// without sockets and JSON.

#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fnmatch.h>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/program_options.hpp>

#include "perf/in_process/work.h"
#include "perf/measure/text.h"

namespace karma::perf {
namespace {

namespace po = boost::program_options;

constexpr int status_failed = 1;
constexpr int status_usage = 2;
constexpr int status_interrupted = 130;

std::atomic<bool> interrupted = false;

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Options {
    std::filesystem::path directory;
    std::vector<WalMode> modes;
    std::vector<std::uint32_t> per_commit;
    std::vector<std::string> only;
    Size size;
    bool json = false;
    bool list = false;
};

template <typename Number>
Number number(const std::string& option, const std::string& text, Number least, Number most) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most)) {
        std::ostringstream wanted;
        wanted << "--" << option << ": '" << text << "' is not a number from " << least << " to " << most;
        throw UsageError(wanted.str());
    }
    return value;
}

std::vector<std::string> parts_of(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
}

WalMode mode_named(const std::string& name) {
    for (const WalMode mode : {WalMode::none, WalMode::unsynced, WalMode::synced}) {
        if (wal_mode_name(mode) == name) return mode;
    }
    throw UsageError("--wal: '" + name + "' is not one of none, unsynced, synced");
}

po::options_description describe_options() {
    const auto text = [] { return po::value<std::string>(); };
    po::options_description options(
        "karma_in_process: requests to a database in this process, committed one by one or together");
    options.add_options()  //
        ("directory", text()->default_value("."),
         "where the data lies meanwhile: on the disk that is meant")                           //
        ("wal", text()->default_value("none,unsynced,synced"), "modes of the log")             //
        ("per-commit", text()->default_value("1,16"), "requests that are committed together")  //
        ("only", po::value<std::vector<std::string>>(),
         "cases, such as 'batch*/synced/*'; may be repeated")                        //
        ("keys", text()->default_value("100000"), "keys, all of them there before")  //
        ("items", text()->default_value("1000"), "items or keys of one batch")       //
        ("seconds", text()->default_value("1"), "length of each case")               //
        ("warmup-seconds", text()->default_value("0.2"), "before it")                //
        ("list", "print the cases and end")                                          //
        ("json", "print one JSON object")                                            //
        ("help", "print this");
    return options;
}

Options checked(const po::variables_map& map) {
    const auto text = [&](const char* option) { return map[option].as<std::string>(); };
    Options options;
    options.directory = text("directory");
    for (const std::string& name : parts_of(text("wal"))) options.modes.push_back(mode_named(name));
    for (const std::string& part : parts_of(text("per-commit"))) {
        options.per_commit.push_back(number<std::uint32_t>("per-commit", part, 1, 1'000));
    }
    if (options.modes.empty()) throw UsageError("--wal: must not be empty");
    if (options.per_commit.empty()) throw UsageError("--per-commit: must not be empty");
    if (map.count("only") != 0) options.only = map["only"].as<std::vector<std::string>>();
    options.size.keys = number<std::uint32_t>("keys", text("keys"), 1, 100'000'000);
    options.size.items = number<std::uint32_t>("items", text("items"), 1, 100'000);
    options.size.seconds = number<double>("seconds", text("seconds"), 0.001, 86'400);
    options.size.warmup_seconds = number<double>("warmup-seconds", text("warmup-seconds"), 0, 86'400);
    options.json = map.count("json") != 0;
    options.list = map.count("list") != 0;
    return options;
}

std::vector<Case> chosen_cases(const Options& options) {
    std::vector<Case> all = make_cases(options.modes, options.per_commit);
    if (options.only.empty()) return all;
    std::vector<Case> chosen;
    for (const Case& one : all) {
        for (const std::string& pattern : options.only) {
            if (fnmatch(pattern.c_str(), one.name().c_str(), 0) == 0) {
                chosen.push_back(one);
                break;
            }
        }
    }
    if (chosen.empty()) throw UsageError("--only: no case matches (--list shows them)");
    return chosen;
}

// A directory of its own, removed at the end.
class Directory {
public:
    explicit Directory(const std::filesystem::path& parent) {
        std::string name = (parent / "in-process-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) {
            throw std::system_error(errno, std::generic_category(), "--directory " + parent.string());
        }
        path_ = name;
    }
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

double per_second(std::uint64_t count, const Figures& figures) {
    return figures.seconds > 0 ? static_cast<double>(count) / figures.seconds : 0;
}

std::string rate_text(std::uint64_t count, const Figures& figures) {
    return with_separators(static_cast<std::uint64_t>(per_second(count, figures)));
}

std::string line_of(const Case& one, const Figures& figures) {
    const auto us = [&](double percent) {
        return fixed(static_cast<double>(figures.latency_ns.percentile(percent)) / 1e3, 2);
    };
    return "| " + one.name() + " | " + rate_text(figures.requests, figures) + " | " +
           (one.is_batch() ? rate_text(figures.items, figures) : "") + " | " + us(50) + " | " + us(99) + " |";
}

boost::json::object json_of(const Case& one, const Figures& figures) {
    return {{"name", one.name()},
            {"wal", wal_mode_name(one.wal)},
            {"per_commit", one.per_commit},
            {"requests", figures.requests},
            {"seconds", figures.seconds},
            {"requests_per_second", per_second(figures.requests, figures)},
            {"items_per_second", per_second(figures.items, figures)},
            {"latency_us", percentiles_json(figures.latency_ns)}};
}

int run(const Options& options) {
    const std::vector<Case> cases = chosen_cases(options);
    if (options.list) {
        for (const Case& one : cases) std::cout << one.name() << '\n';
        return 0;
    }
    if (!options.json) {
        std::cout << "| work / log / requests to a commit | requests/s | items/s | p50 us | p99 us |\n"
                     "| --- | ---: | ---: | ---: | ---: |\n";
    }
    boost::json::array json;
    for (const Case& one : cases) {
        const Directory directory(options.directory);
        const Figures figures = measure(one, options.size, directory.path(), interrupted);
        if (interrupted.load()) {
            std::cerr << "karma_in_process: interrupted\n";
            return status_interrupted;
        }
        if (options.json) {
            json.push_back(json_of(one, figures));
        } else {
            std::cout << line_of(one, figures) << std::endl;
        }
    }
    if (options.json) std::cout << boost::json::serialize(boost::json::object{{"cases", json}}) << '\n';
    return 0;
}

int start(int argc, char** argv) {
    const po::options_description described = describe_options();
    po::variables_map map;
    try {
        po::store(po::command_line_parser(argc, argv).options(described).positional({}).run(), map);
    } catch (const po::error& error) {
        throw UsageError(error.what());
    }
    if (map.count("help") != 0) {
        std::cout << described;
        return 0;
    }
    const Options options = checked(map);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        std::signal(number, [](int) { interrupted.store(true); });
    }
    return run(options);
}

}  // namespace
}  // namespace karma::perf

int main(int argc, char** argv) {
    try {
        return karma::perf::start(argc, argv);
    } catch (const karma::perf::UsageError& error) {
        std::cerr << "karma_in_process: " << error.what() << " (--help describes the options)\n";
        return karma::perf::status_usage;
    } catch (const std::exception& error) {
        std::cerr << "karma_in_process: " << error.what() << '\n';
        return karma::perf::status_failed;
    }
}
