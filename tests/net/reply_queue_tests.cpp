#include <chrono>
#include <deque>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "net/reply_queue.h"
#include "net/reply_writer.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

using net::ReplyQueue;
using Time = ReplyQueue::Time;

const Error failed{ErrorCode::internal_error, "failed"};
const Error not_acked{ErrorCode::replication_error, "not acknowledged"};

std::string line_of(const Error& error) {
    std::string line;
    net::ReplyWriter::write_error(error, line);
    return line;
}

Time at(int ms) { return Time(std::chrono::milliseconds(ms)); }

// Appends one reply that waits for this; true when it has to wait.
bool add(ReplyQueue& queue, const std::string& reply, const ReplyQueue::Wait& wait,
         const ReplyQueue::Progress& progress, std::size_t request_bytes = 10) {
    queue.text() += reply;
    return queue.close_range(1, request_bytes, wait, progress, &net::ReplyWriter::write_error);
}

std::string take(ReplyQueue& queue, std::size_t most = std::string::npos) {
    std::string taken(queue.sendable().substr(0, most));
    queue.note_sent(taken.size());
    return taken;
}

}  // namespace

TEST_CASE("reply queue: what waits for nothing may be sent at once") {
    ReplyQueue queue;
    CHECK(queue.empty());
    CHECK_FALSE(add(queue, "a", {}, {}));
    CHECK_FALSE(add(queue, "b", {5, 0, {}}, {5, 0}));
    CHECK(queue.waiting_request_bytes() == 0);
    CHECK_FALSE(queue.empty());
    CHECK(take(queue) == "ab");
    CHECK(queue.empty());
    CHECK(queue.bytes() == 0);
}

TEST_CASE("reply queue: a reply leaves when it is durable and acknowledged, behind those before it") {
    ReplyQueue queue;
    CHECK(add(queue, "a", {2, 0, {}}, {1, 0}));
    CHECK(add(queue, "b", {1, 3, at(10)}, {1, 2}));
    CHECK_FALSE(add(queue, "c", {}, {1, 2}));
    CHECK(queue.waiting_request_bytes() == 30);
    queue.release({1, 9});
    CHECK(take(queue) == "");
    queue.release({2, 2});
    CHECK(take(queue) == "a");
    CHECK(queue.waiting_request_bytes() == 20);
    queue.release({2, 3});
    CHECK(take(queue) == "bc");
    CHECK(queue.waiting_request_bytes() == 0);
    CHECK(queue.empty());
}

TEST_CASE(
    "reply queue: what waits in a generation that has ended becomes an error, before anything of the new "
    "one") {
    ReplyQueue queue;
    const ReplyQueue::Progress before{1, 1, 7};
    CHECK(add(queue, "a", {5, 5, at(10), 7, true}, before));
    CHECK(add(queue, "b", {5, 0, {}, 7, true}, before));
    CHECK_FALSE(add(queue, "c", {}, before));        // shows nothing that could be lost
    CHECK(add(queue, "e", {5, 0, {}, 7}, before));   // shows what is durable by then
    CHECK(add(queue, "f", {10, 0, {}, 7}, before));  // and what may be lost
    // Acknowledged and durable up to there, but in another history.
    const ReplyQueue::Progress after{9, 9, 8};
    queue.release(after);
    CHECK(take(queue) == "");
    CHECK(queue.has_ended(after));
    CHECK_FALSE(queue.has_ended(before));
    queue.end_generations(after, {ErrorCode::replication_error, "ended"});
    CHECK(add(queue, "d", {9, 9, at(10), 8, true}, after) == false);
    queue.release(after);
    const std::string sent = take(queue);
    const std::string error = line_of({ErrorCode::replication_error, "ended"});
    CHECK(sent == error + error + "ce" + error + "d");
    CHECK(queue.empty());
}

TEST_CASE("reply queue: a place is held for a reply that is being made") {
    ReplyQueue queue;
    add(queue, "a", {}, {});
    queue.hold_place();
    CHECK(take(queue) == "a");
    CHECK_FALSE(queue.empty());
    CHECK(queue.is_place_held());
    CHECK(queue.fill_place("b", {4, 0, {}}, {3, 0}, &net::ReplyWriter::write_error));
    CHECK_FALSE(queue.is_place_held());
    CHECK_FALSE(add(queue, "c", {}, {3, 0}));
    CHECK(take(queue) == "");
    queue.release({4, 0});
    CHECK(take(queue) == "bc");
}

