#include "tests/program/crashed_writers.h"

#include <chrono>
#include <system_error>
#include <thread>

#include <doctest/doctest.h>

#include "tests/program/daemon_arguments.h"
#include "tests/program/points.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

constexpr std::size_t writers_of_links = 4;

}  // namespace

CrashedWriters::CrashedWriters(std::uint64_t seed, std::vector<std::string> more)
    : random_(seed), more_(std::move(more)), daemon_(arguments()) {
    for (std::size_t i = 0; i < writers_of_links; ++i) writers_.emplace_back(i + 1, "links", random_());
}

std::vector<std::string> CrashedWriters::arguments() {
    std::vector<std::string> arguments = random_arguments(random_);
    arguments.insert(arguments.end(), more_.begin(), more_.end());
    return arguments;
}

std::string CrashedWriters::take_care(const Care& care, std::uint64_t seed,
                                      std::atomic<std::uint64_t>& begun) const {
    std::mt19937_64 random(seed);
    try {
        for (Client client(daemon_.port());;) {
            ++begun;
            care(client, random);
        }
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        return std::string("meanwhile: ") + error.what();
    }
    return {};
}

void CrashedWriters::write_until(const std::function<void()>& end, const Care& care) {
    const std::uint64_t threshold = random_between(random_, 0, scaled(3000));
    const auto pause = std::chrono::microseconds(random_between(random_, 0, 3000));
    const std::uint64_t cares = care ? random_between(random_, 1, 10) : 0;
    std::atomic<std::uint64_t> acknowledged{0};
    std::atomic<std::uint64_t> begun{0};
    std::atomic<std::size_t> writing{writers_of_links};
    const std::atomic<bool> never{false};
    std::string problem;
    std::vector<std::thread> threads;
    for (Writer& writer : writers_) {
        const std::size_t window = random_between(random_, 1, 64);
        threads.emplace_back([&, window] {
            writer.run(daemon_.port(), window, acknowledged, never);
            --writing;
        });
    }
    if (care) threads.emplace_back([&, seed = random_()] { problem = take_care(care, seed, begun); });
    const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(30));
    while ((acknowledged < threshold || begun < cares) && writing > 0 &&
           std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    std::this_thread::sleep_for(pause);
    end();
    for (std::thread& thread : threads) thread.join();
    CHECK(problem == "");
    CHECK(acknowledged >= threshold);
    CHECK(begun >= cares);
}

void CrashedWriters::write_and_crash(const Care& care) {
    write_until(
        [&] {
            const bool running = daemon_.running();
            const ExitStatus status = daemon_.kill_hard();
            CHECK_MESSAGE(running, "the daemon ended before it was killed: " << to_string(status));
        },
        care);
}

void CrashedWriters::write_and_stop(int signal) {
    write_until(
        [&] {
            const bool running = daemon_.running();
            const ExitStatus status = daemon_.stop(signal);
            CHECK_MESSAGE(running, "the daemon ended before it was stopped: " << to_string(status));
            CHECK_MESSAGE(status.code == 0, to_string(status));
        },
        {});
}

void CrashedWriters::restart() {
    daemon_.set_arguments(arguments());
    while (random_between(random_, 0, 2) == 0) {
        daemon_.start_unready();
        std::this_thread::sleep_for(std::chrono::microseconds(random_between(random_, 0, 40000)));
        daemon_.kill_hard();
    }
    daemon_.start();
}

void CrashedWriters::check() {
    Client client = daemon_.connect();
    const Points found = read_points(client, "links");
    Points shared;
    for (Writer& writer : writers_) {
        REQUIRE(writer.problem() == "");
        sent_ += writer.sent();
        REQUIRE(writer.settle(found, shared) == "");
    }
    std::uint64_t total = 0;
    for (const auto& [point, value] : found) {
        total += value;
        if (point.first == Writer::shared_key) {
            const std::uint32_t bucket = point.second;
            CAPTURE(bucket);
            CHECK(value == shared[point]);
            shared.erase(point);
        }
    }
    CHECK(shared.empty());
    if (!found.empty()) {
        const json::value info = client.call("tree.info", {{"series", "links"}});
        CHECK(as_number(member(info, "total")) == total);
        CHECK(as_number(member(info, "bucket_count")) == found.size());
    }
}

}  // namespace karma::test
