#include "cli/wait_option.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"
#include "net/client_connection.h"

namespace karma::cli {

namespace po = boost::program_options;
using std::chrono::milliseconds;

void add_wait_option(po::options_description& description, const char* until) {
    description.add_options()("wait", po::value<std::string>()->implicit_value("60")->value_name("SECONDS"),
                              until);
}

std::string attempt_or_wait(const po::variables_map& values,
                            const std::function<std::string(const ClientOptions&)>& attempt) {
    using Clock = std::chrono::steady_clock;
    constexpr milliseconds pause(100);
    constexpr milliseconds shortest_timeout(1);
    const ClientOptions options = read_client_options(values);
    if (values.count("wait") == 0) return attempt(options);
    const auto end = Clock::now() + std::chrono::seconds(number_option(values, "wait", 1, 86'400));
    while (true) {
        ClientOptions once = options;
        const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
        once.timeout = std::clamp(left, shortest_timeout, options.timeout);
        const bool is_last = left <= pause;
        try {
            std::string why = attempt(once);
            if (why.empty() || is_last) return why;
        } catch (const net::ConnectionError&) {
            if (is_last) throw;
        }
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace karma::cli
