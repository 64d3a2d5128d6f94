// How often this machine makes a small append durable: the floor of everything that syncs.

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <boost/json/serialize.hpp>
#include <boost/program_options.hpp>

#include "perf/measure/clock.h"
#include "perf/measure/histogram.h"
#include "perf/measure/text.h"

namespace karma::perf {
namespace {

namespace po = boost::program_options;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

// A file without a name in the directory; gone with the process, however that ends.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& directory) {
        std::string name = (std::filesystem::path(directory) / "sync_floor.XXXXXX").string();
        descriptor_ = mkostemp(name.data(), O_CLOEXEC);
        if (descriptor_ < 0) fail("--directory " + directory);
        unlink(name.c_str());
    }
    ~TemporaryFile() { close(descriptor_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    void append_and_sync(const std::vector<char>& bytes) const {
        const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
        if (written < 0) fail("write");
        if (static_cast<std::size_t>(written) != bytes.size())
            throw std::runtime_error("write: the disk is full");
        if (fdatasync(descriptor_) != 0) fail("fdatasync");
    }

private:
    int descriptor_;
};

Histogram measure(const std::string& directory, std::size_t bytes, double seconds, double& took_seconds) {
    const TemporaryFile file(directory);
    const std::vector<char> record(bytes, 'k');
    Histogram latency_ns;
    const std::uint64_t begin = now_ns();
    const std::uint64_t end = begin + seconds_to_ns(seconds);
    std::uint64_t before = begin;
    while (before < end) {
        file.append_and_sync(record);
        const std::uint64_t after = now_ns();
        latency_ns.record(after - before);
        before = after;
    }
    took_seconds = static_cast<double>(before - begin) / 1e9;
    return latency_ns;
}

double number(const po::variables_map& map, const char* option, double least, double most) {
    const std::string& text = map[option].as<std::string>();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most)) {
        throw std::invalid_argument("--" + std::string(option) + ": '" + text + "' is not a number from " +
                                    fixed(least, 1) + " to " + fixed(most, 1));
    }
    return value;
}

int run(int argc, char** argv) {
    const auto text = [] { return po::value<std::string>(); };
    po::options_description options(
        "karma_sync_floor: appends a few bytes to a file and syncs, again and again");
    options.add_options()                                                               //
        ("directory", text()->default_value("."), "where, on the disk to be measured")  //
        ("bytes", text()->default_value("128"), "size of one append")                   //
        ("seconds", text()->default_value("3"), "how long")                             //
        ("json", "print one JSON object")                                               //
        ("help", "print this");
    po::variables_map map;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), map);
    if (map.count("help") != 0) {
        std::cout << options;
        return 0;
    }
    double seconds = 0;
    const auto bytes = static_cast<std::size_t>(number(map, "bytes", 1, 64.0 * 1024 * 1024));
    const Histogram latency_ns =
        measure(map["directory"].as<std::string>(), bytes, number(map, "seconds", 0.001, 86400), seconds);
    const double rate = static_cast<double>(latency_ns.count()) / seconds;
    if (map.count("json") != 0) {
        const boost::json::object json{{"syncs", latency_ns.count()},
                                       {"seconds", seconds},
                                       {"syncs_per_second", rate},
                                       {"latency_us", percentiles_json(latency_ns)}};
        std::cout << boost::json::serialize(json) << '\n';
    } else {
        std::cout << with_separators(static_cast<std::uint64_t>(rate)) << " appends of " << bytes
                  << " bytes, each with its fdatasync, per second\n  latency in us: "
                  << percentiles_text(latency_ns) << '\n';
    }
    return 0;
}

}  // namespace
}  // namespace karma::perf

int main(int argc, char** argv) {
    try {
        return karma::perf::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "karma_sync_floor: " << error.what() << '\n';
        return 2;
    }
}