TEST_CASE("reply queue: when the log has failed, each reply that waits for it becomes an error") {
    ReplyQueue queue;
    add(queue, "a", {1, 0, {}}, {0, 0});
    queue.text() += "bb";
    queue.close_range(2, 10, {2, 0, {}}, {0, 0}, &net::ReplyWriter::write_error);
    add(queue, "c", {1, 7, at(10)}, {0, 0});
    add(queue, "d", {3, 7, at(10)}, {0, 0});
    queue.fail_above(1, failed);
    queue.release({1, 7});
    CHECK(take(queue) == "a" + line_of(failed) + line_of(failed) + "c" + line_of(failed));
    CHECK(queue.empty());
}

TEST_CASE("reply queue: a reply that is not acknowledged in time becomes an error, once it is durable") {
    ReplyQueue queue;
    add(queue, "a", {1, 1, at(10)}, {0, 0});
    add(queue, "b", {2, 2, at(20)}, {0, 0});
    queue.expire_acks(0, at(9), not_acked);
    queue.release({0, 0});
    CHECK(take(queue) == "");
    queue.expire_acks(0, at(10), not_acked);
    queue.release({0, 0});
    CHECK(take(queue) == "");
    queue.release({2, 0});
    CHECK(take(queue) == line_of(not_acked));
    queue.expire_acks(2, at(20), not_acked);  // in time
    queue.release({2, 2});
    CHECK(take(queue) == "b");
}

namespace {

// The same, one reply at a time.
struct Model {
    struct Reply {
        std::string text;
        ReplyQueue::Wait wait;
    };
    std::deque<Reply> replies;
    std::string sendable;

    void release(const ReplyQueue::Progress& progress) {
        while (!replies.empty() && progress.releases(replies.front().wait)) {
            sendable += replies.front().text;
            replies.pop_front();
        }
    }
    void fail_above(Lsn durable_lsn) {
        for (Reply& reply : replies) {
            if (reply.wait.lsn > durable_lsn) reply = {line_of(failed), {}};
        }
    }
    void expire(Lsn acked_lsn, Time now) {
        for (Reply& reply : replies) {
            if (reply.wait.ack_lsn > acked_lsn && reply.wait.ack_deadline <= now) {
                reply.text = line_of(not_acked);
                reply.wait.ack_lsn = 0;
            }
        }
    }
};

void run_random(std::mt19937_64& random) {
    ReplyQueue queue;
    Model model;
    ReplyQueue::Progress progress;
    int now = 0;
    Lsn last_lsn = 0;
    for (int step = 0; step < 400; ++step) {
        switch (random_between(random, 0, 7)) {
            case 0:
            case 1:
            case 2: {
                last_lsn += random_between(random, 0, 2);
                ReplyQueue::Wait wait{random_between(random, 0, last_lsn), 0, {}};
                if (one_in(random, 3)) wait = {last_lsn, last_lsn, at(now + 20)};
                const std::uint64_t replies = wait.ack_lsn != 0 ? 1 : random_between(random, 1, 4);
                for (std::uint64_t i = 0; i < replies; ++i) {
                    const std::string text = random_word(random, random_between(random, 1, 300)) + "\n";
                    queue.text() += text;
                    ReplyQueue::Wait of_one = wait;
                    if (of_one.ack_lsn <= progress.acked_lsn) of_one.ack_lsn = 0;
                    model.replies.push_back({text, of_one});
                }
                queue.close_range(static_cast<std::uint32_t>(replies), 1, wait, progress,
                                  &net::ReplyWriter::write_error);
                break;
            }
            case 3: progress.durable_lsn = random_between(random, progress.durable_lsn, last_lsn); break;
            case 4: progress.acked_lsn = random_between(random, progress.acked_lsn, last_lsn); break;
            case 5: {
                now += static_cast<int>(random_between(random, 0, 15));
                queue.expire_acks(progress.acked_lsn, at(now), not_acked);
                model.expire(progress.acked_lsn, at(now));
                break;
            }
            case 6:
                if (one_in(random, 20)) {
                    queue.fail_above(progress.durable_lsn, failed);
                    model.fail_above(progress.durable_lsn);
                }
                break;
            default: {
                queue.release(progress);
                model.release(progress);
                REQUIRE(queue.sendable() == model.sendable);
                const std::string taken = take(queue, random_between(random, 0, 2'000));
                model.sendable.erase(0, taken.size());
            }
        }
    }
    queue.release({last_lsn, last_lsn});
    model.release({last_lsn, last_lsn});
    REQUIRE(take(queue) == model.sendable);
    CHECK(queue.empty());
    CHECK(queue.waiting_request_bytes() == 0);
}

}  // namespace

TEST_CASE("reply queue: random progress releases, replaces and sends the same as reply by reply") {
    std::mt19937_64 random = random_engine("reply queue");
    for (std::size_t run = 0; run < scaled(300); ++run) {
        CAPTURE(run);
        run_random(random);
    }
}

}  // namespace karma::test
