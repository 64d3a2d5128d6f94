// Producers that deliver everything at least once, some of it late, twice and in another order, to a daemon
// that is killed at random moments and takes snapshots meanwhile: every request counts exactly once.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/daemon_arguments.h"
#include "tests/program/ingest_producer.h"
#include "tests/program/keyed_request.h"
#include "tests/program/lane.h"
#include "tests/program/points.h"
#include "tests/program/population.h"
#include "tests/program/producer.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

constexpr std::uint64_t producer_count = 3;
constexpr std::uint64_t ingest_producer_count = 2;

// Delivers requests of all producers again, whether acknowledged or still on their way, until finishing or a
// connection fails. Gives what is wrong.
std::string deliver_again(std::uint16_t port, std::uint64_t seed, const Ledger& ledger, RunSignals& signals) {
    std::mt19937_64 random(seed);
    try {
        Lane lane(port);
        while (!signals.finishing && !signals.failed) {
            for (std::uint64_t left = random_between(random, 1, 20); left > 0; --left) {
                if (const auto request = ledger.pick(random)) lane.put_keyed(request, random);
            }
            lane.finish();
            std::this_thread::sleep_for(std::chrono::microseconds(random_between(random, 0, 5000)));
        }
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        signals.failed = true;
        return std::string("delivering again: ") + error.what();
    }
    return {};
}

