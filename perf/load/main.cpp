#include <exception>
#include <iostream>

#include <boost/json/serialize.hpp>

#include "perf/load/load.h"
#include "perf/load/options.h"

namespace {

constexpr int status_failed = 1;
constexpr int status_usage = 2;
constexpr int status_error_replies = 3;

int run(int argc, const char* const* argv) {
    using namespace karma::perf;
    const LoadOptions options = parse_options(argc, argv);
    if (options.asks_for_help) {
        std::cout << describe_options();
        return 0;
    }
    const LoadResult result = run_load(options);
    if (options.json) {
        std::cout << boost::json::serialize(report_json(options, result)) << '\n';
    } else {
        std::cout << report_text(options, result);
    }
    if (!result.outcome.failure.empty()) {
        std::cerr << "karma_load: " << result.outcome.failure << '\n';
        return status_failed;
    }
    return result.outcome.all_errors == 0 ? 0 : status_error_replies;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const karma::perf::UsageError& error) {
        std::cerr << "karma_load: " << error.what() << " (--help describes the options)\n";
        return status_usage;
    } catch (const std::exception& error) {
        std::cerr << "karma_load: " << error.what() << '\n';
        return status_failed;
    }
}