// One of the things that may happen to a database at any time and change no counter.
void take_care(Client& client, std::mt19937_64& random) {
    const std::string own = "own-" + std::to_string(random_between(random, 1, 5));
    switch (random_between(random, 0, 9)) {
        case 0:
        case 1:
        case 2: client.call("snapshot.create_all"); break;
        case 3:
        case 4:
        case 5: {
            // Not found when nobody has made it yet.
            const std::string& series = one_in(random, 2) ? shared_series[0] : own;
            const std::string error = client.error_of("snapshot.create", {{"series", series}});
            if (!error.empty() && error != "not_found") throw std::runtime_error("snapshot.create: " + error);
            break;
        }
        case 6: client.call("system.compact"); break;
        case 7: client.call("tree.create", {{"series", own}}); break;
        case 8: {
            const json::value pruned = client.call("idempotency.prune", {{"before", 1'000'000'000}});
            if (as_number(member(pruned, "deleted")) != 0) throw std::runtime_error("records were pruned");
            break;
        }
        default: client.call("snapshot.verify"); break;
    }
}

std::string keep_busy(std::uint16_t port, std::uint64_t seed, RunSignals& signals) {
    std::mt19937_64 random(seed);
    try {
        Client client(port);
        while (!signals.finishing && !signals.failed) {
            take_care(client, random);
            std::this_thread::sleep_for(std::chrono::microseconds(random_between(random, 0, 20000)));
        }
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        signals.failed = true;
        return std::string("while taking care: ") + error.what();
    }
    return {};
}

class ExactlyOnce {
public:
    explicit ExactlyOnce(std::uint64_t seed)
        : random_(seed), ledger_(2 * round_max()), daemon_(any_arguments()) {
        for (std::uint64_t i = 1; i <= producer_count; ++i) producers_.emplace_back(i, random_(), ledger_);
        for (std::uint64_t i = 1; i <= ingest_producer_count; ++i)
            ingest_producers_.emplace_back(producer_count + i, random_(), ledger_);
    }

    void produce_and_crash() {
        RunSignals signals;
        const std::uint64_t threshold = random_between(random_, 0, round_max());
        const auto pause = std::chrono::microseconds(random_between(random_, 0, 3000));
        std::vector<std::thread> threads = start_producers(signals);
        threads.emplace_back([&, seed = random_()] {
            courier_problem_ = deliver_again(daemon_.port(), seed, ledger_, signals);
        });
        threads.emplace_back(
            [&, seed = random_()] { caretaker_problem_ = keep_busy(daemon_.port(), seed, signals); });
        const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(60));
        while (signals.acknowledged < threshold && !signals.failed &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        std::this_thread::sleep_for(pause);
        const bool running = daemon_.running();
        const ExitStatus status = daemon_.kill_hard();
        CHECK_MESSAGE(running, "the daemon ended before it was killed: " << to_string(status));
        for (std::thread& thread : threads) thread.join();
        check_problems();
        CHECK(signals.acknowledged >= threshold);
    }

    // Some starts are cut short too.
    void restart() {
        daemon_.set_arguments(any_arguments());
        while (one_in(random_, 4)) {
            daemon_.start_unready();
            std::this_thread::sleep_for(std::chrono::microseconds(random_between(random_, 0, 40000)));
            daemon_.kill_hard();
        }
        daemon_.start();
    }

    // Requests that were not acknowledged are delivered until they are.
    void finish_open() {
        RunSignals signals;
        signals.finishing = true;
        for (std::thread& thread : start_producers(signals)) thread.join();
        check_problems();
        for (const Producer& producer : producers_) REQUIRE(producer.open() == 0);
    }

    // All counters; to the last one when nothing is open.
    void check() {
        Client client = daemon_.connect();
        const State found = read_state(client);
        State least;
        State most;
        for (Producer& producer : producers_) REQUIRE(producer.settle(found, least, most) == "");
        for (IngestProducer& producer : ingest_producers_)
            REQUIRE(producer.settle(client, found, least, most) == "");
        check_shared(found, least, most);
        client.call("snapshot.verify");
    }

    // The same numbers by other ways of reading.
    void check_by_key() {
        Client client = daemon_.connect();
        for (const auto& [series, points] : read_state(client)) {
            json::array keys;
            for (const auto& entry : points) {
                if (keys.empty() || keys.back() != entry.first.first) keys.emplace_back(entry.first.first);
            }
            REQUIRE(first_difference(points, read_points_by_key(client, series, keys)) == "");
        }
    }

    // What was remembered of all requests, once more: none is executed.
    void deliver_all() {
        Lane lane(daemon_.port());
        std::vector<std::shared_ptr<KeyedRequest>> requests = ledger_.all();
        std::shuffle(requests.begin(), requests.end(), random_);
        for (const auto& request : requests) {
            REQUIRE(request->acknowledged());
            lane.put_keyed(request, random_);
            if (one_in(random_, 10)) lane.put_conflict(*request, random_);
            constexpr std::size_t ahead = 200;
            if (lane.waiting() >= ahead) lane.finish();
        }
        lane.finish();
        CHECK(!requests.empty());
    }

    void crash_and_restart() {
        daemon_.kill_hard();
        restart();
    }

    bool one_in_two() { return one_in(random_, 2); }

    std::size_t streams() const {
        std::size_t streams = 0;
        for (const IngestProducer& producer : ingest_producers_) streams += producer.streams();
        return streams;
    }

private:
    // Requests that are acknowledged in one round at most, but for those of its last moments.
    static std::uint64_t round_max() { return scaled(5000); }

    // Requests may be open for some rounds, and the ledger delivers those of the last ones: so many records
    // have to be kept at least.
    std::vector<std::string> any_arguments() {
        std::vector<std::string> arguments = random_arguments(random_);
        const std::uint64_t records = random_between(random_, 12, 100) * round_max() + 10'000;
        arguments.push_back("--idempotency-max-records=" + std::to_string(records));
        arguments.push_back("--dump-retention-per-tree=" + std::to_string(random_between(random_, 1, 5)));
        if (one_in(random_, 3)) arguments.emplace_back("--wal-segment-bytes=65536");
        return arguments;
    }

    std::vector<std::thread> start_producers(RunSignals& signals) {
        std::vector<std::thread> threads;
        for (Producer& producer : producers_) {
            const std::size_t window = random_between(random_, 1, 32);
            threads.emplace_back([&, window] { producer.run(daemon_.port(), window, signals); });
        }
        for (IngestProducer& producer : ingest_producers_)
            threads.emplace_back([&] { producer.run(daemon_.port(), signals); });
        return threads;
    }

    void check_problems() {
        for (const Producer& producer : producers_) REQUIRE(producer.problem() == "");
        for (const IngestProducer& producer : ingest_producers_) REQUIRE(producer.problem() == "");
        REQUIRE(courier_problem_ == "");
        REQUIRE(caretaker_problem_ == "");
    }

    bool has_owner(const std::string& series, std::uint64_t key) const {
        const auto owns = [&](const auto& producer) { return producer.estate().owns(series, key); };
        return std::ranges::any_of(producers_, owns) || std::ranges::any_of(ingest_producers_, owns);
    }

    // Every point that has no owner is shared, and holds what was acknowledged, and no more than was sent.
    void check_shared(const State& found, State& least, State& most) {
        for (const auto& entry : found) {
            const std::string& series = entry.first;
            for (const auto& point : entry.second) {
                const std::uint64_t key = point.first.first;
                if (has_owner(series, key)) continue;
                CAPTURE(series);
                CAPTURE(key);
                CAPTURE(point.first.second);
                REQUIRE(is_shared_key(key));
                REQUIRE(point.second >= least[series][point.first]);
                REQUIRE(point.second <= most[series][point.first]);
                least[series].erase(point.first);
            }
        }
        for (const auto& entry : least) REQUIRE(first_difference({}, entry.second) == "");
    }

    std::mt19937_64 random_;
    Ledger ledger_;
    Daemon daemon_;
    std::deque<Producer> producers_;
    std::deque<IngestProducer> ingest_producers_;
    std::string courier_problem_;
    std::string caretaker_problem_;
};

}  // namespace

TEST_CASE("exactly once: retries, duplicates and late deliveries, with the daemon killed at random moments") {
    ExactlyOnce run(random_engine("exactly once")());
    const std::size_t rounds = number_from_environment("KARMA_TEST_ROUNDS", scaled(20));
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        run.produce_and_crash();
        run.restart();
        run.check();
        // Else what is open is delivered again only while the next kill is near.
        if (round % 3 == 2 || run.one_in_two()) {
            run.finish_open();
            run.check();
        }
    }
    run.finish_open();
    run.check();
    run.check_by_key();
    run.crash_and_restart();
    run.check();
    run.deliver_all();
    run.check();
    run.crash_and_restart();
    run.check();
    run.check_by_key();
    CHECK(run.streams() > 0);
}

}  // namespace karma::test
